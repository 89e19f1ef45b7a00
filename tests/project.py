"""A scratch copy of this project as a user has it: a git repository with real DVC, on which commands are run."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def copy_project(to: Path, changes: dict[str, Any]) -> Path:
    """Copy what git tracks (or would track) to `to`, change params.yaml, and commit. Returns `to`."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in listing.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and name != "dvc.lock":
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    change_params(to, changes)
    run(to, "git", "init", "--quiet", "--initial-branch", "main")
    run(to, "git", "config", "user.name", "Tester")
    run(to, "git", "config", "user.email", "tester@example.com")
    commit(to, "Start")
    return to


def change_params(project: Path, changes: dict[str, Any]) -> None:
    """Set values of params.yaml by dotted name, keeping its comments; a value of `...` removes the name."""
    yaml = YAML()
    path = project / "params.yaml"
    document = yaml.load(path)
    for name, value in changes.items():
        *parents, last = name.split(".")
        section = document
        for parent in parents:
            section = section[parent]
        if value is ...:
            del section[last]
        else:
            section[last] = value
    yaml.dump(document, path)


def run(project: Path, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project as from a plain shell: tools of this environment by path, nothing activated."""
    program = BIN / command[0]
    full = [str(program) if program.exists() else command[0], *command[1:]]
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("VERIFRAME_", "VIRTUAL_ENV"))
    }
    variables |= {"DVC_SITE_CACHE_DIR": str(project / ".cache/dvc-site"), "COLUMNS": "200"} | environment
    done = subprocess.run(full, cwd=project, env=variables, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(
            f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
    return done


def commit(project: Path, message: str) -> None:
    """Commit everything that git does not ignore."""
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--allow-empty", "--message", message)


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    """Return path -> (SHA-256, modification time in nanoseconds) of every file below `folder`, links followed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in files
    }


def lock(project: Path) -> dict[str, Any]:
    """Return the stages of the project's dvc.lock."""
    return YAML(typ="safe", pure=True).load(project / "dvc.lock")["stages"]
