"""HTML, first pass: tags and text told apart as the standard says, and written out again tame.

lexbor builds the tree, but its time is quadratic in nesting depth, in attributes of a tag and in unclosed formatting
elements (55 KB of ``<font size=1><font size=2>…`` make 4.5 million nodes and 1.6 GB). So it never sees the page itself:
this pass, linear in the page, drops what is not shown, reduces attributes to one bit (hidden or not), gives formatting
and unknown elements names that mean nothing to the tree builder, and counts nodes and depth before any tree exists.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from affidavit.domain.errors import ParseError
from affidavit.ingest.parse.html_depth import Depth

MOST_NODES = 500_000
_TOO_BIG = "Split the page, or leave it out of the source."

_S = r"\t\n\f\r "
_TAG = re.compile(rf"<(?:(?P<end>/?)(?P<name>[a-zA-Z][^{_S}/>]*+)|(?P<comment>!--)|(?P<bogus>[!?/]))")
_ATTRIBUTE = re.compile(
    rf"[{_S}/]*+(?:(?P<close>>)|(?P<name>[^{_S}/>][^{_S}/>=]*+)"
    rf"(?:[{_S}]*+=[{_S}]*+(?P<value>\"[^\"]*+\"?|'[^']*+'?|[^{_S}>\"'][^{_S}>]*+|(?=>)))?)"
)
_COMMENT_END = re.compile(r"--!?>")
_SCRIPT_STATE = re.compile(rf"<!--|-->|<(/?)script(?=[{_S}/>])", re.IGNORECASE | re.ASCII)
_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_CSS_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)
_CSS_HIDES = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|(?:font-size|opacity)\s*:\s*[0.]+(?:[a-z%]|\s*(?:;|!|\Z))",
    re.IGNORECASE,
)

VOID = frozenset(
    "area base basefont bgsound br col embed frame hr image img input keygen link meta param source track wbr".split()
)
# Their content is not markup; none of it is shown but a text area's, and xmp's
RAW = frozenset("iframe noembed noframes noscript script style textarea title xmp".split())
# Their content is markup that is not shown; the whole of it is skipped here. Graphics are left out as a whole.
UNSEEN = frozenset(("svg", "template"))
# A start tag of these ends an <svg> that was not closed
_BREAKS_OUT = frozenset(
    """b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta nobr ol
    p pre ruby s small span strong strike sub sup table tt u ul var""".split()
)
_ISLANDS = frozenset(("foreignobject", "desc"))
# What the tree builder may know by name: structure only. Everything else becomes "x-…".
STRUCTURE = frozenset(
    """address article aside blockquote body button caption center dd details dialog dir div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html li main menu nav ol p pre section summary table tbody td tfoot
    th thead tr ul""".split()
)
_NO_END = VOID | RAW | UNSEEN | {"html", "body"}
_NOT_NAME = re.compile(r"[^a-z0-9]")


@dataclass
class Tame:
    """The page rewritten: ``source`` for the tree builder, and the words of the first ``<title>`` (entities decoded)."""

    source: str
    title: str


@dataclass
class _Skip:
    """Inside an unseen element: its name, how many of that name are open, and how many islands of HTML in it."""

    name: str
    depth: int = 1
    islands: int = 0


@dataclass
class _Writer:
    """Collects the tame page and counts what it will cost."""

    parts: list[str] = field(default_factory=lambda: ["<!DOCTYPE html>"])
    nodes: int = 0
    depth: Depth = field(default_factory=Depth)

    def _count(self) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise ParseError(f"the page has more than {MOST_NODES:,} nodes.", _TOO_BIG)

    def text(self, text: str) -> None:
        if text:
            self._count()
            self.parts.append(text.replace("<", "&lt;"))

    def open(self, name: str, hidden: bool, numbers: str = "") -> None:
        self._count()
        self.depth.open(name)
        self.parts.append(f"<{name} hidden>" if hidden else f"<{name}{numbers}>")

    def close(self, name: str) -> None:
        self._count()
        self.depth.close(name)
        self.parts.append(f"</{name}>")

    def void(self, name: str) -> None:
        self._count()
        self.parts.append(f"<{name}>")


_NUMBERED = ("td", "th", "ol", "li")
_NUMBERS = ("colspan", "rowspan", "start", "value")
_SMALL_NUMBER = re.compile(r"[0-9]{1,4}", re.ASCII)


@dataclass(frozen=True)
class _Tag:
    """A tag of the page: where it ends, and of its attributes only what hides, and a slash at the end."""

    name: str
    is_end: bool
    end: int
    hidden: bool
    self_closing: bool
    numbers: str = ""
    """Attributes that count (spans of cells, numbers of items), as they are passed on."""


class Tamer:
    """One pass over one page."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.out = _Writer()
        self.title: str | None = None
        self.skip: _Skip | None = None
        self.math = 0

    def run(self) -> Tame:
        """Raises ParseError for a page over the limits."""
        at = 0
        while at < len(self.page):
            match = _TAG.search(self.page, at)
            if match is None:
                self._text(at, len(self.page))
                break
            self._text(at, match.start())
            at = self._markup(match)
        return Tame("".join(self.out.parts), self.title or "")

    def _text(self, start: int, end: int) -> None:
        if self.skip is None:
            self.out.text(self.page[start:end])

    def _markup(self, match: re.Match[str]) -> int:
        """Deal with what begins at ``match``; where to go on."""
        if match["comment"]:
            return _comment_end(self.page, match.end())
        if match["bogus"]:
            closed = self.page.find(">", match.start() + 2)
            return closed + 1 if closed >= 0 else len(self.page)
        tag = _read_tag(self.page, match)
        if tag is None:  # the page ends inside the tag
            return len(self.page)
        if tag.is_end:
            self._end(tag)
            return tag.end
        return self._start(tag)

    def _start(self, tag: _Tag) -> int:
        if self.skip is not None and self._still_skipping(self.skip, tag):
            return self._raw(tag, shown=False) if tag.name in RAW else tag.end
        if tag.name in UNSEEN:
            if not tag.self_closing:
                self.skip = _Skip(tag.name)
            return tag.end
        if tag.name in RAW:
            return self._raw(tag, shown=not tag.hidden)
        if tag.name == "plaintext":
            self.out.text(self.page[tag.end :].replace("&", "&amp;"))
            return len(self.page)
        if tag.name in VOID:
            if tag.name in ("br", "hr"):
                self.out.void(tag.name)
            return tag.end
        self._element(tag)
        return tag.end

    def _element(self, tag: _Tag) -> None:
        name = tame_name(tag.name)
        self.out.open(name, tag.hidden, tag.numbers)
        if tag.name == "math":
            self.math += 1
        if self.math and tag.self_closing:  # in MathML a slash does close
            self._end(tag)

    def _still_skipping(self, skip: _Skip, tag: _Tag) -> bool:
        if skip.name == "svg" and not skip.islands and tag.name in _BREAKS_OUT:
            self.skip = None
            return False
        if not tag.self_closing:
            skip.depth += tag.name == skip.name
            skip.islands += tag.name in _ISLANDS
        return True

    def _end(self, tag: _Tag) -> None:
        skip = self.skip
        if skip is not None:
            skip.islands = max(0, skip.islands - (tag.name in _ISLANDS))
            skip.depth -= tag.name == skip.name
            if skip.depth == 0:
                self.skip = None
            return
        if tag.name == "br":  # the standard reads </br> as <br>
            self.out.void("br")
        elif tag.name not in _NO_END:
            self.math = max(0, self.math - (tag.name == "math"))
            self.out.close(tame_name(tag.name))

    def _raw(self, tag: _Tag, *, shown: bool) -> int:
        """An element whose content is not markup. Keeps the first title, text areas and xmp; where to go on."""
        stop, after = _raw_end(self.page, tag)
        content = self.page[tag.end : stop]
        if tag.name == "title" and self.title is None and self.skip is None:
            self.title = " ".join(html.unescape(content).split())
        elif tag.name == "textarea" and shown:
            self.out.text(content)
        elif tag.name == "xmp" and shown:
            self.out.open("pre", hidden=False)
            self.out.text(content.replace("&", "&amp;"))
            self.out.close("pre")
        return after


