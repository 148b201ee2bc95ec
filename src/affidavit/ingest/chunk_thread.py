"""Mail, chats and tickets: a message is a part with its author; messages are packed in groups, and none is cut."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from affidavit.domain.records import Block, Parsed
from affidavit.ingest.chunk_cut import LINES, PARAGRAPHS, SENTENCES
from affidavit.ingest.chunk_parts import Fields, Part, value
from affidavit.ingest.parse.lines import trim

_TIME = r"(?:\[[^\]\n]{4,30}\]|\d{1,2}:\d{2}(?::\d{2})?(?:[ ]?[AP]M)?|\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?Z?)"
_SPOKEN = re.compile(
    rf"^[ \t]{{0,20}}(?:{_TIME}[ \t]{{0,5}}[-–]?[ \t]{{0,5}})?(?:\*\*|<)?"
    r"(?P<author>[@A-Z][\w.'@-]{1,30}(?:[ ][\w.'@-]{1,30}){0,3})"
    rf"(?:\*\*|>)?(?:[ ]\([^)\n]{{1,40}}\)|[ ]{_TIME})?:(?:\*\*)?(?=[ \t\n])",
    re.MULTILINE,
)
_LOGGED = re.compile(r"\{[\"'](?:role|content)[\"']: ?[\"']")
_ROLE = re.compile(r"[\"']role[\"']: ?[\"'](\w{1,20})[\"']")
_LEAST_MESSAGES = 6
_LEAST_SHARE = 0.5
"""Of the paragraphs that begin with somebody speaking."""
_FROM = re.compile(r"From: ([^\n<]{1,120})")
_MAIL = ("message/rfc822", "application/vnd.ms-outlook")


def is_mail(parsed: Parsed) -> bool:
    """Whether this is a message in a file of its own."""
    return parsed.media_type in _MAIL


def mail_fields(text: str, blocks: Sequence[Block]) -> Fields:
    """The author of a message, from what its parser wrote under the subject."""
    for block in blocks[:3]:
        found = _FROM.match(text, block.start, block.end)
        if found:
            return (("author", value(found[1].strip(" \"'"))),)
    return ()


def messages(text: str, blocks: Sequence[Block]) -> list[tuple[int, str]]:
    """(where it begins, author) of every message of a chat or ticket, in order; [] if the text is none."""
    spoken: list[tuple[int, str]] = []
    opened = 0
    for block in blocks:
        if block.kind not in ("paragraph", "list"):
            continue
        piece = text[block.start : block.end]
        said = [(block.start + m.start(), _role(piece, m.start())) for m in _LOGGED.finditer(piece)]
        said = said or [(block.start + m.start(), m["author"]) for m in _SPOKEN.finditer(piece)]
        opened += bool(said)
        spoken += said
    counted = Counter(author for _, author in spoken)
    often = sum(n for n in counted.values() if n > 1)
    enough = len(spoken) >= _LEAST_MESSAGES and opened >= _LEAST_SHARE * len(blocks)
    return spoken if enough and len(counted) > 1 and often * 2 > len(spoken) else []


def _role(piece: str, start: int) -> str:
    following = _LOGGED.search(piece, start + 1)
    found = _ROLE.search(piece, start, following.start() if following else len(piece))
    return found[1] if found else "unknown"


def message_parts(text: str, blocks: Sequence[Block], marks: Sequence[tuple[int, str]]) -> Iterator[Part]:
    """The blocks, cut where a message begins. What follows belongs to its author until the next begins."""
    left = list(reversed(marks))
    author = ""
    cutters = (PARAGRAPHS, SENTENCES, LINES)
    for block in blocks:
        at = block.start
        while left and left[-1][0] < block.end:
            place, called = left.pop()
            span = trim(text, at, place)
            if span is not None:
                yield Part(block.kind, *span, block.path, _author(author), cutters=cutters)
            at, author = place, called
        span = trim(text, at, block.end)
        if span is not None:
            yield Part(block.kind, *span, block.path, _author(author), cutters=cutters)


def _author(name: str) -> Fields:
    return (("author", value(name)),) if name else ()
