"""The simple head of a Markdown file: flat keys with scalar or list values, read strictly and without a YAML library.

    ---
    title: Expenses
    tags: [finance, travel]
    owners:
      - bob
    ---

Anything richer (nesting, anchors, block scalars, a key twice) is not front matter here, so nothing is half understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from affidavit.domain.canonical import Json

_OPEN = re.compile(r"---[ \t]*(?:\r\n?|\n)")
_CLOSE = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r\n?|\n|\Z)", re.MULTILINE)
_NEWLINE = re.compile(r"\r\n?|\n")
_PAIR = re.compile(r"([A-Za-z_][\w.-]*)[ \t]*:(?:[ \t]+(.*))?", re.ASCII)
_ITEM = re.compile(r"[ \t]*-[ \t]+(.*)")
_RICH = ("{", "[", "&", "*", "!", "|", ">", "%", "@", "`", "- ", "? ")
LONGEST = 65_536
"""Characters within which front matter must end."""

Value = str | list[str]


@dataclass(frozen=True)
class FrontMatter:
    """``end``: where the body begins. ``values`` is None when the head is there but malformed: then it is text."""

    end: int
    values: dict[str, Json] | None


def front_matter(text: str) -> FrontMatter | None:
    """The front matter ``text`` begins with, or None if it has none (a rule ``---`` that begins a page is not one)."""
    opened = _OPEN.match(text)
    if opened is None:
        return None
    closed = _CLOSE.search(text, opened.end(), LONGEST)
    if closed is None:
        return None
    lines = _NEWLINE.split(text[opened.end() : closed.start()])
    written = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not written or not _PAIR.fullmatch(written[0].rstrip()):
        return None
    return FrontMatter(closed.end(), _values(written))


def _values(lines: list[str]) -> dict[str, Json] | None:
    """Keys and values in file order, or None if a line is not understood."""
    values: dict[str, Json] = {}
    open_list: list[Json] | None = None
    for line in lines:
        item = _ITEM.fullmatch(line.rstrip())
        pair = _PAIR.fullmatch(line.rstrip())
        if item and open_list is not None:
            scalar = _scalar(item[1])
            if scalar is None:
                return None
            open_list.append(scalar)
        elif pair and pair[1] not in values:
            value = _value(pair[2] or "")
            if value is None:
                return None
            open_list = value if isinstance(value, list) and not pair[2] else None
            values[pair[1]] = value
        else:
            return None
    # ``key:`` with nothing under it is an empty string, as a person would read it
    return {key: "" if value == [] else value for key, value in values.items()}


def _value(written: str) -> str | list[Json] | None:
    written = written.strip()
    if not written:
        return []
    if not written.startswith("["):
        return _scalar(written)
    if not written.endswith("]") or len(written) < 2:
        return None
    inner = written[1:-1].strip()
    items: list[Json] = []
    for part in inner.split(",") if inner else []:
        scalar = _scalar(part)
        if scalar is None:
            return None
        items.append(scalar)
    return items


def _scalar(written: str) -> str | None:
    """A plain or quoted scalar as the string it is written as; None for what needs real YAML."""
    written = written.strip()
    for quote in ('"', "'"):
        if written.startswith(quote):
            inner = written[1:-1]
            simple = (
                len(written) >= 2 and written.endswith(quote) and quote not in inner and "\\" not in inner
            )
            return inner if simple else None
    plain = written.split(" #", 1)[0].rstrip()
    if plain.startswith(_RICH) or ": " in plain or plain.endswith(":"):
        return None
    return plain
