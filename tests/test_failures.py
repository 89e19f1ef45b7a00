"""Where a detector fails: which errors and videos are shown, whose they are, and that faces can be left out."""

import base64
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fabricated_project
from pipeline import tables
from pipeline.errors import UserError
from pipeline.pages import templates
from pipeline.reporting import failures, pictures
from pipeline.reporting.facts import Dataset
from pipeline.reporting.knobs import Knobs
from pipeline.reporting.run import Run, read_run
from pipeline.reporting.source import Workspace

NO_SHORTCUTS = [
    {"dataset": "one", "probe": probe, "feature": "all", "auroc": None, "lower": None, "upper": None}
    | {"videos": 0, "groups": 0}
    for probe in ("container", "picture")
]
LOST = "no_face"
TEMPLATES = Path(failures.__file__).parent / "templates"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run of one dataset with few skills, read in its own folder."""
    root = tmp_path_factory.mktemp("project")
    fabricated_project.write_project(root, ["one"], groups=24)
    fabricated_project.write_dataset(root / "data", "one", groups=24, skill=0.2)
    tables.write(root / "data/audit/shortcuts.parquet", NO_SHORTCUTS, tables.SHORTCUTS, ["dataset", "probe"])
    tables.write(root / "data/audit/leaks.parquet", [], tables.ACROSS, ["kind", "node"])
    before = Path.cwd()
    os.chdir(root)
    yield read_run(Workspace())
    os.chdir(before)


@pytest.fixture
def dataset(run: Run) -> Dataset:
    return run.datasets[0]


def page(found: failures.Rows) -> str:
    environment = templates(TEMPLATES)
    environment.filters |= {"figure": lambda value: "–" if value is None else f"{value:.3f}", "count": str}
    return environment.get_template("failures.html").render(failures=found, named=60)


def decoded(source: str) -> np.ndarray:
    content = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def videos_of(facts: list[tuple[int, float | None]]) -> pd.DataFrame:
    rows = [
        {"video": f"v{number:03d}", "label": label, "score": score, "status": "unscored" if score is None else "scored"}
        for number, (label, score) in enumerate(facts)
    ]
    return pd.DataFrame(rows, columns=["video", "label", "score", "status"]).astype({"score": float})


def test_galleries_hold_frames_beyond_the_threshold_worst_first_and_one_a_video(run: Run, dataset: Dataset):
    threshold = dataset.rule["thresholds"]["frame"]
    labels = dataset.scores.set_index("key").label
    scores = dataset.scores[dataset.scores.level == "frame"].set_index(["video", "frame"])
    for gallery, label, sign in zip(failures.galleries(run, dataset, 50, faces=True), (0, 1), (1, -1), strict=True):
        errors = gallery["errors"]
        assert len(errors) > 1
        assert len({error["video"] for error in errors}) == len(errors)
        assert [error["score"] for error in errors] == sorted((e["score"] for e in errors), key=lambda s: -sign * s)
        for error in errors:
            row = scores.loc[(error["video"], error["frame"])]
            assert row.score == error["score"] and (error["score"] > threshold) == (label == tables.REAL)
            assert labels[row.key] == label
        assert [e["video"] for e in failures.galleries(run, dataset, 1, faces=False)[label]["errors"]] == [
            errors[0]["video"]
        ]


def test_an_error_is_told_in_words_and_shown_with_its_own_picture(run: Run, dataset: Dataset):
    error = failures.galleries(run, dataset, 3, faces=True)[0]["errors"][0]
    assert error["text"] == (
        f"real face called fake with score {error['score']:.2f}: {error['video']}, frame {error['frame']}"
    )
    sample = dataset.samples[(dataset.samples.video == error["video"]) & (dataset.samples.frame == error["frame"])]
    own = pictures.read(run.source, next(sample.itertuples()), 1000)
    shown = decoded(error["source"])
    assert shown.shape == own.shape
    assert np.abs(shown.astype(int) - own).mean() < 8  # compressed once more
    assert decoded(error["overlay"]).shape == own.shape


def test_errors_without_map_or_picture_are_listed_all_the_same(run: Run, dataset: Dataset):
    errors = failures.galleries(run, replace(dataset, heatmaps=dataset.heatmaps[:0]), 3, faces=True)[0]["errors"]
    assert all(error["source"] and error["overlay"] is None for error in errors)
    bare = failures.galleries(run, replace(dataset, samples=dataset.samples[:0]), 3, faces=True)[0]["errors"]
    assert [error["text"] for error in bare] == [error["text"] for error in errors]
    assert all(error["source"] is None for error in bare)
    of_bare = replace(run, datasets=[replace(dataset, samples=dataset.samples[:0])])
    drawn = page(failures.of_runs([of_bare], Knobs()))
    assert "no picture" in drawn and "No Grad-CAM maps" in drawn and "<img" not in drawn


def test_a_map_is_light_where_it_speaks_for_fake():
    cells = np.zeros((4, 4), np.uint8)
    cells[3, 3] = 255
    heatmap = next(pd.DataFrame([{"values": cells.tobytes(), "height": 4, "width": 4}]).itertuples())
    picture = np.full((80, 60, 3), 128, np.uint8)
    shown = pictures.overlaid(picture, heatmap)
    assert shown.shape == picture.shape
    assert shown[-1, -1].mean() > 128 > shown[0, 0].mean()


def test_without_pictures_no_face_is_on_the_page_and_the_rest_stays(run: Run, dataset: Dataset):
    with_faces = page(failures.of_runs([run], Knobs()))
    without = page(failures.of_runs([run], Knobs(pictures=False)))
    assert "data:image" in with_faces and "report.pictures" not in with_faces
    assert "data:" not in without and "<img" not in without
    assert "No faces are shown: <code>report.pictures</code> is false" in without
    assert without.count("<svg") == with_faces.count("<svg") == 4
    for error in failures.galleries(run, dataset, 12, faces=False)[0]["errors"]:
        assert f"{error['score']:.3f}" in without


def test_pages_without_pictures_need_no_shards(run: Run, dataset: Dataset):
    elsewhere = replace(run, datasets=[replace(dataset, samples=dataset.samples.assign(shard="test/gone.tar"))])
    assert failures.of_runs([elsewhere], Knobs(pictures=False))
    with pytest.raises(UserError, match=r"gone[.]tar is missing.* or set report[.]pictures to false"):
        failures.of_runs([elsewhere], Knobs())


def test_a_picture_that_is_not_the_one_of_the_table_is_refused(run: Run, dataset: Dataset):
    moved = dataset.samples.assign(offset=dataset.samples.offset + 1)
    with pytest.raises(UserError, match="not the shard"):
        failures.of_runs([replace(run, datasets=[replace(dataset, samples=moved)])], Knobs())


def test_every_picture_and_chart_has_words_and_names_are_escaped_and_unique(run: Run):
    drawn = page(failures.of_runs([run, replace(run, name="other <run>")], Knobs()))
    ElementTree.fromstring(re.sub(r"<(img|br)([^>]*)>", r"<\1\2/>", drawn))  # every other tag is closed
    assert drawn.count("<img") == len(re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="[^"]{20,}"', drawn)) > 8
    identifiers = re.findall(r' id="([^"]+)"', drawn)
    assert len(identifiers) == len(set(identifiers))
    assert "other &lt;run&gt;" in drawn and "<run>" not in drawn


def test_runs_share_the_errors_asked_for(run: Run):
    counts = [
        [len(gallery["errors"]) for gallery in found["datasets"][0]["galleries"]]
        for found in failures.of_runs([run, run], Knobs(errors=3))
    ]
    assert counts == [[2, 2], [2, 2]]


LABELLED = st.tuples(st.integers(0, 1), st.none() | st.integers(0, 20).map(lambda number: number / 20))


@given(st.lists(LABELLED, max_size=25), st.integers(0, 30), st.integers(0, 20), st.randoms())
def test_videos_with_timelines_are_those_their_words_say(facts, count, threshold, random):
    videos, threshold = videos_of(facts), threshold / 20
    chosen = failures.typical_and_worst(videos, threshold, count)
    scored = videos[videos.status == "scored"].set_index("video")
    assert len(chosen) == min(count, len(scored))
    assert len({video for _, video, _ in chosen}) == len(chosen)
    for words, video, score in chosen:
        row = scored.loc[video]
        assert score == row.score and words.split(" video")[0].split()[-1] == tables.CLASSES[row.label]
        assert ("rightly" in words) == ((score > threshold) == (row.label == tables.FAKE))
    by_words = {words: [score for said, _, score in chosen if said == words] for words, _, _ in chosen}
    for words, scores in by_words.items():
        if words == "real video called fake":
            assert scores == sorted(scores, reverse=True) and scores[0] == scored[scored.label == 0].score.max()
        if words == "fake video called real":
            assert scores == sorted(scores) and scores[0] == scored[scored.label == 1].score.min()
    shuffled = videos.sample(frac=1, random_state=random.randrange(1000))
    assert failures.typical_and_worst(shuffled, threshold, count) == chosen


def test_the_first_of_each_kind_come_first():
    facts = [(0, 0.9), (0, 0.8), (0, 0.125), (0, 0.25), (0, 0.375), (1, 0.25), (1, 0.7), (1, 0.8), (1, 0.99)]
    chosen = failures.typical_and_worst(videos_of(facts), 0.5, 6)
    assert [video for _, video, _ in chosen] == ["v000", "v005", "v003", "v007", "v001", "v002"]


def test_timelines_draw_every_frame_and_mark_those_without_a_score(dataset: Dataset):
    first = failures.timelines(dataset, 1, "a")[0]
    of_video = (dataset.scores.video == first["video"]) & (dataset.scores.level == "frame")
    assert first["chart"].count("<circle") == of_video.sum() == 2
    assert 'class="lost"' not in first["chart"]
    scores = dataset.scores.copy()
    lost = scores.index[of_video][-1]
    scores.loc[lost, "score"], scores.loc[lost, "status"], scores.loc[lost, "reason"] = np.nan, "unscored", LOST
    again = failures.timelines(replace(dataset, scores=scores), 1, "a")[0]["chart"]
    assert again.count('class="lost"') == 1 and "1 could not be scored" in ElementTree.fromstring(again)[0].text


def test_a_video_of_one_frame_has_no_timeline(dataset: Dataset):
    frames = dataset.scores[dataset.scores.level == "frame"].drop_duplicates("video")
    stills = pd.concat([frames, dataset.scores[dataset.scores.level == "video"]])
    assert failures.timelines(replace(dataset, scores=stills), 4, "a") == []


def test_no_timelines_and_no_errors_can_be_asked_for(run: Run):
    found = failures.of_runs([run], Knobs(errors=0, timelines=0))[0]["datasets"][0]
    assert found["timelines"] == [] and [gallery["errors"] for gallery in found["galleries"]] == [[], []]
    assert "<svg" not in page(failures.of_runs([run], Knobs(errors=0, timelines=0)))


def with_persons(dataset: Dataset, persons: dict[str, tuple[str | None, str | None]]) -> Dataset:
    """Give videos (person, donor_person), and others none."""
    found = [persons.get(video, (None, None)) for video in dataset.videos.video]
    shown, donors = zip(*found, strict=True)
    return replace(dataset, videos=dataset.videos.assign(person=list(shown), donor_person=list(donors)))


def judged(dataset: Dataset, scores: dict[str, float | None]) -> Dataset:
    """Keep only these videos, with these scores."""
    rows = dataset.scores[(dataset.scores.level == "video") & dataset.scores.video.isin(scores)].copy()
    rows["score"] = rows.video.map(scores).astype(float)
    rows["status"] = np.where(rows.score.isna(), "unscored", "scored")
    return replace(dataset, scores=rows)


def test_a_fake_counts_under_the_person_shown_and_the_one_who_gives_the_face(dataset: Dataset):
    real, fake, lost, other = (
        f"one/{method}/c23/{name}"
        for method, name in (("youtube", "007"), ("Deepfakes", "007"), ("Deepfakes", "011"), ("youtube", "011"))
    )
    told = with_persons(dataset, {real: ("c/a", None), fake: ("c/a", "c/b"), lost: ("c/a", "c/a")})
    by, rows = failures.by_person(judged(told, {real: 0.9, fake: 0.4, lost: None, other: 0.8}))
    assert by == "person"
    assert rows == [
        {"name": "c/a", "videos": 3, "scored": 2, "wrong": 2, "real": 0.9, "fake": 0.4},
        {"name": "c/b", "videos": 1, "scored": 1, "wrong": 1, "real": None, "fake": 0.4},
        {"name": failures.NO_PERSON, "videos": 1, "scored": 1, "wrong": 1, "real": 0.8, "fake": None},
    ]


def test_without_known_persons_videos_go_by_provenance_group_worst_first(dataset: Dataset):
    by, rows = failures.by_person(with_persons(dataset, {}))
    videos = dataset.scores[dataset.scores.level == "video"]
    assert by == "provenance group"
    assert {row["name"]: row["videos"] for row in rows} == videos.group.value_counts().to_dict()
    assert [row["wrong"] for row in rows] == sorted((row["wrong"] for row in rows), reverse=True)
    assert rows[0]["wrong"] > 0


def test_many_persons_are_folded_after_twenty(run: Run, dataset: Dataset):
    many = with_persons(
        dataset, {video: (f"c/{number}", f"d/{number}") for number, video in enumerate(dataset.videos.video)}
    )
    drawn = page(failures.of_runs([replace(run, datasets=[many])], Knobs(pictures=False)))
    before, _, after = drawn.partition("more, with fewer errors</summary>")
    count = len(failures.by_person(many)[1])
    assert len(set(re.findall(r'<th scope="row">[cd]/\d+</th>', before))) == 20
    assert len(set(re.findall(r'<th scope="row">[cd]/\d+</th>', after))) == count - 20 > 0


def test_methods_count_wrong_calls_of_their_own_class_and_add_up(dataset: Dataset):
    rows = failures.by_method(dataset)
    videos = dataset.scores[dataset.scores.level == "video"]
    assert {row["name"] for row in rows} == set(fabricated_project.METHODS)
    assert sum(row["videos"] for row in rows) == len(videos)
    assert sum(row["scored"] for row in rows) == (videos.status == "scored").sum() == len(videos) - 1
    for row in rows:
        label = fabricated_project.METHODS[row["name"]]
        scores = videos[(videos.method == row["name"]) & (videos.status == "scored")].score
        wrong = (scores > dataset.threshold) if label == tables.REAL else (scores <= dataset.threshold)
        assert (row["label"], row["wrong"]) == (tables.CLASSES[label], wrong.sum())
        assert row[row["label"]] == pytest.approx(scores.mean()) and row[row["called"]] is None


def test_a_video_that_failed_is_listed_with_its_reason(run: Run, dataset: Dataset):
    videos = dataset.scores[dataset.scores.level == "video"]
    lost = videos[videos.status != "scored"].video.item()
    found = failures.of_runs([run], Knobs(pictures=False))
    assert found[0]["datasets"][0]["unscored"] == [{"reason": LOST, "count": 1, "items": [(lost, "")]}]
    assert f"<summary>{LOST}: 1</summary>" in page(found)


def test_sheet_is_of_test_videos_of_a_run_half_real_half_fake(run: Run):
    found = pictures.sheet(run, 6)
    assert {name: len(part) for name, part in found.items()} == {"real": 3, "fake": 3}
    assert all(decoded(shown["source"]).shape == (64, 64, 3) for part in found.values() for shown in part)


def test_pictures_are_made_no_larger_than_asked(run: Run, dataset: Dataset):
    sample = next(dataset.samples.itertuples())
    assert pictures.read(run.source, sample, 32).shape == (32, 32, 3)
    assert pictures.read(run.source, sample, 100).shape == (64, 64, 3)
