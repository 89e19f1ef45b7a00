"""Read a table at two revisions and match its rows. They stay in Arrow: no Python object is made per row."""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.revisions import Revision


def read_both(
    before: Revision, after: Revision, path: str, schema: pa.Schema, columns: list[str]
) -> tuple[pa.Table, pa.Table] | None:
    """Return `columns` of a table as both revisions have it; None where neither has run so far.

    Raises UserError when one of them lacks it, or it is out of reach, or of another version of Veriframe.
    """
    if not before.has(path) and not after.has(path):
        return None
    return before.read_arrow(path, schema, columns), after.read_arrow(path, schema, columns)


class Matched(NamedTuple):
    """Rows of two tables: those of one alone, and those of both, in the same order."""

    removed: pa.Table  # rows of `before` alone
    added: pa.Table  # rows of `after` alone
    before: pa.Table  # rows of both, as they were
    after: pa.Table  # rows of both, as they are

    def where(self, differs: pa.ChunkedArray) -> "Matched":
        """Return this with only those rows of both for which the mask `differs` holds."""
        return self._replace(before=self.before.filter(differs), after=self.after.filter(differs))


def match(before: pa.Table, after: pa.Table, on: str) -> Matched:
    """Match the rows of two tables by the column `on`, which holds no value twice. Rows keep the order of `after`."""
    places = pc.index_in(column(after, on), value_set=column(before, on))
    there = pc.is_valid(places)
    gone = pc.invert(pc.is_in(column(before, on), value_set=column(after, on)))
    kept = places.drop_null()
    return Matched(before.filter(gone), after.filter(pc.invert(there)), before.take(kept), after.filter(there))


def look_up(keys: pa.ChunkedArray, table: pa.Table, on: str) -> pa.Table:
    """Return for each of `keys` the row of `table` that has it in the column `on`; empty values where none has."""
    return table.take(pc.index_in(keys, value_set=column(table, on)))


def column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column, with plain strings for dictionary-encoded ones: different dictionaries do not compare."""
    values = table[name]
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def differs(matched: Matched, *names: str) -> pa.ChunkedArray:
    """Return a mask of the rows of both in which any of the columns `names` changed; empty is a value of its own."""
    masks = [_unequal(column(matched.before, name), column(matched.after, name)) for name in names]
    mask = masks[0]
    for other in masks[1:]:
        mask = pc.or_(mask, other)
    return mask


def _unequal(before: pa.ChunkedArray, after: pa.ChunkedArray) -> Any:
    return pc.or_(pc.fill_null(pc.not_equal(before, after), False), pc.xor(pc.is_null(before), pc.is_null(after)))
