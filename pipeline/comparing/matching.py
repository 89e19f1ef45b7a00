"""Read a table at two revisions and match its rows. They stay in Arrow: no Python object per row."""

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
    """Two tables, and which rows of them belong together."""

    was: pa.Table
    now: pa.Table
    was_rows: pa.Array  # row numbers of what both have
    now_rows: pa.Array  # the same rows there
    removed: pa.Table  # rows that `was` alone has
    added: pa.Table  # rows that `now` alone has

    @property
    def before(self) -> pa.Table:
        """What both have, as it was."""
        return self.was.take(self.was_rows)

    @property
    def after(self) -> pa.Table:
        """What both have, as it is."""
        return self.now.take(self.now_rows)

    def where(self, chosen: Any) -> "Matched":
        """Return this with only those rows of both for which the mask `chosen` holds."""
        return self._replace(was_rows=self.was_rows.filter(chosen), now_rows=self.now_rows.filter(chosen))


def match(before: pa.Table, after: pa.Table, on: str) -> Matched:
    """Match the rows of two tables by the column `on`, which holds no value twice. Rows keep the order of `after`."""
    places = pc.index_in(column(after, on), value_set=column(before, on)).combine_chunks()
    there = pc.is_valid(places)
    gone = pc.invert(pc.is_in(column(before, on), value_set=column(after, on)))
    return Matched(
        was=before,
        now=after,
        was_rows=places.drop_null(),
        now_rows=pc.indices_nonzero(there),
        removed=before.filter(gone),
        added=after.filter(pc.invert(there)),
    )


def look_up(keys: pa.ChunkedArray, table: pa.Table, on: str) -> pa.Table:
    """Return for each of `keys` the row of `table` that has it in the column `on`; empty values where none has."""
    return table.take(pc.index_in(keys, value_set=column(table, on)))


def column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column, with plain strings for dictionary-encoded ones: different dictionaries do not compare."""
    values = table[name]
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def differs(matched: Matched, *names: str) -> Any:
    """Return a mask of what both have: the rows in which any of the columns `names` changed. Empty is a value too."""
    mask = _unequal(matched, names[0])
    for name in names[1:]:
        mask = pc.or_(mask, _unequal(matched, name))
    return mask


def _unequal(matched: Matched, name: str) -> Any:
    # Column by column: millions of rows of all columns, brought into one order, would double the memory.
    before = column(matched.was, name).take(matched.was_rows)
    after = column(matched.now, name).take(matched.now_rows)
    unequal = pc.or_(pc.fill_null(pc.not_equal(before, after), False), pc.xor(pc.is_null(before), pc.is_null(after)))
    return unequal.combine_chunks()
