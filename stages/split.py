"""split: train, val or test for every video; ties between splits counted. `python -m stages.split KEY`."""

import sys
from pathlib import Path

from pydantic import Field

from pipeline import params, provenance, splitting, tables
from pipeline.errors import UserError, exit_on_user_error

COLUMNS = ["video", "label", "method", "official_split", "status", "reason"]
COLUMNS += ["recording", "donor_recording", "person", "donor_person", "sha256"]


class Params(params.Section):
    """The section `split` of params.yaml."""

    validation: float = Field(ge=0, le=0.5)
    seed: int


def main() -> None:
    """Write data/split/KEY: videos.parquet and leaks.parquet."""
    key = params.dataset_key(sys.argv)
    out = Path("data/split") / key
    knobs = params.load_section(Params, "split", key)
    videos = tables.read(Path("data/index") / key / "videos.parquet", tables.VIDEOS, COLUMNS)
    usable = videos[videos.status == "ok"]
    if usable.empty:
        raise UserError(f"{key}: no usable video; data/index/{key}/findings.parquet says why")
    group = provenance.groups(usable)
    split = splitting.assign(usable, group, knobs.validation, knobs.seed)

    assignments = videos[["video", "label", "method", "status", "reason"]].copy()
    assignments["group"] = assignments.video.map(group)
    # A damaged video keeps the split its list gives it, so that evaluation can say what could not be scored.
    lost = videos.official_split.where(videos.reason != "not_selected")
    assignments["split"] = assignments.video.map(split).fillna(lost)
    in_no_list = (assignments.status == "ok") & assignments.split.isna()
    assignments.loc[in_no_list, ["status", "reason"]] = "rejected", "in_no_list"
    if not (assignments.status == "ok").any():
        raise UserError(f"{key}: the published split lists name none of its {len(usable)} usable videos")
    if len(assignments) != len(videos):
        raise AssertionError(f"split: {len(videos)} videos in, {len(assignments)} out")
    tables.write(out / "videos.parquet", assignments, tables.ASSIGNMENTS, order=["video"])
    tables.write(out / "leaks.parquet", provenance.leaks(usable, split), tables.LEAKS, order=["kind", "node"])


if __name__ == "__main__":
    exit_on_user_error(main)
