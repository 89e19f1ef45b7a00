"""Scores that others made: read their file, and find the video of a split that each row means."""

from dataclasses import dataclass
from pathlib import Path
from posixpath import splitext

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from scipy.special import expit

from pipeline import selection
from pipeline.errors import UserError
from pipeline.wording import printable

COLUMNS = ("video", "score", "frame", "key")
EMPTY = ("", "nan", "na", "n/a", "null", "none")  # cells that hold no number, in any case
NO_SCORE = "no_score"
NOT_IN_FILE = "not_in_file"
SHOWN = 3  # examples in a message


@dataclass(frozen=True)
class Imported:
    """What a file of scores says of a split.

    `test` and `validation` hold one row per frame (or per video, where `level` is video): video (key), frame (empty
    where the file does not say), key (of the frame, or the video's), score (NaN: none). `ignored` counts the videos of
    the file that are neither: those of train, and those of no split.
    """

    level: str
    test: pd.DataFrame
    validation: pd.DataFrame
    ignored: dict[str, int]


def load(file: Path, index: pd.DataFrame, videos: pd.DataFrame, *, logits: bool = False) -> Imported:
    """Read `file` and sort its rows by the split their videos are in.

    Arguments: `file` and `logits` as for `read`; `index`, the rows of tables.VIDEOS of the dataset (video, path, name);
    `videos`, those of tables.ASSIGNMENTS. Raises UserError where a row cannot be read, its video is unknown or
    ambiguous, a frame stands there twice, or no row is of a test video.
    """
    scores = read(file, logits=logits)
    level = "frame" if {"frame", "key"} & set(scores) else "video"
    scores["video"] = match(file, scores.video, index)
    item = ["video", *(column for column in ("frame", "key") if column in scores)][:2]
    if (twice := scores.duplicated(item)).any():
        first = scores[twice].iloc[0]
        what = f"the {level} {printable(' '.join(str(first[column]) for column in item))}"
        raise UserError(
            f"{file}: {what} stands there more than once (rows too many: {twice.sum():,}); leave one of each"
        )
    if "key" not in scores:
        scores["key"] = selection.flat_keys(scores) if level == "frame" else scores.video
    if "frame" not in scores:
        scores["frame"] = pd.Series(pd.NA, scores.index, dtype="Int64")
    if (twice := scores.key.duplicated()).any():  # of two videos: those of one were refused above
        raise UserError(f"{file}: the key {printable(scores.key[twice].iloc[0])!r} stands at several frames")
    usable = videos[(videos.status == "ok") | (videos.split == "test")].set_index("video").split
    split = scores.video.map(usable).fillna("none")
    if not (split == "test").any():
        raise UserError(f"{file}: none of its {scores.video.nunique():,} videos is a test video of the split table")
    columns = ["video", "frame", "key", "score"]
    parts = {name: scores.loc[split == name, columns].reset_index(drop=True) for name in ("test", "val")}
    ignored = scores.video[split.isin(["train", "none"])].groupby(split).nunique()
    return Imported(level, parts["test"], parts["val"], {str(name): int(count) for name, count in ignored.items()})


def read(file: Path, *, logits: bool = False) -> pd.DataFrame:
    """Read a CSV or Parquet table of scores (Parquet where its name ends in .parquet).

    Its columns are `video` and `score` (0 to 1; with `logits` any number, of which the sigmoid is taken; an empty cell
    or nan: none), and for frames `frame` (index from 0) or `key`; others are ignored. Returns those it has: video and
    key as text, frame as int64, score as float64 in 0..1 or NaN. Raises UserError naming the cell that is wrong.
    """
    table = _table(file)
    found = [name for name in COLUMNS if name in table.column_names]
    if {"video", "score"} - set(found) or len(set(table.column_names)) < len(table.column_names):
        columns = printable(",".join(table.column_names))
        raise UserError(f"{file}: expected the columns video and score, and each column once; found {columns}")
    if not len(table):
        raise UserError(f"{file} holds no row below its header")
    scores = pd.DataFrame({name: _cells(file, name, table[name]) for name in found})
    for name in {"video", "key"} & set(found):
        if (missing := scores[name] == "").any():
            raise UserError(f"{file}: row {missing.to_numpy().argmax() + 1:,} has no {name}")
    scores["score"] = _scores(file, scores, logits)
    if "frame" in scores:
        scores["frame"] = _frames(file, scores)
    return scores


