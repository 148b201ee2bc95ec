"""How deep a page nests, worked out from its tags before a tree is built.

The rules for what an end tag closes, and what a start tag closes unasked, are the tree builder's, simplified; where they
differ the depth comes out larger. Looking up the stack is budgeted, since the tree builder pays for the same looks.
"""

from __future__ import annotations

from collections import Counter

from affidavit.domain.errors import ParseError

DEEPEST = 1_000
"""Elements inside one another. Browsers stop at 512."""
MOST_LOOKS = 5_000_000
_HINT = "Leave the page out of the source; no browser would show it either."

# Looking for an open element stops at these
_WALLS = frozenset(("table", "td", "th", "caption"))
_TABLE_PARTS = frozenset(("caption", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr"))
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_ENDS_PARAGRAPH = frozenset(
    """address article aside blockquote center details dialog dir div dl dd dt fieldset figcaption figure footer form h1 h2
    h3 h4 h5 h6 header hgroup hr li main menu nav ol p pre section summary table ul""".split()
)
# An item ends its elder sibling through these, and through elements without a meaning
_THIN = frozenset(("address", "div", "p"))


def _is_plain(name: str) -> bool:
    return name.startswith("x-")


class Depth:
    """The stack of open elements."""

    def __init__(self) -> None:
        self._stack: list[str] = []
        self._open: Counter[str] = Counter()
        self._looks = 0

    def open(self, name: str) -> None:
        """A start tag. Raises ParseError when the page nests too deeply or is too tangled."""
        if name in ("html", "head", "body"):
            return
        if name in _ENDS_PARAGRAPH:
            self._cut(self._find("p", _WALLS | {"button"}))
        if name in _TABLE_PARTS:
            table = self._find("table", frozenset())
            if table < 0:
                return
            self._cut(table + 1)
        elif name == "li":
            self._cut(self._sibling(("li",)))
        elif name in ("dd", "dt"):
            self._cut(self._sibling(("dd", "dt")))
        elif name == "button":
            self._cut(self._find("button", _WALLS))
        elif name in _HEADINGS and self._stack and self._stack[-1] in _HEADINGS:
            self._cut(len(self._stack) - 1)
        self._stack.append(name)
        self._open[name] += 1
        if len(self._stack) > DEEPEST:
            raise ParseError(f"the page nests more than {DEEPEST:,} elements.", _HINT)

    def close(self, name: str) -> None:
        """An end tag. Raises ParseError when the page is too tangled."""
        if name in _HEADINGS:
            self._cut(
                max(
                    self._find(heading, _WALLS)
                    for heading in _HEADINGS
                    if self._open[heading] or heading == name
                )
            )
        elif name in _TABLE_PARTS or name == "table":
            self._cut(self._find(name, frozenset(("table",))))
        elif name == "p":
            self._cut(self._find("p", _WALLS | {"button"}))
        elif name == "li":
            self._cut(self._find("li", _WALLS | {"ol", "ul"}))
        elif _is_plain(name):
            self._cut(self._find_plain(name))
        else:
            self._cut(self._find(name, _WALLS))

    def _cut(self, at: int) -> None:
        """Close the elements from ``at`` on; nothing if ``at`` is negative."""
        if at < 0:
            return
        while len(self._stack) > at:
            self._open[self._stack.pop()] -= 1

    def _look(self) -> None:
        self._looks += 1
        if self._looks > MOST_LOOKS:
            raise ParseError("the page's tags are too tangled to be read.", _HINT)

    def _find(self, name: str, walls: frozenset[str]) -> int:
        """Where the innermost open ``name`` is that no wall hides, or -1."""
        if not self._open[name]:
            return -1
        for place in range(len(self._stack) - 1, -1, -1):
            self._look()
            if self._stack[place] == name:
                return place
            if self._stack[place] in walls:
                return -1
        return -1

    def _find_plain(self, name: str) -> int:
        """Like ``_find``, where every element with a meaning is a wall."""
        if not self._open[name]:
            return -1
        for place in range(len(self._stack) - 1, -1, -1):
            self._look()
            if self._stack[place] == name:
                return place
            if not _is_plain(self._stack[place]):
                return -1
        return -1

    def _sibling(self, names: tuple[str, ...]) -> int:
        """Where the open item is that a new one ends, or -1."""
        if not any(self._open[name] for name in names):
            return -1
        for place in range(len(self._stack) - 1, -1, -1):
            self._look()
            if self._stack[place] in names:
                return place
            if not _is_plain(self._stack[place]) and self._stack[place] not in _THIN:
                return -1
        return -1
