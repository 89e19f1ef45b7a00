"""Change values in the text of a YAML file and leave every other byte of it, comments above all, as it is.

Writing a file anew from parsed values, as round-trip writers do, moves comments and quotes, and after an empty `{}` or
`[]` may lose a line break, so that the file cannot be read any more.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

PLAIN = re.compile(r"[A-Za-z_][\w./-]*")


class Edit(NamedTuple):
    """Put `text` in the place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str


def edited(text: str, values: Mapping[str, Any]) -> str:
    """Return the YAML `text`, a mapping, changed so that it holds `values`; what is equal stays as it is written.

    A changed value is written on one line, a mapping of mappings whose names change over several. Comments beside
    and below a value stay, in their column where there is room. `values` must have the same names on the top level.
    """
    yaml = YAML(typ="safe", pure=True)
    edits = sorted(_edits(text, yaml.compose(text), values), reverse=True)
    for start, end, new in edits:
        text = text[:start] + new + text[end:]
    if YAML(typ="safe", pure=True).load(text) != values:
        raise AssertionError("the edited text does not hold the values it was edited for")
    return text


def on_one_line(value: Any) -> str:
    """Return a value as YAML writes it on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{on_one_line(name)}: {on_one_line(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(on_one_line, value)) + "]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and YAML(typ="safe", pure=True).load(value) == value:
        return value
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _edits(text: str, node: MappingNode, values: Mapping[str, Any]) -> Iterator[Edit]:
    """Return the edits after which the mapping at `node` holds `values`, whose names are the same."""
    for key, value in node.value:
        new = values[key.value]
        if _plain(value) == new:
            continue
        if not isinstance(value, MappingNode) or not isinstance(new, Mapping):
            yield from _replaced(text, key, value, new)
        elif [name.value for name, _ in value.value] == list(new):
            yield from _edits(text, value, new)
        elif _is_block(value) and new and all(isinstance(inner, Mapping) for inner in new.values()):
            yield _entries(text, value, new)
        else:
            yield from _replaced(text, key, value, new)


def _replaced(text: str, key: Node, value: Node, new: Any) -> Iterator[Edit]:
    """Put the value `new` behind its key, on the key's line; what stood on lines of its own goes."""
    start = _colon(text, key)
    end = start if _is_block(value) or _left_out(value) else _end(text, value)
    written = f" {on_one_line(new)}"
    if spaces := re.compile(r" +(?=#)").match(text, end):  # the comment keeps its column where there is room
        written += " " * max(1, spaces.end() - start - len(written))
        end = spaces.end()
    yield Edit(start, end, written)
    if _is_block(value):
        yield Edit(text.rindex("\n", 0, value.start_mark.index), _end(text, value), "")


def _entries(text: str, node: MappingNode, new: Mapping[str, Mapping[str, Any]]) -> Edit:
    """Put the mappings `new` in the place of those at `node`; one that is there already stays as it is written."""
    start = text.rindex("\n", 0, node.start_mark.index) + 1
    indent = " " * (node.start_mark.index - start)
    kept = {
        key.value: text[text.rindex("\n", 0, key.start_mark.index) + 1 : _line_end(text, value)]
        for key, value in node.value
        if key.value in new and _plain(value) == new[key.value]
    }
    written = [
        kept.get(name)
        or "\n".join(
            [f"{indent}{name}:", *(f"{indent}  {knob}: {on_one_line(value)}" for knob, value in entry.items())]
        )
        for name, entry in new.items()
    ]
    return Edit(start, _line_end(text, node), "\n".join(written))


def _plain(node: Node) -> Any:
    """Return the value at `node`."""
    return YAML(typ="safe", pure=True).constructor.construct_document(node)


def _is_block(node: Node) -> bool:
    """Whether the node is a mapping or list written over lines of its own."""
    return isinstance(node, CollectionNode) and not node.flow_style


def _end(text: str, node: Node) -> int:
    """Return where the node's last character is: a mapping or list on lines of its own ends with its last value."""
    if not _is_block(node):
        return int(node.end_mark.index)
    last = node.value[-1]
    if not isinstance(last, tuple):
        return _end(text, last)
    key, value = last
    return _colon(text, key) if _left_out(value) else _end(text, value)


def _colon(text: str, key: Node) -> int:
    """Return where the value of `key` may start."""
    return text.index(":", key.end_mark.index) + 1


def _left_out(node: Node) -> bool:
    """Whether nothing stands there, as behind `name:`, which is null; its marks are those of what follows."""
    return bool(node.start_mark.index == node.end_mark.index)


def _line_end(text: str, node: Node) -> int:
    """Return the end of the line on which the node ends, a comment there included."""
    end = text.find("\n", _end(text, node))
    return len(text) if end < 0 else end
