import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import machine
from pipeline.errors import UserError

VARIABLES = ["VERIFRAME_WORKERS", "VERIFRAME_CACHE", "VERIFRAME_ENGINE", "VERIFRAME_DEVICE"]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_without_a_word_from_the_user() -> None:
    assert machine.workers() >= 1
    assert machine.engine() == "local"
    assert machine.device() in ("cpu", "cuda")


@pytest.mark.parametrize(
    ("variable", "value", "ask"),
    [
        ("VERIFRAME_WORKERS", "3", machine.workers),
        ("VERIFRAME_ENGINE", "local", machine.engine),
        ("VERIFRAME_ENGINE", "ray", machine.engine),
        ("VERIFRAME_DEVICE", "cpu", machine.device),
        ("VERIFRAME_CACHE", "/tmp/somewhere", machine.cache_folder),
    ],
)
def test_as_asked(variable: str, value: str, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert str(ask()) == value


@pytest.mark.parametrize(
    ("variable", "value", "ask", "message"),
    [
        ("VERIFRAME_WORKERS", "0", machine.workers, "VERIFRAME_WORKERS must be .* at least 1, not '0'"),
        ("VERIFRAME_WORKERS", "two", machine.workers, "VERIFRAME_WORKERS must be .* not 'two'"),
        ("VERIFRAME_ENGINE", "dask", machine.engine, "VERIFRAME_ENGINE must be one of local, ray, not 'dask'"),
        ("VERIFRAME_DEVICE", "tpu", machine.device, "VERIFRAME_DEVICE must be one of auto, cpu, cuda, not 'tpu'"),
    ],
)
def test_what_is_not_known(
    variable: str, value: str, ask: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=message):
        ask()


@pytest.mark.parametrize(("there", "auto"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_used_where_there_is_one(there: bool, auto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(machine, "_has_gpu_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert machine.device() == auto
    monkeypatch.setenv("VERIFRAME_DEVICE", "cuda")
    if there:
        assert machine.device() == "cuda"
    else:
        with pytest.raises(UserError, match="VERIFRAME_DEVICE=cuda, but torch sees no GPU here"):
            machine.device()


@pytest.mark.parametrize(("asked", "driver"), [("cpu", True), ("auto", False)])
def test_where_there_can_be_no_gpu_torch_stays_out(asked: str, driver: bool) -> None:
    code = f"import sys; from pipeline import machine; machine._has_gpu_driver = lambda: {driver}; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(machine.device(), 'torch' in sys.modules)"],
        cwd=Path(__file__).parents[1],
        env={"VERIFRAME_DEVICE": asked},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "cpu False\n", done.stderr


def test_every_variable_is_in_the_table() -> None:
    source = Path(machine.__file__).read_text()
    assert machine.__doc__ and all(f"| {variable} |" in machine.__doc__ for variable in VARIABLES)
    assert {word for word in source.replace('"', " ").split() if word.startswith("VERIFRAME_")} <= {
        *VARIABLES,
        "VERIFRAME_DEVICE=cuda,",
    }
