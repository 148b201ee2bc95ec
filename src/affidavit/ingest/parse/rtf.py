"""Rich Text Format 1.9: paragraphs, headings by outline level, lists, tables, footnotes.

Kept apart: hidden text, annotations, text whose deletion is tracked. Left out: headers and footers of pages, pictures, objects.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, replace

from affidavit.domain.errors import ParseError
from affidavit.domain.records import Parsed
from affidavit.ingest.parse.compose import Composer, squeezed

RTF = "application/rtf"
DEEPEST = 1_000
_TOKEN = re.compile(
    rb"\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-z'])|([{}])|([^\\{}\r\n]+)|[\r\n]+|\\",
    re.DOTALL,
)
_SKIPPED = frozenset(
    b"""fonttbl colortbl stylesheet pict object objdata themedata colorschememapping latentstyles datastore header
    headerl headerr headerf footer footerl footerr footerf listtable listoverridetable revtbl rsidtbl generator xmlnstbl mmathPr
    fldinst bkmkstart bkmkend template filetbl atnid atndate atnref atnicn atrfstart atrfend atntime pntext pn listpicture
    wgrffmtfilter nonshppict private shpinst do ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn""".split()
)
_SPECIAL = {
    b"line": "\n",
    b"tab": "\t",
    b"emdash": "—",
    b"endash": "–",
    b"bullet": "•",
    b"lquote": "‘",
    b"rquote": "’",
    b"ldblquote": "“",
    b"rdblquote": "”",
    b"emspace": " ",
    b"enspace": " ",
}
_PAGES = {874, 932, 936, 949, 950, *range(1250, 1259), 437, 850, 852, 866}


@dataclass(frozen=True)
class _State:
    """What holds in a group. ``kind``: where its text goes."""

    skipped: bool = False
    kind: str = ""
    hidden: bool = False
    deleted: bool = False
    after: int = 1
    font: int = 0


def parse_rtf(data: bytes, name: str) -> Parsed:
    """The document's text. The title is its property, else its first heading of level 1. Raises ParseError."""
    reader = _Reader()
    reader.read(data)
    return reader.parsed()


