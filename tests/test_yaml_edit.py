import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.yaml_edit import edited, on_one_line

TEXT = """\
# the head
one:
  number: 1      # a number
  words: [a, b]  # words
                 # and more of them
  none:          # nothing there
  lines:         # a list
    - a
    - b          # the last one
  deep: {a: 1, b: {c: 2}}
things:
  # of the first
  first:
    x: 1         # x
  second: {x: 2}
  third:
    x:

# the end
two:
  last: "quoted"
"""

texts = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]) | st.sampled_from("\n\t"))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
plain = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)


def load(text: str) -> dict:
    return YAML(typ="safe", pure=True).load(text)


def comments(text: str) -> list[str]:
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


@given(value=plain)
def test_a_value_on_one_line_reads_back(value: object) -> None:
    line = on_one_line(value)
    assert "\n" not in line and load(f"value: {line}\n")["value"] == value


@given(
    name=st.sampled_from(["number", "words", "none", "lines"]),
    value=st.integers() | st.lists(st.integers()) | st.none(),
)
def test_one_value_changes_and_no_comment_goes(name: str, value: object) -> None:
    values = load(TEXT)
    values["one"][name] = value
    after = edited(TEXT, values)
    assert load(after) == values
    assert [part.strip() for line in comments(after) for part in line.split("#")] == [
        line.strip() for line in comments(TEXT)
    ]
    assert edited(after, values) == after
    assert load(edited(after, load(TEXT))) == load(TEXT)


def test_what_is_equal_stays_as_it_is_written() -> None:
    assert edited(TEXT, load(TEXT)) == TEXT


def test_comments_keep_their_column_where_there_is_room() -> None:
    values = load(TEXT)
    values["one"] |= {"number": 12345, "words": ["a much longer word than before"], "none": True}
    lines = edited(TEXT, values).splitlines()
    assert lines[2:6] == [
        "  number: 12345  # a number",
        '  words: ["a much longer word than before"] # words',
        "                 # and more of them",
        "  none: true     # nothing there",
    ]


def test_a_list_on_lines_of_its_own_goes_to_its_name() -> None:
    values = load(TEXT)
    values["one"]["lines"] = []
    assert "  lines: []      # a list          # the last one\n  deep:" in edited(TEXT, values)


def test_inside_braces_one_value_changes() -> None:
    values = load(TEXT)
    values["one"]["deep"]["b"]["c"] = 3
    assert edited(TEXT, values) == TEXT.replace("{c: 2}", "{c: 3}")


def test_entries_come_and_go() -> None:
    values = load(TEXT)
    values["things"] = {"third": {"x": None}, "new": {"x": "a b", "y": [1]}, "first": {"x": 1}}
    after = edited(TEXT, values)
    assert load(after) == values
    things = after[after.index("things:") : after.index("\n\n# the end\ntwo:")]
    assert things.splitlines()[-7:] == [
        "  third:",
        "    x:",
        "  new:",
        '    x: "a b"',
        "    y: [1]",
        "  first:",
        "    x: 1         # x",
    ]


def test_other_names_are_no_edit() -> None:
    with pytest.raises(KeyError):
        edited("a: 1\nb: 2\n", {"a": 1})
