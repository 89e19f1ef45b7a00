"""What must hold of a dataset before it may be used, as Great Expectations suites over its tables.

Whatever spans rows (a group in two splits, a crop that is not in its tar) is computed into a small table first and
then expected to be empty, so that every rule is an expectation. Map expectations pass over empty cells, so each comes
with its NotBeNull.
"""

import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from pipeline.engines import Run
from pipeline.files import sha256_of_bytes
from pipeline.progress import track
from pipeline.selection import LONGEST_KEY
from pipeline.tables import SPLITS

# Reasons that lie with the machine or the moment, not with the video: the same data would give other frames tomorrow.
UNANSWERED = ["timeout", "worker_killed", "missing", "changed_since_index", "unreadable"]
# Rules whose breach does not stop the pipeline: extract has stopped already where it was told to.
WARNINGS = ["quota_missed"]
SHOWN = 5  # examples of a violation that are written out


@dataclass(frozen=True)
class Rule:
    """One expectation: its Great Expectations class, its arguments, and the code of the finding when it fails."""

    code: str
    expectation: str
    arguments: dict[str, Any] = field(default_factory=dict)


def rules(min_found: float, max_imbalance: float) -> dict[str, list[Rule]]:
    """Return the rules of each checked table; see `checked_tables` for what the tables hold."""
    never_empty = "ExpectColumnValuesToNotBeNull"
    unique = "ExpectColumnValuesToBeUnique"
    within = "ExpectColumnValuesToBeInSet"
    between = "ExpectColumnValuesToBeBetween"
    same = "ExpectColumnPairValuesToBeEqual"
    return {
        "videos": [
            Rule("duplicate_video", unique, {"column": "video"}),
            Rule("bad_label", never_empty, {"column": "label"}),
            Rule("bad_label", within, {"column": "label", "value_set": [0, 1]}),
            Rule("no_split", never_empty, {"column": "split"}),
            Rule("no_split", within, {"column": "split", "value_set": list(SPLITS)}),
            Rule("no_group", never_empty, {"column": "group"}),
        ],
        "steps": [Rule("count_mismatch", same, {"column_A": "before", "column_B": "after"})],
        "frames": [
            Rule("duplicate_key", unique, {"column": "key_without_case"}),
            Rule("bad_key", "ExpectColumnValuesToNotMatchRegex", {"column": "key", "regex": r"[./\\\s]"}),
            Rule(
                "bad_key",
                "ExpectColumnValueLengthsToBeBetween",
                {"column": "key", "min_value": 1, "max_value": LONGEST_KEY},
            ),
            Rule("bad_label", within, {"column": "label", "value_set": [0, 1]}),
            Rule("unanswered_frame", "ExpectColumnValuesToNotBeInSet", {"column": "reason", "value_set": UNANSWERED}),
            Rule("bad_status", within, {"column": "status", "value_set": ["kept", "surplus", "failed", "unused"]}),
        ],
        "kept": [
            Rule("no_crop", never_empty, {"column": "sha256"}),
            Rule("bad_box", between, {"column": "crop_width", "min_value": 1}),
            Rule("bad_box", between, {"column": "crop_height", "min_value": 1}),
        ],
        "crops": [
            Rule(f"{problem}_crop", "ExpectColumnValuesToNotBeInSet", {"column": "problem", "value_set": [problem]})
            for problem in ("missing", "extra", "altered", "undecodable", "wrong_size")
        ],
        "quotas": [
            Rule(
                "quota_missed",
                "ExpectColumnPairValuesAToBeGreaterThanB",
                {"column_A": "kept", "column_B": "quota", "or_equal": True},
            ),
            Rule(
                "quota_exceeded",
                "ExpectColumnPairValuesAToBeGreaterThanB",
                {"column_A": "allowed", "column_B": "kept", "or_equal": True},
            ),
            Rule("faces_not_found", between, {"column": "found", "min_value": min_found}),
            Rule("nothing_kept", between, {"column": "kept", "min_value": 1}),
        ],
        "balance": [
            Rule("one_class", within, {"column": "classes", "value_set": [2]}),
            Rule("imbalance", between, {"column": "imbalance", "max_value": max_imbalance}),
        ],
        "leaks": [Rule("group_in_two_splits", "ExpectTableRowCountToEqual", {"value": 0})],
    }


