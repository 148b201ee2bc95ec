"""What could carry an answer out of the house when it is shown or clicked: images, addresses with data in them, live HTML.

Whoever controls a host can read what is put into a path or a subdomain, so a list of one's own hosts is the only sure rule; the
rest is told apart by how much an address carries. Markdown is not parsed: what any reader might take for an image or an address
counts, inside tables, nested, in references or by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from urllib.parse import unquote, urlsplit

Leak = tuple[int, int, str, str, str]
"""(start, end, kind, reason, confidence as decimal text)."""

LONGEST_TAG = 2_048
"""Characters after which a tag that is still open counts as one that loads something."""
_LONG_ADDRESS = 200
_CARRIED = 24
_SUBDOMAIN = 32

_TAG = re.compile(
    r"(?P<open><[a-z][a-z0-9:-]{0,30}+)|(?P<close>>)|(?P<quote>[\"'])"
    r"|(?<![\w-])(?P<loads>(?:src|srcset|href|data|style|poster|action|formaction|background|xlink:href|on[a-z]{2,24}+)\s{0,8}+=)",
    re.IGNORECASE,
)
_LIVE = frozenset("script iframe frame object embed link base form svg meta style applet portal".split())
_ADDRESS = re.compile(
    r"(?<![a-z0-9])(?:https?|ftp|wss?|file|mailto|sms|tel|whatsapp|slack|intent)(?::|&colon;|&\#58;)[^\s<>\"`|]{1,8192}+"
    r"|(?<![:\w/])//[\w-]{1,63}+(?:\.[\w-]{1,63}+)+[^\s<>\"`|]{0,8192}+"
    r"|(?<![\w./@-])www\.[\w-]{1,63}+\.[^\s<>\"`|]{1,8192}+",
    re.IGNORECASE,
)
_ACTIVE = re.compile(
    r"(?<![a-z0-9])(?:data:(?:[a-z]{2,12}+/[\w.+-]{1,40}+|[;,])|javascript:|vbscript:|blob:)|(?<!\w)(?:url\s{0,8}+\(|@import\b)",
    re.IGNORECASE,
)
_DISGUISED = re.compile(
    r"&\#(?:x[0-9a-f]{2,6}|[0-9]{2,7})\b;?|&(?:colon|sol|period|Tab|NewLine|lpar|rpar|lsqb|rsqb|excl);",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"\]\(\s{0,8}+<[^<>\n]{1,2048}\s[^<>\n]{0,2048}>")
_OPENED = re.compile(r"\]\(\s{0,8}+(?:<[^<>\n]{0,4096})?\Z")
_TRAILING = ")]}.,;:!?'*_"


def leaks(text: str, hosts: Collection[str] = ()) -> Iterator[Leak]:
    """Everything in ``text`` that could carry data out. Addresses on ``hosts``, or below them, do not count."""
    at = text.find("![")
    while at >= 0:
        yield at, at + 2, "image", "an image is loaded when it is shown", "0.9"
        at = text.find("![", at + 2)
    if "<" in text:
        yield from _html(text)
    if ":" in text or "(" in text or "@" in text:
        yield from (
            (*m.span(), "active", "it would be run or decoded", "0.9") for m in _ACTIVE.finditer(text)
        )
    if ":" in text or "//" in text or "ww" in text.lower():
        yield from _addresses(text, {h.lower() for h in hosts})
    if "&" in text:
        yield from (
            (*m.span(), "disguised", "a character is written as its number", "0.5")
            for m in _DISGUISED.finditer(text)
        )
    if "](" in text:
        spaced = (m.span() for m in _BRACKETED.finditer(text) if "/" in m.group())
        yield from ((*span, "link-data", "an address with blanks in it", "0.9") for span in spaced)


def _html(text: str) -> Iterator[Leak]:
    """Tags that load, run or send."""
    begin = -1
    for start, end, found in _tags(text):
        if end >= 0 and found:
            reason = (
                "a tag without an end" if end - start == LONGEST_TAG else "a tag that loads or runs something"
            )
            yield start, end, "html", reason, "0.9"
        begin = start if end < 0 else -1
        if end < 0 and found:
            yield begin, len(text), "html", "a tag without an end", "0.9"


def _tags(text: str) -> Iterator[tuple[int, int, bool]]:
    """(start, end, whether it loads something) of tags, -1 as the end of one that is still open at the end of the text: one pass,
    whatever stands in it. A ``>`` within quotes does not close; a tag that grows beyond ``LONGEST_TAG`` is cut and counts."""
    begin, quote, found = -1, "", False
    for match in _TAG.finditer(text):
        kind, at = match.lastgroup, match.start()
        if begin >= 0 and at - begin > LONGEST_TAG:
            yield begin, begin + LONGEST_TAG, True
            begin = -1
        if kind == "open" and begin < 0:
            begin, quote = at, ""
            found = match.group()[1:].lower() in _LIVE
        elif begin < 0:
            continue
        elif kind == "quote":
            quote = "" if quote == match.group() else quote or match.group()
        elif kind == "loads":
            found = True
        elif kind == "close" and (found or not quote):
            yield begin, match.end(), found
            begin = -1
    if begin >= 0 and len(text) - begin > LONGEST_TAG:
        yield begin, begin + LONGEST_TAG, True
    elif begin >= 0:
        yield begin, -1, found


def pending(text: str) -> int:
    """From where on more text could still make a leak of a kind that may hold blanks; the text's length if from nowhere."""
    places = [len(text)]
    places += [start for start, end, _ in _tags(text) if end < 0]
    opened = text.rfind("](")
    if opened >= 0 and len(text) - opened < 2 * LONGEST_TAG + 16 and _OPENED.match(text, opened):
        places.append(opened)
    return min(places)


def _addresses(text: str, hosts: Collection[str]) -> Iterator[Leak]:
    for match in _ADDRESS.finditer(text):
        start, end = match.span()
        while end > start and text[end - 1] in _TRAILING:
            end -= 1
        address = text[start:end]
        kind, reason, confidence = _carries(address, hosts)
        if kind:
            yield start, end, kind, reason, confidence


def _carries(address: str, hosts: Collection[str]) -> tuple[str, str, str]:
    """How much an address tells its host: (kind, reason, confidence), ("", "", "") for one of our own hosts."""
    try:
        parts = urlsplit(address if not address.lower().startswith("www.") else f"//{address}")
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return "link-data", "an address that cannot be understood", "0.9"
    if not host and parts.scheme in ("http", "https", "ftp", "ws", "wss"):
        return "link-data", "an address written unusually", "0.9"
    if host and _ours(host, hosts) and not parts.username and "\\" not in address:
        return "", "", ""
    if len(address) > _LONG_ADDRESS:
        return "link-data", "a very long address", "0.9"
    if parts.username or parts.password:
        return "link-data", "a name or password in an address", "0.9"
    carried = unquote(parts.query + parts.fragment)
    if len(carried) > _CARRIED or "%" in parts.query or "+" in parts.query:
        return "link-data", "an address that carries data", "0.8"
    if max((len(label) for label in host.split(".")), default=0) > _SUBDOMAIN:
        return "link-data", "a very long name of a host", "0.8"
    if parts.query:
        return "link-data", "an address with a query", "0.5"
    return "link", "an address outside", "0.3"


def _ours(host: str, hosts: Collection[str]) -> bool:
    return any(host == ours or host.endswith(f".{ours}") for ours in hosts)
