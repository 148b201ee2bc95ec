"""Electronic books (.epub): the chapters in reading order, each read as the web page it is."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from affidavit.domain.errors import ParseError
from affidavit.domain.records import Notice, Parsed
from affidavit.ingest.parse.archive import Archive
from affidavit.ingest.parse.compose import Composer
from affidavit.ingest.parse.html import parse_html
from affidavit.ingest.parse.xml import read_xml

EPUB = "application/epub+zip"
_DAMAGED = "Open it in its own program and save it again."
MOST_CHAPTERS = 5_000


def parse_epub(data: bytes, name: str) -> Parsed:
    """The book's text; its title is the one the book states. A chapter that cannot be read is a notice.

    Raises ParseError if the book is damaged or protected.
    """
    archive = Archive(data)
    if "META-INF/encryption.xml" in archive and "META-INF/rights.xml" in archive:
        raise ParseError("the book is protected against copying.", "Get it without protection.")
    package = _package(archive)
    content = archive.read(package)
    if content is None:
        raise ParseError(f"the book has no {package}.", _DAMAGED)
    root = read_xml(content, package)
    items = {item.get("id", ""): item for item in root.iter("opf.item")}
    folder = posixpath.dirname(package)
    composer = Composer()
    read: set[str] = set()
    for entry in root.iter("opf.itemref"):
        item = items.get(entry.get("idref", ""))
        if item is None or len(read) > MOST_CHAPTERS or "nav" in item.get("properties", "").split():
            continue
        place = posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        if place not in read:
            read.add(place)
            _chapter(archive, place, composer)
    title = next((node.text or "" for node in root.iter("dc.title")), "")
    return composer.parsed(EPUB, title)


def _package(archive: Archive) -> str:
    data = archive.read("META-INF/container.xml")
    root = None if data is None else read_xml(data, "container.xml")
    for node in root.iter("container.rootfile") if root is not None else ():
        return node.get("full-path", "")
    raise ParseError("the book does not say where its content is.", _DAMAGED)


def _chapter(archive: Archive, place: str, composer: Composer) -> None:
    data = archive.read(place)
    try:
        page = None if data is None else parse_html(data.decode("utf-8-sig", "replace"), place)
    except ParseError as error:
        composer.notices.append(Notice("part_unread", f"{place} was not read: {error.message}", error.hint))
        return
    if page is not None:
        composer.close()
        composer.include(page)
