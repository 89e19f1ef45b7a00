import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sharding import shard_sizes
from pipeline.tars import write_tar

SHARDS = {"train": 4, "val": 1, "test": 2}


@pytest.mark.parametrize(
    ("bytes_of", "said"),
    [
        ({"train": 2e9, "val": 60e6, "test": 1.9e9}, {}),
        ({"train": 4.4e9}, {"train": ("4 shards of about 1.10GB", 9)}),
        ({"val": 3e9}, {"val": ("1 shard of about 3.00GB", 6)}),
        ({"test": 90e6}, {"test": ("2 shards of about 45.0MB", 1)}),
        ({"val": 1000.0, "test": 0.0}, {}),  # cannot be better; nothing there
    ],
)
def test_advice(bytes_of: dict[str, float], said: dict[str, tuple[str, int]]) -> None:
    expected = {
        split: f"{now}, where 50 MB to 1 GB read well: set shard.shards.{split} to {better}"
        for split, (now, better) in said.items()
    }
    assert shard_sizes.advice(bytes_of, SHARDS) == expected


@given(st.floats(1, 1e13), st.integers(1, 10_000))
def test_who_follows_the_advice_gets_no_other(size: float, shards: int) -> None:
    said = shard_sizes.advice({"train": size}, {"train": shards})
    if said:
        better = int(said["train"].rsplit(" ", 1)[1])
        assert shard_sizes.advice({"train": size}, {"train": better}) == {}


def test_the_size_of_a_sample_is_that_in_a_tar(tmp_path) -> None:
    for size in (1, 511, 512, 513, 9000):
        write_tar(tmp_path / "one.tar", [("a.jpg", bytes(size)), ("a.json", bytes(300))])
        write_tar(tmp_path / "none.tar", [])
        one, none = ((tmp_path / name).stat().st_size for name in ("one.tar", "none.tar"))
        assert abs(one - none - shard_sizes.of_sample(size)) <= 10_240  # tars are padded to records of 20 blocks
        many = [(f"{n}.{kind}", bytes(length)) for n in range(100) for kind, length in (("jpg", size), ("json", 300))]
        write_tar(tmp_path / "many.tar", many)
        assert (tmp_path / "many.tar").stat().st_size == pytest.approx(100 * shard_sizes.of_sample(size), abs=10_240)
