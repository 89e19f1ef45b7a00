"""What `veriframe diff` finds, held against plain versions of it, and how it is told."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline import tables
from pipeline.comparing import describe, facts, page, pictures, samples, videos
from pipeline.comparing.matching import match


def _videos(rows: list[dict[str, Any]]) -> pa.Table:
    names = ["video", "label", "sha256", "status", "reason", "split", "group", *videos.DESCRIPTION]
    kinds = {name: pa.int64() if name in ("label", "frames") else pa.string() for name in names}
    schema = pa.schema(list(kinds.items()))
    return pa.Table.from_pylist([{**dict.fromkeys(names), **row} for row in rows], schema)


def _samples(version: dict[str, tuple[str, int, str]]) -> pa.Table:
    rows = [
        {"key": key, "video": key[:1], "split": split, "label": label, "sha256": sha256, "shard": "a.tar", "offset": 0}
        | {"bytes": 1}
        for key, (split, label, sha256) in version.items()
    ]
    return pa.Table.from_pylist(rows, pa.schema([tables.SAMPLES.field(name) for name in samples.SHOWN + samples.PLACE]))


version = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.tuples(st.sampled_from(tables.SPLITS), st.sampled_from([0, 1]), st.sampled_from(["x", "y"])),
    max_size=12,
)


@given(version, version)
def test_changes_of_samples_are_exact(before: dict[str, Any], after: dict[str, Any]) -> None:
    was, now = _samples(before), _samples(after)
    found = samples.changes(match(was, now, "key"))
    both = before.keys() & after
    assert set(found["added"]["key"].to_pylist()) == after.keys() - before
    assert set(found["removed"]["key"].to_pylist()) == before.keys() - after
    assert set(found["replaced"]["key"].to_pylist()) == {key for key in both if before[key][2] != after[key][2]}
    assert set(found["moved"]["key"].to_pylist()) == {key for key in both if before[key][:2] != after[key][:2]}
    for row in found["replaced"].to_pylist():
        assert (row["sha256_before"], row["sha256_after"]) == (before[row["key"]][2], after[row["key"]][2])
    for cell in samples.cells(was, now, found):
        place = (cell["split"], cell["label"])
        assert cell["after"] == sum(value[:2] == place for value in after.values())
        assert cell["after"] == cell["before"] + cell["added"] + cell["moved_in"] - cell["removed"] - cell["moved_out"]


status = st.sampled_from([("ok", ""), ("rejected", "truncated"), ("rejected", "unreadable")])
video = st.tuples(
    status, st.sampled_from([0, 1, None]), st.sampled_from(["train", "val"]), st.sampled_from(["x", None])
)


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=2), video), st.dictionaries(st.text("abc", min_size=1), video)
)
def test_changes_of_videos_are_exact(before: dict[str, Any], after: dict[str, Any]) -> None:
    def table(version: dict[str, Any]) -> pa.Table:
        return _videos(
            [
                {"video": name, "status": status, "reason": reason, "label": label, "split": split, "sha256": sha256}
                for name, ((status, reason), label, split, sha256) in version.items()
            ]
        )

    found = {
        name: set(rows["video"].to_pylist())
        for name, rows in videos.changes(match(table(before), table(after), "video")).items()
    }
    both = {name: (before[name], after[name]) for name in before.keys() & after}
    usable = {name: pair for name, pair in both.items() if pair[0][0][0] == pair[1][0][0] == "ok"}
    assert found["added"] == after.keys() - before and found["removed"] == before.keys() - after
    assert found["rejected"] == {name for name, (was, now) in both.items() if was[0][0] == "ok" != now[0][0]}
    assert found["accepted"] == {name for name, (was, now) in both.items() if was[0][0] != "ok" == now[0][0]}
    neither = {name: pair for name, pair in both.items() if pair[0][0][0] == pair[1][0][0] == "rejected"}
    assert found["rejected_otherwise"] == {name for name, (was, now) in neither.items() if was[0][1] != now[0][1]}
    assert found["relabelled"] == {name for name, (was, now) in usable.items() if was[1] != now[1]}
    assert found["resplit"] == {name for name, (was, now) in usable.items() if was[2] != now[2]}
    assert found["replaced"] == found["regrouped"] == found["described"] == set()


def test_why_a_sample_is_not_there() -> None:
    wanted = pa.table({"key": list("abcdefg"), "video": ["v", "v", "v", "v", "v", "w", "x"]})
    frames = pa.table(
        {
            "key": ["a", "b", "c", "d"],
            "status": pa.array(["failed", "surplus", "unused", "kept"]).dictionary_encode(),
            "reason": ["no_face", "", "", ""],
        }
    )
    index = pa.table({"video": ["v", "w"], "status": ["ok", "rejected"], "reason": ["", "truncated"]})
    assert samples.why(wanted, frames, index).to_pylist() == [
        *("failed: no_face", "surplus", "unused", "kept", "no candidate", "video rejected: truncated", "no video")
    ]


def test_parameters_are_those_that_hold_for_the_dataset() -> None:
    def document(**sample: Any) -> dict[str, Any]:
        return {
            "datasets": {"one": {"layout": "ffpp", "subset": None}},
            "sample": sample,
            "train": {"epochs": len(sample)},
        }

    before = document(every=10, count=None, by_dataset={"two": {"every": 3}})
    after = document(every=10, count=None, by_dataset={"one": {"every": 5}, "two": {"every": 4}})
    assert facts._params("one", before, after) == [{"name": "sample.every", "before": 10, "after": 5}]
    assert facts._params("one", before, before) == facts._params("one", {}, {}) == []
    assert facts._params("one", {}, {"shard": {"shards": {"train": 4}}}) == [
        {"name": "shard.shards.train", "before": None, "after": 4}
    ]


@given(st.integers(0, 200), st.integers(1, 30))
def test_pictures_are_chosen_evenly(rows: int, most: int) -> None:
    chosen = pictures.evenly(pa.table({"row": list(range(rows))}), most)["row"].to_pylist()
    assert len(chosen) == min(rows, most) and chosen == sorted(set(chosen)) and chosen[:1] == [0][:rows]
    gaps = {after - before for before, after in pairwise(chosen)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_names_are_escaped(tmp_path: Path) -> None:
    class Nothing:
        def params(self) -> dict[str, Any]:
            return {}

    evil = "<img src=x onerror=alert(1)>\x1b[2J"
    index = [{"video": f"one/{evil}", "label": 0, "sha256": "0", "status": "ok", "reason": ""}]
    told = videos.changes(match(_videos([]), _videos(index), "video"))
    side = {"name": evil, "commit": None}
    empty = {"quotas": None, "recipe": None, "shards": None, "samples": None, "params": [], "not_compared": [evil]}
    counted = {"before": {"listed": 0, "usable": 0}, "after": {"listed": 1, "usable": 1}}
    document = {"same": False, "before": side, "after": side}
    document |= {"datasets": {evil: {"state": "changed", "videos": {**counted, **told}, **empty}}}
    page.write(tmp_path / "page.html", document, Nothing(), Nothing())  # type: ignore[arg-type]
    text = (tmp_path / "page.html").read_text()
    assert "<img" not in text and "&lt;img src=x" in text
    assert "\x1b" not in describe.describe(document)
