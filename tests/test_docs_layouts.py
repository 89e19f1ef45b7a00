"""docs/layouts.md names every layout, and its example of a new one works as it stands there."""

import re
import shutil
import types
from pathlib import Path
from typing import Any

import pytest

from pipeline import datasets, doctor
from pipeline.datasets import layouts
from published import read_lists, recognise

PAGE = (Path(__file__).resolve().parent.parent / "docs/layouts.md").read_text()


def test_the_table_names_every_layout_with_its_list() -> None:
    section = PAGE.partition("## What there is")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", section, flags=re.MULTILINE))
    assert rows.keys() == layouts().keys()
    for name, layout in layouts().items():
        needed = layout.read_lists({}).missing
        assert (rows[name].split("|")[-1].strip().startswith("none")) == (not needed), name


def test_published_counts_stand_in_their_column() -> None:
    section = PAGE.partition("## Published counts")[2].partition("\n## ")[0]
    rows = {name: cells for name, *cells in re.findall(r"^\| `(\w+)` \|(.*)\|(.*)\|$", section, flags=re.MULTILINE)}
    assert rows.keys() == {name for name, layout in layouts().items() if layout.counts}
    for name, (certain, uncertain) in rows.items():
        for count in layouts()[name].counts:
            assert re.search(rf"\b{count.videos:,}\b", certain if count.certain else uncertain), (name, count)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> list[types.ModuleType]:
    """The code blocks of the page as modules, the first of them installed as a layout."""
    modules = []
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)):
        module = types.ModuleType(f"example_{number}")
        exec(compile(code, module.__name__, "exec"), module.__dict__)
        modules.append(module)
    known = layouts() | modules[0].LAYOUTS
    monkeypatch.setattr(datasets, "layouts", lambda: known)
    return modules


def test_the_example_recognises_a_file(example: list[types.ModuleType], tmp_path: Path) -> None:
    record = recognise("uadfv", "fake/videos/0007_fake.mp4", read_lists(tmp_path, "uadfv", {}))
    assert (record.name, record.label, record.original) == ("0007_fake", 1, "real/0007.mp4")


def test_the_test_of_the_example_passes(example: list[types.ModuleType], tmp_path: Path) -> None:
    tests = [test for name, test in vars(example[1]).items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0](tmp_path)


def test_doctor_takes_the_example(
    example: list[types.ModuleType], tmp_path: Path, celeb_tree: Path, in_process: Any
) -> None:
    for source, target in (("Celeb-real/id0_0000", "real/0000"), ("Celeb-real/id0_0001", "fake/0000_fake")):
        (tmp_path / "uadfv" / target).parent.mkdir(parents=True)
        shutil.copy(celeb_tree / f"{source}.mp4", tmp_path / f"uadfv/{target}.mp4")
    report, _ = doctor.examine("uadfv", tmp_path / "uadfv", in_process, tmp_path / "cache")
    assert [(row["published"], row["found"]) for row in report["counts"]] == [(49, 1), (49, 1)]
    assert {row["code"] for row in report["findings"] if row["severity"] != "note"} == {"count_differs"}
