"""An answer as the console shows it: its citations numbered, each with the address of the passage it quotes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode


def given_in(story: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a run gave; None where it gave nothing, and where that was erased."""
    given: dict[str, Any] | None = story.get("given")
    return None if given is None or given.get("erased") else given


def cited(given: Mapping[str, Any]) -> dict[str, Any]:
    """The claims, each with the numbers of its citations, and the citations by number. One passage has one number."""
    numbers: dict[tuple[Any, ...], int] = {}
    places: list[dict[str, Any]] = []

    def number(citation: Mapping[str, Any]) -> int:
        key = tuple(citation[k] for k in ("source", "document", "revision", "start", "end"))
        if key not in numbers:
            numbers[key] = len(places) + 1
            places.append({**citation, "number": numbers[key], "href": passage(citation)})
        return numbers[key]

    claims = [
        {
            "text": claim["text"],
            "numbers": [number(c) for c in claim["citations"]],
            "overrules": [number(c) for c in claim.get("overrules", ())],
        }
        for claim in given["claims"]
    ]
    set_aside = {n for claim in claims for n in claim["overrules"]}
    return {"claims": claims, "places": [{**p, "set_aside": p["number"] in set_aside} for p in places]}


def passage(place: Mapping[str, Any]) -> str:
    """Where a document is opened at a passage: ``start`` and ``end`` are offsets into ``revision``."""
    keys = ("source", "document", "revision", "start", "end")
    return f"/document?{urlencode({k: place[k] for k in keys if k in place})}#passage"


def whole(source: str, document: str) -> str:
    """Where a document is opened from its beginning, as it is now."""
    return f"/document?{urlencode({'source': source, 'document': document})}"
