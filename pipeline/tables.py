"""Every table that stages exchange: its columns, types, units and meaning, in one place.

A table is a Parquet file with exactly the columns of its schema here. `write` puts rows into a fixed order and
refuses other columns; `read` refuses a file of another schema. table_docs.py writes docs/tables.md from it.
"""

from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import UserError
from pipeline.files import whole_or_absent

REAL, FAKE = 0, 1
CLASSES = {REAL: "real", FAKE: "fake"}
SPLITS = ("train", "val", "test")
SEVERITIES = ("error", "warning", "note")  # of findings, worst first
NO_VIDEO = ("missing", "stray", "sidecar")  # reasons of rows that stand for no file of a release
NOT_ASKED_FOR = ("not_selected", "not_in_subset")
ROW_GROUP = 2**20  # rows that are written at once; part of the bytes of a table

text = pa.string()
name = pa.dictionary(pa.int32(), pa.string())


def _column(column: str, kind: pa.DataType, meaning: str, *, null: bool = False) -> pa.Field:
    return pa.field(column, kind, nullable=null, metadata={"meaning": meaning})


_VIDEO = _column("video", name, "key of the video: dataset/method/compression/name")
_DATASET = _column("dataset", name, "key of the dataset in params.yaml")
_STATUS = _column("status", name, "ok or rejected")
_REASON = _column("reason", text, "code of the rejection; empty for ok")
_LABEL = _column("label", pa.int8(), "0 = real, 1 = fake")
_METHOD = _column("method", name, "how the video was made: the method's folder, or the kind of real footage")
_COMPRESSION = _column("compression", name, "compression level the folder claims; `native` where the dataset has none")
_SPLIT = _column("split", name, "train, val or test")
_GROUP = _column(
    "group",
    name,
    "provenance group: videos tied by recording, source video or content (carved sets: person)",
)
_KEY = _column("key", text, "flat unique key of the frame")
_KIND = _column("kind", name, "what is shared: see LINKS in pipeline/provenance.py")
_NODE = _column("node", text, "the recording, source video, person or content hash that is shared")
_FRAME = _column("frame", pa.int32(), "index of the frame in presentation order, from 0")
_PTS = _column("pts", pa.int64(), "presentation time stamp in the stream's time base")
_TIME = _column("time_s", pa.float64(), "time after the first frame, seconds; empty for images", null=True)
_DETAIL = _column("detail", text, "what exactly was found, for people")

