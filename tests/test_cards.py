import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from built_project import OWN
from carded_project import card_project
from fabricated_shards import write_dataset
from pipeline.cards import croissant, huggingface, words
from pipeline.cards.facts import Facts, gather
from pipeline.cards.licences import licence_of
from pipeline.cards.model import model_card
from pipeline.cards.sources import SOURCES, UNCONFIRMED, source_of
from pipeline.datasets import layouts
from pipeline.errors import UserError
from pipeline.guard_names import CONSEQUENCES
from pipeline.tables import SPLITS
from small_project import ROOT, inside

LAYOUTS = sorted(layouts())


@pytest.fixture(scope="module")
def facts(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Facts:
    project = card_project(built, tmp_path_factory.mktemp("facts"), OWN)
    with inside(project):
        return gather(OWN)


# --- sources and licences --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_a_source(layout: str) -> None:
    source = SOURCES[layout]
    if layout not in ("image_folder", "manifest"):  # a form, and no dataset
        assert source.title == layouts()[layout].title
        assert source.homepage and source.homepage.startswith("https://") and source.citation
    assert not source.rendered and source.license is None
    for stated in (source.terms, source.people):
        assert stated.text.endswith(".") and len(stated.basis) > 10 and not stated.basis.endswith(".")
    assert SOURCES.keys() == layouts().keys()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_built_in_data_shows_nobody_whatever_its_layout(layout: str) -> None:
    source = source_of(layout, built_in=True)
    assert source.rendered and source.license == "Apache-2.0" and not source.agreement
    assert "Nobody" in source.people.text and SOURCES[layout].title in source.title


def test_of_an_unknown_layout_nothing_is_claimed() -> None:
    source = source_of("brand_new", built_in=False)
    assert source.title == "brand_new" and source.people.basis == source.terms.basis == UNCONFIRMED
    assert not source.rendered and licence_of(None, source, "card.license").terms == source.terms.text


PUBLIC = ["CC-BY-4.0", "apache-2.0", "MIT OR Apache-2.0", "https://creativecommons.org/licenses/by/4.0/"]


@pytest.mark.parametrize("wanted", PUBLIC)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if SOURCES[name].agreement])
def test_no_public_licence_over_an_agreement(layout: str, wanted: str) -> None:
    with pytest.raises(UserError, match=r"card\.license: .*cannot be given out"):
        licence_of(wanted, SOURCES[layout], "card.license")


@pytest.mark.parametrize(
    "wanted", ["by leave of the owners", "LicenseRef-Agreement", "https://faces.example.org/terms", "proprietary"]
)
def test_terms_of_ones_own_are_no_public_licence(wanted: str) -> None:
    licence = licence_of(wanted, SOURCES["ffpp"], "card.license")
    assert licence.name == wanted and not licence.spdx


def test_licences_are_named_as_spdx_does() -> None:
    free = source_of("manifest", built_in=True)
    assert licence_of(None, free, "").name == licence_of("apache-2.0", free, "").name == "Apache-2.0"
    own = licence_of("cc-by-nc-4.0", SOURCES["manifest"], "")
    assert (own.name, own.url, own.spdx) == ("CC-BY-NC-4.0", "https://spdx.org/licenses/CC-BY-NC-4.0.html", True)


