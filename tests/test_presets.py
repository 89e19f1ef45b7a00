import importlib
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from dvc.utils.serialize import modify_yaml
from ruamel.yaml import YAML

from pipeline import cli, guards, params, presets
from pipeline.errors import UsageError, UserError
from pipeline.sharding import shards
from project import ROOT, commit, run

NAMES = [f"s{number}-{variant}" for number in range(5) for variant in ("corrected", "published")]
SECTIONS = ["split", "sample", "reduce", "extract", "shard", "guards", "train", "evaluate"]

# The fields of the grid of published systems, and the knobs that express each.
FIELDS = {
    "dataset": ["datasets", "train.datasets"],
    "classes": ["train.labels"],
    "video quota": ["split.max_videos.real", "split.max_videos.fake"],
    "frame step": ["sample.every", "sample.count"],
    "frame quota": [
        f"reduce.{knob}.{split}" for knob in ("quota", "min_per_video") for split in ("train", "val", "test")
    ],
    "face detection and crop": ["extract.faces", "extract.boxes", "extract.margin", "shard.alignment", "shard.margin"],
    "split": ["split.validation", "split.test", "split.on_leak", "train.deal", "train.validate_on"],
    "image size": ["train.input_size", "shard.size"],
    "resize": ["train.crop", "shard.alignment"],
    "normalise": ["train.normalise"],
    "augmentation": [f"train.augment.{knob}" for knob in ("flip", "rotation", "brightness", "salt_and_pepper", "jpeg")],
    "augmentation in evaluation": ["train.augment_evaluation"],
    "model": ["train.model"],
    "pretrained": ["train.pretrained"],
    "frozen": ["train.trainable", "train.optimize", "train.frozen_batchnorm"],
    "head": ["train.head.hidden", "train.head.dropout", "train.head.embedding", "train.head.sigmoid"],
    "loss": ["train.loss", "train.class_weights", "train.triplet_margin", "train.distill"],
    "optimizer": ["train.optimizer", "train.momentum"],
    "learning rate": ["train.learning_rate"],
    "weight decay": ["train.weight_decay"],
    "schedule": ["train.schedule", "train.warmup", "train.step_epochs", "train.step_factor"],
    "batch": ["train.batch_size", "train.accumulate"],
    "epochs": ["train.epochs", "train.phases"],
    "early stop": ["train.patience"],
    "checkpoint": ["train.monitor", "train.keep"],
    "KNN and SVM": ["train.classifier"],
    "seed": ["split.seed", "reduce.seed", "train.seed", "evaluate.seed"],
    "threshold": ["train.threshold", "evaluate.videos"],
    "guards": ["guards.allow"],
}
FLAWS = {
    "s0-published": {"unmatched_weights", "frame_split", "label_polarity"},
    "s1-published": {"frame_split", "augmented_evaluation"},
    "s2-published": {"frame_split", "optimizer_mismatch", "input_statistics"},
    "s3-published": {"test_as_validation"},
    "s4-published": {"double_sigmoid", "augmented_evaluation", "frame_split", "reversed_vote"},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the project's own params.yaml and presets, which is worked in."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(Path("params.yaml"))


def comments(text: str) -> list[str]:
    """The comments of params.yaml in their order, wherever on the line they start."""
    return [line.partition("#")[2].strip() for line in text.splitlines() if "#" in line]


def knobs(nested: dict[str, Any], where: str = "") -> set[str]:
    """The dotted names that a preset sets; what may be none or a mapping counts as one."""
    found = set()
    for name, value in nested.items():
        dotted = f"{where}{name}"
        inner = isinstance(value, dict) and name not in ("datasets", "by_dataset", "deal", "distill")
        found |= knobs(value, f"{dotted}.") if inner else {dotted}
    return found


def veriframe(*arguments: str) -> None:
    with mock.patch.object(sys, "argv", ["veriframe", "preset", *arguments]):
        cli.main()


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_the_grid_is_set(name: str, project: Path) -> None:
    named = knobs(presets.read(name))
    for field, wanted in FIELDS.items():
        assert set(wanted) <= named, field
    assert named == knobs(presets.read("s0-published"))  # so that one leaves nothing of another behind
    training = {knob for knob in knobs(values()) if knob.startswith("train.")}
    assert training <= named


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_take_every_preset(name: str, project: Path) -> None:
    presets.apply(name)
    datasets = params.load_datasets()
    assert list(datasets) == list(presets.read(name)["datasets"])
    for key in datasets:
        for section, model in models().items():
            if section not in ("guards", "train"):
                params.load_section(model, section, key)
        cut = params.load_section(shards.Params, "shard", key)
        room = values()["extract"]["by_dataset"].get(key, {}).get("margin", values()["extract"]["margin"])
        assert cut.alignment == "none" or cut.margin <= room
    phases = importlib.import_module("pipeline.training.phases")
    training = params.load_section(models()["train"], "train")
    plan = phases.phases_of(training.model_dump(include=set(phases.Phase.model_fields)), training.phases)
    assert len(plan) == {"s0-published": 2, "s0-corrected": 3}.get(name, 1)
    assert all(training.phases)  # an empty one, {}, makes `dvc exp run -S` write a params.yaml that is no YAML any more
    assert set(training.datasets) <= set(datasets)
    assert set(params.load_section(guards.Params, "guards").allow) == FLAWS.get(name, set())


def models() -> dict[str, Any]:
    """What validates each section that presets set."""
    found = {
        name: importlib.import_module(f"stages.{name}")
        for name in SECTIONS
        if name not in ("guards", "extract", "shard")
    }
    plan = importlib.import_module("pipeline.extracting.extraction_plan")
    return {name: module.Params for name, module in found.items()} | {"extract": plan.Params, "shard": shards.Params}


def test_each_flaw_stands_beside_the_knob_that_makes_it(project: Path) -> None:
    for name, flaws in FLAWS.items():
        lines = presets.text(name).splitlines()
        for flaw in flaws:
            assert [line for line in lines if f"# FLAW {flaw}" in line and not line.startswith("#")], (name, flaw)
            assert [line for line in lines if line.startswith(f"#   {flaw} ")], (name, flaw)
    for name in set(NAMES) - set(FLAWS):
        assert "FLAW" not in presets.text(name)


@pytest.mark.parametrize("name", ["s0-published", "s2-corrected", "s4-published"])
def test_comments_and_order_stay(name: str, project: Path) -> None:
    before = Path("params.yaml").read_text()
    order = {section: list(knobs) for section, knobs in values().items() if section != "datasets"}
    assert presets.apply(name)
    once = Path("params.yaml").read_text()
    assert comments(once) == comments(before)
    assert {section: list(knobs) for section, knobs in values().items() if section != "datasets"} == order
    assert presets.apply(name) == []
    assert Path("params.yaml").read_text() == once


def test_a_file_that_dvc_wrote_keeps_its_comments(project: Path) -> None:
    """As `dvc exp apply` leaves it after an experiment with -S: lists on lines of their own, nothing for null."""
    presets.apply("s0-published")
    comments_before = comments(Path("params.yaml").read_text())
    with modify_yaml("params.yaml") as document:
        for section in document.values():
            for name, value in section.items():
                if isinstance(value, list):
                    section[name] = list(value)
    written = Path("params.yaml").read_text()
    assert "labels:" in written and "\n  - fake\n" in written and "methods:\n" in written
    presets.apply("s0-corrected")
    assert comments(Path("params.yaml").read_text()) == comments_before
    assert values() == presets.laid_over("s0-corrected")


def test_untouched_sections_stay_as_they_are_written(project: Path) -> None:
    before = Path("params.yaml").read_text()
    presets.apply("s1-published")
    after = Path("params.yaml").read_text()
    for section in ("synthesize:", "index:", "check:", "audit:", "card:"):
        (one, other) = (text[text.index(f"\n{section}") :].partition("\n# ----")[0] for text in (before, after))
        assert one == other


def test_one_preset_leaves_nothing_of_another(project: Path) -> None:
    fresh = Path("params.yaml").read_text()
    for name in ("s4-published", "s2-published", "s2-corrected", "s0-published", "s0-corrected"):
        presets.apply(name)  # each upon the one before
        after_others = Path("params.yaml").read_text()
        Path("params.yaml").write_text(fresh)
        assert presets.laid_over(name) == YAML(typ="safe", pure=True).load(after_others)
        Path("params.yaml").write_text(after_others)


def test_own_datasets_take_the_place_of_the_presets(project: Path) -> None:
    entry, other = values()["datasets"]["synthetic_dfdc"], values()["datasets"]["synthetic_ffpp"]
    presets.apply("s2-published", {"dfdc": "synthetic_dfdc", "fakeavceleb": "synthetic_ffpp"})
    after = values()
    assert after["datasets"] == {"synthetic_dfdc": entry, "synthetic_ffpp": other}
    assert after["train"]["datasets"] == ["synthetic_dfdc"]
    assert after["sample"]["by_dataset"] == {"synthetic_ffpp": {"every": None, "count": 1}}
    assert "fakeavceleb" not in str(after)


def test_overrides_of_datasets_that_are_gone_go_too(project: Path) -> None:
    text = Path("params.yaml").read_text()
    index = text.index("\nindex:")
    Path("params.yaml").write_text(
        text[:index] + text[index:].replace("by_dataset: {}", "by_dataset: {synthetic_ffpp: {min_frames: 9}}", 1)
    )
    assert "index.by_dataset.synthetic_ffpp: {min_frames: 9} -> absent" in presets.apply("s3-published")
    assert values()["index"]["by_dataset"] == {}


@pytest.mark.parametrize(
    ("swaps", "said"),
    [
        ({"dfcd": "synthetic_dfdc"}, "no dataset of the preset 'dfcd'; did you mean dfdc"),
        ({"dfdc": "synthetic_dfcd"}, "no dataset of params.yaml 'synthetic_dfcd'; did you mean synthetic_dfdc"),
        ({"dfdc": "synthetic_dfdc", "fakeavceleb": "synthetic_dfdc"}, "gives synthetic_dfdc to two datasets"),
    ],
)
def test_wrong_datasets(project: Path, swaps: dict[str, str], said: str) -> None:
    before = Path("params.yaml").read_bytes()
    with pytest.raises(UsageError, match=said):
        presets.apply("s2-published", swaps)
    assert Path("params.yaml").read_bytes() == before


def test_a_knob_that_params_yaml_lacks(project: Path) -> None:
    with (project / "presets/s3-published.yaml").open("a") as file:
        file.write("  draws: 3\nthresholds:\n  low: 1\n")
    before = Path("params.yaml").read_bytes()
    with pytest.raises(UserError, match=r"params.yaml has no evaluate.draws, thresholds, which"):
        presets.apply("s3-published")
    assert Path("params.yaml").read_bytes() == before and not list(project.glob("*params*[!l]"))


def test_outside_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="run this from the project's root folder"):
        presets.names()


