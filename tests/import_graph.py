"""Which files of this project a stage needs: its script and every module it imports, directly or not."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent


def files_behind(module: str) -> set[str]:
    """Return the project files that `python -m <module>` may load, as paths below the root, package files included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if path is None or path in found:
            continue
        found.add(path)
        waiting += [".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)]
        waiting += _imports(ROOT / path)
    return {path for path in found if _says_something(ROOT / path)}


def _file_of(name: str) -> str | None:
    base = Path(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if (ROOT / path).is_file():
            return path.as_posix()
    return None


def _imports(path: Path) -> list[str]:
    names = []
    if "iter_modules(__path__)" in path.read_text():  # a package that loads whatever lies in its folder
        names = [f"{'.'.join(path.relative_to(ROOT).parent.parts)}.{file.stem}" for file in path.parent.glob("*.py")]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] in ("pipeline", "stages")]


def _says_something(path: Path) -> bool:
    """A package file that holds only a docstring decides nothing."""
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)
