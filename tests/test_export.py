"""`veriframe export`: what each form holds, and that reading it again gives the same table."""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from built_project import OWN
from command import veriframe
from fabricated_videos import KEY
from pipeline import tables
from pipeline.datasets.manifest import TIES
from pipeline.errors import UserError
from pipeline.exporting import deepfakebench, imagefolder
from pipeline.exporting.manifest import places
from pipeline.exporting.pictures import write_pictures
from pipeline.exporting.source import Source, open_source
from pipeline.files import list_files, sha256_of_file
from pipeline.reading import open_dataset
from pipeline.selection import flat_keys, flat_name
from pipeline.sharding import manifests
from project import change_params, run
from small_project import contents, inside, run_stage, write_params

LOOSE = ["imagefolder", "deepfakebench", "manifest"]
TREES = ["frames", "frames_flattened", "frames_reduced"]
# label_dict of DeepfakeBench's training/config/train_config.yaml.
LABEL_DICT = (
    dict.fromkeys(["DFD_fake", "FF-SH", "FF-F2F", "FF-DF", "FF-FS", "FF-NT", "FF-FH", "CelebDFv1_fake"], 1)
    | dict.fromkeys(["CelebDFv2_fake", "DFDCP_FakeA", "DFDCP_FakeB", "DFDC_Fake", "DF_fake", "UADFV_Fake"], 1)
    | dict.fromkeys(["DFD_real", "FF-real", "CelebDFv1_real", "CelebDFv2_real", "DFDCP_Real", "DFDC_Real"], 0)
    | dict.fromkeys(["DF_real", "UADFV_Real"], 0)
)


@pytest.fixture
def export(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Path, pd.DataFrame]]:
    """Export the small project; returns the folder and the samples."""

    def make(form: str, *options: str, project: Path = finished) -> tuple[Path, pd.DataFrame]:
        out = tmp_path / "out"
        with inside(project):
            code, said, complained = veriframe(capsys, "export", form, KEY, out, *options)
        samples = samples_of(project / "data/shard" / KEY)
        assert code == 0 and f"export {KEY}: " in complained, complained
        assert said.startswith(f"{out}: {len(samples)} pictures of {samples.video.nunique()} videos as {form}\n")
        return out, samples

    return make


def samples_of(folder: Path) -> pd.DataFrame:
    return tables.read(folder / "samples.parquet", tables.SAMPLES)


def hashes(folder: Path) -> list[str]:
    return sorted(sha256_of_file(path) for path in folder.rglob("*.jpg"))


# --- reading an export again -----------------------------------------------------------------------------------------


