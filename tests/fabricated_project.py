"""A made-up project for the stages over all datasets: params.yaml and every table that audit and report read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import in_process
from fabricated_shards import picture
from pipeline import provenance, tables
from pipeline.evaluation.decisions import Decisions
from pipeline.evaluation.figures import metric_rows
from pipeline.files import sha256_of_bytes, sha256_of_text
from pipeline.sharding import sealing
from pipeline.tars import write_tar

METHODS = {"youtube": tables.REAL, "Deepfakes": tables.FAKE, 'Face<Swap> & "quotes"': tables.FAKE}
ODD_NAME = "vidéo <b>\"7\"</b> & 'co'"
FRAMES = 2
DECISIONS = Decisions("mean", {"frame": 0.45, "video": 0.5}, {"frame": 1.5, "video": 1.25}, "validation")
METRICS_ORDER = ["level", "rule", "subset", "method", "compression", "metric"]
PARAMS = """\
datasets:
{datasets}
audit: {{folds: 4, bootstrap: 200, seed: 0}}
report: {{pictures: {pictures}, sheet: 8, errors: 3, timelines: 2}}
train: {{datasets: [{trained}]}}
"""


def write_project(root: Path, keys: list[str], *, pictures: bool = True, groups: int = 12) -> None:
    """Write params.yaml, data/ and reports/train/ below `root`; the first key is the dataset trained on."""
    write_params(root, keys, pictures=pictures)
    for place, key in enumerate(keys):
        write_dataset(root / "data", key, groups, skill=2.5 if place == 0 else 0.4)
    facts = {"datasets": keys[:1], "guards_lifted": {}, "epochs": {"best": 1, "run": 3}, "lr": 0.001}
    card = {
        "model": "resnet10t",
        "thresholds": {"frame": 0.45, "video": 0.5},
        "transform": {"mean": [0.5, 0.4]},
        **facts,
    }
    _text(root / "data/train/model.json", json.dumps(card))
    for name, values in (
        ("train/loss", (0.7, 0.4, 0.2)),
        ("val/loss", (0.7, 0.5, 0.55)),
        ("val/auroc", (0.6, 0.8, 0.79)),
    ):
        rows = "".join(f"{epoch}\t{value}\n" for epoch, value in enumerate(values))
        _text(root / f"reports/train/plots/metrics/{name}.tsv", f"step\t{name.split('/')[1]}\n{rows}")


def write_params(root: Path, keys: list[str], *, pictures: bool = True, of: str = "root: data/synthesize/ffpp") -> None:
    """Write params.yaml; `of` is what every entry of `datasets` says beside its layout."""
    entries = "\n".join(f"  {key}: {{layout: ffpp, {of}}}" for key in keys)
    _text(root / "params.yaml", PARAMS.format(datasets=entries, pictures=str(pictures).lower(), trained=keys[0]))


def write_dataset(data: Path, key: str, groups: int = 12, skill: float = 2.5) -> None:
    """Write the tables of one dataset: a real and two fakes in each of `groups` recordings, and two rejected files.

    Neither file nor crops tell the label. One person is in a train and in a test recording, in every dataset the same.
    `skill` is how far the scores of fakes lie above those of reals, in standard deviations.
    """
    videos = _videos(key, groups)
    usable = videos[videos.status == "ok"]
    tables.write(data / "index" / key / "videos.parquet", videos, tables.VIDEOS, ["video"])
    note = {"dataset": key, "stage": "index", "severity": "note", "code": "stray", "subject": ODD_NAME, "detail": "<i>"}
    tables.write(data / "index" / key / "findings.parquet", [note], tables.FINDINGS, ["subject"])

    assignments = videos[["video", "label", "method", "status", "reason"]].copy()
    assignments["group"] = videos.recording.where(videos.status == "ok", None)
    assignments["split"] = videos.official_split
    assignments["split_by"] = videos.official_split.where(videos.official_split.isna(), "official")
    tables.write(data / "split" / key / "videos.parquet", assignments, tables.ASSIGNMENTS, ["video"])
    split = usable.set_index("video").official_split
    leaks, ties = provenance.leaks(usable, split), provenance.ties(usable, split)
    tables.write(data / "split" / key / "leaks.parquet", leaks, tables.LEAKS, ["kind", "node"])
    tables.write(data / "split" / key / "ties.parquet", ties, tables.TIES, ["kind", "split", "tied_to"])

    frames = _frames(assignments[assignments.status == "ok"])
    tables.write(data / "extract" / key / "frames.parquet", frames, tables.FRAMES, ["key"])
    tables.write(data / "extract" / key / "quotas.parquet", _quotas(frames), tables.FILLED, ["split", "label"])
    failed = frames[frames.status == "failed"]
    notes = [note | {"stage": "check", "code": "no_face", "subject": name} for name in failed.key]
    tables.write(data / "check" / key / "findings.parquet", notes, tables.FINDINGS, ["subject"])
    verdict = {"dataset": key, "passed": True, "rules": 23, "broken": []}
    _text(data / "check" / key / "verdict.json", json.dumps(verdict))

    samples = _samples(data / "shard" / key, key, frames[frames.status == "kept"])
    scores = _scores(samples, usable, skill)
    tables.write(data / "evaluate" / key / "scores.parquet", scores, tables.SCORES, ["level", "key"])
    tables.write(
        data / "evaluate" / key / "metrics.parquet",
        metric_rows(scores, key, DECISIONS, draws=200, seed=0),
        tables.METRICS,
        METRICS_ORDER,
    )
    rule = {"videos": DECISIONS.rule, "thresholds": DECISIONS.thresholds, "temperatures": DECISIONS.temperatures}
    rule |= {"chosen": DECISIONS.chosen, "guards_lifted": {}}
    _text(data / "evaluate" / key / "rule.json", json.dumps(rule))
    blurred = {"dataset": key, "unit": "pixels", "lower": 0.5, "upper": 1.0, "videos": 9, "pictures": 9}
    robustness = [
        blurred | {"corruption": "blur", "strength": strength, "auroc": 0.9 - (strength or 0) / 10}
        for strength in (None, 1.0, 2.0)
    ]
    tables.write(
        data / "evaluate" / key / "robustness.parquet", robustness, tables.ROBUSTNESS, ["corruption", "strength"]
    )
    heatmaps = [
        {"key": name, "height": 4, "width": 4, "values": bytes(range(0, 256, 16))}
        for name in scores[(scores.level == "frame") & (scores.status == "scored")].key
    ]
    tables.write(data / "evaluate" / key / "heatmaps.parquet", heatmaps, tables.HEATMAPS, ["key"])


def _videos(key: str, groups: int) -> pd.DataFrame:
    random = np.random.default_rng(int(sha256_of_text(key)[:8], 16))
    empty = {field.name: None for field in tables.VIDEOS}
    rows = []
    for group in range(groups):
        split = ("train", "train", "val", "test")[group % 4]
        frames = int(random.integers(60, 120))
        for method, label in METHODS.items():
            size = int(frames * random.uniform(4_000, 6_000))
            name = ODD_NAME if group == 3 else f"{group:03d}"
            facts = {"width": 640, "height": 360, "frame_rate": 25.0, "time_base": 1 / 12800, "frames": frames}
            facts |= {"duration_s": frames / 25, "bit_rate": size * 200 / frames, "bytes": size, "audio_streams": 0}
            facts |= {"container": "mp4", "video_streams": 1, "codec": "h264", "profile": "High", "pix_fmt": "yuv420p"}
            facts |= {"sample_aspect": "1:1", "rotation": 0, "color_range": "tv", "claimed_frames": frames, "gop": 12}
            facts |= {"encoder": "x264 - core 165 - options: cabac=1 crf=23.0", "crf": 23.0}
            facts |= {"pts": [0, 1], "key_frames": [0], "sha256": sha256_of_text(key, method, name)}
            provenance_of = {"recording": f"{key}/{group}", "person": "corpus/id<1>" if group in (0, 3) else None}
            rows.append(
                empty
                | {"video": f"{key}/{method}/c23/{name}", "dataset": key, "path": f"{method}/{name}.mp4", "name": name}
                | {"media": "video", "method": method, "compression": "c23", "label": label, "official_split": split}
                | {"status": "ok", "reason": "", "detail": "", **facts, **provenance_of}
            )
    for name, reason in (("one frame", "too_short"), (f"{ODD_NAME}.txt", "stray")):
        rows.append(
            empty
            | {"video": f"{key}/youtube/c23/{name}", "dataset": key, "path": name, "name": name, "method": "youtube"}
            | {
                "media": "video",
                "compression": "c23",
                "status": "rejected",
                "reason": reason,
                "detail": f"{name}: 1 of 2 frames",
            }
        )
    return pd.DataFrame(rows, columns=tables.VIDEOS.names)


def _frames(videos: pd.DataFrame) -> pd.DataFrame:
    empty = {field.name: None if field.nullable else 0 for field in tables.FRAMES} | {
        "recipe": "test",
        "chosen_by": "only",
        "time_s": 0.0,
    }
    random = np.random.default_rng(0)
    rows = []
    for number, video in enumerate(videos.to_dict("records")):
        known = {name: video[name] for name in ("video", "split", "label", "method", "group")}
        face = int(random.integers(60, 120))
        crop = {"box_width": face, "box_height": face + 8, "crop_width": 2 * face, "crop_height": 2 * face}
        for frame in range(FRAMES + 1):
            status = "kept" if frame < FRAMES else "failed" if number % 5 == 0 else "surplus"
            name = f"{video['video'].replace('/', '__')}__f{frame:06d}"
            row = known | {"key": name, "frame": frame * 10, "status": status}
            seen = crop | {"faces": 1, "probability": random.uniform(0.95, 1), "sharpness": random.uniform(80, 160)}
            rows.append(empty | row | ({"reason": "no_face"} if status == "failed" else {"reason": ""} | seen))
    return pd.DataFrame(rows)[tables.FRAMES.names]


def _quotas(frames: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for (split, label), part in frames.groupby(["split", "label"]):
        status = {name: int((part.status == name).sum()) for name in ("failed", "surplus", "kept")}
        row = {
            "split": split,
            "label": label,
            "rule": "none",
            "min_per_video": 1,
            "candidates": len(part),
            "videos": part.video.nunique(),
        }
        rows.append(row | status | {"quota": status["kept"], "tried": len(part)})
    return rows


def _samples(folder: Path, dataset: str, frames: pd.DataFrame) -> pd.DataFrame:
    rows = frames[["key", "video", "split", "label", "method", "group", "frame", "time_s"]].sort_values("key")
    places = []
    for split, part in rows.groupby("split"):
        shard = f"{split}/{split}-000000.tar"
        jpegs = [picture(tables.REAL, number) for number in part.index]  # of fakes too: no size tells the label
        offsets = write_tar(folder / shard, [(f"{key}.jpg", jpeg) for key, jpeg in zip(part.key, jpegs, strict=True)])
        places += [
            {"key": key, "dataset": dataset, "shard": shard, "offset": offset, "bytes": len(jpeg)}
            | {"sha256": sha256_of_bytes(jpeg)}
            for key, offset, jpeg in zip(part.key, offsets, jpegs, strict=True)
        ]
    rows = rows.merge(pd.DataFrame(places), on="key")
    tables.write(folder / "samples.parquet", rows, tables.SAMPLES, ["key"])
    sealing.seal(folder, {"dataset": dataset, "samples": len(rows)}, in_process.run)
    return rows


def _scores(samples: pd.DataFrame, usable: pd.DataFrame, skill: float) -> pd.DataFrame:
    random = np.random.default_rng(1)
    tested = samples[samples.split == "test"]
    strength = {video: random.normal() for video in usable.video}
    logit = tested.video.map(strength) + skill * (tested.label - 0.5) + random.normal(0, 0.3, len(tested))
    scored = tested.assign(score=1 / (1 + np.exp(-logit)), level="frame", frames_scored=1)
    scored["compression"] = "c23"
    scored["leak_free"] = ~scored.video.str.contains("youtube/c23/vid", regex=False)
    columns = ["video", "dataset", "split", "label", "method", "compression", "group", "leak_free"]
    videos = scored.groupby(columns, as_index=False).agg(score=("score", "mean"), frames_scored=("score", "size"))
    videos = videos.assign(level="video", key=videos.video, frame=None)
    rows = pd.concat([scored, videos], ignore_index=True).assign(status="scored", reason="")
    lost = rows.index[(rows.level == "video")][-1]
    rows.loc[lost, ["score", "frames_scored", "status", "reason"]] = [None, 0, "unscored", "no_face"]
    return rows[tables.SCORES.names].astype({"frame": "Int64"})


def _text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
