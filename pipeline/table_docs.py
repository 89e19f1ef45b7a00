"""The document of every table that stages exchange: `python -m pipeline.table_docs > docs/tables.md`."""

from pipeline import tables

TABLES = [
    ("Videos", tables.VIDEOS, "data/index/<dataset>/videos.parquet"),
    ("Findings", tables.FINDINGS, "data/index/<dataset>/findings.parquet, data/check/<dataset>/findings.parquet"),
    ("Assignments", tables.ASSIGNMENTS, "data/split/<dataset>/videos.parquet"),
    ("Leaks", tables.LEAKS, "data/split/<dataset>/leaks.parquet"),
    ("Ties", tables.TIES, "data/split/<dataset>/ties.parquet"),
    ("Leaks across datasets", tables.ACROSS, "data/audit/leaks.parquet"),
    ("Sampled videos", tables.SAMPLED_VIDEOS, "data/sample/<dataset>/videos.parquet"),
    ("Candidates", tables.CANDIDATES, "data/sample/<dataset>/frames.parquet"),
    ("Flat candidates", tables.FLAT, "data/flatten/<dataset>/frames.parquet"),
    ("Ranked candidates", tables.RANKED, "data/reduce/<dataset>/frames.parquet"),
    ("Quotas", tables.QUOTAS, "data/reduce/<dataset>/quotas.parquet"),
    ("Frames", tables.FRAMES, "data/extract/<dataset>/frames.parquet"),
    ("Faces", tables.FACES, "data/extract/<dataset>/faces.parquet"),
    ("Filled quotas", tables.FILLED, "data/extract/<dataset>/quotas.parquet"),
    ("Samples", tables.SAMPLES, "data/shard/<dataset>/samples.parquet"),
    ("Shortcuts", tables.SHORTCUTS, "data/audit/shortcuts.parquet"),
    ("Learned", tables.LEARNED, "data/train/samples.parquet"),
    ("Validation", tables.VALIDATION, "data/train/validation.parquet"),
    ("Scores", tables.SCORES, "data/evaluate/<dataset>/scores.parquet"),
    ("Metrics", tables.METRICS, "data/evaluate/<dataset>/metrics.parquet"),
    ("Robustness", tables.ROBUSTNESS, "data/evaluate/<dataset>/robustness.parquet"),
    ("Heat maps", tables.HEATMAPS, "data/evaluate/<dataset>/heatmaps.parquet"),
]


def describe() -> str:
    """Return docs/tables.md: each table with its columns, types and meanings."""
    lines = [
        "# Tables",
        "",
        "Made from `pipeline/tables.py` by `python -m pipeline.table_docs`; do not edit by hand.",
        "",
    ]
    for title, schema, where in TABLES:
        lines += [
            f"## {title}",
            "",
            f"`{where}`",
            "",
            "| column | type | may be empty | meaning |",
            "|---|---|---|---|",
        ]
        for field in schema:
            kind = "name" if field.type == tables.name else str(field.type)
            lines.append(
                f"| {field.name} | {kind} | {'yes' if field.nullable else ''} | {field.metadata[b'meaning'].decode()} |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(describe(), end="")