def test_the_command(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    veriframe("list")
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == NAMES
    assert all(
        f" S{name[1]} {'as published' if 'pub' in name else 'corrected'}: " in line
        for name, line in zip(NAMES, listed, strict=True)
    )

    veriframe("show", "s4-published")
    assert capsys.readouterr().out == (ROOT / "presets/s4-published.yaml").read_text()

    veriframe("diff", "s4-published", "s4-corrected")
    between = capsys.readouterr().out.splitlines()
    assert "train.head.sigmoid: true -> false" in between
    assert "train.deal: {val: 0.0909, test: 0, copies: 2, seed: 0} -> null" in between
    assert not [line for line in between if line.startswith(("train.model", "train.optimizer", "datasets"))]

    veriframe("diff", "s4-published")
    expected = capsys.readouterr().out.splitlines()
    assert "datasets.synthetic_ffpp.root" not in str(expected) and "train.learning_rate: 0.003 -> 0.01" in expected
    assert [
        line for line in expected if line.startswith("datasets.synthetic_ffpp: {layout: ffpp,") and "absent" in line
    ]

    veriframe("apply", "s4-published")
    *said, last = capsys.readouterr().out.splitlines()
    assert said == expected and last == f"params.yaml is s4-published: {len(said)} values changed"
    veriframe("diff", "s4-published")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "s5-published"], "there is no preset 's5-published'; did you mean s"),
        (["apply", "s1-published", "--dataset", "ffpp"], "--dataset ffpp: give THEIRS=MINE"),
        (["diff", "s1-published", "qqq"], "there is no preset 'qqq'; known: s0-corrected, "),
    ],
)
def test_wrong_use(project: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        veriframe(*arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_search_queues_its_experiments(project: Path) -> None:
    """The very command that the preset gives, on real DVC."""
    presets.apply("s2-published", {"dfdc": "synthetic_dfdc", "fakeavceleb": "synthetic_ffpp"})
    shutil.rmtree(project / "presets")
    (project / "dvc.yaml").write_text("stages:\n  train:\n    cmd: python -c pass\n    params: [train]\n")
    run(project, "git", "init", "--quiet", "--initial-branch", "main")
    run(project, "git", "config", "user.name", "Tester")
    run(project, "git", "config", "user.email", "tester@example.com")
    run(project, "dvc", "init", "--quiet")
    (project / ".gitignore").write_text("/.cache\n")
    commit(project, "Start")
    (command,) = {
        line.removeprefix("#   dvc ").replace("'", "")
        for line in (ROOT / "presets/s2-published.yaml").read_text().splitlines()
        if line.startswith("#   dvc exp run --queue")
    }
    run(project, "dvc", *command.split())
    revisions = run(project, "git", "log", "--walk-reflogs", "--format=%H", "refs/exps/celery/stash").stdout.split()
    assert len(revisions) == 18
    found = set()
    for revision in revisions:
        changed = YAML(typ="safe", pure=True).load(run(project, "git", "show", f"{revision}:params.yaml").stdout)
        train = changed["train"]
        found.add((train["learning_rate"], train["optimizer"], train["model"]))
        assert train["epochs"] == 50 and train["head"]["hidden"] == [512, 256, 128]
    rates, optimizers = (0.01, 0.1, 0.2), ("adam", "sgd")
    networks = ("resnet18", "efficientnet_b0", "nasnetalarge")
    assert found == {(rate, how, network) for rate in rates for how in optimizers for network in networks}
