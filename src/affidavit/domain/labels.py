"""Where a value came from, and how far it is trusted. A label goes with its value, through joining and formatting too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from affidavit.domain.canonical import Json


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
