"""XML, read by expat with entity declarations refused and depth and size bounded.

Tags and attributes are named by the customary prefix of their namespace (``w.p``), whatever prefix the file uses;
those of unknown namespaces by their local name.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from affidavit.domain.errors import ParseError

__all__ = ["Element", "read_xml", "walk"]

DEEPEST = 200
MOST_NODES = 3_000_000

_OFFICE = "http://schemas.openxmlformats.org"
_STRICT = "http://purl.oclc.org/ooxml"
_ODF = "urn:oasis:names:tc:opendocument:xmlns:"
_NAMESPACES = {
    **{
        f"{base}/{path}": prefix
        for base in (_OFFICE, _STRICT)
        for path, prefix in {
            "wordprocessingml/main": "w",
            "wordprocessingml/2006/main": "w",
            "spreadsheetml/main": "x",
            "spreadsheetml/2006/main": "x",
            "presentationml/main": "p",
            "presentationml/2006/main": "p",
            "drawingml/main": "a",
            "drawingml/2006/main": "a",
            "drawingml/chart": "c",
            "drawingml/2006/chart": "c",
            "drawingml/diagram": "dgm",
            "drawingml/2006/diagram": "dgm",
            "officeDocument/relationships": "r",
            "officeDocument/2006/relationships": "r",
            "officeDocument/math": "m",
            "officeDocument/2006/math": "m",
        }.items()
    },
    f"{_OFFICE}/markup-compatibility/2006": "mc",
    f"{_OFFICE}/package/2006/metadata/core-properties": "cp",
    f"{_OFFICE}/package/2006/relationships": "rel",
    f"{_OFFICE}/package/2006/content-types": "ct",
    "http://schemas.microsoft.com/office/drawing/2008/diagram": "dsp",
    "http://schemas.microsoft.com/office/powerpoint/2018/8/main": "p188",
    "http://schemas.microsoft.com/office/spreadsheetml/2018/threadedcomments": "x18",
    "http://schemas.microsoft.com/office/word/2010/wordprocessingShape": "wps",
    "urn:schemas-microsoft-com:vml": "v",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/terms/": "dcterms",
    **{
        f"{_ODF}{path}:1.0": prefix
        for path, prefix in {
            "office": "office",
            "text": "text",
            "table": "table",
            "drawing": "draw",
            "presentation": "presentation",
            "style": "style",
            "meta": "meta",
            "xsl-fo-compatible": "fo",
            "manifest": "manifest",
        }.items()
    },
    "http://www.idpf.org/2007/opf": "opf",
    "urn:oasis:names:tc:opendocument:xmlns:container": "container",
    "http://www.w3.org/1999/xlink": "xlink",
    "http://www.w3.org/XML/1998/namespace": "xml",
    "http://www.w3.org/1999/xhtml": "h",
}


class _Builder:
    """What expat calls."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._names: dict[str, str] = {}
        self._tree = TreeBuilder()
        self._depth = 0
        self._nodes = 0
        self.data = self._tree.data
        self.close = self._tree.close

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._nodes += 1
        if self._depth > DEEPEST or self._nodes > MOST_NODES:
            raise ParseError(
                f"{self._what} is nested too deeply or has too many elements.", "Split the file."
            )
        self._tree.start(self._name(tag), {self._name(key): value for key, value in attributes.items()})

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._tree.end(self._name(tag))

    def refuse(self, *_: object) -> None:
        raise ParseError(
            f"{self._what} declares entities.", "No office program writes such files: it was not read."
        )

    def _name(self, written: str) -> str:
        name = self._names.get(written)
        if name is None:
            uri, _, local = written.rpartition(" ")
            prefix = _NAMESPACES.get(uri.strip())
            name = f"{prefix}.{local}" if prefix else local
            self._names[written] = name
        return name


def read_xml(data: bytes, what: str) -> Element:
    """The root element of ``data``; ``what`` names it in errors. Raises ParseError."""
    builder = _Builder(what)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = builder.refuse
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, ValueError, LookupError, AssertionError) as error:
        raise ParseError(
            f"{what} is not well-formed XML: {error}.", "The file is damaged; save it again."
        ) from error


def walk(root: Element) -> Iterator[tuple[Element, bool]]:
    """Every element from ``root`` on, entering (True) and leaving (False) it; on a stack of our own."""
    stack: list[tuple[Element, bool]] = [(root, True)]
    while stack:
        element, entering = stack.pop()
        yield element, entering
        if entering:
            stack.append((element, False))
            stack.extend((child, True) for child in reversed(element))