VIDEOS = pa.schema(
    [
        _VIDEO,
        _DATASET,
        _column("path", text, "path below the dataset's root, forward slashes; of a frame folder its first image"),
        _column("media", name, "video (one file), or images (one image, or the frames of one video as images)"),
        _column("images", pa.list_(text), "paths of the images in frame order; empty for a video", null=True),
        _column("image_sha256", pa.list_(text), "SHA-256 of each image; empty for a video", null=True),
        _column("name", text, "path below the method's folder, without extension"),
        _METHOD,
        _COMPRESSION,
        _column(
            "label",
            pa.int8(),
            "0 = real, 1 = fake; empty for files that are no video of it or without label",
            null=True,
        ),
        _column(
            "official_split", name, "train, val or test by the published lists; empty where they are silent", null=True
        ),
        _column("recording", text, "recording the picture shows (for a fake: the target's), as corpus/name", null=True),
        _column("donor_recording", text, "recording the swapped-in face comes from, as corpus/name", null=True),
        _column("source_video", text, "published video the recording was cut from, as site/id", null=True),
        _column(
            "donor_source_video", text, "published video the donor's recording was cut from, as site/id", null=True
        ),
        _column("person", text, "person whose body the picture shows (for a fake: the target), corpus/name", null=True),
        _column("donor_person", text, "person whose face was put in, as corpus/name", null=True),
        _column("original", text, "key of the untouched video a fake was made from", null=True),
        _column("mask", text, "path of the mask of the forged region, below the dataset's root", null=True),
        _column(
            "mask_frames", pa.int32(), "exact number of frames of the mask; empty where it cannot be read", null=True
        ),
        _column("mask_sha256", text, "SHA-256 of the mask's file; empty where it cannot be read", null=True),
        _column(
            "bytes", pa.int64(), "size of the file or of all images, bytes; empty where nothing was opened", null=True
        ),
        _column(
            "sha256",
            text,
            "SHA-256 of the file, or of the images' hashes in order; empty where nothing was opened",
            null=True,
        ),
        _column("container", text, "container format", null=True),
        _column("video_streams", pa.int32(), "number of video streams; the first is used", null=True),
        _column("codec", text, "video codec", null=True),
        _column("profile", text, "profile of the codec", null=True),
        _column("pix_fmt", text, "pixel format", null=True),
        _column("width", pa.int32(), "coded width, pixels", null=True),
        _column("height", pa.int32(), "coded height, pixels", null=True),
        _column(
            "sample_aspect", text, "shape of a pixel, width:height; empty where the stream does not say", null=True
        ),
        _column("frame_rate", pa.float64(), "average frame rate, frames per second", null=True),
        _column("time_base", pa.float64(), "length of one pts unit, seconds", null=True),
        _column(
            "duration_s", pa.float64(), "from the first frame's to the end of the last frame's time, seconds", null=True
        ),
        _column("bit_rate", pa.float64(), "video packets' bits per second of duration", null=True),
        _column("color_space", text, "colour matrix tag (FFmpeg's name)", null=True),
        _column("color_range", text, "colour range tag (FFmpeg's name)", null=True),
        _column("color_primaries", text, "colour primaries tag (FFmpeg's name)", null=True),
        _column("color_transfer", text, "transfer characteristic tag (FFmpeg's name)", null=True),
        _column("rotation", pa.int32(), "clockwise turn that display asks for, degrees", null=True),
        _column("audio_streams", pa.int32(), "number of audio streams", null=True),
        _column("audio_codec", text, "codec of the first audio stream", null=True),
        _column("encoder", text, "x264's settings as written in the bitstream", null=True),
        _column("crf", pa.float64(), "constant rate factor among x264's settings", null=True),
        _column(
            "claimed_frames", pa.int32(), "frames the container's header claims; empty where it does not say", null=True
        ),
        _column("frames", pa.int32(), "exact number of video packets that hold a frame, or of images", null=True),
        _column("gop", pa.int32(), "longest run from one key frame to the next, frames", null=True),
        _column("pts", pa.list_(pa.int64()), "time stamp of every frame, ascending; of images 0, 1, 2, ...", null=True),
        _column("key_frames", pa.list_(pa.int32()), "indices of the frames where decoding can start", null=True),
        _STATUS,
        _REASON,
        _DETAIL,
    ]
)

FINDINGS = pa.schema(
    [
        _DATASET,
        _column("stage", name, "stage that found it"),
        _column("severity", name, "error (the pipeline stops), warning or note"),
        _column("code", name, "what kind of finding; docs/findings.md explains each"),
        _column("subject", text, "video, frame, split or file it is about"),
        _DETAIL,
    ]
)

ASSIGNMENTS = pa.schema(
    [
        _VIDEO,
        _column(
            "label",
            pa.int8(),
            "0 = real, 1 = fake; empty for files that are no video of it or without label",
            null=True,
        ),
        _METHOD,
        _column("group", name, "provenance group; empty for rejected videos", null=True),
        _column("split", name, "train, val or test (rejected videos: by the published lists); else empty", null=True),
        _column(
            "split_by",
            name,
            "official (published lists) or carved (in whole groups); empty without a split",
            null=True,
        ),
        _STATUS,
        _REASON,
    ]
)

LEAKS = pa.schema(
    [
        _KIND,
        _NODE,
        *[_column(split, pa.int32(), f"videos of {split} tied to it") for split in SPLITS],
    ]
)

TIES = pa.schema(
    [
        _KIND,
        _SPLIT,
        _column("tied_to", name, "another split"),
        _column("videos", pa.int32(), "videos of `split` that share at least one such node with videos of `tied_to`"),
    ]
)

ACROSS = pa.schema(
    [
        _KIND,
        _NODE,
        _column("learned", name, "dataset whose train or val videos are tied to it"),
        _column("tested", name, "dataset whose test videos are tied to it"),
        _column("learned_videos", pa.int32(), "videos of train and val of `learned`"),
        _column("tested_videos", pa.int32(), "videos of test of `tested`"),
    ]
)

SAMPLED_VIDEOS = pa.schema(
    [
        _VIDEO,
        _column("frames", pa.int32(), "frames the video has; empty for rejected videos", null=True),
        _column("candidates", pa.int32(), "frames taken as candidates"),
        _STATUS,
        _REASON,
    ]
)

