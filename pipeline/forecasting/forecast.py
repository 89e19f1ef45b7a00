"""What extraction will take, before it starts: frames to decode, time, disk. This is `veriframe forecast`.

Nothing is assumed about the machine: some videos, spread over all amounts of work, are really extracted, and what they
took is scaled up. Their answers stay in the work cache, so nothing is wasted.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pipeline import decoding, machine, params, tables
from pipeline.engines import Run, Watch, local_engine
from pipeline.errors import UsageError
from pipeline.extracting import answer_store, extraction, extraction_plan
from pipeline.extracting.answers import Request
from pipeline.extracting.extraction_plan import Plan
from pipeline.extracting.footage import Footage
from pipeline.forecasting import crop_sizes, disk_space, estimates, timing
from pipeline.sharding import shard_sizes, shards
from pipeline.wording import in_words

Row = dict[str, Any]
Frames = dict[str, list[int]]  # video -> frames

# What a video's time is made of; each has a price in seconds.
WORK = ["megapixels", "megabytes", "searched", "checked"]
FIGURES = ["seconds", "work_cache_bytes", "extract_bytes", "shard_bytes"]

MEASURED = 12  # videos of each dataset, or two for each worker where that is more
MOST_FRAMES = 64  # of one video: more of it would tell little more


@dataclass
class Dataset:
    """A dataset before its extraction.

    `wanted` are the frames of the first round, `needed` those and the frames of originals that give boxes for them,
    `left` those of the latter that the work cache does not hold.
    """

    key: str
    plan: Plan
    picture: shards.Params
    wanted: Frames
    needed: Frames
    left: Frames


def forecast(keys: list[str], seconds: float, dvc_cache: Path | None, linked: bool) -> Row:
    """Return what is left to do for the extraction of the datasets `keys`, in the project's root folder.

    About `seconds` are spent on measuring; more where workers start slowly or single videos take long. `dvc_cache` is
    the folder of DVC's cache, None where there is none; `linked` says whether it shares files with the workspace.

    The report holds `datasets` (a row for each key), `total`, `workers` and `disks`. A row holds `videos` and `frames`
    of the first round, `cached_frames` of them, `left_videos` and `left_frames` that extraction will ask for, the
    originals of fakes included, and `decoded_frames` that it must decode for them; `measured_videos`, `usable` (share
    of the frames that were looked at) and FIGURES, each with `<figure>_error`: two standard errors by the jackknife,
    None from fewer than three videos; `shard_advice`, see shard_sizes. A disk holds `places` (name -> bytes to come),
    `needed_bytes`, `free_bytes` and `fits`.
    Raises UsageError where a stage before extract has not run, or where no video that was tried gave an answer.
    """
    datasets = [_dataset(key) for key in keys]
    measured = _measured([dataset for dataset in datasets if dataset.left], seconds)
    rows = {dataset.key: _row(dataset, measured.get(dataset.key, [])) for dataset in datasets}
    return {
        "datasets": rows,
        "total": _total(list(rows.values())),
        "workers": machine.workers(),
        "disks": disk_space.demand(rows, dvc_cache, linked),
    }


# --- what there is to do ---------------------------------------------------------------------------------------------


def _dataset(key: str) -> Dataset:
    for stage in ("index", "reduce"):
        if not Path("data", stage, key).is_dir():
            raise UsageError(f"data/{stage}/{key} is not there; run `dvc repro reduce@{key}` first")
    plan = extraction_plan.load(key)
    wanted = extraction.first_round(plan.frames, plan.cells)
    needed = plan.footage.with_originals(wanted)
    picture = params.load_section(shards.Params, "shard", key)
    return Dataset(key, plan, picture, wanted, needed, _left(needed, plan.footage))


def _left(needed: Frames, footage: Footage) -> Frames:
    """Return the frames of `needed` that have no answer in the work cache, and can have one."""
    left = footage.uncached(needed)
    boxless: dict[str, set[int]] = {}
    for video, frames in left.items():
        if (original := footage.box_original(video)) is not None:
            if original not in boxless:
                boxless[original] = _boxless(footage.store(original))
            end = footage.videos[original].frames
            left[video] = [frame for frame in frames if frame < end and frame not in boxless[original]]
    return {video: frames for video, frames in left.items() if frames}


def _boxless(store: str) -> set[int]:
    """Return the frames that an original has answered without a usable face: no fake gets a box there."""
    rows = answer_store.stored(store)
    usable = {row["frame"] for row in rows if row["reason"] == "" and not row.get("unusable")}
    return {row["frame"] for row in rows} - usable


def _work(footage: Footage, video: str, frames: list[int], boxed: bool) -> Row:
    """Return the amounts of WORK in `frames` of a video, and how many frames must be decoded for them."""
    facts = footage.videos[video]
    images = facts.media == "images"
    decoded = len(frames) if images else decoding.frames_to_decode(frames, list(facts.key_frames))
    return {
        "decoded": decoded,
        "megapixels": decoded * facts.width * facts.height / 1e6,
        "megabytes": facts.bytes / 1e6 * (len(frames) / facts.frames if images else 1),  # read and hashed
        "searched": 0 if boxed else len(frames),
        "checked": len(frames) if boxed else 0,
    }


# --- measuring -------------------------------------------------------------------------------------------------------


def _measured(datasets: list[Dataset], seconds: float) -> dict[str, list[Row]]:
    """Extract some videos of each dataset and take them from its `left`; return by key what each took."""
    if not datasets:
        return {}
    with local_engine(machine.workers(), max(dataset.plan.knobs.timeout for dataset in datasets)) as run:
        return {dataset.key: _measure(dataset, run, seconds / len(datasets)) for dataset in datasets}


def _measure(dataset: Dataset, run: Run, seconds: float) -> list[Row]:
    """Extract a first family of videos for each worker, then as many as the time allows."""
    families = estimates.spread(_families(dataset), max(MEASURED, 2 * machine.workers()))
    taken, others = families[: machine.workers()], families[machine.workers() :]
    start = time.monotonic()
    rows = _extracted(taken, dataset, run)
    took = sum(row["seconds"] for row in rows) / machine.workers() / len(taken)
    more = int((seconds - (time.monotonic() - start)) / max(took, 1e-3))
    if more > 0 and others:
        rows += _extracted(others[:more], dataset, run)
        taken += others[:more]
    if all(row["lost"] for row in rows):
        reasons = ", ".join(f"{reason} ({count})" for reason, count in Counter(row["lost"] for row in rows).items())
        raise UsageError(f"{dataset.key}: none of the {len(rows)} videos that were tried gave an answer: {reasons}")
    tried = {video: dataset.needed[video] for family in taken for video in family}
    untried = {video: frames for video, frames in dataset.left.items() if video not in tried}
    dataset.left = untried | _left(tried, dataset.plan.footage)
    return rows


def _families(dataset: Dataset) -> list[Frames]:
    """Return what is left of each original and the fakes that take its boxes, or of each video; least work first."""
    footage, families = dataset.plan.footage, dict[str, Frames]()
    for video, frames in dataset.left.items():
        families.setdefault(footage.box_original(video) or video, {})[video] = frames[:MOST_FRAMES]

    def size(family: Frames) -> float:
        return sum(_work(footage, video, frames, False)["megapixels"] for video, frames in family.items())

    return sorted(families.values(), key=size)


def _extracted(families: list[Frames], dataset: Dataset, run: Run) -> list[Row]:
    """Extract families; return for each video its WORK, the frames asked for, seconds of a worker, and why it was lost.

    What was not lost has "" there.
    """
    footage, row_of = dataset.plan.footage, dict[str, Row]()

    def timed(_: Any, jobs: Iterable[Request], watch: Watch | None = None) -> Iterator[tuple[Request, Any]]:
        for request, answer in run(timing.timed, jobs, watch):
            seconds, lost = (0.0, answer) if isinstance(answer, Exception) else answer
            work = _work(footage, request.video, list(request.source.frames), request.boxes is not None)
            why = type(lost).__name__ if isinstance(lost, Exception) else lost or ""
            row_of[request.video] = work | {"video": request.video, "seconds": seconds, "lost": why}
            yield request, lost

    wanted = {video: frames for family in families for video, frames in family.items()}
    extraction.attempts(wanted, footage, timed)
    for video in wanted:
        row_of.setdefault(video, {"video": video, "seconds": 0.0, "lost": "no_box_of_original"})
    return [row | {"asked": len(wanted.get(row["video"], ()))} for row in row_of.values()]


# --- scaling up ------------------------------------------------------------------------------------------------------


def _row(dataset: Dataset, measured: list[Row]) -> Row:
    footage = dataset.plan.footage
    rest = pd.DataFrame(
        [
            _work(footage, video, frames, footage.box_original(video) is not None)
            for video, frames in dataset.left.items()
        ],
        columns=["decoded", *WORK],
    )
    left_frames = sum(map(len, dataset.left.values()))
    row: Row = {
        "videos": len(dataset.wanted),
        "frames": sum(map(len, dataset.wanted.values())),
        "cached_frames": sum(len(set(frames) - set(dataset.left.get(v, ()))) for v, frames in dataset.wanted.items()),
        "left_videos": len(dataset.left),
        "left_frames": left_frames,
        "decoded_frames": int(rest.decoded.sum()),
        "measured_videos": len({request["video"] for request in measured}),
    }
    there = [not dataset.left and _is_extracted(dataset), not dataset.left and _is_sharded(dataset)]
    if all(there):
        errors = {f"{figure}_error": 0 for figure in FIGURES}
        return row | {"usable": None, "shard_advice": {}} | dict.fromkeys(FIGURES, 0) | errors
    sample = _sample(dataset, measured)

    def figures(sample: pd.DataFrame) -> np.ndarray:
        priced = sample[sample.seconds.notna()]
        prices = estimates.prices(priced[WORK].to_numpy(float), priced.seconds.to_numpy(float))
        tried, good = max(1, sample.tried.sum()), max(1, sample.usable.sum())
        tries, kept = estimates.outcome(dataset.plan.cells, sample.usable.sum() / tried)
        return np.array(
            [
                rest[WORK].sum().to_numpy(float) @ prices / machine.workers() * tries,
                left_frames * tries * sample.stored_bytes.sum() / tried,
                (not there[0]) * row["frames"] * kept * sample.crop_bytes.sum() / good,
                (not there[1]) * row["frames"] * kept * sample.picture_bytes.sum() / good,
            ]
        )

    row["usable"] = round(float(sample.usable.sum() / max(1, sample.tried.sum())), 4)
    for figure, value, error in zip(FIGURES, figures(sample), estimates.errors(sample, figures), strict=True):
        row[figure] = round(float(value), 3)
        row[f"{figure}_error"] = None if error is None else round(error, 3)
    row["shard_advice"] = _shard_advice(dataset, row["shard_bytes"])
    return row


def _shard_advice(dataset: Dataset, shard_bytes: float) -> dict[str, str]:
    """Return what shard_sizes says of each split, which is taken to hold its part of the wanted frames."""
    split_of = dataset.plan.frames.drop_duplicates("video").set_index("video").split
    frames = pd.Series({video: len(wanted) for video, wanted in dataset.wanted.items()}, dtype=float)
    shares = frames.groupby(split_of.reindex(frames.index)).sum() / max(1, frames.sum())
    bytes_of = {str(split): float(share) * shard_bytes for split, share in shares.items()}
    return shard_sizes.advice(bytes_of, dataset.picture.shards.model_dump())


def _is_extracted(dataset: Dataset) -> bool:
    """Say whether data/extract holds what extraction would give: all wanted frames were tried for it."""
    path = Path("data/extract", dataset.key, "frames.parquet")
    if not path.is_file():
        return False
    frames = tables.read(path, tables.FRAMES, ["video", "frame", "status"])
    tried = frames[frames.status != "unused"].groupby("video").frame.agg(set).to_dict()
    return all(tried.get(video, set()) >= set(wanted) for video, wanted in dataset.wanted.items())


def _is_sharded(dataset: Dataset) -> bool:
    return _is_extracted(dataset) and Path("data/shard", dataset.key, "samples.parquet").is_file()


def _sample(dataset: Dataset, measured: list[Row]) -> pd.DataFrame:
    """Return a row for each video that tells of sizes: those measured, or else some whose answers are in the cache."""
    known = [{"video": video, "lost": "", "asked": len(frames)} for video, frames in dataset.needed.items()]
    table = pd.DataFrame(
        measured or estimates.spread(known, MEASURED), columns=["video", "lost", "asked", "seconds", *WORK]
    )
    table.loc[table.lost != "", "seconds"] = None
    stores = map(dataset.plan.footage.store, table.video)
    sizes = [
        crop_sizes.of_answers(store, asked, dataset.picture) for store, asked in zip(stores, table.asked, strict=True)
    ]
    return table.join(pd.DataFrame(sizes, index=table.index))


def _total(rows: list[Row]) -> Row:
    """Return the sums; errors of datasets are taken for independent of each other."""
    names = ["videos", "frames", "cached_frames", "left_videos", "left_frames", "decoded_frames", "measured_videos"]
    total: Row = {name: sum(row[name] for row in rows) for name in [*names, *FIGURES]}
    for error in (f"{figure}_error" for figure in FIGURES):
        known = [row[error] for row in rows]
        total[error] = None if None in known else float(np.sqrt(np.square(known).sum()))
    return total


# --- in words --------------------------------------------------------------------------------------------------------


def describe(report: Row) -> str:
    """Return the report as text for people."""
    rows, total = report["datasets"], report["total"]
    if total["left_videos"] == total["measured_videos"] == 0:
        lines = [f"nothing is left to decode: the work cache holds all {total['frames']:,} frames of the first round"]
    else:
        shown = rows | ({"total": total} if len(rows) > 1 else {})
        lines = [pd.DataFrame([_cells(key, row) for key, row in shown.items()]).to_string(index=False)]
        lines += [
            f"{key}: {row['usable']:.1%} of the frames of {row['measured_videos']} measured videos are usable"
            for key, row in rows.items()
            if row["measured_videos"]
        ]
        lines.append(
            f"time ([hours:]minutes:seconds) is that of {report['workers']} workers here; ± is two standard errors"
        )
    lines += [
        f"warning: {key}, {split}: {said}" for key, row in rows.items() for split, said in row["shard_advice"].items()
    ]
    disks = [disk for disk in report["disks"] if disk["needed_bytes"]]
    return "\n".join([*lines, *map(_disk_in_words, disks)])


def _cells(key: str, row: Row) -> dict[str, str]:
    counts = {"videos": "videos", "frames": "frames", "cached_frames": "in cache", "left_frames": "left"}
    counts["decoded_frames"] = "to decode"
    sizes = {"work_cache_bytes": "work cache", "extract_bytes": "extract", "shard_bytes": "shard"}
    cells = {"dataset": key} | {title: f"{row[name]:,}" for name, title in counts.items()}
    cells["time"] = _sure(row, "seconds", tqdm.format_interval)
    return cells | {title: _sure(row, name, in_words) for name, title in sizes.items()}


def _sure(row: Row, figure: str, words: Callable[[float], str]) -> str:
    error = row[f"{figure}_error"]
    return words(row[figure]) + (" ± ?" if error is None else f" ± {words(error)}" if error else "")


def _disk_in_words(disk: Row) -> str:
    places = ", ".join(f"{name} {in_words(size)}" for name, size in disk["places"].items())
    needed, free = in_words(disk["needed_bytes"]), in_words(disk["free_bytes"])
    return f"disk: {places}; together {needed} of {free} free{'' if disk['fits'] else ': THIS WILL NOT FIT'}"