def _table(file: Path) -> pa.Table:
    kind = "Parquet" if file.suffix.lower() == ".parquet" else "CSV"
    parsed = pa.csv.ParseOptions(newlines_in_values=True)
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=False)
    try:
        table = pq.read_table(file) if kind == "Parquet" else pa.csv.read_csv(file, None, parsed, as_text)
        return table.rename_columns([name.strip() for name in table.column_names])
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{file}: expected a {kind} table: {printable(str(error))}") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None


def _cells(file: Path, name: str, column: pa.ChunkedArray) -> pd.Series:
    """Return a column as text without blanks at its ends, empty where there is no value."""
    try:
        text = pc.fill_null(pc.utf8_trim_whitespace(column.cast(pa.large_string())), "")
    except pa.ArrowException:
        raise UserError(f"{file}: the column {name} holds neither text nor numbers, but {column.type}") from None
    return text.to_pandas().astype("str")


def _scores(file: Path, scores: pd.DataFrame, logits: bool) -> npt.NDArray[np.float64]:
    values = _numbers(file, scores, "score")
    if logits:
        return np.asarray(expit(values))
    if (outside := (values < 0) | (values > 1)).any():
        where = _where(scores, int(outside.argmax()), "score")
        hint = "if these are logits, say --logits" if np.isfinite(values[outside]).all() else "correct them"
        raise UserError(f"{file}: {where} is not a probability, 0 to 1 (such rows: {outside.sum():,}); {hint}")
    return values


def _frames(file: Path, scores: pd.DataFrame) -> npt.NDArray[np.int64]:
    values = _numbers(file, scores, "frame")
    wrong = ~((values >= 0) & (values < 2**31) & (values == np.floor(values)))
    if wrong.any():
        raise UserError(f"{file}: {_where(scores, int(wrong.argmax()), 'frame')} is no index of a frame, 0 or more")
    return values.astype(np.int64)


def _numbers(file: Path, scores: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """Return a column of text as numbers, exactly as written; NaN for empty cells."""
    cells = scores[column].mask(scores[column].str.lower().isin(EMPTY), "nan").to_numpy(object)
    try:
        return cells.astype(np.float64)
    except ValueError:
        pass
    wrong = next(place for place, cell in enumerate(cells) if not _is_number(cell))
    raise UserError(f"{file}: {_where(scores, wrong, column)} is no number")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _where(scores: pd.DataFrame, place: int, column: str) -> str:
    """Return in words which cell is meant."""
    row = scores.iloc[place]
    return f"row {place + 1:,} ({printable(row['video'])}): {column} {printable(str(row[column]))!r}"


def match(file: Path, names: pd.Series, index: pd.DataFrame) -> pd.Series:
    """Return the key of the video that each of `names` means, in their order.

    A name is a video's key, or its path below the dataset's root, with or without extension. `index` are the rows of
    tables.VIDEOS, with the columns video, path and name. Raises UserError for names that mean no video, and for those
    that mean several: two methods may well use one file name, and their videos are never merged.
    """
    meant = _meanings(index)
    asked = pd.Index(names.unique())
    known = meant[meant.index.isin(asked)]
    if (several := known[known.index.duplicated(keep=False)]).size:
        raise _ambiguous(file, several)
    if len(unknown := asked.difference(known.index, sort=False)):
        bare = index.set_index("name").video
        if (alike := bare[bare.index.isin(unknown)]).index.has_duplicates:
            raise _ambiguous(file, alike[alike.index.duplicated(keep=False)])
        examples = ", ".join(printable(name) for name in unknown[:SHOWN])
        expected = f"give keys such as {index.video.iloc[0]}, or paths such as {index.path.iloc[0]}"
        raise UserError(f"{file}: {len(unknown):,} of {len(asked):,} names mean no video: {examples}; {expected}")
    return names.map(known)


def _meanings(index: pd.DataFrame) -> pd.Series:
    """Return the videos by each name they go by; a name of several videos is there for each of them."""
    stems = index.path.map(lambda path: splitext(path)[0])
    by_name = [pd.DataFrame({"name": names, "video": index.video}) for names in (index.video, index.path, stems)]
    return pd.concat(by_name).drop_duplicates().set_index("name").video


def _ambiguous(file: Path, meant: pd.Series) -> UserError:
    """Say of the first of several ambiguous names which videos it could mean."""
    name, count = meant.index[0], meant.index.nunique()
    could_be = " or ".join(map(printable, meant.loc[[name]].tolist()[:SHOWN]))
    more = f" ({count:,} names are so)" if count > 1 else ""
    return UserError(f"{file}: {printable(name)} could be {could_be}{more}; give the video's key or path instead")