CANDIDATES = pa.schema([_VIDEO, _SPLIT, _LABEL, _METHOD, _FRAME, _PTS, _TIME])

FLAT = pa.schema([_KEY, *CANDIDATES])

_RANK = _column("rank", pa.int32(), "place in the order in which its split and class is filled, from 0")

RANKED = pa.schema([*FLAT, _RANK, _column("turn", pa.int32(), "place among the frames of its video, from 0")])

QUOTAS = pa.schema(
    [
        _SPLIT,
        _LABEL,
        _column("rule", text, "quota as asked: a number, smallest_class or none"),
        _column("min_per_video", pa.int32(), "good frames of each video that are kept whatever the quota"),
        _column("candidates", pa.int32(), "candidate frames"),
        _column("videos", pa.int32(), "videos with candidate frames"),
        _column("quota", pa.int32(), "frames to keep if every frame is good; smallest_class may shrink in extract"),
    ]
)

_BOX = [
    *[
        _column(f"box_{side}", pa.int32(), f"{meaning} of the face, pixels of the upright frame", null=True)
        for side, meaning in (("x", "left edge"), ("y", "upper edge"), ("width", "width"), ("height", "height"))
    ],
    _column(
        "landmarks", pa.list_(pa.int32()), "x, y of left eye, right eye, nose, left and right mouth corner", null=True
    ),
]
_PROBABILITY = _column("probability", pa.float32(), "detector's probability of the face, 3 digits", null=True)

FACE = [
    _column("faces", pa.int16(), "faces found in the frame; empty where no detector ran", null=True),
    _column("face", pa.int16(), "number of the chosen face in faces.parquet", null=True),
    _column(
        "chosen_by",
        name,
        "why this face: only (the only usable one), track (the largest over the video), mask, original (what differs "
        "from it), ambiguous_face (a fake with several usable faces and no clue: the largest); empty without a face",
    ),
    _PROBABILITY,
    *_BOX,
]
CROP = [
    *[
        _column(f"crop_{side}", pa.int32(), f"{meaning} of the loose crop, pixels of the upright frame", null=True)
        for side, meaning in (("x", "left edge"), ("y", "upper edge"), ("width", "width"), ("height", "height"))
    ],
    _column("sharpness", pa.float32(), "variance of the Laplacian of the grey loose crop", null=True),
    _column("tar", text, "tar that holds the loose crop, below the stage's folder", null=True),
    _column("offset", pa.int64(), "first byte of the crop in the tar", null=True),
    _column("bytes", pa.int64(), "length of the crop file, bytes", null=True),
    _column("sha256", text, "SHA-256 of the crop file", null=True),
]

FRAMES = pa.schema(
    [
        *RANKED,
        _GROUP,
        _column(
            "status", name, "kept, failed (tried, not usable), surplus (good, not needed) or unused (never decoded)"
        ),
        _column("reason", text, "code of the failure; empty otherwise"),
        *FACE,
        *CROP,
        _column("recipe", name, "versions of decoder and detector that made the row; empty for unused frames"),
    ]
)

FACES = pa.schema(
    [
        _KEY,
        _column("face", pa.int16(), "number of the face in its frame, the most probable first, from 0"),
        _PROBABILITY,
        *_BOX,
        _column("unusable", name, "improbable_face, small_face or blurred_face; empty for a usable face"),
        _column("sharpness", pa.float32(), "variance of the Laplacian of its grey loose crop", null=True),
        _column(
            "evidence",
            pa.float32(),
            "of forgery, where a frame has several usable faces: share of the box that the mask marks, or mean "
            "absolute difference from the original there, grey levels; 3 digits",
            null=True,
        ),
    ]
)

FILLED = pa.schema(
    [
        *[field for field in QUOTAS if field.name != "quota"],
        _column("quota", pa.int32(), "frames to keep, after what the frames turned out to hold"),
        _column("tried", pa.int32(), "frames decoded"),
        _column("failed", pa.int32(), "frames decoded that were not usable"),
        _column("surplus", pa.int32(), "good frames that were not needed"),
        _column("kept", pa.int32(), "frames kept"),
    ]
)

