"""docs/reading.md: every block of code works as it stands there, on another folder and another repository."""

import contextlib
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from project import run

PAGE = (Path(__file__).resolve().parent.parent / "docs/reading.md").read_text()
FOLDER = "data/shard/own_ffpp"


def block(heading: str, language: str = "python", number: int = 0) -> str:
    """Return a block of code of the section with this heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)[number]


def execute(code: str) -> tuple[dict[str, Any], list[str]]:
    """Run a block; return its variables, and the lines it printed."""
    variables: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "docs/reading.md", "exec"), variables)
    return variables, printed.getvalue().splitlines()


def labels(built: Path, split: str) -> dict[int, int]:
    """Return how many samples of a split have each label."""
    samples = tables.read(built / FOLDER / "samples.parquet", tables.SAMPLES)
    return dict(Counter(samples.loc[samples["split"] == split, "label"]))


@pytest.fixture
def at_built(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The built project, its folder of shards under the name that the page gives it."""
    monkeypatch.chdir(built)
    return built


def here(code: str) -> str:
    assert "data/shard/celeb_df_v2" in code
    return code.replace("data/shard/celeb_df_v2", FOLDER)


def test_every_block_is_tried_here() -> None:
    assert len(re.findall(r"```\w+\n", PAGE)) == 6


def test_box_and_landmarks_are_pixels_of_the_frame(at_built: Path) -> None:
    import webdataset

    assert "pixels of the upright video frame, not of the picture" in PAGE
    frames = tables.read(Path(FOLDER.replace("shard", "extract")) / "frames.parquet", tables.FRAMES).set_index("key")
    tars = sorted(str(path) for path in Path(FOLDER, "train").glob("*.tar"))
    for sample in webdataset.WebDataset(tars, shardshuffle=False).decode():
        row, told = frames.loc[sample["__key__"]], sample["json"]
        assert told["box"] == [row.box_x, row.box_y, row.box_width, row.box_height]
        assert told["landmarks"] == list(row.landmarks)
        assert row.crop_x <= told["box"][0] < row.crop_x + row.crop_width
        assert not [name for name in told if name.startswith("crop")]


def test_the_training_in_ten_lines(at_built: Path) -> None:
    variables, _ = execute(here(block("A training in ten lines")))
    assert variables["loss"].isfinite()
    assert len(variables["rows"]) == sum(labels(at_built, "train").values())


def test_several_ranks(at_built: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(here(block("Several ranks")).replace(FOLDER, str(at_built / FOLDER)))
    command = block("Several ranks", "bash").split()
    root = Path(__file__).resolve().parent.parent
    done = run(tmp_path, *command, PYTHONPATH=str(root), OMP_NUM_THREADS="1")
    steps = -(-sum(labels(at_built, "train").values()) // (2 * 4))
    assert sorted(re.findall(r"rank \d: \d+ steps", done.stdout)) == [
        f"rank {rank}: {steps} steps" for rank in (0, 0, 1, 1)
    ]


def test_from_a_tag(built: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    run(tmp_path, "git", "clone", "--quiet", str(built), str(project))
    run(project, "git", "-c", "user.name=T", "-c", "user.email=t@example.com", "tag", "-a", "v1.0.0", "-m", "First")
    (project / ".dvc/config.local").write_text(f"[cache]\n    dir = {built / '.dvc/cache'}\n")
    code = here(block("From a tag of somebody else's project"))
    assert "https://example.com/faces.git" in code
    _, printed = execute(code.replace("https://example.com/faces.git", str(project)))
    assert Counter(int(line.split(") ")[1].split()[0]) for line in printed) == labels(built, "train")
    assert all(line.startswith("(3, 128, 128) ") and " own_ffpp/" in line for line in printed)


def test_plain_webdataset(at_built: Path) -> None:
    _, printed = execute(here(block("Without this package")))
    assert Counter(int(line.split()[-1]) for line in printed) == labels(at_built, "train")


def test_timm(at_built: Path) -> None:
    _, printed = execute(here(block("Without this package", number=1)))
    assert all(line.split(") ")[0].endswith("3, 112, 112") for line in printed)
    found = Counter(label for line in printed for label in map(int, re.findall(r"\d+", line.split(") ")[1])))
    assert found == labels(at_built, "val")