class _Reader:
    def __init__(self) -> None:
        self.composer = Composer()
        self._state = _State()
        self._stack: list[_State] = []
        self._bytes = bytearray()
        self._texts: dict[str, list[str]] = {}
        self._notes: list[str] = []
        self._title = ""
        self._level = 0
        self._list = False
        self._row: list[str] = []
        self._rows: list[list[str]] = []
        self._in_table = False
        self._skip = 0
        self._fonts: dict[int, str] = {}
        self._page = "cp1252"
        self._fresh = False

    def read(self, data: bytes) -> None:
        """All of it. Raises ParseError for groups nested too deeply."""
        at = 0
        while at < len(data):
            match = _TOKEN.match(data, at)
            if match is None:
                break
            at = match.end()
            word, number, code, symbol, brace, text = match.groups()
            if code:
                self._byte(int(code, 16))
            elif text:
                self._plain(text)
            else:
                self._decode()
                if brace:
                    self._brace(brace)
                elif symbol:
                    self._symbol(symbol)
                elif word == b"bin":
                    at += max(0, int(number or 0))
                elif word:
                    self._word(word, int(number) if number else None)
        self._decode()
        self._paragraph()
        self._end_table()

    def parsed(self) -> Parsed:
        self.composer.close()
        for note in self._notes:
            self.composer.block("paragraph", note)
        return self.composer.parsed(RTF, self.composer.first_heading or self._title)

    # -- text

    def _byte(self, value: int) -> None:
        if self._skip:
            self._skip -= 1
        elif not self._state.skipped:
            self._bytes.append(value)

    def _plain(self, text: bytes) -> None:
        if self._skip:
            dropped = min(self._skip, len(text))
            self._skip -= dropped
            text = text[dropped:]
        if not self._state.skipped:
            self._bytes += text

    def _decode(self) -> None:
        if self._bytes:
            self._add(self._bytes.decode(self._fonts.get(self._state.font, self._page), "replace"))
            self._bytes.clear()

    def _add(self, text: str) -> None:
        if not self._state.skipped:
            self._texts.setdefault(self._where(), []).append(text)

    def _where(self) -> str:
        state = self._state
        return state.kind or ("hidden" if state.hidden else "deleted" if state.deleted else "")

    def _take(self, where: str) -> str:
        text = "".join(self._texts.pop(where, []))
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    # -- groups and words

    def _brace(self, brace: bytes) -> None:
        self._skip = 0
        if brace == b"{":
            self._stack.append(self._state)
            if len(self._stack) > DEEPEST:
                raise ParseError("the groups are nested too deeply.", "No program writes such files.")
            self._fresh = True
            return
        before = self._state
        self._state = self._stack.pop() if self._stack else _State()
        if before.kind and before.kind != self._state.kind:
            self._end(before.kind)

    def _end(self, kind: str) -> None:
        """A group with a purpose of its own ends."""
        words = squeezed(self._take(kind))
        if kind == "title":
            self._title = words
        elif kind == "footnote" and words:
            self._notes.append(f"[{len(self._notes) + 1}] {words}")
            self._add(f"[{len(self._notes)}]")
        elif kind == "comment":
            self.composer.apart("comment", "paragraph", words)

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._state = replace(self._state, skipped=True)
        elif symbol in (b"\n", b"\r"):
            self._word(b"par", None)
        else:
            self._add({b"~": "\u00a0", b"_": "-", b"-": ""}.get(symbol, symbol.decode("latin-1")))

    def _word(self, word: bytes, number: int | None) -> None:
        fresh, self._fresh = self._fresh, False
        state = self._state
        if word in _SKIPPED:
            self._state = replace(state, skipped=True)
        elif word == b"f":
            self._state = replace(state, font=number or 0)
        elif word == b"fcharset" and state.skipped:
            self._charset(number or 0)
        elif word in (b"footnote", b"annotation") and fresh | state.skipped:
            kind = "footnote" if word == b"footnote" else "comment"
            self._state = replace(state, kind=kind, skipped=False)
        elif word == b"info":
            self._state = replace(state, skipped=True)
        elif word == b"title" and state.skipped:
            self._state = replace(state, kind="title", skipped=False)
        elif not state.skipped:
            self._control(word, number)

    def _charset(self, number: int) -> None:
        page = {
            128: "cp932",
            129: "cp949",
            134: "cp936",
            136: "cp950",
            161: "cp1253",
            162: "cp1254",
            163: "cp1258",
            177: "cp1255",
            178: "cp1256",
            186: "cp1257",
            204: "cp1251",
            222: "cp874",
            238: "cp1250",
        }.get(number)
        if page:
            self._fonts[self._state.font] = page

    def _control(self, word: bytes, number: int | None) -> None:
        if word == b"u" and number is not None:
            self._add(chr(number % 65536))
            self._skip = self._state.after
        elif word == b"uc":
            self._state = replace(self._state, after=min(max(number or 0, 0), 20))
        elif word == b"ansicpg" and number in _PAGES:
            self._page = codecs.lookup(f"cp{number}").name
        elif word in _SPECIAL:
            self._add(_SPECIAL[word])
        elif word == b"v":
            self._state = replace(self._state, hidden=number != 0)
        elif word == b"deleted":
            self._state = replace(self._state, deleted=number != 0)
        elif word == b"plain":
            self._state = replace(self._state, hidden=False, deleted=False)
        elif word in (
            b"par",
            b"sect",
            b"page",
            b"pard",
            b"intbl",
            b"outlinelevel",
            b"ls",
            b"cell",
            b"nestcell",
            b"row",
            b"nestrow",
        ):
            self._layout(word, number)

    def _layout(self, word: bytes, number: int | None) -> None:
        if self._state.kind:  # a footnote's or comment's own paragraphs
            self._add(" ")
        elif word == b"pard":
            self._level, self._list, self._in_table = 0, False, False
        elif word == b"intbl":
            self._in_table = True
        elif word == b"outlinelevel":
            self._level = number + 1 if number is not None and 0 <= number < 9 else 0
        elif word == b"ls":
            self._list = True
        elif word in (b"cell", b"nestcell"):
            self._row.append(self._take(""))
        elif word in (b"row", b"nestrow"):
            self._rows.append(self._row)
            self._row = []
        elif self._in_table:
            self._add(" ")
        else:
            self._paragraph()

    def _paragraph(self) -> None:
        text = self._take("")
        if text.strip():
            self._end_table()
            if self._level:
                self.composer.heading(self._level, text)
            elif self._list:
                self.composer.block("list", f"- {text.strip()}")
            else:
                self.composer.block("paragraph", text)
        for flag in ("hidden", "deleted"):
            self.composer.apart(flag, "paragraph", self._take(flag))

    def _end_table(self) -> None:
        if self._row:
            self._rows.append(self._row)
            self._row = []
        if self._rows:
            self.composer.table(self._rows)
            self._rows = []
