from pathlib import Path

import pytest

from fabricated_videos import KEY
from pipeline import selection, tables
from small_project import refusal, run_stage, write_params


def read(project: Path) -> tuple:
    folder = project / f"data/reduce/{KEY}"
    return tables.read(folder / "frames.parquet", tables.RANKED), tables.read(folder / "quotas.parquet", tables.QUOTAS)


def test_every_candidate_is_ranked(finished: Path) -> None:
    ranked, quotas = read(finished)
    flat = tables.read(finished / f"data/flatten/{KEY}/frames.parquet", tables.FLAT)
    assert set(ranked.key) == set(flat.key) and len(ranked) == len(flat)
    for cell in quotas.itertuples():
        here = ranked[(ranked.split == cell.split) & (ranked.label == cell.label)]
        assert here["rank"].tolist() == list(range(len(here))) and cell.candidates == len(here)
        assert here.video.nunique() == cell.videos
    # The rarer class sets the quota of train and val; test takes all.
    for split, cells in quotas.groupby("split"):
        assert cells.quota.tolist() == (cells.candidates.tolist() if split == "test" else [cells.candidates.min()] * 2)


def test_the_bytes_are_those_of_plain_strings(finished: Path, tmp_path: Path) -> None:
    ranked = selection.rank(tables.read(finished / f"data/flatten/{KEY}/frames.parquet", tables.FLAT), 0)
    shuffled = ranked.sample(frac=1, random_state=0)
    tables.write(tmp_path / "plain.parquet", shuffled, tables.RANKED, order=["split", "label", "rank"])
    stage = finished / f"data/reduce/{KEY}/frames.parquet"
    assert stage.read_bytes() == (tmp_path / "plain.parquet").read_bytes()


def test_a_number_and_a_guarantee(project: Path, celeb_tree: Path) -> None:
    write_params(project, celeb_tree, {"reduce.quota.train": 7, "reduce.min_per_video.train": 2})
    run_stage(project, "reduce")
    _, quotas = read(project)
    train = quotas[quotas.split == "train"]
    assert (train.rule.tolist(), train.quota.tolist(), train.min_per_video.tolist()) == (["7"] * 2, [7, 7], [2, 2])


def test_a_number_beyond_the_candidates_stays_what_was_asked_for(project: Path, celeb_tree: Path) -> None:
    """Whether that must stop the pipeline is for extract to say."""
    write_params(project, celeb_tree, {"reduce.quota.train": 100_000})
    run_stage(project, "reduce")
    _, quotas = read(project)
    train = quotas[quotas.split == "train"]
    assert (train.quota == 100_000).all() and (train.candidates < 100_000).all()


def test_pairs_are_ranked_together(project: Path, celeb_tree: Path, finished: Path) -> None:
    write_params(project, celeb_tree, {"reduce.paired": True})
    run_stage(project, "reduce")
    ranked, quotas = read(project)
    unpaired, quotas_unpaired = read(finished)
    assert set(ranked.key) == set(unpaired.key) and quotas.equals(quotas_unpaired)

    index = tables.read(project / f"data/index/{KEY}/videos.parquet", tables.VIDEOS, ["video", "original"])
    ranked["moment"] = ranked.video.map(index.set_index("video").original).fillna(ranked.video)
    ranked["moment"] += " " + ranked.frame.astype(str)
    train = ranked[ranked.split == "train"]
    quota = quotas.quota[quotas.split == "train"].min()
    reals, fakes = (train[(train.label == label) & (train["rank"] < quota)] for label in (0, 1))
    possible = set(reals.moment) & set(train.moment[train.label == 1])
    assert len(possible) > 10 and possible <= set(fakes.moment)


def test_another_seed_ranks_otherwise(project: Path, celeb_tree: Path, finished: Path) -> None:
    write_params(project, celeb_tree, {"reduce.by_dataset": {KEY: {"seed": 1}}})
    run_stage(project, "reduce")
    assert read(project)[0].key.tolist() != read(finished)[0].key.tolist()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reduce.quota.train": 0}, "reduce.quota.train"),
        ({"reduce.quota.train": 10**12}, "Input should be less than or equal to 1000000000"),
        ({"reduce.paired": "yes"}, "reduce.paired: Input should be a valid boolean"),
        ({"reduce.quota.train": -5}, "Input should be greater than or equal to 1 (got -5)"),
        ({"reduce.quota.test": "all"}, "Input should be 'smallest_class' or 'none' (got 'all')"),
        ({"reduce.quota.test": None}, "reduce.quota.test"),
        ({"reduce.quota": "none"}, "reduce.quota: Input should be a valid dictionary"),
        ({"reduce.quota.dev": 5}, "reduce.quota.dev: Extra inputs are not permitted"),
        ({"reduce.min_per_video.val": -1}, "reduce.min_per_video.val: Input should be greater than or equal to 0"),
    ],
)
def test_bad_values(project: Path, celeb_tree: Path, changes: dict, said: str) -> None:
    write_params(project, celeb_tree, changes)
    assert said in refusal(project, "reduce")
