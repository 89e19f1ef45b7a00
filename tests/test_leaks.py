import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from fabricated_shards import write_dataset
from pipeline import provenance, tables
from pipeline.evaluation import leaks


def linked(*rows):
    """Return videos from (video, recording[, donor recording[, content]])."""
    columns = ["video", "recording", "donor_recording", "sha256"]
    table = pd.DataFrame([(*row, *[None] * (4 - len(row))) for row in rows], columns=columns, dtype=object)
    return table.assign(**{name: None for name in provenance.COLUMNS if name not in columns})


def test_what_shares_material_with_the_learned_is_tied():
    ours = linked(("a", "r1"), ("b", "r2"), ("c", "r3", "r1"), ("d", "r4", None, "same"), ("e", "r5"), ("f", None))
    videos = {"ours": ours, "other": linked(("x", "r2"), ("y", None, None, "same"), ("z", "r5"))}
    assert leaks.tied_videos("ours", videos, {"ours": {"a"}}, []) == {"a", "c"}
    assert leaks.tied_videos("ours", videos, {"other": {"x", "y"}}, []) == {"b", "d"}
    assert leaks.tied_videos("ours", videos, {"ours": {"a"}, "other": {"z"}}, []) == {"a", "c", "e"}
    assert leaks.tied_videos("ours", videos, {"ours": {"f"}}, []) == {"f"}
    assert leaks.tied_videos("ours", videos, {}, []) == set()


def test_names_of_a_built_in_dataset_mean_nothing_outside_it():
    ours = linked(("a", "r1"), ("b", "r1"), ("c", "r2"), ("d", None, None, "same"))
    videos = {"ours": ours, "other": linked(("x", "r2"), ("y", None, None, "same"))}
    for built_in in (["ours"], ["other"], ["ours", "other"]):
        assert leaks.tied_videos("ours", videos, {"other": {"x", "y"}}, built_in) == {"d"}
        assert leaks.tied_videos("ours", videos, {"ours": {"a"}}, built_in) == {"a", "b"}


def test_persons_alone_tie_nothing():
    ours = linked(("a", "r1"), ("b", "r2")).assign(person="corpus/id0", donor_person="corpus/id1")
    assert leaks.tied_videos("ours", {"ours": ours}, {"ours": {"a"}}, []) == {"a"}


def test_published_videos_that_only_the_other_dataset_knows_tie():
    ours = linked(("a", "ff/000"))
    other = linked(("x", "ff/000"), ("y", "ff/001")).assign(source_video="youtube/1")
    assert leaks.tied_videos("ours", {"ours": ours, "other": other}, {"other": {"y"}}, []) == {"a"}


@settings(max_examples=10)
@given(st.permutations(range(6)), st.sets(st.sampled_from("abcdef")))
def test_ties_do_not_depend_on_the_order_of_rows(order, seen):
    rows = [("a", "r1"), ("b", "r2", "r1"), ("c", "r2"), ("d", "r3"), ("e", None, None, "s"), ("f", "r9", None, "s")]
    both = [{"one": linked(*some)} for some in (rows, [rows[place] for place in order])]
    first, second = (leaks.tied_videos("one", videos, {"one": seen}, []) for videos in both)
    assert first == second >= seen


def test_pictures_say_which_videos_were_learned_from(tmp_path):
    samples = write_dataset(tmp_path, "one", {"test": {"real": 3, "swap": 2}, "train": {"real": 1}})
    learned = samples.assign(part=["train", "val"] + ["test"] * (len(samples) - 2), copy=0)
    videos = tables.read(tmp_path / "index/one/videos.parquet", tables.VIDEOS)
    first_two = {"one/real/native/test0"}
    assert leaks.learned_videos(learned[tables.LEARNED.names], {"one": videos}) == {"one": first_two}
    assert leaks.learned_videos(learned[tables.LEARNED.names][2:], {"one": videos}) == {}
