"""The `veriframe` command as a user types it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def veriframe(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_help_names_every_command() -> None:
    result = veriframe("--help")
    assert result.returncode == 0
    assert all(command in result.stdout for command in ("synthesize", "doctor", "leaks", "trace", "forecast", "cache"))
    assert "--from-clips" in veriframe("synthesize", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layout", "celeb_df_v9"], "--layout must be one of celeb_df_v2, ffpp, dfdc, not 'celeb_df_v9'"),
        (["--layout", "ffpp", "--scale", "0.1"], "--scale must be 0.3 to 20, not 0.1"),
        (["--layout", "celeb_df_v2", "--from-clips", "missing"], "--from-clips: missing is no folder"),
        (["--layout", "celeb_df_v2", "--from-clips", "EMPTY"], "there is no video in"),
        (["--layout", "ffpp", "--from-clips", "EMPTY"], "--from-clips makes the layout celeb_df_v2 only, not ffpp"),
        (["--layout", "celeb_df_v2", "--from-clips", "EMPTY", "--scale", "1"], "--scale does not go with --from-clips"),
    ],
)
def test_bad_arguments_end_with_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "out"
    result = veriframe("synthesize", *[str(empty) if word == "EMPTY" else word for word in arguments], "--out", out)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("error: ") and message in result.stderr and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [empty]


def test_a_folder_with_content_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("kept")
    result = veriframe("synthesize", "--layout", "ffpp", "--out", tmp_path)
    assert result.returncode == 2 and "is not an empty folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_no_command_is_a_usage_error() -> None:
    result = veriframe()
    assert result.returncode == 2 and "usage: veriframe" in result.stderr


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for number in range(3000):
        (tmp_path / f"real/{number}.txt").touch()
    (tmp_path / "real/a.png").touch()
    command = f"{sys.executable} -m pipeline.cli doctor image_folder {tmp_path} --json | head -n 1"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "VERIFRAME_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "{\n" and "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
