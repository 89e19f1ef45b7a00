"""The rules of the house: one stage, one name; declared dependencies; imports one way; documents that match."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fabricated_videos import write_video
from import_graph import ROOT, files_behind
from pipeline import quality, table_docs
from pipeline.extracting import answers, extraction

LIGHT = ["index", "split", "sample", "flatten", "reduce", "shard", "extract", "check"]
LAYOUTS = "pipeline/datasets"
TEMPLATES = "pipeline/reporting/templates"
HEAVY = [
    "torch",
    "ray",
    "torchvision",
    "timm",
    "sklearn",
    "matplotlib",
    "great_expectations",
    "dvc",
    "facenet_pytorch",
    "webdataset",
]


@cache
def dvc_stages() -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml; of a foreach stage, what it does."""
    stages = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


@cache
def parameters() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(ROOT / "params.yaml")


STAGES = sorted(dvc_stages())


# --- one stage, one name ---------------------------------------------------------------------------------------------


def test_every_stage_has_its_script_and_every_script_its_stage() -> None:
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert scripts == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_named_the_same_everywhere(stage: str) -> None:
    declared = dvc_stages()[stage]
    assert declared["cmd"].split()[:3] == ["python", "-m", f"stages.{stage}"]
    assert len(declared["desc"].strip()) > 20
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in declared.get("outs", [])]
    assert all(out.startswith((f"data/{stage}", "reports/")) for out in outs), outs


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_a_test(stage: str) -> None:
    assert (ROOT / f"tests/stages/test_{stage}.py").is_file()


# --- dependencies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_on_code_are_the_imports(stage: str) -> None:
    declared = [dep for dep in dvc_stages()[stage]["deps"] if dep.endswith(".py")]
    if LAYOUTS in dvc_stages()[stage]["deps"]:  # as a folder: adding a layout is adding a file
        declared += [path.relative_to(ROOT).as_posix() for path in (ROOT / LAYOUTS).glob("*.py")]
    assert len(set(declared)) == len(declared)
    assert set(declared) == files_behind(f"stages.{stage}")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_its_section_and_on_no_other_code(stage: str) -> None:
    declared = dvc_stages()[stage]
    others = [dep for dep in declared["deps"] if dep.startswith(("pipeline", "stages")) and not (ROOT / dep).is_file()]
    assert set(others) <= {LAYOUTS, TEMPLATES}
    assert "requirements.lock" not in declared["deps"]
    if stage in parameters():
        assert stage in declared["params"]


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_imports_point_one_way() -> None:
    for path in (ROOT / "pipeline").rglob("*.py"):
        assert not [name for name in imports_of(path) if name.split(".")[0] in ("stages", "tests")], path
    for path in (ROOT / "stages").glob("*.py"):
        assert not [name for name in imports_of(path) if name.startswith("stages")], path


def test_the_domain_knows_nothing_of_dvc() -> None:
    """Only what looks at other versions, remotes and DVC's cache does; no stage needs any of it."""
    knowing = {
        path.relative_to(ROOT / "pipeline").as_posix()
        for path in (ROOT / "pipeline").rglob("*.py")
        if any(name.split(".")[0] in ("dvc", "dvc_data", "dvc_objects", "scmrepo") for name in imports_of(path))
    }
    assert {path.split("/")[0] for path in knowing} <= {"commands", "verification", "revisions.py", "streaming.py"}
    needed = set().union(*(files_behind(f"stages.{stage}") for stage in STAGES))
    assert knowing and not needed & {f"pipeline/{path}" for path in knowing}


@pytest.mark.parametrize("module", ["datasets", "recognition", "indexing", "provenance", "video", "images", "tables"])
def test_the_domain_knows_nothing_of_training(module: str) -> None:
    behind = files_behind(f"pipeline.{module}")
    assert not [path for path in behind if re.search(r"training|models|evaluation|metrics|reporting|shortcuts", path)]


def test_what_decides_an_answer_is_part_of_its_name() -> None:
    behind = files_behind("pipeline.extracting.answers") - {
        "pipeline/errors.py",
        "pipeline/files.py",
        "pipeline/machine.py",
    }
    assert behind == {f"pipeline/{module}.py" for module in answers.MODULES}


