"""Markdown with YAML front matter, as the Hugging Face Hub reads its cards."""

import io
from collections.abc import Iterable
from typing import Any

from ruamel.yaml import YAML


def document(front_matter: dict[str, Any], text: str) -> str:
    """Return front matter and text as one file."""
    stream = io.StringIO()
    yaml = YAML()
    yaml.width = 1000
    yaml.dump(front_matter, stream)
    return f"---\n{stream.getvalue()}---\n\n{text}"


def sections(contents: dict[str, str]) -> str:
    """Return each content under its title, a heading of the second level."""
    return paragraphs(f"## {title}\n\n{content}" for title, content in contents.items())


def table(heads: list[str], rows: Iterable[list[Any]]) -> str:
    """Return a table; numbers stand at the right."""
    shown = [[_cell(value) for value in row] for row in rows]
    numbers = [any(row[place][:1].isdigit() for row in shown) for place in range(len(heads))]
    lines = [heads, ["---:" if number else "---" for number in numbers], *shown]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """Return a list, one line each."""
    return "\n".join(f"- {line}" for line in lines)


def paragraphs(blocks: Iterable[str]) -> str:
    """Return blocks apart from each other."""
    return "\n\n".join(blocks)


def code(text: str) -> str:
    """Return text as code within a line."""
    return "`" + text.replace("`", "'") + "`"


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")