def checked_tables(
    videos: pd.DataFrame,
    steps: dict[str, tuple[int, int]],
    frames: pd.DataFrame,
    filled: pd.DataFrame,
    crops: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """Return the tables that `rules` speaks of.

    `videos` are usable rows of tables.ASSIGNMENTS, `steps` maps what was counted to (before, after), `frames` are rows
    of tables.FRAMES, `filled` of tables.FILLED, `crops` the rows of `inspect_crops`.
    """
    guaranteed = _guaranteed(frames, filled)
    quotas = filled.assign(
        allowed=np.maximum(filled.quota, guaranteed),
        found=((filled.kept + filled.surplus) / filled.tried.clip(lower=1)).astype(float),
        subject=filled.split + " label " + filled.label.astype(str),
    )
    balance = quotas.groupby("split").agg(
        classes=("label", "nunique"), most=("kept", "max"), least=("kept", "min"), rule=("rule", "first")
    )
    balance = balance.reset_index().rename(columns={"split": "subject"})
    balance["imbalance"] = (balance.most / balance.least.clip(lower=1)).where(balance.rule == "smallest_class", 1.0)
    kept = frames[frames.status == "kept"]
    # What was carved must be free of ties; those within the published lists are theirs, and counted by split.
    carved = videos[videos.split.isin(["val", "test"]) & (videos.split_by == "carved")]
    spread = videos[videos.group.isin(carved.group)].groupby("group").split.nunique()
    return {
        "videos": videos.assign(subject=videos.video),
        "steps": pd.DataFrame(
            [{"subject": what, "before": before, "after": after} for what, (before, after) in steps.items()]
        ),
        "frames": frames.assign(key_without_case=frames.key.str.lower(), subject=frames.key),
        "kept": kept.assign(subject=kept.key),
        "crops": crops,
        "quotas": quotas,
        "balance": balance,
        "leaks": pd.DataFrame({"subject": spread.index[spread > 1]}),
    }


def _guaranteed(frames: pd.DataFrame, filled: pd.DataFrame) -> pd.Series:
    """Return for each cell how many frames its videos were guaranteed: min_per_video or all their good ones."""
    good = frames[frames.status.isin(["kept", "surplus"])]
    per_video = good.groupby(["split", "label", "video"]).size().rename("good").reset_index()
    per_video = per_video.merge(filled[["split", "label", "min_per_video"]], on=["split", "label"])
    per_video["guaranteed"] = np.minimum(per_video.good, per_video.min_per_video)
    sums = per_video.groupby(["split", "label"]).guaranteed.sum()
    return (
        filled.merge(sums.reset_index(), on=["split", "label"], how="left").guaranteed.fillna(0).set_axis(filled.index)
    )


def inspect_crops(frames: pd.DataFrame, folder: Path, run: Run) -> pd.DataFrame:
    """Hold the tars in `folder` against the kept frames: one row (subject, problem) per crop in either.

    problem is "" or missing, extra, altered (another hash), undecodable, wrong_size.
    """
    kept = frames[frames.status == "kept"]
    names = sorted({*kept.tar, *(path.name for path in folder.glob("crops-*.tar"))})
    columns = ["key", "sha256", "crop_width", "crop_height"]
    jobs = [
        {"tar": str(folder / name), "expected": kept.loc[kept.tar == name, columns].to_dict("records")}
        for name in names
    ]
    rows: list[dict[str, str]] = []
    for job, result in track(run, inspect_tar, jobs, "check", "tar"):
        if isinstance(result, Exception):  # no tar, or one that breaks off
            result = [{"subject": row["key"], "problem": "undecodable"} for row in job["expected"]]
            result = result or [{"subject": Path(job["tar"]).name, "problem": "extra"}]
        rows += result
    return pd.DataFrame(rows, columns=["subject", "problem"]).sort_values("subject", ignore_index=True)


def inspect_tar(job: dict[str, Any]) -> list[dict[str, str]]:
    """Compare one tar with the rows expected in it (runs in a worker)."""
    expected = {row["key"]: row for row in job["expected"]}
    problems = dict.fromkeys(expected, "missing")
    path = Path(job["tar"])
    if path.exists():
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member)
                key = member.name.partition(".")[0]  # a key holds no dot
                problems[key] = _problem(content.read() if content else b"", expected.get(key))
    return [{"subject": key, "problem": problem} for key, problem in problems.items()]


def _problem(content: bytes, row: dict[str, Any] | None) -> str:
    if row is None:
        return "extra"
    if sha256_of_bytes(content) != row["sha256"]:
        return "altered"
    picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        return "undecodable"
    return "" if picture.shape[:2] == (row["crop_height"], row["crop_width"]) else "wrong_size"


def validate(checked: dict[str, pd.DataFrame], suites: dict[str, list[Rule]]) -> list[dict[str, Any]]:
    """Run every rule; return for each: table, code, expectation, passed, violations, examples (list of text)."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("dataset")
    rows = []
    for name, suite_rules in suites.items():
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        table = checked[name]
        expectations = [
            getattr(gxe, rule.expectation)(**rule.arguments, meta={"rule": number})
            for number, rule in enumerate(suite_rules)
        ]
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        result = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": table.reset_index(drop=True)}, result_format={"result_format": "COMPLETE"}
        )
        outcomes: dict[int, Any] = {_rule_number(outcome): outcome for outcome in result.results}
        for number, rule in enumerate(suite_rules):
            outcome = outcomes[number]
            examples = [] if outcome.success else _examples(table, outcome)
            rows.append(
                {"table": name, "code": rule.code, "expectation": rule.expectation, "passed": bool(outcome.success)}
                | {"violations": 0 if outcome.success else len(examples) or 1, "examples": examples[:SHOWN]}
            )
    return rows


def _rule_number(outcome: Any) -> int:
    """Great Expectations returns outcomes in an order of its own; the number rides along as meta data."""
    return int(outcome.expectation_config.meta["rule"])


def _examples(table: pd.DataFrame, outcome: Any) -> list[str]:
    """Return the subjects of the rows that break an expectation; all rows for a table that should be empty."""
    if outcome.exception_info and outcome.exception_info.get("raised_exception"):
        return [f"could not be checked: {outcome.exception_info.get('exception_message')}"]
    positions = outcome.result.get("unexpected_index_list")
    if positions is None:
        return list(map(str, table.subject))
    return list(map(str, table.subject.iloc[sorted(positions)]))
