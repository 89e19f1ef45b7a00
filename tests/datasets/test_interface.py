"""What every layout has in common."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import csv_rows, layouts, load_layout, natural_order
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL, SPLITS


def test_unknown_layout() -> None:
    with pytest.raises(UserError, match=r"unknown layout 'celebdf'; known: .*dfdc, dfdc_preview, .*manifest"):
        load_layout("celebdf")


@pytest.mark.parametrize("name", sorted(layouts()))
def test_every_layout_is_well_formed(name: str) -> None:
    layout = layouts()[name]
    assert re.fullmatch(r"[a-z0-9_]+", name) and layout.title
    for pattern, _ in (*layout.rearranged, *layout.sidecars):
        re.compile(pattern)
    for count in layout.counts:
        assert count.videos > 0 and count.split in (None, *SPLITS) and count.label in (None, REAL, FAKE)


@pytest.mark.parametrize("name", sorted(layouts()))
def test_a_copy_without_anything_has_no_videos(name: str) -> None:
    layout = layouts()[name]
    lists = layout.read_lists({})
    assert not lists.files and not list(layout.expected(lists, set()))
    for path in ("", "notes.txt", "video.mp4", "deep/er/video.mp4", "a\nb.png"):
        assert layout.recognise(path, lists) is None


@pytest.mark.parametrize("name", sorted(layouts()))
@given(path=st.text("abd_df0123/.mpngtesvioric ", max_size=40))
def test_rearranging_twice_is_rearranging_once(name: str, path: str) -> None:
    layout = layouts()[name]
    assert layout.published(layout.published(path)) == layout.published(path)


def test_natural_order() -> None:
    frames = ["a/f9.png", "a/f009.png", "a/f10.png", "a/f100.png", "a/fa.png", "b1.png"]
    assert sorted(frames, key=natural_order) == ["a/f009.png", *frames[:1], *frames[2:]]


@given(st.lists(st.text("ab019/._", min_size=1, max_size=8), unique=True))
def test_natural_order_never_ties(paths: list[str]) -> None:
    assert len({natural_order(path) for path in paths}) == len(paths)


def test_csv_rows_number_lines_and_drop_blanks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfname, label\r\n\r\n,\r\n"a, b",1\r\n')
    assert list(csv_rows(tmp_path / "a.csv")) == [(1, ["name", "label"]), (4, ["a, b", "1"])]


def test_csv_rows_refuse_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"name\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"a\.csv: expected CSV in UTF-8"):
        list(csv_rows(tmp_path / "a.csv"))
