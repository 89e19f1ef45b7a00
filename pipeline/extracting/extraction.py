"""Fill the quotas: ask for frames in rank order, round by round, and choose one face in each frame that gave any.

Every attempt ends as a row. What frames give is answered by `answers.extract_video` in workers, or by the work cache.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline import selection, tables
from pipeline.engines import Run, WorkerDied, WorkerKilled, twice
from pipeline.errors import UserError
from pipeline.extracting import answer_store, answers, face_choice
from pipeline.extracting.answers import Request
from pipeline.extracting.footage import Boxes, Footage
from pipeline.files import bucket_of
from pipeline.progress import track
from pipeline.tars import write_tar

Wanted = Mapping[str, Sequence[int]]  # video -> frames

RESERVE = 0.1  # share of each first selection that a part of a cluster's work adds, for frames that will fail

# The types of what answers hold; what is not named here is text.
TYPES = dict.fromkeys([f"{kind}_{side}" for kind in ("box", "crop") for side in answers.SIDES], pa.int32())
TYPES |= {"frame": pa.int32(), "face": pa.int16(), "landmarks": pa.list_(pa.int32())}
TYPES |= {"start": pa.int64(), "bytes": pa.int64()}
TYPES |= dict.fromkeys(["probability", "sharpness", "evidence"], pa.float32())
ROWS = pa.schema([(name, TYPES.get(name, pa.string())) for name in ("video", *answers.COLUMNS, "crops")])
NULLABLE = {pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}

# Reasons of frames that have no answer.
LOST = ("timeout", "worker_died", "worker_killed", *answers.LOST)

NOT_FORGED = "not_the_forged_face"

# Reasons of frames in which no face was searched for.
UNSEARCHED = ("corrupt_frame", "missing_frame", "no_box_of_original", *LOST)


def extract(frames: pd.DataFrame, cells: pd.DataFrame, footage: Footage, run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill the quotas `cells` (tables.QUOTAS) from the ranked `frames` (tables.RANKED), in rounds.

    Returns the frames with the columns state (untried, good, failed), reason, those of tables.FACE and tables.CROP
    that are known here, and crops, start: the file of the work cache that holds the crop, and where; and every face
    that was found in them, as rows of tables.FACES.
    """
    frames = frames.assign(state="untried", reason="")
    found, choices, barred = _table([]), _choices(_table([]), footage), frames.index[:0]
    while len(wanted := selection.next_round(frames, cells)):
        answered = attempts(_by_video(frames.loc[wanted]), footage, run)
        _note(frames, wanted, answered)
        found = pd.concat([found, answered])
        # Which person was forged shows better with every frame of the video.
        choices = _choices(found, footage)
        now_barred = _rows_of(frames, choices[choices.chosen_by == NOT_FORGED])
        frames.loc[barred, ["state", "reason"]] = ["good", ""]
        frames.loc[now_barred, ["state", "reason"]] = ["failed", NOT_FORGED]
        barred = now_barred
    return _assembled(frames, found, choices, footage)


def _note(frames: pd.DataFrame, wanted: pd.Index, answered: pd.DataFrame) -> None:
    """Set state and reason of the frames that were asked for."""
    reason = answered.drop_duplicates(["video", "frame"]).set_index(["video", "frame"]).reason
    reasons = reason.reindex(pd.MultiIndex.from_frame(frames.loc[wanted, ["video", "frame"]]).set_names([None] * 2))
    if reasons.isna().any():
        raise UserError(
            f"extract: {int(reasons.isna().sum())} answers have gone from the work cache meanwhile; run it again, "
            "and leave the cache alone while it runs"
        )
    frames.loc[wanted, "reason"] = reasons.to_numpy()
    frames.loc[wanted, "state"] = np.where(reasons == "", "good", "failed")


def _rows_of(frames: pd.DataFrame, places: pd.DataFrame) -> pd.Index:
    """Return the index of the `frames` at (video, frame) of `places`, which are few."""
    part = frames.loc[frames.video.isin(places.video), ["video", "frame"]].astype({"video": "str"})
    at = pd.MultiIndex.from_frame(places[["video", "frame"]])
    return part.index[pd.MultiIndex.from_frame(part).isin(at)]


def first_round(frames: pd.DataFrame, cells: pd.DataFrame) -> dict[str, list[int]]:
    """Return the frames of each video that are tried first: enough to fill every quota if all are good."""
    return _by_video(frames.loc[selection.next_round(frames.assign(state="untried"), cells)])