@pytest.mark.parametrize("built_in", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_cards_of_every_source(facts: Facts, layout: str, built_in: bool) -> None:
    source = source_of(layout, built_in=built_in)
    known = dataclasses.replace(facts, source=source, licence=licence_of(None, source, ""))
    text = huggingface.card(known)
    assert source.people.text in text and source.terms.basis in text
    assert ("extra_gated_prompt" in text) == (not built_in)
    assert bool(croissant.metadata(known)["license"])
    assert not re.search(r"\bNone\b|\bnan\b|  +\S|\.\.", text.split("---\n", 2)[2].partition("## Load it")[0])


# --- words -----------------------------------------------------------------------------------------------------------


def test_singular_and_plural() -> None:
    assert words.count(1, "video") == "1 video" and words.count(0, "video") == "0 videos"
    assert words.count(1200, "identity") == "1,200 identities"
    assert words.listed(["a"]) == "a" and words.listed(["a", "b", "c"]) == "a, b and c"


def shortcut(facts: Facts, **figures: Any) -> str:
    row = {"auroc": 0.7, "lower": 0.6, "upper": 0.8, "videos": 100, "groups": 40} | figures
    return words.shortcut("container", dataclasses.replace(facts, shortcuts={"container": row}))


def test_what_a_probe_means_follows_from_its_interval(facts: Facts) -> None:
    assert "a fault of the dataset" in shortcut(facts)
    assert shortcut(facts, lower=0.45).endswith("but one up to AUROC 0.800 is not excluded.")
    assert shortcut(facts, lower=0.176, upper=0.785).endswith("but one up to AUROC 0.824 is not excluded.")
    assert "excluded" not in shortcut(facts)
    assert "no shortcut" in shortcut(facts, auroc=0.3, lower=0.2, upper=0.4)
    nothing = shortcut(facts, auroc=None, lower=None, upper=None, videos=1, groups=1)
    assert "no figure" in nothing and "1 video in 1 provenance group;" in nothing
    assert "rough guess" in shortcut(facts, groups=29) and "rough guess" not in shortcut(facts, groups=30)


def test_compression_levels_are_named_in_both_cards(facts: Facts) -> None:
    assert facts.compressions == [("c23", facts.samples)]
    said = {
        "Compression level, by the source's name: c23.": facts.compressions,
        "Compression level: native (the source names none).": [("native", 72)],
        "Compression levels, by the source's names: c23 (1 picture) and c40 (71 pictures).": [("c23", 1), ("c40", 71)],
    }
    for text, levels in said.items():
        known = dataclasses.replace(facts, compressions=levels)
        assert text in huggingface.card(known) and text in croissant.metadata(known)["rai:dataCollection"]


def test_pixels_of_box_and_landmarks_are_explained_in_both_cards(facts: Facts) -> None:
    boxes = "pixels of the upright video frame, not of the picture"
    assert boxes in huggingface.card(facts) and boxes in croissant.metadata(facts)["distribution"][-1]["description"]
    assert f"data/extract/{OWN}/frames.parquet" in words.members(facts)
    whole = dataclasses.replace(facts, extract=facts.extract.model_copy(update={"faces": "none"}))
    assert "landmarks" not in words.members(whole)


def test_ties_that_nobody_could_know_are_not_called_absent(facts: Facts) -> None:
    row = {"kind": "person", "known": 0, "usable": 9, "test_to_train": 0, "test_to_val": 0, "val_to_train": 0}
    assert "not known" in words.leak(row, facts)
    assert words.leak(row | {"known": 9}, facts) == "No video shares a person with one of another split."
    assert "stated for 4 of 9 videos" in words.leak(row | {"known": 4}, facts)
    tied = words.leak(row | {"known": 9, "test_to_train": 3, "val_to_train": 1}, facts)
    assert tied == "Videos that share a person: 3 of test with train and 1 of validation with train."


def test_ties_to_other_datasets_are_told(facts: Facts) -> None:
    known = dataclasses.replace(facts, across=[{"learned": "celeb", "kind": "recording", "shared": 2}])
    assert "Test shares 2 recordings with train or validation of celeb" in huggingface.card(known)


def test_what_was_not_asked_for_is_told(facts: Facts) -> None:
    entry = facts.entry.model_copy(
        update={"subset": 0.02, "methods": ["FaceSwap", "Face2Face"], "compression": ["c23"]}
    )
    text = huggingface.card(dataclasses.replace(facts, entry=entry))
    assert "Only 2 % of the provenance groups" in text and "only FaceSwap and Face2Face" in text and "only c23" in text


def test_how_frames_were_chosen_is_told(facts: Facts) -> None:
    evenly = facts.sample.model_copy(update={"every": None, "count": 32})
    whole = facts.extract.model_copy(update={"faces": "none"})
    paired = facts.reduce.model_copy(update={"paired": True})
    text = huggingface.card(dataclasses.replace(facts, sample=evenly, extract=whole, reduce=paired))
    assert "32 frames of each video, evenly spaced" in text and "the same moments" in text
    assert "the whole frame" in text and "Faces were searched" not in text and "landmarks" not in text
    all_of_them = facts.sample.model_copy(update={"every": 1})
    assert "Candidates are all frames" in words.selection(dataclasses.replace(facts, sample=all_of_them))[0]


def test_guards_that_may_be_lifted_are_told_in_both_cards(facts: Facts) -> None:
    said = "with known faults (lifted guards: frame_split, reversed_vote)"
    told = dataclasses.replace(facts, guards_allowed=["frame_split", "reversed_vote"])
    assert said in huggingface.card(told) and said in json.dumps(croissant.metadata(told))
    assert "lifted guards" not in huggingface.card(dataclasses.replace(facts, guards_allowed=[]))


# --- a trained network -----------------------------------------------------------------------------------------------

FAULT = "6 of 9 provenance groups have pictures in more than one of train, val"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with shards and an untrained network in data/train, as the stage train stores it."""
    import torch

    from pipeline.models import stored, zoo
    from pipeline.models.network import Head, Spec
    from pipeline.models.stored import Stored
    from pipeline.models.transforms import Transform

    torch.set_num_threads(1)
    project = tmp_path_factory.mktemp("trained")
    write_dataset(project / "data", "one", {"train": {"real": 1, "swap": 1}, "test": {"real": 2, "swap": 2}})
    head = Head(hidden=[], dropout=[], embedding=128, sigmoid=False)
    spec = Spec(model="shufflenet_v2_x0_5", outputs=1, head=head, labels=["fake", "real"])
    network, its = zoo.build(spec)
    knobs = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["train"]
    known = {
        "datasets": ["one"],
        "threshold_rule": "given",
        "best_epoch": 3,
        "best_epoch_figures": {"train": {"loss": 0.25}, "val": {"loss": 0.5, "auroc": 0.91413}},
        "guards_lifted": {"frame_split": FAULT},
        "samples": {"one": {"train": {"real": 1234, "fake": 3}}},
        "params": knobs | {"phases": [{"epochs": 3}, {"learning_rate": 0.0001, "head": {"hidden": [64]}}]},
    }
    transform = Transform(32, its.mean, its.std, its.interpolation)
    stored.save(project / "data/train", Stored(network, transform, {"frame": 0.25, "video": 0.75}, None), known)
    return project


def model_json(project: Path, **changes: Any) -> dict[str, Any]:
    return {**json.loads((project / "data/train/model.json").read_text()), **changes}


def test_a_model_card_says_what_model_json_does(trained: Path) -> None:
    text = model_card(model_json(trained))
    _, matter, body = text.split("---\n", 2)
    assert YAML(typ="safe", pure=True).load(matter)["pipeline_tag"] == "image-classification"
    assert body.startswith("\n# shufflenet_v2_x0_5: real or forged\n")
    for said in (
        "0 = real, 1 = fake",
        "The raw outputs are in the order fake, real.",
        "| frame | 0.250000 |",
        "RGB pictures of 32 × 32 pixels",
        "| one | train | 1,234 | 3 |",
        "- phase 1: learning_rate 0.0001, head hidden 64",
        "epoch 3, counted from 0 in the last phase",
        "| `learning_rate` | 0.003 |",
        "| val | auroc | 0.9141 |",
        f"- **frame_split**: {FAULT}. {CONSEQUENCES['frame_split']}.",
    ):
        assert said in body, said
    assert not re.search(r"\bNone\b(?!:)|\bnan\b|\{|\.\.", body.partition("## Use")[0])
    assert all(f"| `{name}` |" in body for name in model_json(trained)["params"] if name != "phases")


def test_a_model_card_of_an_honest_training(trained: Path) -> None:
    card = model_json(trained, guards_lifted={})
    card["network"]["labels"], card["params"]["phases"] = ["real", "fake"], []
    text = model_card(card | {"classifier": {"kind": "knn", "k": 5, "validation_accuracy": 0.75}})
    assert "accuracy of the classifier on validation is 0.7500" in text
    assert "None: no known fault" in text and "raw outputs" not in text and "phase" not in text
    assert "Nearest neighbours on the embeddings of the network shufflenet_v2_x0_5, trained on one" in text


def test_what_the_model_card_says_about_use_works(trained: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", model_card(model_json(trained)), flags=re.DOTALL)
    names: dict[str, Any] = {}
    with inside(trained):
        exec(code, names)  # as a reader would
    assert names["scores"].shape == names["fake"].shape == (12,)
    assert ((names["scores"] > 0.25) == names["fake"]).all()


# --- forms -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**9 - 1))
def test_size_categories_hold_the_number(samples: int) -> None:
    bounds = [
        int(float(number) * 10 ** {"": 0, "K": 3, "M": 6, "B": 9}[unit])
        for number, unit in re.findall(r"(\d+)([KMB]?)", huggingface.size_category(samples))
    ]
    assert (bounds[0] if len(bounds) > 1 else 0) <= samples < bounds[-1]


def test_empty_shards_are_not_named_to_loaders(facts: Facts) -> None:
    train, val, test = facts.splits
    full = {"split": "train", "path": "train/*.tar"}
    splits = [
        train,
        {**val, "filled": [], "samples": 0},
        {**test, "filled": test["tars"][1:]},
    ]
    matter = huggingface.front_matter(dataclasses.replace(facts, splits=splits))
    named = matter["configs"][0]["data_files"]
    assert named == [full, {"split": "test", "path": test["tars"][1:]}]
    assert [row["name"] for row in matter["dataset_info"]["splits"]] == ["train", "test"]
    assert test["tars"][1:] == ["test/test-000001.tar"] and [row["split"] for row in facts.splits] == list(SPLITS)


def test_a_method_with_odd_signs_stays_in_its_cell(facts: Facts) -> None:
    odd = {"method": "a|b`<i>\nc", "class": "fake", "train": 1, "val": 0, "test": 0}
    text = huggingface.card(dataclasses.replace(facts, methods=[odd]))
    assert "| `a\\|b'<i> c` | fake | 1 | 0 | 0 |" in text


def test_in_a_folder_files_lie_beside_the_document(facts: Facts) -> None:
    here = croissant.metadata(facts)
    moved = croissant.for_folder(here)
    urls = [item["contentUrl"] for item in moved["distribution"] if "contentUrl" in item]
    assert urls == sorted(facts.files) and "train/train-000000.tar" in urls
    assert all(item["contentUrl"].startswith("../../") for item in here["distribution"] if "contentUrl" in item)
    assert {**moved, "distribution": []} == {**here, "distribution": []}
