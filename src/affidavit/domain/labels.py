"""Where a value came from, and how far it is trusted. A label goes with its value, through joining and formatting too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from affidavit.domain.canonical import Json

_SLOT = re.compile(r"\{([a-z_]+)\}")


class Origin(str, Enum):
    """Who wrote a value: the person who asks, a rule of the release, a document, a tool's result, a model."""

    ASKER = "asker"
    RULE = "rule"
    DOCUMENT = "document"
    TOOL = "tool"
    MODEL = "model"


@dataclass(frozen=True, order=True)
class Label:
    """``name`` is the document, tool (``name@version``), rule or model; ``owner`` who answers for it; ``trusted``: whether the
    organisation takes its word for control arguments. What the asker says is trusted; what a model writes never is by itself:
    it has the labels of everything that the model had read."""

    origin: Origin
    name: str
    owner: str = ""
    trusted: bool = False

    def as_json(self) -> dict[str, Json]:
        """As it stands on the log."""
        return {
            "origin": self.origin.value,
            "name": self.name,
            "owner": self.owner,
            "trusted": self.trusted,
        }


ASKER = Label(Origin.ASKER, "", "", trusted=True)

Labels = frozenset[Label]


def trusted(labels: Iterable[Label]) -> bool:
    """Whether all of ``labels`` are trusted. No label at all is no trust: absence means nobody vouches."""
    found = tuple(labels)
    return bool(found) and all(label.trusted for label in found)


CODE = Label(Origin.RULE, "code", "", trusted=True)
"""On words that stand in our own source."""


class Text:
    """Text that knows where each part of it came from. Joining, formatting, cutting and changing case keep every label.

    There is no way to plain text but ``plain()``: ``str``, f-strings and ``"".join`` raise TypeError, so that a label cannot be
    lost by mistake. Plain text that is added to it is taken to be our own words.
    """

    __slots__ = ("_pieces",)

    def __init__(self, text: str, labels: Iterable[Label]) -> None:
        self._pieces: tuple[tuple[str, Labels], ...] = ((text, frozenset(labels)),) if text else ()

    @classmethod
    def _of(cls, pieces: Iterable[tuple[str, Labels]]) -> Text:
        made = cls("", ())
        made._pieces = tuple((text, labels) for text, labels in pieces if text)
        return made

    @classmethod
    def join(cls, separator: str, parts: Iterable[Text]) -> Text:
        """As ``separator.join(parts)``."""
        pieces: list[tuple[str, Labels]] = []
        for number, part in enumerate(parts):
            if number:
                pieces.append((separator, frozenset((CODE,))))
            pieces.extend(part._pieces)
        return cls._of(pieces)

    @classmethod
    def format(cls, template: str, **values: Text) -> Text:
        """``template`` with ``{name}`` replaced by the value of that name. No other form of a placeholder is known."""
        pieces: list[tuple[str, Labels]] = []
        for number, part in enumerate(_SLOT.split(template)):
            if number % 2:
                pieces.extend(values[part]._pieces)
            else:
                pieces.append((part, frozenset((CODE,))))
        return cls._of(pieces)

    @property
    def labels(self) -> Labels:
        """Of all its parts."""
        return frozenset(label for _, labels in self._pieces for label in labels)

    def plain(self) -> str:
        """The text alone. Whoever calls this answers for what becomes of it."""
        return "".join(text for text, _ in self._pieces)

    def map(self, change: Callable[[str], str]) -> Text:
        """Each part changed, each under its own labels (``map(str.lower)``)."""
        return Text._of((change(text), labels) for text, labels in self._pieces)

    def replace(self, old: str, new: Text) -> Text:
        """Every ``old`` replaced; one that lies across parts counts too, and what replaces it carries its own labels."""
        text, pieces, at = self.plain(), [], 0
        while old and (found := text.find(old, at)) >= 0:
            pieces.append(self[at:found])
            pieces.append(new)
            at = found + len(old)
        return Text.join("", [*pieces, self[at:]])

    def split(self, separator: str) -> list[Text]:
        """As ``str.split`` with a separator."""
        text, parts, at = self.plain(), [], 0
        while (found := text.find(separator, at)) >= 0:
            parts.append(self[at:found])
            at = found + len(separator)
        return [*parts, self[at:]]

    def strip(self) -> Text:
        """Without white space at the ends."""
        text = self.plain()
        start = len(text) - len(text.lstrip())
        return self[start : start + len(text.strip())]

    def __getitem__(self, cut: slice) -> Text:
        start, stop, step = cut.indices(len(self))
        if step != 1:
            raise ValueError("labelled text is cut in one stretch")
        pieces, at = [], 0
        for text, labels in self._pieces:
            pieces.append((text[max(start - at, 0) : max(stop - at, 0)], labels))
            at += len(text)
        return Text._of(pieces)

    def __add__(self, other: Text | str) -> Text:
        more = Text(other, (CODE,)) if isinstance(other, str) else other
        return Text._of((*self._pieces, *more._pieces))

    def __radd__(self, other: str) -> Text:
        return Text(other, (CODE,)) + self

    def __len__(self) -> int:
        return sum(len(text) for text, _ in self._pieces)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and self.plain() == other.plain() and self.labels == other.labels

    def __hash__(self) -> int:
        return hash((self.plain(), self.labels))

    def __repr__(self) -> str:
        return f"Text({len(self)} characters, {sorted(self.labels)})"

    def __str__(self) -> str:
        raise TypeError("labelled text becomes plain by plain() only")

    def __format__(self, spec: str) -> str:
        raise TypeError("labelled text is formatted by Text.format, which keeps its labels")