def test_light_stages_start_without_heavy_imports() -> None:
    """Nor do extract and check, whose workers often need none of it."""
    code = "import sys\n" + "".join(
        f"import stages.{stage}\nprint(*[('{stage}', name) for name in {HEAVY} if name in sys.modules])\n"
        for stage in LIGHT
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_worker_that_only_decodes_needs_neither_torch_nor_pandas_nor_pyarrow(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from pipeline.extracting.answers import Recipe, Request, Source, extract_video\n"
        "from pipeline.files import sha256_of_file\n"
        f"path, store = {str(write_video(tmp_path / 'a.mp4'))!r}, {str(tmp_path / 'store')!r}\n"
        "source = Source(path, 0, sha256_of_file(Path(path)), (0,), (0,), (0,))\n"
        "recipe = Recipe('none', 640, 40, 0.9, 0, 0.5, None)\n"
        "assert extract_video(Request('a', source, None, None, recipe, store)) is None\n"
        "assert list(Path(store).glob('*.json'))\n"
        f"print(*[name for name in {[*HEAVY, 'pandas', 'pyarrow', 'scipy']} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- parameters ------------------------------------------------------------------------------------------------------


def test_every_section_belongs_to_a_stage() -> None:
    assert set(parameters()) - {"datasets", "guards"} <= set(STAGES)


def test_every_knob_has_a_comment() -> None:
    """Beside it, or on the line above it; those of a dataset are described once, above the datasets."""
    lines = (ROOT / "params.yaml").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("index:"))
    bare, parent = [], ""
    for number, line in enumerate(lines[start:], start=start):
        if not line.strip() or line.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        if indent <= 2:
            parent = line if "#" in line else ""
        explained = "#" in line or lines[number - 1].strip().startswith("#") or (indent == 4 and parent)
        if indent > 0 and not explained and "by_dataset:" not in line:
            bare.append(line)
    assert bare == []
    about_datasets = "\n".join(lines[: lines.index("datasets:")])
    for knob in next(iter(parameters()["datasets"].values())):
        assert f"#   {knob} " in about_datasets


# --- documents -------------------------------------------------------------------------------------------------------


def test_the_document_of_tables_is_up_to_date() -> None:
    assert (ROOT / "docs/tables.md").read_text() == table_docs.describe(), (
        "run: python -m pipeline.table_docs > docs/tables.md"
    )


def documented() -> set[tuple[str, str]]:
    """Return (stage, code) of every row of docs/findings.md."""
    found = set()
    for line in (ROOT / "docs/findings.md").read_text().splitlines():
        if line.startswith("| `"):
            code, stages, severity, meaning, remedy = (cell.strip() for cell in line.strip("|").split("|"))
            assert severity in ("error", "warning", "note") and meaning and remedy, line
            found |= {(stage, code.strip("`")) for stage in stages.split(", ")}
    return found


def words_in(node: ast.AST | None) -> set[str]:
    """Return the texts below a node that look like a code."""
    texts = (
        {leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)}
        if node
        else set()
    )
    return {text for text in texts if re.fullmatch(r"[a-z]+(_[a-z]+)*", text)}


def codes_in(path: str, *functions: str) -> set[str]:
    """Return the codes that a file gives: to VideoError, as `reason` of a row, or out of the named functions."""
    codes: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "VideoError":
            codes |= words_in(node.args[0])
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            codes |= {word for key, value in pairs if words_in(key) == {"reason"} for word in words_in(value)}
        elif isinstance(node, ast.FunctionDef) and node.name in functions:
            for leaf in ast.walk(node):
                if isinstance(leaf, ast.Return | ast.Yield):
                    codes |= words_in(leaf.value)
    return codes - {"reason"}


def calls(path: str, function: str) -> list[ast.Call]:
    """Return the calls of a function in a file."""
    nodes = ast.walk(ast.parse((ROOT / path).read_text()))
    return [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", "") == function]


def dict_values(path: str, wanted: str) -> list[ast.AST]:
    """Return what stands under the key `wanted` in the dictionaries that a file writes out."""
    found = [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Dict)]
    pairs = [pair for node in found for pair in zip(node.keys, node.values, strict=True)]
    return [value for key, value in pairs if words_in(key) == {wanted}]


def test_the_document_of_findings_names_every_code() -> None:
    scan = codes_in("pipeline/video.py") | {"unreadable"}
    check = {word for code in dict_values("stages/check.py", "code") for word in words_in(code)} - {"code"}
    recognised = {call.args[0].value for call in calls("pipeline/recognition.py", "_rejected")}
    given = {
        "index": scan
        | recognised
        | codes_in("pipeline/indexing.py")
        | codes_in("pipeline/scanning.py")
        | {word for code in dict_values("pipeline/indexing.py", "code") for word in words_in(code)} - {"reason"}
        | {word for call in calls("pipeline/truth.py", "_rows") for word in words_in(call.args[1])}
        | {"duplicate_content", "duplicate_content_other_label"},
        "doctor": {word for code in dict_values("pipeline/doctor.py", "code") for word in words_in(code)},
        "split": {"in_no_list", "leak", "video_quota"},
        "extract": codes_in("pipeline/decoding.py", "_decoded", "_judged")
        | codes_in("pipeline/images.py", "decode", "_checked")
        | codes_in("pipeline/extracting/answers.py", "_why_no_face")
        | set(answers.NEARLY_USABLE)
        | codes_in("pipeline/extracting/extraction.py", "_why_lost")
        | {extraction.NOT_FORGED}
        | codes_in("pipeline/extracting/faces.py", "why_unusable"),
        "check": {rule.code for rules in quality.rules(0.5, 1).values() for rule in rules} | check,
    }
    assert '"in_no_list"' in (ROOT / "stages/split.py").read_text()
    for path, code in (("truth", "duplicate_content"),):
        assert f'"{code}"' in (ROOT / f"pipeline/{path}.py").read_text()
    assert documented() == {(stage, code) for stage, codes in given.items() for code in codes}
