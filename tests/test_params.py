import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from ruamel.yaml import YAML

from pipeline import params
from pipeline.errors import UserError


class Quota(params.Section):
    train: int
    test: int


class Knobs(params.Section):
    every: int | None = Field(ge=1)
    share: float = Field(ge=0, le=1)
    quota: Quota


SOUND: dict[str, Any] = {
    "datasets": {
        "first": {"layout": "dfdc", "root": "data/raw/first"},
        "second": {"layout": "ffpp", "root": "/elsewhere", "methods": ["Deepfakes"], "compression": ["c23"]},
    },
    "stage": {
        "every": 10,
        "share": 1,
        "quota": {"train": 5, "test": 6},
        "by_dataset": {"second": {"quota": {"test": 9}}},
    },
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(**changes: Any) -> None:
    YAML(typ="safe", pure=True).dump(SOUND | changes, Path("params.yaml"))


def stage(**changes: Any) -> dict[str, Any]:
    return SOUND["stage"] | changes


def test_defaults_and_overrides() -> None:
    write()
    assert params.load_section(Knobs, "stage", "first").quota == Quota(train=5, test=6)
    # One quota is overridden, the others stay.
    assert params.load_section(Knobs, "stage", "second").quota == Quota(train=5, test=9)
    assert params.load_section(Knobs, "stage", "second").share == 1.0


def test_a_stage_over_all_datasets_takes_no_overrides() -> None:
    write(stage=stage(by_dataset={}))
    assert params.load_section(Knobs, "stage").every == 10
    write()
    with pytest.raises(UserError, match="stage runs once for all datasets and takes no by_dataset"):
        params.load_section(Knobs, "stage")


def test_an_override_may_be_null() -> None:
    write(stage=stage(by_dataset={"first": {"every": None}, "second": None}))
    assert params.load_section(Knobs, "stage", "first").every is None
    assert params.load_section(Knobs, "stage", "second").every == 10


def test_datasets_in_their_order() -> None:
    write()
    assert list(params.load_datasets()) == ["first", "second"]
    assert params.load_dataset("second").root == Path("/elsewhere")
    assert (params.load_dataset("first").methods, params.load_dataset("second").compression) == (None, ["c23"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stage": stage(every=-1)}, "params.yaml: stage.every: Input should be greater than or equal to 1 (got -1)"),
        ({"stage": stage(every="10")}, "stage.every: Input should be a valid integer (got '10')"),
        ({"stage": stage(share="nan")}, "stage.share"),
        ({"stage": stage(share=float("inf"))}, "stage.share: Input should be less than or equal to 1"),
        ({"stage": stage(evry=3)}, "stage.evry: Extra inputs are not permitted (got 3)"),
        ({"stage": stage(quota={"train": 1})}, "stage.quota.test: Field required"),
        (
            {"stage": stage(every=0, share=2)},
            "stage.every: Input should be greater than or equal to 1 (got 0); stage.share:",
        ),
        (
            {"stage": stage(by_dataset={"third": {}})},
            "stage.by_dataset may only name keys of `datasets`, not ['third']",
        ),
        ({"stage": stage(by_dataset={"first": {"quota": 3}})}, "stage.quota: Input should be a valid dictionary"),
        ({"stage": stage(by_dataset={"first": 3})}, "`stage.by_dataset.first` must be a mapping"),
        ({"stage": stage(by_dataset="first")}, "`stage.by_dataset` must be a mapping"),
        ({"stage": [1]}, "`stage` must be a mapping of names to values, not [1]"),
        ({"stage": None}, "stage.every: Field required"),
        ({"datasets": "first"}, "`datasets` must be a mapping of names to values, not 'first'"),
    ],
)
def test_values_that_are_wrong(changes: dict[str, Any], said: str) -> None:
    write(**changes)
    with pytest.raises(UserError) as caught:
        params.load_section(Knobs, "stage", "first")
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["a/b", "a.b", "a b", "", "-a", "é", 7])
def test_keys_that_name_no_folder(key: object) -> None:
    write(datasets={key: SOUND["datasets"]["first"]})
    with pytest.raises(UserError, match="a key is text of letters, digits, _ and -"):
        params.load_datasets()


def test_an_unknown_dataset() -> None:
    write()
    with pytest.raises(UserError, match="there is no dataset 'third' under `datasets`; known: first, second"):
        params.load_dataset("third")


def test_a_machine_setting_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import machine

    for text in ("0", "-1", "two", "", "1.5", "²"):
        monkeypatch.setenv("VERIFRAME_WORKERS", text)
        with pytest.raises(UserError, match="VERIFRAME_WORKERS must be a whole number of at least 1"):
            machine.workers()
    monkeypatch.setenv("VERIFRAME_WORKERS", "3")
    assert machine.workers() == 3
    monkeypatch.delenv("VERIFRAME_WORKERS")
    assert 1 <= machine.workers() <= (os.cpu_count() or 1)
