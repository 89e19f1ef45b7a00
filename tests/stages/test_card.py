import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import rdflib
from ruamel.yaml import YAML

from built_project import OWN
from carded_project import KNOBS, card_project, write_card
from pipeline import params, tables
from pipeline.cards import croissant
from pipeline.errors import UserError
from pipeline.sharding import manifests
from project import change_params
from small_project import contents, refusal, run_stage

RENDERED = "synthetic_celeb_df"
CR, RAI, PROV = (
    rdflib.Namespace(name)
    for name in (
        "http://mlcommons.org/croissant/",
        "http://mlcommons.org/croissant/RAI/",
        "http://www.w3.org/ns/prov#",
    )
)
SDO = rdflib.Namespace("https://schema.org/")


@pytest.fixture(scope="module")
def cards(built: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """data/card/<key> of both datasets, each made from the tables alone."""
    return {key: write_card(built, tmp_path_factory.mktemp("card"), key) for key in (RENDERED, OWN)}


@pytest.fixture(scope="module")
def folders(built: Path, cards: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Cards and shards side by side, as they are published."""
    folders = {}
    for key, card in cards.items():
        folder = shutil.copytree(built / "data/shard" / key, tmp_path_factory.mktemp("published") / key)
        shutil.copyfile(card / "README.md", folder / "README.md")
        croissant.write(folder / "croissant.json", croissant.for_folder(document(card)))
        folders[key] = folder
    return folders


def document(card: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((card / "croissant.json").read_text(encoding="utf-8"))
    return found


def front_matter(card: Path) -> dict[str, Any]:
    _, matter, _ = (card / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(matter)
    return found


def samples_of(built: Path, key: str) -> pd.DataFrame:
    return tables.read(built / "data/shard" / key / "samples.parquet", tables.SAMPLES)


def rows_below(card: Path, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading of the card."""
    section = (card / "README.md").read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    lines = re.search(r"(?:^\|.*\|\n)+", section, flags=re.MULTILINE)
    assert lines
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()[2:]]


# --- both cards ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [RENDERED, OWN])
def test_the_same_tables_give_the_same_bytes_anywhere(
    built: Path, cards: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    again = write_card(built, tmp_path / "elsewhere", key)
    assert contents(again) == contents(cards[key])
    assert sorted(contents(again)) == ["README.md", "croissant.json"]
    written = b"".join(contents(again).values())
    assert str(tmp_path).encode() not in written and str(built).encode() not in written


def test_a_public_licence_is_refused_where_the_source_is_given_out_by_agreement(built: Path, tmp_path: Path) -> None:
    project = card_project(built, tmp_path, OWN, {"card.license": "CC-BY-4.0"})
    said = refusal(project, "card", OWN)
    assert "card.license" in said and "FaceForensics++" in said and "'CC-BY-4.0'" in said
    assert not (project / "data/card").exists()
    change_params(project, {"card.license": "by leave of the owners, for members of our laboratory"})
    run_stage(project, "card", OWN)
    card = project / "data/card" / OWN
    assert front_matter(card)["license"] == "other"
    assert document(card)["license"]["description"] == "by leave of the owners, for members of our laboratory"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"card.version": "1.2"}, "card.version: String should match pattern"),
        ({"card.date_published": "2026-02-30"}, "card.date_published: Value error, day is out of range for month"),
        ({"card.date_published": "yesterday"}, "card.date_published: String should match pattern"),
        ({"card.creators": []}, "card.creators: List should have at least 1 item"),
        ({"card.url": "example.org"}, "card.url: String should match pattern"),
        ({"card.licence": "MIT"}, "card.licence: Extra inputs are not permitted"),
    ],
)
def test_bad_values(built: Path, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert said in refusal(card_project(built, tmp_path, RENDERED, changes), "card", RENDERED)


@pytest.mark.parametrize(
    "name", ["shard/{}/manifest.json", "check/{}/verdict.json", "audit/shortcuts.parquet", "split/{}/ties.parquet"]
)
def test_a_table_that_is_not_there(built: Path, tmp_path: Path, name: str) -> None:
    project = card_project(built, tmp_path, RENDERED)
    (project / "data" / name.format(RENDERED)).unlink()
    said = refusal(project, "card", RENDERED)
    assert name.format(RENDERED) in said and "dvc repro" in said


def test_an_audit_of_other_datasets(built: Path, tmp_path: Path) -> None:
    project = card_project(built, tmp_path, RENDERED)
    path = project / "data/audit/shortcuts.parquet"
    rows = tables.read(path, tables.SHORTCUTS)
    tables.write(path, rows[rows.dataset != RENDERED], tables.SHORTCUTS, ["dataset", "probe", "feature"])
    with pytest.raises(UserError, match=f"says nothing of {RENDERED}"):
        run_stage(project, "card", RENDERED)


# --- Croissant -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [RENDERED, OWN])
def test_mlcroissant_finds_neither_error_nor_warning(cards: dict[str, Path], key: str) -> None:
    command = [str(Path(sys.executable).parent / "mlcroissant"), "validate", "--jsonld", "croissant.json"]
    done = subprocess.run(command, cwd=cards[key], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith("Done.") and len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize("key", [RENDERED, OWN])
def test_every_required_field_is_there(cards: dict[str, Path], built: Path, key: str) -> None:
    found = document(cards[key])
    assert found["@type"] == "sc:Dataset"
    assert found["@context"]["cr"] == str(CR) and found["@context"]["conformsTo"] == "dct:conformsTo"
    assert "http://mlcommons.org/croissant/1.1" in found["conformsTo"]
    assert found["name"] == key and len(found["description"]) > 100
    assert found["license"] and found["url"] == "README.md"
    assert [creator["name"] for creator in found["creator"]] == KNOBS["creators"]
    assert (found["datePublished"], found["version"]) == (KNOBS["date_published"], KNOBS["version"])
    assert "Laboratory of Faces" in found["citeAs"] and found["keywords"]
    manifest = manifests.read(built / "data/shard" / key / manifests.NAME)
    files = {item["@id"]: item for item in found["distribution"] if item["@type"] == "cr:FileObject"}
    assert {name: item["sha256"] for name, item in files.items()} == {
        name: file["sha256"] for name, file in manifest["files"].items()
    }
    for name, item in files.items():
        assert (built / "data/card" / key / item["contentUrl"]).resolve() == built / "data/shard" / key / name
        assert item["contentSize"] == f"{(built / 'data/shard' / key / name).stat().st_size} B"


@pytest.mark.parametrize("key", [RENDERED, OWN])
def test_as_linked_data_every_term_has_the_meaning_of_its_specification(cards: dict[str, Path], key: str) -> None:
    graph = rdflib.Graph().parse(cards[key] / "croissant.json", format="json-ld")
    (dataset,) = graph.subjects(rdflib.RDF.type, SDO.Dataset)
    for term in (
        *(SDO.name, SDO.description, SDO.license, SDO.url, SDO.creator, SDO.datePublished, SDO.version),
        *(SDO.distribution, CR.recordSet, CR.citeAs, rdflib.DCTERMS.conformsTo, PROV.wasDerivedFrom),
        *(RAI.dataCollection, RAI.dataCollectionType, RAI.dataCollectionRawData, RAI.dataCollectionMissingData),
        *(RAI.dataPreprocessingProtocol, RAI.dataManipulationProtocol, RAI.dataAnnotationProtocol),
        *(RAI.annotationsPerItem, RAI.machineAnnotationTools, RAI.dataBiases, RAI.dataLimitations),
        *(RAI.personalSensitiveInformation, RAI.dataUseCases, RAI.dataSocialImpact, RAI.dataReleaseMaintenancePlan),
    ):
        assert list(graph.objects(dataset, term)), term
    sets = set(graph.subjects(rdflib.RDF.type, CR.RecordSet))
    (splits,) = sets & set(graph.subjects(CR.dataType, CR.Split))
    assert str(splits).endswith("splits")
    split = next(subject for subject in graph.subjects() if str(subject).endswith("samples/split"))
    (reference,) = graph.objects(split, CR.references)
    (referred,) = graph.objects(reference, CR.field)
    assert str(referred).endswith("splits/name")


@pytest.mark.parametrize("key", [RENDERED, OWN])
def test_mlcroissant_reads_the_rows_of_the_table(folders: dict[str, Path], built: Path, key: str) -> None:
    import mlcroissant

    read = mlcroissant.Dataset(str(folders[key] / "croissant.json"))
    rows = [
        {name.removeprefix("samples/"): _text(value) for name, value in row.items()} for row in read.records("samples")
    ]
    expected = samples_of(built, key)
    found = pd.DataFrame(rows, columns=expected.columns)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    labels = {row["labels/value"]: row["labels/name"] for row in read.records("labels")}
    assert {value: _text(name) for value, name in labels.items()} == tables.CLASSES
    fields = {field.name: field.description for field in read.metadata.record_sets[2].fields}
    assert fields == {field.name: field.metadata[b"meaning"].decode() for field in tables.SAMPLES}


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


# --- Hugging Face ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [RENDERED, OWN])
def test_the_numbers_are_those_of_the_tables(cards: dict[str, Path], built: Path, key: str) -> None:
    card, samples = cards[key], samples_of(built, key)
    words = {"train": "train", "val": "validation", "test": "test"}
    grouped = samples.groupby(["split", "label"])
    expected = [
        [words[split], name, str(len(part)), str(part.video.nunique()), str(part.group.nunique())]
        for split in tables.SPLITS
        for label, name in tables.CLASSES.items()
        for part in [grouped.get_group((split, label))]
    ]
    assert rows_below(card, "Contents") == expected

    ties = tables.read(built / "data/split" / key / "ties.parquet", tables.TIES)
    recording = ties[(ties.kind == "recording") & (ties.split == "test") & (ties.tied_to == "train")].videos.item()
    assert rows_below(card, "What splits share")[0][3] == str(recording)

    text = (card / "README.md").read_text(encoding="utf-8")
    frames = tables.read(built / "data/extract" / key / "frames.parquet", tables.FRAMES)
    for reason, number in frames[frames.status == "failed"].reason.value_counts().items():
        assert f"{number} {reason}" in text
    shortcuts = tables.read(built / "data/audit/shortcuts.parquet", tables.SHORTCUTS)
    for row in shortcuts[(shortcuts.dataset == key) & (shortcuts.feature == "all")].itertuples():
        assert f"AUROC of {row.auroc:.3f} (95 % interval {row.lower:.3f} to {row.upper:.3f})" in text
    assert set(frames.recipe) - {""} and all(recipe in text for recipe in frames.recipe)

    matter = front_matter(card)
    counts = samples.split.value_counts().to_dict()
    assert {row["name"]: row["num_examples"] for row in matter["dataset_info"]["splits"]} == counts
    assert matter["size_categories"] == ["n<1K"]


@pytest.mark.parametrize("key", [RENDERED, OWN])
def test_the_numbers_of_videos_add_up(cards: dict[str, Path], built: Path, key: str) -> None:
    videos = videos_of(cards[key])
    assert videos == videos_of(cards[key], "README.md")
    samples = samples_of(built, key)
    assignments = tables.read(built / "data/split" / key / "videos.parquet", tables.ASSIGNMENTS)
    assert videos["entries"] == len(assignments) and videos["usable"] == (assignments.status == "ok").sum()
    assert videos["pictured"] == samples.video.nunique()
    assert videos["pictured"] == sum(int(row[3]) for row in rows_below(cards[key], "Contents"))
    assert_they_add_up(videos)


def test_a_video_without_a_picture_is_told_with_its_reason(built: Path, tmp_path: Path) -> None:
    project = card_project(built, tmp_path, OWN)
    path = project / "data/extract" / OWN / "frames.parquet"
    frames = tables.read(path, tables.FRAMES)
    unused = sorted(set(frames.video) - set(samples_of(built, OWN).video))
    assert len(unused) > 3
    frames = frames[frames.video != unused[0]]  # no candidate frame
    frames.loc[frames.video == unused[1], ["status", "reason"]] = "failed", "no_face"
    first = frames.index[frames.video == unused[2]][0]  # the others were not needed
    frames.loc[first, ["status", "reason"]] = "failed", "no_face"
    tables.write(path, frames, tables.FRAMES, ["key"])
    run_stage(project, "card", OWN)
    videos = videos_of(project / "data/card" / OWN)
    assert videos["reasons"] == {
        "not needed for the quota": len(unused) - 2,
        "without a usable frame": 1,
        "without a candidate frame": 1,
    }
    assert_they_add_up(videos)


def videos_of(card: Path, name: str = "croissant.json") -> dict[str, Any]:
    """Every number of videos that a card tells."""
    text = (card / name).read_text(encoding="utf-8")
    entries = re.search(r"has ([\d,]+) entries: files, and listed files that are missing(?:; (\d+) of them)?", text)
    told = re.search(r"Of (\d+) videos? of the dataset (\d+) \w+ usable; (\d+) of these .* and (\d+) gave none", text)
    rejected = re.search(r"(\d+) videos? of the dataset (?:is|are) not usable", text)
    none = re.search(r"(\d+) of (\d+) usable videos? gave no picture(?:: (.*?))?\.", text)
    by_class = re.search(r"[\d,]+ from (\d+) real videos?, [\d,]+ from (\d+) fake videos?", text)
    splits = re.search(r"Splits of the usable videos: (.*?)\.", text)
    assert entries and told and rejected and none and by_class and splits
    assert none[1] == told[4] and none[2] == told[2]
    return {
        **dict(zip(("all", "usable", "pictured", "none"), map(int, told.groups()), strict=True)),
        "entries": int(entries[1]),
        "others": int(entries[2] or 0),
        "rejected": int(rejected[1]),
        "reasons": {reason: int(count) for count, reason in re.findall(r"(\d+) ([a-z ]+)", none[3] or "")},
        "by_class": [int(count) for count in by_class.groups()],
        "by_split": [int(count) for count in re.findall(r"(\d+) videos? in", splits[1])],
    }


def assert_they_add_up(videos: dict[str, Any]) -> None:
    assert videos["entries"] == videos["all"] + videos["others"]
    assert videos["all"] == videos["usable"] + videos["rejected"]
    assert videos["usable"] == videos["pictured"] + videos["none"] == sum(videos["by_split"])
    assert videos["none"] == sum(videos["reasons"].values())
    assert videos["pictured"] == sum(videos["by_class"])


def test_what_is_known_of_people_decides_licence_and_gate(cards: dict[str, Path]) -> None:
    rendered, real = front_matter(cards[RENDERED]), front_matter(cards[OWN])
    assert rendered["license"] == "apache-2.0" and "extra_gated_prompt" not in rendered
    assert real["license"] == "other" and real["license_name"] == "terms-of-faceforensics"
    assert "identify" in real["extra_gated_prompt"] and "checkbox" in real["extra_gated_fields"].values()
    assert document(cards[RENDERED])["license"] == "https://spdx.org/licenses/Apache-2.0.html"
    assert "may not be passed on" in document(cards[OWN])["license"]["description"]
    people = document(cards[OWN])["rai:personalSensitiveInformation"]
    assert any("not asked" in said for said in people)
    assert "may not be passed on" in (cards[OWN] / "README.md").read_text(encoding="utf-8")


def test_the_card_says_which_guards_may_be_lifted(built: Path, cards: dict[str, Path], tmp_path: Path) -> None:
    allowed = write_card(built, tmp_path, RENDERED, {"guards.allow": ["frame_split"]})
    said = "lifted guards: frame_split"
    for name in ("README.md", "croissant.json"):
        assert said in (allowed / name).read_text(encoding="utf-8")
        assert "lifted guards" not in (cards[RENDERED] / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("key", [RENDERED, OWN])
def test_what_the_card_says_about_loading_and_verifying_works(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: Path, key: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    text = (folders[key] / "README.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    loaded = []
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(code.replace("path/to/this/folder", str(folders[key])), names)  # as a reader would
        loaded.append(names.copy())
    by_huggingface, by_webdataset, by_veriframe, by_mlcroissant, _ = loaded
    train = samples_of(built, key).query("split == 'train'").reset_index(drop=True)
    assert len(by_huggingface["samples"]) == len(by_veriframe["samples"]) == len(train)
    labels = dict(zip(train.key, train.label, strict=True))
    assert {row["__key__"]: row["json"]["label"] for row in by_huggingface["samples"]} == labels
    assert by_huggingface["picture"].size == by_webdataset["picture"].size == (128, 128)
    assert by_webdataset["facts"]["label"] == by_veriframe["label"] == train.label[0]
    assert sum(1 for _ in by_mlcroissant["rows"]) == len(samples_of(built, key))

    copy = shutil.copytree(folders[key], tmp_path / "damaged")
    shard = copy / train.shard[0]
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    verify = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[-1]
    with pytest.raises(AssertionError, match=re.escape(train.shard[0])):
        exec(verify.replace("path/to/this/folder", str(copy)), {})


def test_the_features_are_those_that_are_there(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import Features, load_dataset

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pattern = str(folders[OWN] / "val/*.tar")
    inferred = load_dataset("webdataset", data_files={"val": pattern}, split="val", cache_dir=str(tmp_path)).features
    said = Features._from_yaml_list(front_matter(folders[OWN])["dataset_info"]["features"])
    assert said == inferred


def test_the_parameters_of_the_project_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.cards.facts import Params
    from small_project import ROOT

    monkeypatch.chdir(ROOT)
    for key in params.load_datasets():
        assert params.load_section(Params, "card", key).creators
