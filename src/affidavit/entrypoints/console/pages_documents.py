"""Pages: the documents one may read, and one of them, opened at a passage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Response

from affidavit.entrypoints.console.cited import passage, whole
from affidavit.entrypoints.console.frame import Console, Nav, Visit

WINDOW = 60_000
"""Characters of a document on one page: more is no pleasure to scroll through, and a browser shows it at once."""
_BEFORE = 8_000
_HASH = re.compile(r"#{1,6} +(?=\S)")


def add(console: Console) -> None:
    """The list and the page of one."""
    console.page("/documents", listed, Nav("Documents", "Answers", "document:read"))
    console.page("/document", one)


def listed(visit: Visit) -> Response:
    """By source and name."""
    asked = {k: visit.query[k] for k in ("source", "prefix", "after") if visit.query.get(k)}
    found = visit.ask("documents.list", limit=100, **asked)
    items = [{**item, "href": whole(item["source"], item["document"])} for item in found["items"]]
    return visit.page("documents.html", "Documents", items=items, next=found["next"], asked=asked)


def one(visit: Visit) -> Response:
    """The document's text, with the passage that ``start`` and ``end`` name marked."""
    query = visit.query
    asked = {k: query[k] for k in ("source", "document", "revision", "as_of") if query.get(k)}
    found = visit.ask("documents.get", **asked)
    text = found["text"]
    start, end = _offset(query.get("start"), len(text)), _offset(query.get("end"), len(text))
    marked = (start, end) if end > start else None
    begin = _offset(query.get("from"), len(text)) if "from" in query else max(start - _BEFORE, 0)
    upto = min(begin + WINDOW, len(text))
    here = {k: found[k] for k in ("source", "document", "revision")}
    return visit.page(
        "document.html",
        found["title"] or found["document"],
        found=found,
        pieces=pieces(text, found["blocks"], begin, upto, marked),
        earlier=passage({**here, "from": max(begin - WINDOW, 0)}) if begin else "",
        later=passage({**here, "from": upto}) if upto < len(text) else "",
        now=whole(found["source"], found["document"]),
        marked=marked,
        cut=(begin, upto, len(text)),
    )


def _offset(said: str | None, most: int) -> int:
    """An offset from an address, inside the text whatever the address says."""
    return min(int(said[:12]), most) if said and said.isascii() and said.isdecimal() else 0


def pieces(
    text: str, blocks: Sequence[Mapping[str, Any]], begin: int, upto: int, marked: tuple[int, int] | None
) -> list[dict[str, Any]]:
    """``text[begin:upto]`` in its lines, each cut where the marked passage begins and ends.

    A line has ``runs`` of (text, whether it is marked, whether the mark begins here), the ``hash`` of a heading before them, and
    a ``kind``: ``heading``, that of the passage it lies in, else "".
    """
    out: list[dict[str, Any]] = []
    headings = {path[-1].strip() for b in blocks for path in (b["path"],) if path}
    kinds = sorted((b["start"], b["end"], b["kind"]) for b in blocks)
    at, which, begun = begin, 0, False
    while at < upto:
        newline = text.find("\n", at, upto)
        stop = upto if newline < 0 else newline
        line = text[at:stop]
        while which < len(kinds) - 1 and kinds[which][1] <= at:
            which += 1
        inside = bool(kinds) and kinds[which][0] <= at < kinds[which][1]
        kind = kinds[which][2] if inside else ""
        hash = _HASH.match(line) if kind != "code" else None
        if hash is not None or line.strip() in headings:
            kind = "heading"
        if line.strip():
            before = hash.end() if hash is not None and not _meet(marked, at, at + hash.end()) else 0
            runs = _runs(text, at + before, stop, marked)
            first = next((i for i, (_, on) in enumerate(runs) if on), None)
            anchor = first if not begun else None
            begun = begun or first is not None
            out.append(
                {
                    "kind": kind,
                    "hash": line[:before],
                    "runs": [(said, on, i == anchor) for i, (said, on) in enumerate(runs)],
                }
            )
        at = stop + 1
    return out


def _meet(marked: tuple[int, int] | None, at: int, stop: int) -> bool:
    return marked is not None and marked[0] < stop and marked[1] > at


def _runs(text: str, at: int, stop: int, marked: tuple[int, int] | None) -> list[tuple[str, bool]]:
    if marked is None or not _meet(marked, at, stop):
        return [(text[at:stop], False)]
    start, end = max(marked[0], at), min(marked[1], stop)
    cut = [(text[at:start], False), (text[start:end], True), (text[end:stop], False)]
    return [(said, on) for said, on in cut if said]
