"""`veriframe summary` between commits of a made-up project, and the workflow that posts it."""

import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ruamel.yaml import YAML

from command import veriframe
from fabricated_project import write_dataset, write_project
from pipeline import cli, tables
from pipeline.reporting.headline import headline
from pipeline.reporting.report import render
from pipeline.reporting.run import read_run
from pipeline.reporting.source import Workspace
from project import ROOT, change_params, commit, run
from small_project import inside
from stages import audit

GROUPS = 24
FIGURES = Path("reports/metrics/eval.json")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its tables in Git on `main`; `bare` has parameters and figures alone, `none` no figures either.

    In the workspace, on `main`, another network does worse on `one`, and `two` has lost a third of its recordings.
    """
    project = tmp_path_factory.mktemp("project")
    write_project(project, ["one", "two"], groups=GROUPS)
    (project / ".dvc").mkdir()
    (project / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (project / ".gitignore").write_text(".dvc/tmp\n")
    with inside(project):
        audit.main()
        FIGURES.write_text(json.dumps(headline(read_run(Workspace()).datasets)))
    run(project, "git", "init", "--quiet", "--initial-branch", "main")
    run(project, "git", "config", "user.name", "Tester")
    run(project, "git", "config", "user.email", "tester@example.com")
    commit(project, "Start")
    for branch, gone in (("bare", "data"), ("none", "reports/metrics")):
        run(project, "git", "switch", "--quiet", "--create", branch)
        run(project, "git", "rm", "--quiet", "-r", "--cached", gone)
        run(project, "git", "commit", "--quiet", "--message", f"Nobody has {gone}")
    run(project, "git", "switch", "--quiet", "--force", "main")
    write_dataset(project / "data", "one", GROUPS, skill=0.2)
    write_dataset(project / "data", "two", 2 * GROUPS // 3, skill=0.4)
    change_params(project, {"train.model": "a|b `c` <d>", "audit.folds": 5})
    return project


@pytest.fixture(scope="module")
def said(project: Path) -> str:
    """What `veriframe summary main` prints there."""
    printed = io.StringIO()
    with inside(project), redirect_stdout(printed), mock.patch.object(sys, "argv", ["veriframe", "summary", "main"]):
        cli.main()
    return printed.getvalue()


def test_the_story_is_told(said: str) -> None:
    title, blank, sentences = said.splitlines()[:3]
    assert title == "## `main` → `the workspace`" and blank == ""
    measure = r"\(−0\.\d{3}, 95 % interval −0\.\d{3} to −0\.\d{3} over 6 groups, p [=<] 0\.\d+\)"
    fell = r"The AUROC on `one` went from 0\.\d{3} to 0\.\d{3}, of too few groups to be sure "
    assert re.match(rf"{fell}{measure}\. No clear difference in AUROC on `two`, from ", sentences), sentences
    assert re.search(r"^\| `one` \(trained on\) \| 0\.\d{3} \(.*\) → .* \| −0\.\d{3} \(.*\) \|", said, re.MULTILINE)
    assert "- `two`: the test sets differ, videos only in the first: 6, only in the later: 0." in said
    assert "| `two`, frames | 24 + 48 → 16 + 32 | " in said and "`one`, frames" not in said
    assert "**Data**: From main to the workspace, one: the same; two: " in said


def test_values_stay_in_their_cells(said: str) -> None:
    assert "| `audit.folds` | `4` | `5` |" in said
    assert "| `train.model` | `not there` | `a\\|b 'c' <d>` |" in said
    for table in re.findall(r"(?:^\|.*\n)+", said, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_no_picture_and_no_name_of_a_video_or_person(project: Path, said: str) -> None:
    videos = tables.read(project / "data/index/one/videos.parquet", tables.VIDEOS, ["name", "person", "recording"])
    names = {name for column in videos for name in videos[column].dropna() if len(name) > 3}
    assert len(names) > GROUPS and not [name for name in names if name in said]
    assert "<img" not in said and "![" not in said


def test_tables_that_nobody_pushed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    figures = json.loads(FIGURES.read_text())
    code, said, _ = veriframe(capsys, "summary", "bare", "main")
    assert code == 0
    assert f"The same AUROC on `one`, {figures['one']['auroc']:.3f} (no interval)" in said
    assert "bare has no data/" in said and "of bare are those of reports/metrics/eval.json" in said
    assert "DeLong" not in said and "**Data**" not in said and "**Parameters**: the same." in said
    code, out, complaint = veriframe(capsys, "summary", "none")
    assert (code, out) == (1, "") and complaint.count("\n") == 1
    assert "none has no data/" in complaint and "none has no reports/metrics/eval.json" in complaint


def test_a_file_is_written_whole_or_not_at_all(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str
) -> None:
    monkeypatch.chdir(project)
    assert veriframe(capsys, "summary", "main", "--out", tmp_path / "deep/summary.md") == (0, "", "")
    assert (tmp_path / "deep/summary.md").read_text(encoding="utf-8") == said
    for arguments, code, message in (
        (["nowhere"], 1, "nowhere cannot be opened: unknown Git revision"),
        (["main", "--out", tmp_path], 2, "is a folder; name a file"),
        (["main", "main", "--out", "/dev/null/x"], 1, "/dev/null/x cannot be written"),
    ):
        found, out, complaint = veriframe(capsys, "summary", *arguments)
        assert (found, out) == (code, "") and message in complaint and complaint.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["summary.md"]


def test_one_run_is_summed_up_without_a_comparison(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    one = read_run(Workspace())
    said = render([one], "markdown")
    assert re.search(r"`resnet10t`, trained on `one`: AUROC (0|1)\.\d{3} \(.*\) on `one`, ", said)
    assert "→" not in said and "Difference" not in said and "What may not be concluded" in said
    assert render([one, one, one], "markdown").count("The same AUROC on `one`") == 2


# --- the workflow ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(ROOT / ".github/workflows/summary.yml")


def scripts(workflow: dict[str, Any]) -> list[str]:
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


def test_the_workflow_calls_commands_that_exist(workflow: dict[str, Any]) -> None:
    told = "\n".join(scripts(workflow))
    commands = {command.__name__.split(".")[-1] for command in cli.COMMANDS}
    called = set(re.findall(r"veriframe ([a-z]+)", told))
    assert called == {"summary"} and called <= commands
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", told)) == {"env"} and "env" in targets
    for script in scripts(workflow):
        subprocess.run(["bash", "-n", "-c", script], check=True)


def test_the_workflow_gives_a_fork_nothing(workflow: dict[str, Any]) -> None:
    assert set(workflow["on"]) == {"pull_request"}
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}
    # What a pull request names (its branch, its title) is never put into a script: it could be one.
    assert not [script for script in scripts(workflow) if "${{" in script]
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(re.search(r"@[0-9a-f]{40}$", step["uses"]) for step in steps if "uses" in step)
    assert [step["with"]["persist-credentials"] for step in steps if "checkout" in step.get("uses", "")] == [False]
    posting = [step for step in steps if "GH_TOKEN" in step.get("env", {})]
    assert [step["if"] for step in posting] == ["github.event.pull_request.head.repo.full_name == github.repository"]
