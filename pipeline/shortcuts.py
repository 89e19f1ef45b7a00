"""What gives the label away without a look at the face, as two figures that mean different things.

- `container`: a classifier sees facts of the file alone. A clean dataset leaves it at an AUROC of 0.5; more is a fault.
- `picture`: a classifier sees the size, sharpness and JPEG size of the crops and what the face detector said of them.
  Forging changes these too, so that more than 0.5 is no fault; it is the floor that every detector has to beat.

The estimate must not be wrong in either direction:

- Videos of one provenance group are never on both sides of a fold, or recordings would be recognised.
- Scores of different folds come from different models. Compared as they are they push the AUROC of a useless
  classifier below 0.5: whatever a fold holds too much of, its model has seen too little of. So a score is replaced by
  its place among the scores of its own fold.
- Where reals and fakes were matched on purpose (as many fakes as reals of each size), what a fold holds too much of is
  missing elsewhere, and figures fall below 0.5. That is no shortcut: only an interval that lies above 0.5 is one.
- The folds' figures hang together, because their models share training videos. A bootstrap over videos does not see
  that and gives intervals that are too narrow; they are widened by the factor of Nadeau and Bengio (Inference for the
  generalization error, Machine Learning 52, 2003): variance times 1 + folds / (folds - 1).
"""

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.metrics.bootstrap import auroc_interval
from pipeline.tables import FAKE, REAL

# Of tables.VIDEOS. Not what a header merely claims (claimed_frames); crf is among the encoder's settings.
NUMBERS = ["width", "height", "frame_rate", "time_base", "frames", "duration_s", "bit_rate", "bytes", "gop"]
NUMBERS += ["video_streams", "audio_streams"]
NAMES = ["media", "container", "codec", "profile", "pix_fmt", "sample_aspect", "rotation", "audio_codec"]
NAMES += ["color_space", "color_range", "color_primaries", "color_transfer"]
COLUMNS = [*NUMBERS, *NAMES, "encoder"]

CROP_COLUMNS = ["crop_width", "crop_height", "box_width", "box_height", "probability", "faces", "sharpness"]
PICTURE = [*CROP_COLUMNS, "jpeg_bytes"]  # what `crops` gives per video

Row = dict[str, Any]

_LEAF = 3  # videos in a leaf at least: fewer learns single videos, more misses shortcuts in small datasets
_TREES = 50
_ROWS = 10_000  # videos that one tree sees at most; more change nothing but time


def audit(name: str, features: pd.DataFrame, videos: pd.DataFrame, folds: int, draws: int, seed: int) -> list[Row]:
    """Return rows of tables.SHORTCUTS (without `dataset`): every feature together (`all`), then each one alone.

    `name` is the probe, container or picture; `features` has a float column per feature, `videos` the columns `label`
    (0 or 1) and `group`; both a row per video, in the same order. See `probe` for the figures and other arguments.
    """
    labels = videos["label"].to_numpy(dtype=np.int64)
    groups = videos["group"].to_numpy(dtype=str)
    rows = []
    for feature, seen in [("all", features), *((one, features[[one]]) for one in features)]:
        auroc, lower, upper = probe(seen.to_numpy(dtype=np.float64), labels, groups, folds, draws, seed)
        figures = {"auroc": auroc, "lower": lower, "upper": upper}
        rows.append({"probe": name, "feature": feature, "videos": len(videos), "groups": len(set(groups))} | figures)
    return rows


def container_features(videos: pd.DataFrame) -> pd.DataFrame:
    """Return what the file tells about each video (COLUMNS), as numbers: a float column per fact.

    Names (codec, colour tags, settings that are no number) become their place in the alphabet; trees need no more.
    The encoder's settings, one text in the bitstream, are taken apart: `crf=23` becomes `encoder.crf`. A fact that a
    file does not state is NaN as a number, and a name of its own. Facts that are the same for every video cannot tell
    anything and are left out.
    """
    settings = [encoder_settings(text) for text in videos["encoder"].fillna("")]
    encoder = pd.DataFrame(settings, index=videos.index).add_prefix("encoder.").sort_index(axis=1)
    features = {name: videos[name] for name in NUMBERS}
    features |= {name: _places(videos[name]) for name in NAMES}
    for name in encoder:
        numbers = pd.to_numeric(encoder[name], errors="coerce")
        is_number = numbers.notna().sum() == encoder[name].notna().sum()
        features[str(name)] = numbers if is_number else _places(encoder[name])
    return _varying(pd.DataFrame(features, index=videos.index))


