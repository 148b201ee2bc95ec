"""Office Open XML packages (ECMA-376 part 2): parts, and the relationships between them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from affidavit.domain.errors import ParseError
from affidavit.ingest.parse.archive import Archive
from affidavit.ingest.parse.xml import Element, read_xml


@dataclass(frozen=True)
class Relation:
    """``kind`` is the last part of the relationship's type (``slide``, ``comments``); ``target`` a part's name."""

    id: str
    kind: str
    target: str


class Package:
    """A document's parts. Targets outside the package are never followed."""

    def __init__(self, data: bytes) -> None:
        self.archive = Archive(data)

    def xml(self, part: str) -> Element | None:
        """A part's root element, None if there is no such part. Raises ParseError."""
        data = self.archive.read(part)
        return None if data is None else read_xml(data, part)

    def main(self, kind: str = "officeDocument") -> str:
        """The part the package is about. Raises ParseError if there is none."""
        for relation in self.relations(""):
            if relation.kind == kind and relation.target in self.archive:
                return relation.target
        raise ParseError("the package names no main part.", "Open it in its own program and save it again.")

    def relations(self, part: str) -> list[Relation]:
        """Where ``part`` points to inside the package."""
        folder, _, name = part.rpartition("/")
        root = self.xml(posixpath.join(folder, "_rels", name + ".rels"))
        found = []
        for entry in root if root is not None else ():
            if entry.get("TargetMode") == "External":
                continue
            target = entry.get("Target", "")
            place = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
            kind = entry.get("Type", "").rpartition("/")[2]
            found.append(Relation(entry.get("Id", ""), kind, posixpath.normpath(place)))
        return found

    def related(self, part: str, kind: str) -> Element | None:
        """The first part of ``kind`` that ``part`` points to."""
        for relation in self.relations(part):
            if relation.kind == kind:
                return self.xml(relation.target)
        return None

    def title(self) -> str:
        """The title among the document's properties."""
        for relation in self.relations(""):
            if relation.kind == "core-properties":
                root = self.xml(relation.target)
                return "" if root is None else (root.findtext("dc.title") or "").strip()
        return ""
