"""`veriframe leaks`: what published lists tie, before any media is there."""

import json
from pathlib import Path
from typing import Any

import pytest

from command import Outcome, veriframe


def leaks(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Outcome:
    """Run `veriframe leaks ...`; return exit code, stdout and stderr."""
    return veriframe(capsys, "leaks", *arguments)


def facts(capsys: pytest.CaptureFixture[str], layout: str, folder: Path) -> dict[str, Any]:
    code, out, _ = leaks(capsys, layout, "--lists", folder, "--json")
    found = json.loads(out)
    assert code == (1 if found["ties"] else 0)
    return found


def ties(found: dict[str, Any]) -> dict[str, dict[str, list[int]]]:
    """Return kind -> pair of splits -> [nodes, videos of the first, videos of the second]."""
    return {
        tie["kind"]: {"-".join(pair["splits"]): [pair["nodes"], *pair["videos"]] for pair in tie["between"]}
        for tie in found["ties"]
    }


def test_the_lists_of_faceforensics(official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(capsys, "ffpp", official / "ffpp")
    assert (found["all"]["recordings"], found["all"]["source_videos"]) == (1000, 977)
    assert found["shared_source_videos"] == {"source_videos": 22, "recordings": 45, "across_splits": 7}
    splits = {split: (counts["real"], counts["fake"]) for split, counts in found["splits"].items()}
    assert splits == {"train": (720, 3600), "val": (140, 700), "test": (140, 700)}
    # A sequence is in one real, and in the fakes of its pair: five methods, both orders.
    assert ties(found) == {"source_video": {"train-val": [5, 55, 55], "train-test": [2, 22, 22]}}
    assert found["test_fakes"] == {"videos": 700, "recordings": 140, "originals_outside_test": 0, "examples": []}

    code, text, _ = leaks(capsys, "ffpp", "--lists", official / "ffpp")
    assert code == 1 and "cut from: 22, by recordings: 45, across splits: 7" in text
    assert [line.split()[1:] for line in text.splitlines() if line.startswith("all")] == [
        ["1000", "5000", "1000", "977", "0"]
    ]


def test_the_list_of_celeb_df(official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(capsys, "celeb_df_v2", official / "celeb_df_v2")
    test = found["splits"]["test"]
    assert (test["real"], test["fake"], test["persons"]) == (178, 340, 56)
    assert found["test_fakes"]["recordings"] == 213 and found["test_fakes"]["originals_outside_test"] == 164
    assert found["unlisted_originals"] == found["splits"]["train"]["real"] == 164
    assert ties(found)["recording"]["train-test"][:2] == [164, 164]
    assert list(ties(found)) == ["recording", "target_person", "person"]

    code, text, _ = leaks(capsys, "celeb_df_v2", "--lists", official / "celeb_df_v2")
    assert code == 1 and "test fakes: 340, recordings they show: 213, their originals outside test: 164" in text
    assert "e.g. celeb_df/id0_0000: 1 of train, 2 of test" in text


def write_ffpp_lists(folder: Path, cuts: dict[str, str] | None = None, train: str = '[["000", "001"]]') -> Path:
    folder.mkdir(parents=True)
    for split, text in (("train", train), ("val", '[["002", "003"]]'), ("test", '[["005", "004"]]')):
        (folder / f"{split}.json").write_text(text)
    if cuts:
        (folder / "conversion_dict.json").write_text(json.dumps(cuts))
    return folder


def test_lists_without_a_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cuts = {"000": "a 0", "001": "a 1", "002": "b 0", "003": "c 0", "004": "d 0", "005": "e 0"}
    code, text, _ = leaks(capsys, "ffpp", "--lists", write_ffpp_lists(tmp_path / "lists", cuts))
    assert code == 0 and text.endswith("nothing ties the splits, as far as names tell\n")
    assert "cut from: 1, by recordings: 2, across splits: 0" in text  # both in train


def test_what_lists_do_not_name_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = leaks(capsys, "ffpp", "--lists", write_ffpp_lists(tmp_path / "lists"))
    assert code == 0 and "source videos: these lists do not name them" in text


def test_one_published_video_behind_train_and_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cuts = {"000": "a 0", "001": "b 1", "002": "c 0", "003": "d 0", "004": "-b_ 0", "005": "b 0"}
    in_place = write_ffpp_lists(tmp_path / "copy" / "dataset" / "splits", cuts)  # where the repository has them
    found = facts(capsys, "ffpp", in_place.parents[1])
    # 001, and the fakes 000_001 and 001_000 by five methods; 005 with 004 likewise.
    assert ties(found) == {"source_video": {"train-test": [1, 11, 11]}}
    assert found["ties"][0]["examples"] == [{"node": "youtube/b", "train": 11, "val": 0, "test": 11}]


def test_originals_that_a_test_list_leaves_in_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = ["1 Celeb-real/id0_0000.mp4", "0 Celeb-synthesis/id0_id1_0000.mp4", "0 Celeb-synthesis/id2_id3_0001.mp4"]
    (tmp_path / "List_of_testing_videos.txt").write_text("\n".join(listed))
    found = facts(capsys, "celeb_df_v2", tmp_path)
    assert found["test_fakes"] == {
        "videos": 2,
        "recordings": 2,
        "originals_outside_test": 1,
        "examples": ["Celeb-real/id2_0001.mp4"],
    }
    assert ties(found) == {kind: {"train-test": [1, 1, 1]} for kind in ("recording", "target_person", "person")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ffpp9", "--lists", "."], "unknown layout 'ffpp9'"),
        (["ffpp", "--lists", "missing"], "--lists: there is no folder missing"),
        (["ffpp", "--lists", "."], ". lacks splits/train.json"),
        (["celeb_df_v2", "--lists", "."], "List_of_testing_videos.txt"),
        (["dfd", "--lists", "."], ". holds no list that names videos of the layout dfd"),
        (["ffpp"], "the following arguments are required: --lists"),
    ],
)
def test_nothing_to_audit_is_no_leak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = leaks(capsys, *arguments)
    assert code == 2 and out == "" and said in err


def test_malformed_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = leaks(capsys, "ffpp", "--lists", write_ffpp_lists(tmp_path / "lists", train='["000"]'))
    assert code == 2 and out == "" and err.startswith("error: ") and "train.json" in err