def fill_cache(
    frames: pd.DataFrame, cells: pd.DataFrame, footage: Footage, run: Run, part: int, parts: int
) -> tuple[int, int]:
    """Answer the frames of the first round, and some in reserve, for the videos of part `part` of `parts` (from 0).

    An original and the fakes that take its boxes are in one part. Nothing but the work cache is written.
    Returns how many videos and frames the part has. Raises UserError, at the end, when some have no answer.
    """
    untried = frames.assign(state="untried")
    first = selection.next_round(untried, cells)
    cell = untried.groupby(selection.CELL, observed=True).ngroup()
    reserve = (cell[first].value_counts() * RESERVE).map(math.ceil)
    behind = untried.drop(first).sort_values("rank", kind="stable").index
    next_in_rank = cell[behind].groupby(cell[behind]).cumcount() < cell[behind].map(reserve).fillna(0)
    wanted = _by_video(untried.loc[first.union(behind[next_in_rank])])
    mine = {
        video: asked
        for video, asked in wanted.items()
        if bucket_of(footage.box_original(video) or video, parts) == part
    }
    found = attempts(mine, footage, run).drop_duplicates(["video", "frame"])
    lost = Counter(found.reason[found.reason.isin(LOST)])
    if lost:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(lost.items()))
        raise UserError(f"{sum(lost.values()):,} of {len(found):,} frames have no answer: {reasons}; all others have")
    return len(mine), len(found)


def _by_video(frames: pd.DataFrame) -> dict[str, list[int]]:
    """Return video -> its frames, both ascending."""
    ordered = frames[["video", "frame"]].sort_values(["video", "frame"])
    return {str(video): part.tolist() for video, part in ordered.groupby("video", observed=True).frame}


# --- asking ----------------------------------------------------------------------------------------------------------


def attempts(wanted: Wanted, footage: Footage, run: Run) -> pd.DataFrame:
    """Return what the wanted frames gave: at least one row (ROWS) for each.

    Where fakes take the boxes of their originals, the same frames of those are asked for first.
    """
    original_of = {video: original for video in wanted if (original := footage.box_original(video)) is not None}
    searched = {video: frames for video, frames in footage.with_originals(wanted).items() if video not in original_of}
    found = _gathered(searched, footage, run, None)
    if original_of:
        boxes = _usable_boxes(found)
        boxed = {
            video: [frame for frame in wanted[video] if (original, frame) in boxes]
            for video, original in original_of.items()
        }
        without = _without_box(found, wanted, boxed, original_of)
        found = pd.concat([found, without, _gathered(boxed, footage, run, boxes)])
    asked = pd.MultiIndex.from_tuples([(video, frame) for video, part in wanted.items() for frame in part])
    return found[pd.MultiIndex.from_frame(found[["video", "frame"]]).isin(asked)]


def _gathered(wanted: Wanted, footage: Footage, run: Run, boxes: Boxes | None) -> pd.DataFrame:
    """Return the rows of all `wanted` frames: out of the work cache, which is filled before with what it lacks."""
    parts, rows, left = [], list[answers.Row](), dict[str, Sequence[int]]()

    def held(video: str) -> list[answers.Row]:
        frames = set(wanted[video])
        return [row | {"video": video} for row in answer_store.stored(footage.store(video)) if row["frame"] in frames]

    def keep(found: list[answers.Row]) -> None:
        nonlocal rows
        rows += found
        if len(rows) > 100_000:  # as Python objects they take ten times the memory
            parts.append(_table(rows))
            rows = []

    for video, asked in wanted.items():
        found = held(video)
        if {row["frame"] for row in found} >= set(asked):
            keep(found)
        else:
            left[video] = asked
    lost = dict(_answer(footage.requests(left, boxes), run))
    for video, asked in left.items():
        found = held(video)
        unknown = sorted(set(asked) - {row["frame"] for row in found}) if video in lost else []
        keep(found + [row | {"video": video} for row in answer_store.unanswered(unknown, lost.get(video, ""))])
    return pd.concat([*parts, _table(rows)])


def _table(rows: list[answers.Row]) -> pd.DataFrame:
    table: pd.DataFrame = pa.Table.from_pylist(rows, schema=ROWS).to_pandas(types_mapper=NULLABLE.get)
    return table.astype({"frame": "int32"})


def _answer(requests: list[Request], run: Run) -> Iterator[tuple[str, str]]:
    """See to it that every request's answer lies in the work cache; yield (video, reason) where there is none.

    Raises UserError when the cache cannot be written, and when every single worker failed in the same unexpected way.
    """
    results = track(
        twice(run), answers.extract_video, requests, "extract", frames_of=lambda request: len(request.source.frames)
    )
    unexpected: Counter[str] = Counter()
    for request, reason in results:
        if not isinstance(reason, Exception):
            if reason is not None:
                yield request.video, reason
            continue
        if isinstance(reason, OSError) and not isinstance(reason, TimeoutError):  # full disk, cache not writable
            raise UserError(f"extract cannot write its work cache: {reason}; mend that and run again, nothing is lost")
        why = _why_lost(reason)
        if why == "worker_died" and not isinstance(reason, WorkerDied):
            said = f"{type(reason).__name__}: {reason}"
            unexpected[said] += 1
            if unexpected[said] == 1:
                print(f"extract: {request.video}: {said}", file=sys.stderr)
            if len(requests) > 1 and unexpected[said] == len(requests):
                raise UserError(f"extract could not read a single one of {len(requests)} videos: {said}")
        yield request.video, why


