from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import table_docs, tables
from pipeline.errors import UserError

ROWS = [
    {"video": "b", "frames": 5, "candidates": 2, "status": "ok", "reason": ""},
    {"video": "a", "frames": None, "candidates": 0, "status": "rejected", "reason": "missing"},
]


def write(path: Path, rows: Any = ROWS, **changes: Any) -> Path:
    tables.write(path, rows, tables.SAMPLED_VIDEOS, order=["video"])
    return path


def test_a_table_comes_back_sorted_and_typed(tmp_path: Path) -> None:
    read = tables.read(write(tmp_path / "t.parquet"), tables.SAMPLED_VIDEOS)
    assert read.video.tolist() == ["a", "b"]
    assert read.frames.isna().tolist() == [True, False] and read.frames[1] == 5
    assert read.frames.dtype == pd.Int32Dtype() and read.candidates.dtype == "int32"
    assert pd.api.types.is_string_dtype(read.status)


@pytest.mark.parametrize("name", [title for title, _, _ in table_docs.TABLES])
def test_every_table_may_be_empty(tmp_path: Path, name: str) -> None:
    (schema,) = [schema for title, schema, _ in table_docs.TABLES if title == name]
    tables.write(tmp_path / "t.parquet", [], schema, order=[schema.names[0]])
    read = tables.read(tmp_path / "t.parquet", schema)
    assert read.columns.tolist() == schema.names and read.empty


def test_some_columns_only(tmp_path: Path) -> None:
    read = tables.read(write(tmp_path / "t.parquet"), tables.SAMPLED_VIDEOS, ["status", "video"])
    assert read.columns.tolist() == ["status", "video"]


def test_names_as_categories(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet")
    read = tables.read(path, tables.SAMPLED_VIDEOS, categories=True)
    assert read.video.cat.categories.tolist() == ["a", "b"] and read.video.tolist() == ["a", "b"]
    assert read.status.cat.categories.tolist() == ["ok", "rejected"] and pd.api.types.is_string_dtype(read.reason)
    # Neither the order of the categories nor one that no row has shows in the bytes.
    odd = read.astype(
        {"video": pd.CategoricalDtype(["c", "b", "a"]), "status": pd.CategoricalDtype(["rejected", "ok"])}
    )
    for rows in (read, odd, odd[::-1]):
        assert write(tmp_path / "again.parquet", rows).read_bytes() == path.read_bytes()


def test_more_rows_than_are_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP", 3)
    rows = [ROWS[0] | {"video": f"v{number}", "candidates": number} for number in (4, 0, 6, 2, 5, 1, 3)]
    first = write(tmp_path / "first.parquet", rows)
    assert pq.read_metadata(first).num_row_groups == 3
    read = tables.read(first, tables.SAMPLED_VIDEOS, categories=True)
    assert read.candidates.tolist() == list(range(7)) and read.video.tolist() == [f"v{number}" for number in range(7)]
    assert write(tmp_path / "second.parquet", read[::-1]).read_bytes() == first.read_bytes()


def test_rows_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "first.parquet").read_bytes()
    assert write(tmp_path / "second.parquet", ROWS[::-1]).read_bytes() == first
    assert write(tmp_path / "third.parquet", pd.DataFrame(ROWS)).read_bytes() == first
    again = tables.read(tmp_path / "first.parquet", tables.SAMPLED_VIDEOS)
    assert write(tmp_path / "fourth.parquet", again).read_bytes() == first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"more": 1}, "columns differ from the schema: \\['more'\\]"),
        ({"reason": None}, "column reason has empty values"),
        ({"video": ...}, "column video has empty values"),
    ],
)
def test_rows_that_do_not_fit(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    row = {name: value for name, value in (ROWS[0] | change).items() if value is not ...}
    for rows in ([row, ROWS[1]], pd.DataFrame([row, ROWS[1]])):
        with pytest.raises(ValueError, match=said):
            write(tmp_path / "t.parquet", rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["many", 2.5, 3_000_000_000])
def test_a_value_of_another_kind(tmp_path: Path, value: object) -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        write(tmp_path / "t.parquet", [ROWS[0] | {"frames": value}])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.parquet is missing; run `dvc repro`"):
        tables.read(tmp_path / "t.parquet", tables.SAMPLED_VIDEOS)


@pytest.mark.parametrize("content", [b"", b"no table at all"])
def test_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"t\.parquet is damaged"):
        tables.read(tmp_path / "t.parquet", tables.SAMPLED_VIDEOS)


@pytest.mark.parametrize("columns", [None, ["video", "frames"], ["video", "reason"]])
def test_a_file_of_another_version(tmp_path: Path, columns: list[str] | None) -> None:
    pq.write_table(pa.table({"video": ["a"], "frames": [1.5]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="another version"):
        tables.read(tmp_path / "t.parquet", tables.SAMPLED_VIDEOS, columns)


def test_every_column_says_what_it_means() -> None:
    for title, schema, where in table_docs.TABLES:
        assert where.startswith("data/") and len(set(schema.names)) == len(schema.names), title
        for field in schema:
            assert len(field.metadata[b"meaning"]) > 5, (title, field.name)


def test_every_schema_is_described() -> None:
    schemas = {name: value for name, value in vars(tables).items() if isinstance(value, pa.Schema)}
    described = [schema for _, schema, _ in table_docs.TABLES]
    assert [name for name, schema in schemas.items() if not any(schema is known for known in described)] == []