def tame(page: str) -> Tame:
    """``page`` rewritten for the tree builder. Raises ParseError for a page over the limits."""
    return Tamer(page).run()


def tame_name(name: str) -> str:
    """An element's name as the tree builder gets it; the same for the same name."""
    if name in STRUCTURE:
        return name
    if name == "listing":
        return "pre"
    return "x-" + _NOT_NAME.sub("-", name[:32])


def _comment_end(page: str, at: int) -> int:
    """Where the comment whose ``<!--`` ends at ``at`` ends; an unclosed one takes the rest, as in a browser."""
    for short in (">", "->"):
        if page.startswith(short, at):
            return at + len(short)
    closed = _COMMENT_END.search(page, at)
    return closed.end() if closed else len(page)


def _read_tag(page: str, match: re.Match[str]) -> _Tag | None:
    """The tag at ``match`` with its attributes read as the standard says, or None if the page ends first."""
    at = match.end()
    seen: dict[str, str] = {}
    while True:
        attribute = _ATTRIBUTE.match(page, at)
        if attribute is None:
            return None
        at = attribute.end()
        if attribute["close"]:
            break
        value = attribute["value"] or ""
        if value[:1] in ('"', "'") and (len(value) < 2 or value[-1] != value[0]):
            return None
        name = attribute["name"].lower()
        if name in ("hidden", "aria-hidden", "style", "open", *_NUMBERS):
            seen.setdefault(name, value)  # of two attributes with one name the first counts
    closing = page[at - 2] == "/"
    element = match["name"].lower()
    return _Tag(element, bool(match["end"]), at, _hides(element, seen), closing, _numbers(element, seen))