SAMPLES = pa.schema(
    [
        _KEY,
        _DATASET,
        _VIDEO,
        _SPLIT,
        _LABEL,
        _METHOD,
        _GROUP,
        _FRAME,
        _TIME,
        _column("shard", name, "tar that holds the sample, below the stage's folder"),
        _column("offset", pa.int64(), "first byte of the .jpg in the shard"),
        _column("bytes", pa.int64(), "length of the .jpg, bytes"),
        _column("sha256", text, "SHA-256 of the .jpg"),
    ]
)

LEARNED = pa.schema(
    [
        _DATASET,
        _KEY,
        _SPLIT,
        _column("part", name, "what training used it for: train, val or test"),
        _column("copy", pa.int32(), "which of several copies of the picture, from 0"),
    ]
)

SCORES = pa.schema(
    [
        _column("level", name, "frame or video"),
        _DATASET,
        _VIDEO,
        _column("frame", pa.int32(), "index of the frame; empty at video level", null=True),
        _column("key", text, "flat key of the frame; the video's key at video level"),
        _SPLIT,
        _LABEL,
        _METHOD,
        _COMPRESSION,
        _GROUP,
        _column(
            "leak_free",
            pa.bool_(),
            "whether the video shares no recording, source video or content with what the model learned from",
        ),
        _column(
            "score", pa.float64(), "probability that it is fake, 0 to 1; empty where it could not be scored", null=True
        ),
        _column("frames_scored", pa.int32(), "frames behind the score"),
        _column("status", name, "scored or unscored"),
        _column("reason", text, "why it could not be scored; empty otherwise"),
    ]
)

METRICS = pa.schema(
    [
        _DATASET,
        _column("level", name, "frame or video"),
        _column("rule", name, "how frames became a video's score: mean, median, ...; empty at frame level"),
        _column("subset", name, "`all` test items, or the `leak_free` ones alone"),
        _column("method", name, "`all`, or one manipulation method against all reals"),
        _column("compression", name, "`all`, or one level of compression alone"),
        _column("metric", name, "name of the metric; docs/evaluation.md has each"),
        _column("value", pa.float64(), "the figure; empty where it is undefined (one class only)", null=True),
        _column("lower", pa.float64(), "lower end of the 95 % interval, where there is one", null=True),
        _column("upper", pa.float64(), "upper end of the 95 % interval, where there is one", null=True),
        _column("real", pa.int32(), "real items behind the figure"),
        _column("fake", pa.int32(), "fake items behind the figure"),
        _column("groups", pa.int32(), "provenance groups behind the figure"),
        _column("expected", pa.int32(), "items that should have been scored; coverage is (real + fake) / expected"),
    ]
)

VALIDATION = pa.schema(
    [
        _DATASET,
        _VIDEO,
        _KEY,
        _LABEL,
        _GROUP,
        _column("score", pa.float64(), "probability that it is fake, 0 to 1"),
    ]
)

ROBUSTNESS = pa.schema(
    [
        _DATASET,
        _column("corruption", name, "what was done to every picture before it was scored"),
        _column("strength", pa.float64(), "how strongly, in `unit`; empty for the picture as it is", null=True),
        _column("unit", name, "of the strength"),
        _column("auroc", pa.float64(), "of the videos, by the mean of their frames", null=True),
        _column("lower", pa.float64(), "lower end of the 95 % interval", null=True),
        _column("upper", pa.float64(), "upper end of the 95 % interval", null=True),
        _column("videos", pa.int32(), "videos behind the figure"),
        _column("pictures", pa.int32(), "pictures scored"),
    ]
)

HEATMAPS = pa.schema(
    [
        _KEY,
        _column("height", pa.int32(), "rows of the map"),
        _column("width", pa.int32(), "columns of the map"),
        _column("values", pa.binary(), "row by row, one byte a cell, 0 to 255: how much it speaks for fake"),
    ]
)

SHORTCUTS = pa.schema(
    [
        _DATASET,
        _column("probe", name, "what the classifier sees: `container` = facts of the file, `picture` = of the crops"),
        _column("feature", text, "`all` for the classifier on every feature, else one feature alone"),
        _column("auroc", pa.float64(), "area under the ROC curve, cross-validated over provenance groups", null=True),
        _column("lower", pa.float64(), "lower end of the 95 % interval", null=True),
        _column("upper", pa.float64(), "upper end of the 95 % interval", null=True),
        _column("videos", pa.int32(), "videos behind the figure"),
        _column("groups", pa.int32(), "provenance groups behind the figure"),
    ]
)


