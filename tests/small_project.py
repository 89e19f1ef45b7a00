"""A folder with params.yaml and a raw tree, in which stages run in this process; no git, no DVC."""

import importlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ruamel.yaml import YAML

from fabricated_videos import KEY
from pipeline.errors import exit_on_user_error

ROOT = Path(__file__).resolve().parent.parent
STAGES = ["index", "split", "sample", "flatten", "reduce", "extract", "check", "shard"]


def write_params(project: Path, root: Path, changes: dict[str, Any] | None = None) -> None:
    """Write the project's params.yaml with one dataset at `root` and `changes` by dotted name; `...` removes a name."""
    document = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    document["datasets"] = {KEY: {**document["datasets"]["synthetic_celeb_df"], "root": str(root)}}
    document["sample"]["every"] = 5
    document["extract"]["faces"] = "none"
    document["extract"]["tars"] = 2
    document["shard"]["shards"] = {"train": 1, "val": 1, "test": 1}  # of more, each would be called small
    for name, value in (changes or {}).items():
        *parents, last = name.split(".")
        section = document
        for parent in parents:
            section = section[parent]
        section[last] = value
        if value is ...:
            del section[last]
    YAML(typ="safe", pure=True).dump(document, project / "params.yaml")


@contextmanager
def inside(project: Path, **environment: str) -> Iterator[None]:
    """Work in `project` with `environment` for a while; the work cache lies in it."""
    before = Path.cwd()
    variables = {"VERIFRAME_CACHE": str(project / "cache"), "VERIFRAME_WORKERS": "1"} | environment
    os.chdir(project)
    try:
        with mock.patch.dict(os.environ, variables):
            yield
    finally:
        os.chdir(before)


def run_stage(project: Path, stage: str, key: str | None = KEY, **environment: str) -> None:
    """Run a stage as `python -m stages.<stage> [KEY]` would, in this process; a UserError comes out as it is."""
    with inside(project, **environment), mock.patch.object(sys, "argv", [stage, key] if key else [stage]):
        importlib.import_module(f"stages.{stage}").main()


def run_script(project: Path, stage: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    """Run `python -m stages.<stage> KEY` as its own process."""
    with script(project, stage, key) as process:
        said, complained = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, said, complained)


def script(project: Path, stage: str, key: str = KEY, **environment: str) -> "subprocess.Popen[str]":
    """Start `python -m stages.<stage> KEY` as a process group of its own."""
    variables = (
        os.environ | {"PYTHONPATH": str(ROOT), "VERIFRAME_WORKERS": "1", "VERIFRAME_CACHE": "cache"} | environment
    )
    command = [sys.executable, "-m", f"stages.{stage}", key]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=project, env=variables, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Return path -> bytes of every file below `folder`."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(project: Path, stage: str, key: str | None = KEY) -> str:
    """Run a stage that must end with exit code 1 and one line that starts with `error: `; return that line."""
    said = io.StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit) as ended:
        exit_on_user_error(lambda: run_stage(project, stage, key))
    lines = [
        line for line in said.getvalue().splitlines() if not line.startswith(("index", "extract", "check", "shard"))
    ]  # progress
    assert ended.value.code == 1 and len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]
