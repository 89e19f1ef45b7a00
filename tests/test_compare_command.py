"""`veriframe compare`: several revisions of a made-up project on one page."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import veriframe
from fabricated_project import write_dataset, write_params, write_project
from pipeline import tables
from project import change_params, commit, run


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose branch `topic` has a better model and another seed, with `main` in the workspace.

    Everything lies in Git itself; how tables come from caches and remotes is tested with revisions.
    """
    root = tmp_path_factory.mktemp("versions")
    run(root, "git", "init", "--quiet", "--initial-branch", "main")
    run(root, "git", "config", "user.name", "Tester")
    run(root, "git", "config", "user.email", "tester@example.com")
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("")
    write_project(root, ["one"])
    write_dataset(root / "data", "one", skill=0.2)
    (root / ".gitignore").write_text("/.cache/\n/.dvc/tmp/\n/.dvc/.gitignore\n")
    probed = {"dataset": "one", "feature": "all", "auroc": 0.6, "lower": 0.5, "upper": 0.7, "videos": 36, "groups": 12}
    rows = [probed | {"probe": probe} for probe in ("container", "picture")]
    tables.write(root / "data/audit/shortcuts.parquet", rows, tables.SHORTCUTS, ["probe"])
    tables.write(root / "data/audit/leaks.parquet", [], tables.ACROSS, ["kind"])
    commit(root, "main")
    run(root, "git", "checkout", "--quiet", "-b", "topic")
    write_dataset(root / "data", "one", skill=6.0)
    change_params(root, {"audit.seed": 7})
    commit(root, "topic")
    start = run(root, "git", "rev-parse", "main").stdout.strip()
    run(root, "git", "update-ref", f"refs/exps/{start[:2]}/{start[2:]}/ghost-lens", "topic")  # as dvc exp run keeps it
    run(root, "git", "checkout", "--quiet", "-b", "faceless")
    write_params(root, ["one"], pictures=False)
    commit(root, "faceless")
    run(root, "git", "checkout", "--quiet", "main")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(root / ".cache/dvc-site"))
        patch.chdir(root)
        yield root


def test_a_page_about_two_branches_and_nothing_else_is_touched(
    versions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "new" / "page.html"
    code, out, err = veriframe(capsys, "compare", "main", "topic", "workspace", "--out", page)
    assert code == 0, err
    assert out == f"{page} compares main, topic, the workspace\n" and "reading runs: 3 of 3 runs" in err
    html = page.read_text(encoding="utf-8")
    assert "topic and the workspace against main" in html and "<img" in html
    assert re.search(r"topic: no clear difference in AUROC on one, from 0\.\d{3} to 1\.000 \(", html)
    assert "the workspace: the same AUROC on one" in html
    assert "<code>audit.seed</code>" in html
    assert not run(versions, "git", "status", "--porcelain").stdout


def test_one_revision_without_pictures_leaves_all_faces_out(
    versions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "page.html"
    assert veriframe(capsys, "compare", "main", "faceless", "--out", page)[0] == 0
    assert "<img" not in page.read_text(encoding="utf-8")


def test_the_suffix_md_gives_the_summary_also_of_an_experiment(
    versions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "page.md"
    assert veriframe(capsys, "compare", "main", "ghost-lens", "--out", page)[0] == 0
    text = page.read_text(encoding="utf-8")
    assert "| " in text and "<!DOCTYPE" not in text and "<img" not in text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("main", "main"), 2, "one revision is named twice"),
        (("main", "nowhere"), 1, "nowhere cannot be opened"),
        (("main", "topic", "--out", "data"), 2, "data is a folder; name a file"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    versions: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, said: str
):
    got, _, err = veriframe(capsys, "compare", *arguments)
    assert (got, said in err) == (code, True) and err.strip().startswith("error: ") and "Traceback" not in err
    assert not (versions / "compare.html").exists()


def test_a_revision_without_results_is_told(versions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    card = versions / "data/train/model.json"
    before = card.read_text()
    card.unlink()
    try:
        code, _, err = veriframe(capsys, "compare", "main", "workspace", "--out", tmp_path / "page.html")
    finally:
        card.write_text(json.dumps(json.loads(before)))
    assert code == 1 and err.startswith("error: ") and "model.json" in err and len(err.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()
