"""What `veriframe diff` finds, held against plain versions of it, and how it is told."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabricated_videos import KEY
from pipeline import tables
from pipeline.comparing import describe, facts, page, parameters, pictures, samples, videos
from pipeline.comparing.matching import match
from pipeline.revisions import Revision
from pipeline.sharding import manifests


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
    matched = match(was, now, "key")
    found = samples.changes(matched)
    both = before.keys() & after
    assert set(found["added"]["key"].to_pylist()) == after.keys() - before
    assert set(found["removed"]["key"].to_pylist()) == before.keys() - after
    assert set(found["replaced"]["key"].to_pylist()) == {key for key in both if before[key][2] != after[key][2]}
    for name, part in (("resplit", 0), ("relabelled", 1)):
        changed = {row["key"]: (row["before"], row["after"]) for row in found[name].to_pylist()}
        pairs = {key: (before[key][part], after[key][part]) for key in both}
        assert changed == {key: (was, now) for key, (was, now) in pairs.items() if was != now}
    for row in found["replaced"].to_pylist():
        assert (row["sha256_before"], row["sha256_after"]) == (before[row["key"]][2], after[row["key"]][2])
    for cell in samples.cells(matched, found):
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

    def changed(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
        return parameters.changed(*(parameters._resolved("one", document) for document in (before, after)))

    before = document(every=10, count=None, by_dataset={"two": {"every": 3}})
    after = document(every=10, count=None, by_dataset={"one": {"every": 5}, "two": {"every": 4}})
    assert changed(before, after) == [{"name": "sample.every", "before": 10, "after": 5}]
    assert changed(before, before) == changed({}, {}) == []
    assert changed({}, {"shard": {"shards": {"train": 4}}}) == [
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
    empty["notes"] = [evil]
    counted = {"before": {"listed": 0, "usable": 0}, "after": {"listed": 1, "usable": 1}}
    document = {"same": False, "before": side, "after": side}
    document |= {"datasets": {evil: {"state": "changed", "videos": {**counted, **told}, **empty}}}
    page.write(tmp_path / "page.html", document, Nothing(), Nothing())  # type: ignore[arg-type]
    text = (tmp_path / "page.html").read_text()
    assert "<img" not in text and "&lt;img src=x" in text
    assert "\x1b" not in describe.describe(document)


# --- every kind of change, one at a time -----------------------------------------------------------------------------


class Folder:
    """A project's folder in the place of a revision."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name, self.commit = root, name, None

    def has(self, path: str) -> bool:
        return (self.root / path).exists()

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def read_arrow(self, path: str, schema: pa.Schema, columns: list[str]) -> pa.Table:
        return tables.read_arrow(self.root / path, schema, columns)

    def params(self) -> dict[str, Any]:
        return {"datasets": {KEY: {}}}


def compared(one: Path, other: Path) -> dict[str, Any]:
    sides = (cast(Revision, Folder(root, name)) for root, name in ((one, "one"), (other, "other")))
    return facts.compare(*sides)


def change(project: Path, path: str, column: str, where: str, value: Any) -> str:
    """Set a column of the first row of a table for which the query `where` holds; return the row's video."""
    file = project / "data" / path.format(KEY)
    schema = pq.read_schema(file)
    rows = pd.read_parquet(file, dtype_backend="pyarrow").astype({column: object})
    row = rows.query(where).index[0]
    rows.loc[row, column] = value
    pq.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False), file)
    return str(rows.loc[row].get("video"))


INDEX, SPLIT = "index/{}/videos.parquet", "split/{}/videos.parquet"
FRAMES, SAMPLES = "extract/{}/frames.parquet", "shard/{}/samples.parquet"
TOLD = {(part, name): words for part, name, _, words, _ in describe.LISTS}
FACTS = [name for name in videos.DESCRIPTION if name != "frames"]


@pytest.mark.parametrize(
    ("path", "column", "where", "value", "part", "kind"),
    [
        (INDEX, "label", "label == 0 and status == 'ok'", 1, "videos", "relabelled"),
        (INDEX, "sha256", "status == 'ok'", "0" * 64, "videos", "replaced"),
        (INDEX, "frames", "status == 'ok'", 9, "videos", "described"),
        *((INDEX, fact, "status == 'ok'", "other", "videos", "described") for fact in FACTS),
        (SPLIT, "split", "split == 'train' and status == 'ok'", "val", "videos", "resplit"),
        (SPLIT, "group", "status == 'ok'", "other", "videos", "regrouped"),
        (SPLIT, "status", "status == 'ok'", "rejected", "videos", "rejected"),
        (SPLIT, "status", "status == 'rejected' and reason == 'truncated'", "ok", "videos", "accepted"),
        (SPLIT, "reason", "reason == 'truncated'", "unreadable", "videos", "rejected_otherwise"),
        (SAMPLES, "sha256", "label == 1", "0" * 64, "samples", "replaced"),
        (SAMPLES, "label", "label == 1", 0, "samples", "relabelled"),
        (SAMPLES, "split", "split == 'train'", "val", "samples", "resplit"),
    ],
)
def test_one_change_is_told_as_what_it_is(
    finished: Path, project: Path, path: str, column: str, where: str, value: Any, part: str, kind: str
) -> None:
    video = change(project, path, column, where, value)
    document = compared(finished, project)
    found = document["datasets"][KEY]
    assert document["same"] is False and found["state"] == "changed" and found["not_compared"] == []
    assert {name: facts.changes(found[name]) for name in facts.PARTS if facts.changes(found[name])} == {part: {kind: 1}}
    assert found[part][kind]["video"].to_pylist() == [video]
    assert f"1 {part[:-1]} {TOLD[part, kind]}" in describe.sentence(document)
    assert video in describe.describe(document) or found[part][kind]["key"][0].as_py() in describe.describe(document)


def test_a_recipe_a_quota_a_shard_and_another_file(finished: Path, project: Path) -> None:
    change(project, FRAMES, "recipe", "recipe != ''", "pyav 99")
    change(project, "extract/{}/quotas.parquet", "quota", "split == 'train' and label == 0", 12345)
    change(project, INDEX, "path", "reason == 'stray'", "other.txt")
    path = project / "data/shard" / KEY / manifests.NAME
    manifest = manifests.read(path)
    manifest["files"]["test/test-000000.tar"] = {"bytes": 5, "sha256": "0" * 64}
    manifest["files"]["train/train-000099.tar"] = {"bytes": 8, "sha256": "1" * 64}
    path.write_text(json.dumps(manifest))
    document = compared(finished, project)
    found = document["datasets"][KEY]
    old = pd.read_parquet(finished / "data" / "extract" / KEY / "quotas.parquet")
    quota = int(old.query("split == 'train' and label == 0").quota.iloc[0])
    changed = {"split": "train", "label": 0, "what": "quota", "before": quota, "after": 12345}
    assert found["quotas"]["changed"] == [changed] and found["recipe"] == {"removed": [], "added": ["pyav 99"]}
    assert (found["shards"]["changed"], found["shards"]["added"], found["shards"]["removed"]) == (
        ["test/test-000000.tar"],
        ["train/train-000099.tar"],
        [],
    )
    assert found["shards"]["bytes_to_fetch"] == 5 + 8
    assert facts.changes(found["videos"]) == {"other_files_added": 1, "other_files_removed": 1}
    assert describe.sentence(document) == (
        f"From one to other, {KEY}: 1 other file added, 1 other file removed, 1 quota changed, another recipe, "
        f"2 of {sum(name.endswith('.tar') for name in manifest['files'])} shards differ."
    )
