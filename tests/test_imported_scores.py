"""Scores that others made: what their file may look like, and which video a name means."""

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import tables
from pipeline.errors import UserError
from pipeline.evaluation import imported

METHODS = {"youtube": tables.REAL, "Deepfakes": tables.FAKE, "FaceSwap": tables.FAKE}
NAMES = [f"{number:03d}" for number in range(8)]
FORMS = {
    "key": lambda row: row.video,
    "path": lambda row: row.path,
    "path without extension": lambda row: str(PurePosixPath(row.path).with_suffix("")),
}


def videos() -> pd.DataFrame:
    """Return eight videos of each method: two of train, two of val, three of test, and one rejected one of test."""
    rows: list[dict[str, object]] = [
        {
            "video": f"ff/{method}/c23/{name}",
            "path": f"{method}/c23/videos/{name}.mp4",
            "name": name,
            "label": label,
            "method": method,
            "group": f"ff/{name}",
            "split": ("train", "val", "test", "test")[number % 4],
            "status": "rejected" if number == 7 else "ok",
            "reason": "too_short" if number == 7 else "",
        }
        for method, label in METHODS.items()
        for number, name in enumerate(NAMES)
    ]
    rows.append(rows[0] | {"video": "ff/youtube/c23/x", "path": "x.mp4", "name": "x", "split": None})
    return pd.DataFrame(rows)


VIDEOS = videos()
TEST = VIDEOS[VIDEOS.split == "test"]


def load(folder: Path, content: str | bytes | pd.DataFrame, name: str = "scores.csv", **how: bool) -> imported.Imported:
    """Load a file with `content`."""
    file = folder / name
    if isinstance(content, pd.DataFrame):
        content.to_parquet(file) if file.suffix == ".parquet" else content.to_csv(file, index=False)
    else:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return imported.load(file, VIDEOS[["video", "path", "name"]], VIDEOS, **how)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from(["csv", "parquet"]))
def test_whatever_names_and_file_every_score_arrives_exactly(tmp_path: Path, data: st.DataObject, suffix: str) -> None:
    score = st.one_of(st.floats(0, 1), st.just(float("nan")))
    rows = pd.DataFrame(
        [
            {
                "video": FORMS[data.draw(st.sampled_from(sorted(FORMS)))](row),
                "frame": frame,
                "score": data.draw(score),
                "more": "x",
            }
            for row in TEST.itertuples()
            for frame in (0, 7)
        ]
    )
    found = load(tmp_path, rows, f"scores.{suffix}")
    assert found.level == "frame" and found.ignored == {} and found.validation.empty
    assert found.test.video.tolist() == [video for video in TEST.video for _ in range(2)]
    assert found.test.frame.tolist() == rows.frame.tolist()
    np.testing.assert_array_equal(found.test.score.to_numpy(), rows.score.to_numpy())
    assert found.test.key.iloc[1] == f"{TEST.video.iloc[0].replace('/', '__')}__f000007"


def test_rows_are_sorted_by_split_and_what_no_figure_uses_is_counted(tmp_path: Path) -> None:
    found = load(tmp_path, VIDEOS[["video"]].assign(score=0.25))
    assert found.level == "video"
    assert sorted(found.test.video) == sorted(TEST.video)
    assert sorted(found.validation.video) == sorted(VIDEOS.video[VIDEOS.split == "val"])
    assert found.ignored == {"train": 6, "none": 1}
    assert found.test.key.equals(found.test.video) and found.test.frame.isna().all()


def test_a_logit_becomes_its_probability(tmp_path: Path) -> None:
    rows = "video,score\n" + "".join(
        f"{video},{logit}\n" for video, logit in zip(TEST.video, range(-4, 5), strict=False)
    )
    found = load(tmp_path, rows, logits=True)
    assert found.test.score.tolist() == pytest.approx([1 / (1 + np.exp(-logit)) for logit in range(-4, 5)], abs=1e-15)


@pytest.mark.parametrize("cell", ["", "  ", "nan", "NaN", "NA", "null", "None"])
def test_an_empty_score_is_none(tmp_path: Path, cell: str) -> None:
    found = load(tmp_path, f"video,score\n{TEST.video.iloc[0]},{cell}\n{TEST.video.iloc[1]}, 0.5\n")
    assert np.isnan(found.test.score[0]) and found.test.score[1] == 0.5


def test_a_key_stands_for_a_frame_without_index(tmp_path: Path) -> None:
    first = TEST.video.iloc[0]
    found = load(tmp_path, f"\ufeffvideo,score,key\n{first},0.5,a\n{first},0.6,b\n")
    assert found.level == "frame" and found.test.key.tolist() == ["a", "b"] and found.test.frame.isna().all()


ONE = "ff/youtube/c23/002"
REFUSED = {
    "video,score\n002,0.5": "002 could be ff/youtube/c23/002 or ff/Deepfakes/c23/002 or ff/FaceSwap/c23/002; give",
    "video,score\nnobody,0.5\nnothing,0.5": "2 of 2 names mean no video: nobody, nothing; give keys such as ff/",
    f"video,score\n{ONE},1.5": f"row 1 ({ONE}): score '1.5' is not a probability, 0 to 1 (such rows: 1); if these are",
    f"video,score\n{ONE},-inf": "score '-inf' is not a probability, 0 to 1 (such rows: 1); correct them",
    f"video,score\n{ONE},high": f"row 1 ({ONE}): score 'high' is no number",
    f"video,score\n{ONE},0.1\nyoutube/c23/videos/002.mp4,0.2": f"the video {ONE} stands there more than once",
    f"video,frame,score\n{ONE},3,0.1\n{ONE},3,0.2": f"the frame {ONE} 3 stands there more than once",
    f"video,frame,score\n{ONE},3,0.1\n{ONE},,0.2": f"row 2 ({ONE}): frame '' is no index",
    f"video,frame,score\n{ONE},1.5,0.1": "frame '1.5' is no index",
    f"video,key,score\n{ONE},k,0.1\n{ONE},,0.2": "row 2 has no key",
    f"video,key,score\n{ONE},k,0.1\nff/FaceSwap/c23/002,k,0.2": "the key 'k' stands at several frames",
    f"video,score\n{ONE},0,5": "expected a CSV table: CSV parse error: Expected 2 columns, got 3",
    "video,probability\na,0.5": "expected the columns video and score, and each column once; found video,probability",
    "video,score,score\na,0.5,0.5": "and each column once; found video,score,score",
    "video,score\n": "holds no row below its header",
    "video,score\nff/youtube/c23/000,0.5": "none of its 1 videos is a test video",
    "": "expected a CSV table: Empty CSV file",
    b"\xff\xfev,score\n1,2": "expected a CSV table: 'utf-8'",
}


@pytest.mark.parametrize("content", REFUSED)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(UserError) as refused:
        load(tmp_path, content)
    message = str(refused.value)
    assert REFUSED[content] in message and message.startswith(str(tmp_path)) and "\n" not in message


def test_a_damaged_or_odd_parquet_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a Parquet table"):
        load(tmp_path, "video,score\n", "scores.parquet")
    with pytest.raises(UserError, match="column score holds neither text nor numbers"):
        load(tmp_path, pd.DataFrame({"video": [ONE], "score": [[0.5]]}), "scores.parquet")