def write(path: Path, rows: pd.DataFrame | list[dict[str, Any]], schema: pa.Schema, order: list[str]) -> None:
    """Write `rows` as a Parquet table of exactly `schema`, sorted by the columns `order`, whole or not at all.

    Raises ValueError for missing or additional columns, and pyarrow's error for values that do not fit.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=None if rows else schema.names)
    if set(frame.columns) != set(schema.names):
        raise ValueError(f"{path}: columns differ from the schema: {sorted(set(frame.columns) ^ set(schema.names))}")
    for field in schema:
        if not field.nullable and frame[field.name].isna().any():
            raise ValueError(f"{path}: column {field.name} has empty values")
    sorted_rows = _as_strings_sort(frame[order]).reset_index(drop=True).sort_values(order, kind="stable").index
    plain = dict.fromkeys(frame.select_dtypes("category"), "str")  # else the bytes would depend on the categories
    with (
        whole_or_absent(path) as part,
        pq.ParquetWriter(part, schema.remove_metadata(), compression="zstd") as writer,
    ):
        # In portions: a sorted copy of millions of rows at once would double the memory. The first may be empty.
        for start in range(0, max(len(frame), 1), ROW_GROUP):
            portion = frame.iloc[sorted_rows[start : start + ROW_GROUP]].astype(plain)
            table = pa.Table.from_pandas(portion[schema.names], schema=schema, preserve_index=False)
            writer.write_table(table.replace_schema_metadata(None), ROW_GROUP)


def _as_strings_sort(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with its categories in the order of strings, whatever order they were in."""
    ordered = {
        str(column): frame[column].cat.reorder_categories(sorted(frame[column].cat.categories))
        for column in frame.select_dtypes("category")
    }
    return frame.assign(**ordered)


def read(
    source: Path | BinaryIO,
    schema: pa.Schema,
    columns: list[str] | None = None,
    *,
    where: pc.Expression | None = None,
    categories: bool = False,
    called: str | None = None,
) -> pd.DataFrame:
    """Read a table written by `write`: integers with gaps as nullable Int64, names as strings.

    With `categories` names are categories in the order of strings: less memory where rows are counted in millions, but
    a join or an assignment has to mind them. See `read_arrow` for the rest.
    """
    return to_pandas(read_arrow(source, schema, columns, where, called), schema, categories=categories)


def to_pandas(table: pa.Table, schema: pa.Schema, *, categories: bool = False) -> pd.DataFrame:
    """Return what `read_arrow` gave for `schema`, all columns or some, as `read` returns it."""
    expected = pa.schema([schema.field(column) for column in table.column_names])
    # Dictionaries save space on disk; in memory plain strings join and group without surprises. The large kind is what
    # pandas holds itself: it takes it over without a copy.
    strings = [text] if categories else [text, name]
    kinds = [field.with_type(pa.large_string()) if field.type in strings else field for field in table.schema]
    table = table.cast(pa.schema(kinds))
    nullable_integers = {pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype()}
    nullable_integers[pa.int64()] = pd.Int64Dtype()
    gappy = {field.type for field in expected if field.nullable}
    frame: pd.DataFrame = table.to_pandas(
        types_mapper=lambda kind: nullable_integers.get(kind) if kind in gappy else None
    )
    for field in expected:
        if not field.nullable and field.type in nullable_integers and field.type in gappy:
            frame[field.name] = frame[field.name].astype(field.type.to_pandas_dtype())
    return _as_strings_sort(frame)


def read_arrow(
    source: Path | BinaryIO,
    schema: pa.Schema,
    columns: list[str] | None = None,
    where: pc.Expression | None = None,
    called: str | None = None,
) -> pa.Table:
    """Read `columns` (all) of those rows of a table written by `write` for which `where` holds (all).

    `source` is a path, or an open file that messages name as `called`. Raises UserError when it is missing or damaged,
    or has another schema.
    """
    called = called or str(source)
    try:
        found = pq.read_schema(source)
        if found.names == schema.names and found.types == schema.types:
            return pq.read_table(source, columns=columns, filters=where)
    except FileNotFoundError:
        raise UserError(f"{called} is missing; run `dvc repro` (or `dvc pull`) first") from None
    except pa.ArrowInvalid:
        raise UserError(
            f"{called} is damaged, or of another version of Veriframe; run `dvc repro` to rebuild it"
        ) from None
    raise UserError(f"{called} was written by another version of Veriframe; run `dvc repro` to rebuild it")
