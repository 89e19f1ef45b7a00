"""How large shards become, and whether that is a good size for readers: before any is written."""

from collections.abc import Mapping

from pipeline.tars import stored_size
from pipeline.wording import in_words

SMALLEST, LARGEST = 50e6, 1e9  # bytes; smaller ones cost requests, larger ones leave workers without a shard
GOOD = 500e6
DESCRIPTION = 512  # bytes of a sample's .json member, about


def of_sample(picture: float) -> float:
    """Return the bytes that a sample takes in a shard, for a final picture of `picture` bytes."""
    return stored_size(round(picture)) + stored_size(DESCRIPTION)


def advice(bytes_of: Mapping[str, float], shards: Mapping[str, int]) -> dict[str, str]:
    """Return for each split whose shards leave SMALLEST to LARGEST what to set, for people.

    `bytes_of` are the bytes of all shards of a split together, `shards` their number. A split that is small as a whole
    is in order with one shard; one without samples has nothing to say.
    """
    said = {}
    for split, size in bytes_of.items():
        each = size / shards[split]
        if (each > LARGEST) or (0 < each < SMALLEST and shards[split] > 1):
            better = max(1, round(size / GOOD))
            said[split] = (
                f"{shards[split]} {'shards' if shards[split] > 1 else 'shard'} of about {in_words(each)}, where 50 MB "
                f"to 1 GB read well: set shard.shards.{split} to {better}"
            )
    return said