def encoder_settings(text: str) -> dict[str, str]:
    """Return x264's settings by name, and its version as `core`, out of the text it leaves in the bitstream."""
    return dict(re.findall(r"(core)[ =](\d+)", text)) | dict(re.findall(r"(\S+)=(\S+)", text))


def picture_features(crops: pd.DataFrame) -> pd.DataFrame:
    """Return the columns PICTURE of what `crops` gives as floats, without those that are the same for every video."""
    return _varying(crops[PICTURE])


def crops(frames: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Return `video`, `label`, `group` and PICTURE: a row per video with kept frames, the median over these frames.

    `frames` are rows of tables.FRAMES (those with status `kept` count), `samples` of tables.SAMPLES. Medians, so that
    neither the number of frames of a video nor a single odd frame says anything.
    """
    kept = frames[frames.status == "kept"].astype(dict.fromkeys(CROP_COLUMNS, "Float64"))
    medians = kept.groupby(["video", "label", "group"], as_index=False)[CROP_COLUMNS].median()
    return medians.assign(jpeg_bytes=medians.video.map(samples.groupby("video").bytes.median()))


def probe(
    features: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.str_],
    folds: int,
    draws: int,
    seed: int,
) -> tuple[float, float, float]:
    """Return `(auroc, lower, upper)` of a classifier on `features`, cross-validated over groups, with 95 % interval.

    Arguments: `features` (n, k), NaN allowed; `labels` (n,) 0 = real, 1 = fake; `groups` (n,) provenance groups;
    `folds` parts of the cross-validation, fewer where fewer groups hold a class; `draws` bootstrap draws.
    The figure is 0.5 up to chance when the features tell nothing, and 1 when they tell everything; chance also goes
    below 0.5. Without features it is 0.5. All NaN when fewer than two groups hold a real, or a fake.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(folds, *(len(set(groups[labels == label])) for label in (REAL, FAKE)))
    if folds < 2:
        return float("nan"), float("nan"), float("nan")
    places = np.full(len(labels), 0.5)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(features, labels, groups):
        if features.shape[1] and len(set(labels[train])) == 2:
            model = _classifier(features.shape[1], len(train), seed).fit(features[train], labels[train])
            # Rounded, so that sums of the same numbers in another order stay equal scores.
            places[test] = place_in_fold(model.predict_proba(features[test])[:, 1].round(9), labels[test])
    auroc, lower, upper = auroc_interval(labels, places, groups, draws, seed)
    wider = math.sqrt(1 + folds / (folds - 1))
    return auroc, max(0.0, auroc - wider * (auroc - lower)), min(1.0, auroc + wider * (upper - auroc))


def place_in_fold(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return for each score the share of its fold's scores below it, 0 to 1, equal ones counting half.

    The share is the mean of the shares among reals and among fakes, so that folds with more fakes than others do not
    shift; a perfect classifier gives all reals less and all fakes more than 0.5. Order within the fold is kept.
    """
    shares = []
    for label in set(labels):
        known = np.sort(scores[labels == label])
        below, up_to = np.searchsorted(known, scores, "left"), np.searchsorted(known, scores, "right")
        shares.append((below + up_to) / (2 * len(known)))
    return np.asarray(np.mean(shares, axis=0))


def _classifier(features: int, videos: int, seed: int) -> Any:
    """Return a forest, or for a single feature the one small tree that says the same; one thread: same sums always."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    if features == 1:
        return DecisionTreeClassifier(
            max_leaf_nodes=8, min_samples_leaf=_LEAF, class_weight="balanced", random_state=seed
        )
    return RandomForestClassifier(
        _TREES,
        min_samples_leaf=_LEAF,
        max_samples=min(videos, _ROWS),
        class_weight="balanced_subsample",
        random_state=seed,
        n_jobs=1,
    )


def _varying(features: pd.DataFrame) -> pd.DataFrame:
    table = features.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    named = pd.DataFrame(table, columns=features.columns, index=features.index)
    return named.loc[:, named.nunique(dropna=False) > 1]


def _places(values: pd.Series) -> pd.Series:
    """Return each value's place in the alphabet of all values; empty is the first."""
    codes, _ = pd.factorize(values.astype("string").fillna(""), sort=True)
    return pd.Series(codes, index=values.index)
