"""What changed in each dataset from one revision of a project to another, from the tables that stages left.

Nothing is checked out, decoded or run. Lists of what changed are Arrow tables; a part is None where neither revision
has run the stage, and absent where it could not be compared, which `not_compared` then explains.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from pipeline import manifests, tables
from pipeline.comparing.samples import compare_samples
from pipeline.comparing.videos import compare_videos
from pipeline.errors import UserError
from pipeline.revisions import FileNotThere, Revision

FORMAT = "veriframe-diff-1"
SECTIONS = ("index", "split", "sample", "reduce", "extract", "shard")  # whose parameters shape a dataset
QUOTA = ["rule", "min_per_video", "candidates", "videos", "quota", "tried", "failed", "surplus", "kept"]

Facts = dict[str, Any]


def compare(before: Revision, after: Revision) -> Facts:
    """Return what changed from `before` to `after`, dataset by dataset; `docs/sharing.md` describes the fields.

    `same` is True, False, or None where nothing differs but not everything could be compared. Raises UserError when
    nothing can be compared at all.
    """
    documents = before.params(), after.params()
    were, are = (list(_mapping(document, "datasets")) for document in documents)
    datasets: dict[str, Facts] = {}
    for key in [*are, *(key for key in were if key not in are)]:
        if key in were and key in are:
            datasets[key] = _compare_dataset(key, before, after) | {"params": _params(key, *documents)}
        else:
            side, state = (after, "added") if key in are else (before, "removed")
            datasets[key] = {"state": state, **_whole(key, side)}
    for facts in datasets.values():
        facts.setdefault("state", "changed" if _changed(facts) else "same")
    if all(facts["state"] == "same" and not _compared(facts) for facts in datasets.values()):
        reasons = sorted({reason for facts in datasets.values() for reason in facts["not_compared"]})
        raise UserError(
            f"nothing of {before.name} and {after.name} can be compared: "
            + ("; ".join(reasons) or "neither has run; run `dvc repro` first")
        )
    different = any(facts["state"] != "same" for facts in datasets.values())
    complete = not any(facts["not_compared"] for facts in datasets.values())
    return {
        "format": FORMAT,
        "before": {"name": before.name, "commit": before.commit},
        "after": {"name": after.name, "commit": after.commit},
        "same": False if different else True if complete else None,
        "datasets": datasets,
    }


def _compare_dataset(key: str, before: Revision, after: Revision) -> Facts:
    """Return the facts of a dataset that both revisions have."""
    facts: Facts = {"not_compared": []}
    for part, comparison in PARTS.items():
        try:
            facts[part] = comparison(key, before, after)
        except FileNotThere as error:
            facts[part] = None
            if _any_has(part, key, before, after):
                del facts[part]
                facts["not_compared"].append(f"{part}: {error}")
        except UserError as error:
            facts["not_compared"].append(f"{part}: {error}")
    if facts.get("samples") and (unexplained := facts["samples"].pop("unexplained")):
        facts["not_compared"].append(f"reasons of samples: {unexplained}")
    return facts
