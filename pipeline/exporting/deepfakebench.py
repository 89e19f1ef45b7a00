"""Frames and the JSON that DeepfakeBench's loader walks (github.com/SCLBD/DeepfakeBench).

`{<dataset>: {<label name>: {train|val|test: {[<compression>:] {<video>: {"label": <label name>, "frames": [...]}}}}}}`
in <dataset>.json, as its preprocessing/rearrange.py writes it; a compression level stands only in the family of
FaceForensics++. Three habits of its loader decide the rest:

- the name of a frame's file must be a number, and a video must have a frame;
- it takes a path that starts with `.` as it stands, below the folder that training is started in;
- it counts frames as one video when their folders have the same name, so a folder here holds one video of one method.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.engines import Run
from pipeline.exporting.manifest import Table, places, write_manifest
from pipeline.exporting.pictures import write_pictures
from pipeline.exporting.source import Source
from pipeline.tables import CLASSES, FAKE, REAL, SPLITS

# Layout -> name of the dataset, names of its labels, as rearrange.py has them.
NAMES = {
    "celeb_df_v1": ("Celeb-DF-v1", {REAL: "CelebDFv1_real", FAKE: "CelebDFv1_fake"}),
    "celeb_df_v2": ("Celeb-DF-v2", {REAL: "CelebDFv2_real", FAKE: "CelebDFv2_fake"}),
    "dfd": ("DeepFakeDetection", {REAL: "DFD_real", FAKE: "DFD_fake"}),
    "dfdc": ("DFDC", {REAL: "DFDC_Real", FAKE: "DFDC_Fake"}),
    "dfdc_preview": ("DFDCP", {REAL: "DFDCP_Real"}),
    "deeperforensics": ("DeeperForensics-1.0", {REAL: "DF_real", FAKE: "DF_fake"}),
    "ffpp": ("FaceForensics++", {REAL: "FF-real"}),
    "ffpp_frames": ("FaceForensics++", {REAL: "FF-real"}),
}
# Fakes whose label goes by their method.
METHODS = {
    "Deepfakes": "FF-DF",
    "Face2Face": "FF-F2F",
    "FaceSwap": "FF-FS",
    "NeuralTextures": "FF-NT",
    "FaceShifter": "FF-FH",
    "method_A": "DFDCP_FakeA",
    "method_B": "DFDCP_FakeB",
}
WITH_COMPRESSION = ("ffpp", "ffpp_frames", "dfd")

README = """Pictures of the dataset {key} for DeepfakeBench: {files}

The JSON files say ./datasets/rgb/{key}/frames/...: put this folder, or a link to it, at datasets/rgb/{key} in your
copy of DeepfakeBench, and set in training/config/train_config.yaml and test_config.yaml

  lmdb: False
  dataset_json_folder: './datasets/rgb/{key}'
{label_dict}
There are no masks and landmarks: with_mask and with_landmark must be false. What the terms of the source dataset
forbid, above all passing it on, they forbid for these pictures too.
"""


def export(source: Source, out: Path, run: Run, table: Table) -> None:
    """Write `out`/frames/<video>/<frame>.jpg, the JSON files, the manifest and README.txt."""
    paths = [f"frames/{place}" for place in places(source)]
    write_pictures(source, out, [paths], run)
    write_manifest(source, paths, out, table)
    files = datasets(source, paths)
    for name, content in files.items():
        (out / f"{name}.json").write_text(json.dumps({name: content}, indent=1) + "\n", encoding="utf-8", newline="\n")
    label_dict = ""
    if source.layout not in NAMES:
        label_dict = f"  label_dict: add the lines {_label(source, REAL, '')}: 0 and {_label(source, FAKE, '')}: 1\n"
    text = README.format(key=source.key, files=", ".join(f"{name}.json" for name in files), label_dict=label_dict)
    (out / "README.txt").write_text(text, encoding="utf-8", newline="\n")


def datasets(source: Source, paths: list[str]) -> dict[str, dict[str, Any]]:
    """Return what each JSON file holds, by the name of its dataset: label name -> split -> videos.

    FaceForensics++ comes as rearrange.py divides it: all four methods together, each with the reals, and FaceShifter
    with the reals.
    """
    samples = source.samples.assign(path=[f"./datasets/rgb/{source.key}/{path}" for path in paths])
    names = [_label(source, label, method) for label, method in zip(samples.label, samples.method, strict=True)]
    levels = sorted(samples.compression.unique()) if source.layout in WITH_COMPRESSION else []
    labels = {name: _splits(samples[[name == other for other in names]], name, levels) for name in sorted(set(names))}
    if source.layout not in ("ffpp", "ffpp_frames"):
        return {NAMES[source.layout][0] if source.layout in NAMES else source.key: labels}
    reals = {name: labels[name] for name in labels if name == "FF-real"}
    fakes = {name: labels[name] for name in labels if name != "FF-real"}
    together = {name: videos for name, videos in fakes.items() if name != "FF-FH"}
    alone = {"FaceShifter" if name == "FF-FH" else name: reals | {name: videos} for name, videos in fakes.items()}
    return {"FaceForensics++": reals | together} | alone


def _label(source: Source, label: int, method: str) -> str:
    """Return the label name of a sample; <key>_real or <key>_fake for a dataset that DeepfakeBench does not know."""
    if source.layout not in NAMES:
        return f"{source.key}_{CLASSES[label]}"
    labels = NAMES[source.layout][1]
    return labels[label] if label in labels else METHODS[method]


def _splits(samples: pd.DataFrame, label: str, levels: list[str]) -> dict[str, Any]:
    """Return split -> videos, with `levels` split -> compression -> videos; empty ones too: the loader asks for all."""
    if not levels:
        return {split: _videos(samples[samples.split == split], label) for split in SPLITS}
    return {
        split: {
            level: _videos(samples[(samples.split == split) & (samples.compression == level)], label)
            for level in levels
        }
        for split in SPLITS
    }


def _videos(samples: pd.DataFrame, label: str) -> dict[str, Any]:
    return {
        str(video): {"label": label, "frames": rows.sort_values("frame").path.tolist()}
        for video, rows in samples.groupby("folder")
    }
