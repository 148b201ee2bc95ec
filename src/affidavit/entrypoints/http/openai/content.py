"""An answer as text with numbered marks, and where in it each citation stands. The same whether it comes at once or in pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

_WEB = ("https://", "http://")
_TOLD = (
    "source",
    "document",
    "revision",
    "chunk",
    "start",
    "end",
    "quote",
    "indexed_at",
    "permitted_by",
    "stale",
)


class Content:
    """Grows claim by claim. Indices count characters (Unicode code points) of ``text``: a mark is ``text[start:end]``."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._numbers: dict[tuple[Any, ...], int] = {}
        self.text = ""
        self.annotations: list[dict[str, Any]] = []

    def add(self, claim: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
        """(what ``claim`` adds to the text, its annotations)."""
        begin = len(self.text)
        start = begin + bool(begin)
        piece = ("\n" if begin else "") + claim["text"]
        claimed = [start, begin + len(piece)]
        piece += " "
        added = []
        for citation in claim["citations"]:
            number = self._number(citation)
            mark = f"[{number}]"
            at = begin + len(piece)
            piece += mark
            added.append(
                {
                    "start_index": at,
                    "end_index": at + len(mark),
                    "title": citation["title"],
                    "url": self.url(citation),
                    "affidavit": {
                        "number": number,
                        "claim": claimed,
                        **{name: citation[name] for name in _TOLD},
                    },
                }
            )
        piece = piece.rstrip(" ") if not added else piece
        self.text += piece
        self.annotations += added
        return piece, added

    def say(self, text: str) -> str:
        """Words of ours that cite nothing."""
        piece = ("\n" if self.text else "") + text
        self.text += piece
        return piece

    def url(self, citation: Mapping[str, Any]) -> str:
        """Where the document is on the web; else a name of ours for the very characters. A path of the server is nobody's
        business, and an address that a browser would run is no address."""
        location = str(citation["location"])
        if location.startswith(_WEB):
            return location
        where = "/".join(quote(str(part), safe="") for part in (self._tenant, citation["source"]))
        name = quote(str(citation["document"]), safe="/")
        span = f"char={citation['start']},{citation['end']}"
        return f"affidavit:{where}/{name}?revision={quote(str(citation['revision']), safe='')}#{span}"

    def _number(self, citation: Mapping[str, Any]) -> int:
        key = tuple(citation[name] for name in ("source", "document", "revision", "start", "end"))
        return self._numbers.setdefault(key, len(self._numbers) + 1)


def waiting(actions: Sequence[Mapping[str, Any]], run: str) -> str:
    """What is said of an answer that waits for somebody's yes."""
    lines = [
        f"{one.get('call', '')}: {one['tool']} is {one['state']}" for one in actions if one["state"] != "done"
    ]
    return "\n".join(
        [
            "Nothing more was done: this waits for a person's yes.",
            *lines,
            f"Ask for {run} later: it goes on once somebody has decided.",
        ]
    )


def refusal(given: Mapping[str, Any]) -> str:
    """A refusal with what to do next, as text."""
    return "\n".join([str(given["message"]), *(f"- {step}" for step in given["next_steps"])])
