"""The `veriframe` command, run in this process."""

import sys
from pathlib import Path
from unittest import mock

import pytest

from pipeline import cli

Outcome = tuple[int, str, str]


def veriframe(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Outcome:
    """Run `veriframe` with `arguments`; return exit code, stdout and stderr."""
    capsys.readouterr()
    with mock.patch.object(sys, "argv", ["veriframe", *map(str, arguments)]):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return code, *capsys.readouterr()