def _numbers(element: str, attributes: dict[str, str]) -> str:
    """`` colspan=2``: of the attributes that count, those that are small numbers."""
    if element not in _NUMBERED:
        return ""
    written = {name: _value(attributes.pop(name, "")).strip() for name in _NUMBERS}
    return "".join(f" {name}={n}" for name, n in written.items() if _SMALL_NUMBER.fullmatch(n))


def _hides(element: str, attributes: dict[str, str]) -> bool:
    """Do these attributes take the element out of sight?"""
    if element == "dialog" and "open" not in attributes:
        return True
    if not attributes:
        return False
    if "hidden" in attributes:
        return True
    if _value(attributes.get("aria-hidden", "")).strip().lower() == "true":
        return True
    style = _CSS_COMMENT.sub("", _value(attributes.get("style", "")))
    return bool(_CSS_HIDES.search(_CSS_ESCAPE.sub(_unescaped, style)))


def _value(written: str) -> str:
    quoted = written[:1] in ('"', "'")
    return html.unescape(written[1:-1] if quoted else written)


def _unescaped(match: re.Match[str]) -> str:
    if match[2]:
        return match[2]
    code = int(match[1], 16)
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"


def _raw_end(page: str, tag: _Tag) -> tuple[int, int]:
    """(where the content of a raw element ends, where its end tag ends); the page's end if it is not closed."""
    at = tag.end
    if tag.name == "script":
        at = _script_end(page, at)
    closing = re.compile(rf"</{tag.name}(?=[{_S}/>])", re.IGNORECASE | re.ASCII).search(page, at)
    if closing is None:
        return len(page), len(page)
    named = _TAG.match(page, closing.start())
    end_tag = _read_tag(page, named) if named else None
    return closing.start(), end_tag.end if end_tag else len(page)


def _script_end(page: str, at: int) -> int:
    """Where the ``</script`` that really ends a script begins: one inside ``<!-- <script>`` does not."""
    escaped = double = False
    for match in _SCRIPT_STATE.finditer(page, at):
        word = match.group()
        if word == "<!--":
            escaped = True
        elif word == "-->":
            escaped = double = False
        elif match[1]:
            if not double:
                return match.start()
            double = False
        elif escaped:
            double = True
    return len(page)