def _why_lost(error: Exception) -> str:
    """Return the reason for a video whose worker gave no answer."""
    if isinstance(error, TimeoutError):
        return "timeout"
    return "worker_killed" if isinstance(error, WorkerKilled | MemoryError) else "worker_died"


def _usable_boxes(found: pd.DataFrame) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Return the boxes of each frame's usable faces."""
    usable = found[(found.reason == "") & (found.unusable == "")]
    columns = [usable[f"box_{side}"].tolist() for side in answers.SIDES]
    boxes: dict[tuple[str, int], tuple[Any, ...]] = {}
    for video, frame, *box in zip(usable.video, usable.frame, *columns, strict=True):
        boxes[video, frame] = (*boxes.get((video, frame), ()), tuple(box))
    return boxes


def _without_box(found: pd.DataFrame, wanted: Wanted, boxed: Wanted, original_of: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of fakes' frames whose originals have no box for them; what was lost there is lost here."""
    lost = found[found.reason.isin(LOST)].set_index(["video", "frame"]).reason.to_dict()
    rows = [
        {"video": video, "frame": frame, "reason": lost.get((original, frame), "no_box_of_original")}
        for video, original in original_of.items()
        for frame in sorted(set(wanted[video]) - set(boxed[video]))
    ]
    return _table(rows)


# --- assembling ------------------------------------------------------------------------------------------------------


def _assembled(
    frames: pd.DataFrame, found: pd.DataFrame, choices: pd.DataFrame, footage: Footage
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give each frame its chosen face and crop; return the frames, and all faces as rows of tables.FACES."""
    place = ["video", "frame"]
    frames = frames.astype({"video": "str"})
    faces = found[found.face.notna()]
    whole = found[(found.reason == "") & found.face.isna()].assign(chosen_by="")
    usable = faces[(faces.reason == "") & (faces.unusable == "")]
    chosen = usable.merge(choices[choices.chosen_by != NOT_FORGED], on=[*place, "face"], validate="one_to_one")
    searched = footage.recipe.faces != "none"
    seen = pd.DataFrame({"faces": faces.groupby(place).size(), "best": faces.groupby(place).probability.max()})

    columns = ["face", "chosen_by", "probability", "landmarks", "sharpness", "crops", "start", "bytes", "sha256"]
    columns += [f"{kind}_{side}" for kind in ("box", "crop") for side in answers.SIDES]
    frames = frames.merge(pd.concat([chosen, whole])[[*place, *columns]], on=place, how="left", validate="one_to_one")
    frames = frames.merge(seen.reset_index(), on=place, how="left", validate="one_to_one")
    looked_at = (frames.state != "untried") & ~frames.reason.isin(UNSEARCHED)
    frames["faces"] = frames.faces.where(~looked_at, frames.faces.fillna(0)).astype("Int16") if searched else pd.NA
    frames["probability"] = frames.probability.fillna(frames.best)
    frames["chosen_by"] = frames.chosen_by.fillna("")
    faces = faces.merge(frames[[*place, "key"]], on=place, validate="many_to_one")
    return frames.drop(columns="best"), faces[tables.FACES.names]


def _choices(found: pd.DataFrame, footage: Footage) -> pd.DataFrame:
    """Return video, frame, face, chosen_by: one row for each frame with usable faces."""
    columns = ["video", "frame", "face", "chosen_by"]
    usable = found[found.face.notna() & (found.reason == "") & (found.unusable == "")]
    several = usable.duplicated(["video", "frame"], keep=False)
    crowded = usable.video.isin(usable.video[several])
    # Most videos never show two faces at once.
    parts = [usable[~crowded].assign(chosen_by="only")[columns]]
    for video, part in usable[crowded].groupby("video"):
        forged = footage.videos[str(video)].label == tables.FAKE
        choice = face_choice.choose(part, forged=forged, clue=footage.clue_kind(str(video)))
        parts.append(choice.assign(video=video)[columns])
    return pd.concat(parts)


def write_crops(folder: Path, kept: pd.DataFrame, tars: int, suffix: str) -> pd.DataFrame:
    """Pack the crops of the frames `kept` into `tars` tars by hash of the video; all are written, also empty ones.

    `kept` has key, video, frame and crops, start, bytes. Returns tar and offset for each row; `suffix` is that of the
    members' names.
    """
    kept = kept.sort_values(["video", "frame"])
    bucket = kept.video.map(lambda video: bucket_of(video, tars))
    parts = []
    for number in range(tars):
        part = kept[bucket == number]
        name = f"crops-{number:05d}.tar"
        offsets = write_tar(folder / name, _members(part, suffix))
        parts.append(pd.DataFrame({"tar": name, "offset": pd.array(offsets, dtype="Int64")}, index=part.index))
    return pd.concat(parts)


def _members(part: pd.DataFrame, suffix: str) -> Iterable[tuple[str, bytes]]:
    crops = answer_store.read_crops(zip(part.crops, part.start.astype(int), part.bytes.astype(int), strict=True))
    return ((f"{key}{suffix}", crop) for key, crop in zip(part.key, crops, strict=True))