def read_again(tmp_path: Path, root: Path, layout: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run index and split over an export; return the videos with their splits and groups, and the findings."""
    project = tmp_path / "again"
    project.mkdir()
    write_params(project, root, {f"datasets.{KEY}.layout": layout})
    for stage in ("index", "split"):
        run_stage(project, stage)
    videos = tables.read(project / "data/index" / KEY / "videos.parquet", tables.VIDEOS)
    split = tables.read(project / "data/split" / KEY / "videos.parquet", tables.ASSIGNMENTS)
    findings = tables.read(project / "data/index" / KEY / "findings.parquet", tables.FINDINGS)
    assert not (set(findings.severity) - {"note"}), findings.to_string()
    videos = videos[videos.status == "ok"].merge(split[["video", "split", "group"]], on="video", validate="1:1")
    return videos.set_index("video").sort_index(), findings


@pytest.mark.parametrize(
    ("form", "below", "table"),
    [
        ("imagefolder", "frames", "csv"),
        ("deepfakebench", ".", "csv"),
        ("manifest", ".", "csv"),
        ("manifest", ".", "parquet"),
    ],
)
def test_the_manifest_gives_the_same_table(
    export: Callable[..., Any], finished: Path, tmp_path: Path, form: str, below: str, table: str
) -> None:
    out, samples = export(form, "--table", table)
    assert (out / below / f"manifest.{table}").is_file()
    again, _ = read_again(tmp_path, out / below, "manifest")
    videos = tables.read(finished / "data/index" / KEY / "videos.parquet", tables.VIDEOS).set_index("video")
    assert list(again.index) == sorted(set(samples.video)) and len(again) > 10
    before = videos.loc[again.index]
    same = ["label", "method", "compression", "name", *TIES]
    pd.testing.assert_frame_equal(again[same], before[same])
    assert before.recording.notna().all() and before.donor_person.notna().any()
    by_video = samples.groupby("video")
    for column in ("split", "group"):
        assert dict(again[column]) == dict(by_video[column].first())
    assert dict(again.frames) == dict(by_video.size())
    # An original of which there is no picture cannot be named.
    there = before.original.where(before.original.isin(again.index))
    assert there.notna().any() and dict(again.original.dropna()) == dict(there.dropna())
    assert sorted(again.image_sha256.explode()) == sorted(samples.sha256)


@pytest.mark.parametrize("tree", TREES)
def test_the_class_folders_give_the_same_labels_and_splits(
    export: Callable[..., Any], tmp_path: Path, tree: str
) -> None:
    out, samples = export("imagefolder")
    again, findings = read_again(tmp_path, out / tree, "image_folder")
    names = samples.video.map(flat_name) if tree == "frames" else samples.key
    expected = samples.assign(name=samples.split + "/" + names).groupby("name").agg({"label": "first", "frame": "size"})
    found = again.set_index("name")
    assert dict(found.label) == dict(expected.label) and dict(found.frames) == dict(expected.frame)
    assert dict(found.split) == {name: name.split("/")[0] for name in expected.index}
    assert dict(found.method) == {name: tables.CLASSES[label] for name, label in expected.label.items()}
    strays = findings[findings.code == "stray"].subject
    assert list(strays) == (["manifest.csv"] if tree == "frames" else [])


# --- ImageFolder -----------------------------------------------------------------------------------------------------


def test_three_trees_name_the_same_unchanged_pictures(export: Callable[..., Any]) -> None:
    from torchvision.datasets import ImageFolder

    out, samples = export("imagefolder")
    assert sorted(path.name for path in out.iterdir()) == ["README.txt", *TREES]
    for tree in TREES:
        assert hashes(out / tree) == sorted(samples.sha256)
        for split, rows in samples.groupby("split"):
            folder = ImageFolder(str(out / tree / str(split)))
            assert folder.class_to_idx == {"fake": 0, "real": 1}  # as README.txt says
            assert sum(folder.targets) == (rows.label == tables.REAL).sum() and len(folder) == len(rows)
    files = {path.stat().st_ino for tree in TREES for path in (out / tree).rglob("*.jpg")}
    assert len(files) == len(samples)
    sample = samples.iloc[0]
    cell = f"{sample.split}/{tables.CLASSES[sample.label]}"
    flat = out / f"frames_reduced/{cell}/{sample.key}.jpg"
    assert sha256_of_file(flat) == sample.sha256
    assert flat.samefile(out / f"frames/{cell}/{flat_name(sample.video)}/{sample.frame:06d}.jpg")


def test_where_there_are_no_hard_links_pictures_are_copied(
    finished: Path, tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with inside(finished):
        source = open_source(KEY)
        imagefolder.export(source, tmp_path / "out", in_process, "csv")
    for tree in TREES:
        assert hashes(tmp_path / "out" / tree) == sorted(source.samples.sha256)
    files = {path.stat().st_ino for path in (tmp_path / "out").rglob("*.jpg")}
    assert len(files) == 3 * len(source.samples)


# --- DeepfakeBench ---------------------------------------------------------------------------------------------------


def load(folder: Path, dataset: str, mode: str, compression: str, label_dict: dict[str, int]) -> list[tuple[str, int]]:
    """Return (path, label) of every frame as DeepfakeBench's loader finds them, from its own working folder."""
    info = json.loads((folder / f"{dataset}.json").read_text())
    found = []
    for label in info[dataset]:
        videos = info[dataset][label][mode]
        if dataset in ("FF-DF", "FF-F2F", "FF-FS", "FF-NT", "FaceForensics++", "DeepFakeDetection", "FaceShifter"):
            videos = videos[compression]
        for video in videos.values():
            frames = video["frames"]
            numbers = [int(path.split("/")[-1].split(".")[0]) for path in frames]
            assert numbers == sorted(numbers)  # its own sorting leaves the order as it is
            assert all(path[0] == "." and "\\" not in path for path in frames)
            found += [(path, label_dict[video["label"]]) for path in frames]
    return found


def test_deepfakebench_finds_every_picture_of_each_method(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bench/datasets/rgb" / OWN
    run(built, "veriframe", "export", "deepfakebench", OWN, str(folder))
    samples = samples_of(built / "data/shard" / OWN)
    places = {"youtube": None, "FaceShifter": "FaceShifter"} | {
        method: deepfakebench.METHODS[method] for method in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
    }
    names = {name for method, name in places.items() if name and method in set(samples.method)}
    assert {path.stem for path in folder.glob("*.json")} == {"FaceForensics++", *names} and len(names) == 5
    for dataset in ("FaceForensics++", *names):
        methods = [method for method, name in places.items() if name in (None, dataset)]
        if dataset == "FaceForensics++":
            methods = [method for method in places if method != "FaceShifter"]
        for mode in tables.SPLITS:
            expected = samples[(samples.split == mode) & samples.method.isin(methods)]
            with inside(tmp_path / "bench"):
                found = load(folder, dataset, mode, "c23", LABEL_DICT)
                read = [(sha256_of_file(Path(path)), label) for path, label in found]
            assert sorted(read) == sorted(zip(expected.sha256, expected.label, strict=True))
            # It scores videos by the name of the folder of their frames.
            assert len({path.split("/")[-2] for path, _ in found}) == expected.video.nunique()


def made_up(key: str, layout: str | None, methods: dict[str, int], compression: str = "c23") -> Source:
    """Return a source of two frames of one train video of each method."""
    rows = [
        {"video": f"{key}/{method}/{compression}/same", "split": "train", "label": label, "method": method}
        | {"frame": frame, "compression": compression, "name": "same"}
        for method, label in methods.items()
        for frame in (10, 0)
    ]
    samples = pd.DataFrame(rows)
    return Source(key, Path(), layout, samples.assign(folder=samples.video.map(flat_name)), None)


@pytest.mark.parametrize(
    ("layout", "dataset", "methods"),
    [
        ("celeb_df_v1", "Celeb-DF-v1", {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}),
        ("celeb_df_v2", "Celeb-DF-v2", {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}),
        ("dfd", "DeepFakeDetection", {"actors": 0, "DeepFakeDetection": 1}),
        ("dfdc", "DFDC", {"original": 0, "unknown": 1}),
        ("dfdc_preview", "DFDCP", {"original_videos": 0, "method_A": 1, "method_B": 1}),
        ("deeperforensics", "DeeperForensics-1.0", {"youtube": 0, "end_to_end": 1}),
        ("ffpp_frames", "FaceForensics++", {"Original": 0, "Deepfakes": 1, "FaceSwap": 1}),
        ("wilddeepfake", "mine", {"real": 0, "fake": 1}),
        (None, "mine", {"youtube": 0, "Deepfakes": 1}),
    ],
)
def test_label_names_are_deepfakebenchs(
    tmp_path: Path, layout: str | None, dataset: str, methods: dict[str, int]
) -> None:
    source = made_up("mine", layout, methods)
    made = deepfakebench.datasets(source, places(source))
    for name, content in made.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({name: content}))
    label_dict = {"mine_real": 0, "mine_fake": 1} if dataset == "mine" else LABEL_DICT
    found = load(tmp_path, dataset, "train", "c23", label_dict)
    rows = source.samples
    prefix = "./datasets/rgb/mine/"
    expected = [(f"{prefix}{path}", label) for path, label in zip(places(source), rows.label, strict=True)]
    assert sorted(found) == sorted(expected)
    for mode in ("val", "test"):  # the loader asks for each
        assert load(tmp_path, dataset, mode, "c23", label_dict) == []


def test_every_split_has_every_compression() -> None:
    c23, raw = (made_up("mine", "ffpp", {"youtube": 0, "Deepfakes": 1}, level) for level in ("c23", "raw"))
    both = pd.concat([c23.samples, raw.samples[raw.samples.label == 1]])
    source = Source("mine", Path(), "ffpp", both, None)
    made = deepfakebench.datasets(source, places(source))
    for labels in made.values():
        assert [list(labels[label][split]) for label in labels for split in tables.SPLITS] == [["c23", "raw"]] * 6
    assert made["FF-DF"]["FF-real"]["train"]["raw"] == {}


# --- Hugging Face ----------------------------------------------------------------------------------------------------

LOAD = """
import json, sys
from datasets import load_dataset
rows = [(row["__key__"], row["json"]["label"], row["json"]["video"], split, row["jpg"].size[0])
        for split, part in load_dataset(sys.argv[1]).items() for row in part]
print(json.dumps(rows))
"""


def test_hugging_faces_datasets_loads_every_sample(built: Path, tmp_path: Path) -> None:
    project, out = shutil.copytree(built, tmp_path / "project", symlinks=True), tmp_path / "out"
    command = ["veriframe", "export", "huggingface", OWN, str(out)]
    shutil.rmtree(project / "data/card", ignore_errors=True)
    ended = run(project, *command, check=False)
    assert ended.returncode == 1 and f"run `dvc repro card@{OWN}`" in ended.stderr and not out.exists()

    change_params(project, {"shard.shards.train": 40})  # more than there are videos: some stay empty
    for stage in ("shard", "card"):
        run(project, "python", "-m", f"stages.{stage}", OWN)
    run(project, *command)
    shards, card = project / "data/shard" / OWN, project / "data/card" / OWN
    samples = samples_of(shards)
    assert (out / "train/train-000000.tar").samefile(shards / "train/train-000000.tar")
    assert len(list((out / "train").iterdir())) == 40 > samples[samples.split == "train"].shard.nunique()
    assert manifests.read(out / "manifest.json")["samples"] == len(samples)
    assert set(list_files(out)) == {*list_files(shards), "README.md", "croissant.json"}
    assert (out / "README.md").read_bytes() == (card / "README.md").read_bytes()

    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    rows = json.loads(run(tmp_path, "python", "-c", LOAD, str(out), **offline).stdout)
    assert sorted(row[:4] for row in rows) == sorted(samples[["key", "label", "video", "split"]].values.tolist())
    assert {side for *_, side in rows} == {128}

    jsonld = json.loads((out / "croissant.json").read_text())
    for file in jsonld["distribution"]:
        if "contentUrl" in file:
            assert sha256_of_file(out / file["contentUrl"]) == file["sha256"]
    assert len(open_dataset(out)) == len(samples)

    (card / "croissant.json").write_text((card / "croissant.json").read_text().replace('sha256": "', 'sha256": "0'))
    other = [*command[:-1], str(tmp_path / "other")]
    assert "describes other shards" in run(project, *other, check=False).stderr
    (card / "croissant.json").write_text("{}")
    assert "is damaged; run `dvc repro card@" in run(project, *other, check=False).stderr
    assert not (tmp_path / "other").exists()


# --- names -----------------------------------------------------------------------------------------------------------

names = st.text(st.sampled_from("aAbB0_-./%é~ "), min_size=1, max_size=120)


@given(st.lists(st.tuples(st.sampled_from(["m", "M", "a-b"]), names), min_size=1, max_size=6, unique=True))
def test_no_two_pictures_get_one_name(videos: list[tuple[str, str]]) -> None:
    rows = [
        {"video": f"d/{method}/c23/{name}", "frame": frame, "split": "train", "label": 0}
        for method, name in videos
        for frame in (0, 1_234_567)
    ]
    samples = pd.DataFrame(rows)
    try:
        keys = flat_keys(samples)
    except UserError:  # the stage flatten has refused them
        assume(False)
    samples = samples.assign(key=keys, folder=samples.video.map(flat_name))
    paths = places(Source("d", Path(), None, samples, None))
    assert len({path.lower() for path in paths}) == len(rows) == len({path.lower().split("/")[0] for path in paths}) * 2
    assert all(path.isascii() and path.count("/") == 1 and len(path) < 120 for path in paths)
    assert all("." not in path.split("/")[0] for path in paths)


def test_paths_that_differ_by_case_alone_are_refused(tmp_path: Path, in_process: Any) -> None:
    source = made_up("d", None, {"m": 0})
    with pytest.raises(AssertionError, match="2 samples in 1 trees, 1 paths"):
        write_pictures(source, tmp_path / "out", [["a.jpg", "A.jpg"]], in_process)
    assert not (tmp_path / "out").exists()


# --- the shards alone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", LOOSE)
def test_pulled_shards_are_enough(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    shutil.copytree(finished / "data/shard", tmp_path / "clone/data/shard")
    with inside(tmp_path / "clone"):
        code, said, _ = veriframe(capsys, "export", form, KEY, "out")
    assert code == 0
    assert f"data/index/{KEY} is not here: the manifest says nothing of recordings, persons and originals" in said
    assert ("params.yaml is not here" in said) == (form == "deepfakebench")
    samples = samples_of(finished / "data/shard" / KEY)
    root = tmp_path / "clone/out" / ("frames" if form == "imagefolder" else "")
    again, _ = read_again(tmp_path, root, "manifest")
    by_video = samples.groupby("video")
    for column in ("label", "split", "method"):
        assert dict(again[column]) == dict(by_video[column].first())
    assert again[["original", *TIES]].isna().all(axis=None)
    if form == "deepfakebench":
        assert f"add the lines {KEY}_real: 0 and {KEY}_fake: 1" in (root / "README.txt").read_text()


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_wrong_commands_are_one_line(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").touch()
    cases = [
        (["zip", KEY, tmp_path / "out"], "FORMAT must be one of imagefolder, deepfakebench, manifest, huggingface"),
        (["manifest", "nope", tmp_path / "out"], "there is no dataset 'nope' under `datasets`"),
        (["manifest", KEY, full], "is not an empty folder"),
        (["manifest", KEY, full / "mine.txt"], "is not an empty folder"),
        (["manifest", KEY, "data/out"], "lies in data"),
        (["manifest", KEY, tree_of(finished) / "out"], "belongs to the pipeline"),
        (["manifest", KEY, tmp_path / "out", "--table", "xml"], "--table must be one of csv, parquet"),
        (["huggingface", KEY, tmp_path / "out", "--table", "csv"], "--table does not go with huggingface"),
    ]
    before = contents(finished)
    for arguments, message in cases:
        with inside(finished):
            code, said, complained = veriframe(capsys, "export", *arguments)
        assert (code, said, complained.count("\n")) == (2, "", 1), complained
        assert complained.startswith("error: ") and message in complained
    assert contents(finished) == before and sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def tree_of(project: Path) -> Path:
    from ruamel.yaml import YAML

    document = YAML(typ="safe", pure=True).load(project / "params.yaml")
    return Path(document["datasets"][KEY]["root"])


def refused(project: Path, out: Path, capsys: pytest.CaptureFixture[str], form: str = "manifest") -> str:
    """Export must end with exit code 1 or 2 and one message, and leave nothing; return the message."""
    with inside(project):
        code, said, complained = veriframe(capsys, "export", form, KEY, out)
    *progress, message = complained.splitlines()
    assert code and said == "" and all(line.startswith("export ") for line in progress), complained
    assert message.startswith("error: ")
    assert not out.exists() and not list(out.parent.glob(".*part"))
    return message


def test_shards_that_are_not_whole_are_refused(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = project / "data/shard" / KEY
    shard = shards / next(name for name in list_files(shards) if name.endswith(".tar"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-512])
    assert re.search(r"has \d+ bytes, not \d+; run `dvc pull`", refused(project, tmp_path / "out", capsys))
    shard.unlink()
    assert f"{shard.relative_to(project)} is missing" in refused(project, tmp_path / "out", capsys)
    shard.write_bytes(whole)
    (shards / manifests.NAME).unlink()
    assert f"{manifests.NAME} is missing" in refused(project, tmp_path / "out", capsys)
    shutil.rmtree(shards)
    assert "is missing" in refused(project, tmp_path / "out", capsys)
    (project / "params.yaml").unlink()
    assert f"there is no folder data/shard/{KEY}" in refused(project, tmp_path / "out", capsys)


@pytest.mark.parametrize("form", LOOSE)
def test_a_changed_picture_is_named_and_nothing_is_left(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    sample = samples_of(project / "data/shard" / KEY).iloc[3]
    shard = project / "data/shard" / KEY / sample.shard
    damaged = bytearray(shard.read_bytes())
    damaged[sample.offset + sample.bytes // 2] ^= 1
    shard.write_bytes(damaged)
    message = refused(project, tmp_path / "out", capsys, form)
    assert sample.shard in message and f"{sample.key}.jpg is not as samples.parquet has it" in message


def test_an_index_of_other_shards_is_refused(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "data/index" / KEY / "videos.parquet"
    videos = tables.read(path, tables.VIDEOS)
    lost = samples_of(project / "data/shard" / KEY).video.iloc[0]
    tables.write(path, videos[videos.video != lost], tables.VIDEOS, order=["video"])
    assert f"does not know {lost}" in refused(project, tmp_path / "out", capsys)


def test_a_full_disk_leaves_nothing(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mock.patch.object(pd.DataFrame, "to_csv", side_effect=OSError(errno.ENOSPC, "No space left on device")):
        assert refused(finished, tmp_path / "out", capsys).endswith("cannot be written: No space left on device")


def test_what_comes_into_the_folder_meanwhile_stays(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = tmp_path / "out/notes.txt"

    def fill(*arguments: Any, **options: Any) -> None:
        notes.parent.mkdir()
        notes.write_text("mine")

    with mock.patch.object(pd.DataFrame, "to_csv", fill), inside(finished):
        code, _, complained = veriframe(capsys, "export", "manifest", KEY, tmp_path / "out")
    assert code == 2 and "is not an empty folder" in complained
    assert notes.read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == ["out"]
