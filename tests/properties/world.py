"""A world to try permissions in: people, a folder of documents with its rules, and who may read what *by definition*.

The reference here is a plain walk over groups and tables. It shares no code with what it judges: not ``AccessRule``, not the
manifest reader, not the SQL.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import affidavit
from affidavit import Workspace
from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.app.wiring import assemble
from affidavit.ask.searcher import Hits
from affidavit.domain.answer import Answer
from affidavit.domain.clock import SystemRandomness
from affidavit.domain.release import Calibration
from affidavit.ports.embedder import Embedder
from affidavit.ports.index import Index
from affidavit.testing.clock import FixedClock, SeededRandomness

TENANT = "acme"
COMMON = "ledger"
"""A word that every document has, so that a search for it lists all that may be read."""
ALL = 1000

Name = tuple[str, ...]
Shown = set[tuple[str, str]]
"""(document, mark) pairs: which text of which document somebody was shown."""


# -- who may read, by definition


@dataclass
class Crowd:
    """Who is known and who is directly in which group (a member may be a group)."""

    known: set[str] = field(default_factory=set)
    members: dict[str, set[str]] = field(default_factory=dict)

    def is_all_of(self, who: str) -> frozenset[str]:
        """Everything ``who`` is: itself, its groups, their groups, and anyone; a stranger is nothing."""
        if who not in self.known:
            return frozenset()
        found, todo = set(), [who]
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo += [group for group, members in self.members.items() if one in members]
        return frozenset(found | {"anyone"})

    def groups_of(self, who: str) -> frozenset[str]:
        return frozenset(group for group, members in self.members.items() if who in members)

    def entries(self) -> list[Entry]:
        """The same, as an import takes it. A group that is in a group needs a line of its own."""
        groups = {m for members in self.members.values() for m in members if m.startswith("group:")}
        return [Entry(who, self.groups_of(who)) for who in sorted(self.known | groups)]

    def copy(self) -> Crowd:
        return Crowd(set(self.known), {g: set(m) for g, m in self.members.items()})


@dataclass(frozen=True)
class Needs:
    """What reading a document takes: one of each of ``any_of`` and none of ``none_of``; ``nobody`` if nothing will do."""

    any_of: frozenset[frozenset[str]]
    none_of: frozenset[str] = frozenset()
    nobody: bool = False

    def met_by(self, everything: Iterable[str]) -> bool:
        mine = set(everything)
        if self.nobody or not self.any_of or not mine:
            return False
        return all(mine & one for one in self.any_of) and not mine & self.none_of


@dataclass(frozen=True)
class Table:
    """One table of an ``access.toml``. ``allow`` None says nothing."""

    inherit: bool = True
    allow: tuple[frozenset[str], ...] | None = None
    deny: frozenset[str] = frozenset()

    def toml(self) -> str:
        lines = [] if self.inherit else ["inherit = false"]
        if self.allow is not None:
            layers = [sorted(layer) for layer in self.allow]
            lines.append(f"allow = {json.dumps([] if layers == [[]] else layers)}")
        if self.deny:
            lines.append(f"deny = {json.dumps(sorted(self.deny))}")
        return "".join(f"{line}\n" for line in lines)


@dataclass
class Rules:
    """A folder's ``access.toml``; ``broken``: it cannot be understood."""

    folder: Table = Table()
    files: dict[str, Table] = field(default_factory=dict)
    broken: bool = False

    def toml(self) -> str:
        if self.broken:
            return "allow = [\n"
        tables = [f"\n[files.{json.dumps(name)}]\n{t.toml()}" for name, t in sorted(self.files.items())]
        return self.folder.toml() + "".join(tables)


class Tree:
    """A folder of documents on disk, and the same in memory. ``marks`` says which text each document has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rules: dict[Name, Rules] = {(): Rules()}
        self.marks: dict[Name, str] = {}
        self._time = 1_700_000_000_000_000_000

    def needs(self, name: Name) -> Needs:
        """What reading ``name`` takes, walking up from its own table for as long as tables inherit."""
        above = [name[:n] for n in range(len(name) - 1, -1, -1)]
        if any(self.rules[folder].broken for folder in above):
            return Needs(frozenset(), nobody=True)
        tables = [self.rules[above[0]].files.get(name[-1], Table())]
        tables += [self.rules[folder].folder for folder in above]
        any_of: set[frozenset[str]] = set()
        none_of: set[str] = set()
        for table in tables:
            any_of.update(table.allow or ())
            none_of.update(table.deny)
            if not table.inherit:
                break
        return Needs(frozenset(any_of), frozenset(none_of))

    def snapshot(self) -> frozenset[tuple[str, str, Needs]]:
        """(document, mark, needs) of all that is there."""
        return frozenset(("/".join(n), mark, self.needs(n)) for n, mark in self.marks.items())

    # -- changes, on disk and in memory at once

    def put(self, name: Name, mark: str) -> None:
        path = self.root.joinpath(*name)
        path.write_text(text_of(mark))
        self._time += 1_000_000_000  # two writes within one tick of the kernel's clock must differ
        os.utime(path, ns=(self._time, self._time))
        self.marks[name] = mark

    def make_folder(self, name: Name) -> None:
        self.root.joinpath(*name).mkdir()
        self.rules[name] = Rules()

    def govern(self, folder: Name, rules: Rules) -> None:
        self.rules[folder] = rules
        self.root.joinpath(*folder, "access.toml").write_text(rules.toml())

    def delete(self, name: Name) -> None:
        path = self.root.joinpath(*name)
        if name in self.marks:
            path.unlink()
        else:
            shutil.rmtree(path)
        for held in (self.marks, self.rules):
            for one in [n for n in held if n[: len(name)] == name]:
                held.pop(one)

    def move(self, old: Name, new: Name) -> None:
        """Rename a document or folder, with what is in it and the rules in it."""
        self.root.joinpath(*old).rename(self.root.joinpath(*new))
        self.marks = {_moved(n, old, new): mark for n, mark in self.marks.items()}
        self.rules = {_moved(n, old, new): rules for n, rules in self.rules.items()}


def _moved(name: Name, old: Name, new: Name) -> Name:
    return new + name[len(old) :] if name[: len(old)] == old else name


def text_of(mark: str) -> str:
    """A document that tells itself apart: its mark is in its title and in its one sentence."""
    return f"# Note {mark}\n\nThe {COMMON} entry {mark} is about several gold coins.\n"


# -- the workspace


def make(folder: Path, crowds: Mapping[str, Crowd], sources: Mapping[str, tuple[str, Path]]) -> None:
    """A new workspace in ``folder``: people by tenant, and per tenant one source (kind, place) called ``docs``."""
    with affidavit.init(folder, EmbedderSpec("none"), FixedClock(), SeededRandomness(1)) as workspace:
        for tenant, crowd in crowds.items():
            workspace.load_people(crowd.entries(), tenant)
        for tenant, (kind, place) in sources.items():
            workspace.add_source(kind, place, "docs", tenant)


ALWAYS = Calibration(0.0, {}, 0.0)
"""Whatever there is, is enough: an answerer that never refuses what it could say."""


def opened(
    folder: Path,
    embedder: Embedder | None = None,
    index: Index | None = None,
    calibration: Calibration = ALWAYS,
) -> Workspace:
    """The workspace in ``folder``, with parts for which there is no setting.

    The clock stands still. The pool is small, so that it matters which candidates fill it. Nothing waits for the disk: no
    test here cuts the power.
    """
    workspace = Workspace(assemble(folder, FixedClock(), SystemRandomness()))
    parts = workspace.parts
    parts.database.run("PRAGMA synchronous=OFF")
    parts.embedder = parts.retriever.embedder = embedder
    if index is not None:
        parts.index = parts.retriever._index = index
    release = parts.release()
    tried = replace(
        release,
        retrieval=replace(release.retrieval, pool=6),
        dense=calibration,
        keyword_only=calibration,
    )
    parts.release = lambda: tried  # type: ignore[method-assign]
    return workspace


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """A JSON Lines source."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


# -- what somebody was shown

_MARK = re.compile(r"mark\d+")


def shown_in(hits: Hits) -> Shown:
    """What a search gave away."""
    return _pairs(hits.as_json()["hits"])


def shown_in_answer(answer: Answer, question: str = "") -> Shown:
    """What an answer gave away. Every mark in it must stand in a citation, or in ``question``: a refusal repeats its words."""
    claims = answer.given()["claims"]
    shown = _pairs([c for claim in claims for c in (*claim["citations"], *claim["overrules"])])
    known = {mark for _, mark in shown} | set(_MARK.findall(question))
    loose = set(_MARK.findall(json.dumps(answer.given()))) - known
    assert not loose, f"the answer says {loose} without a citation"
    return shown


def _pairs(places: Iterable[Mapping[str, Any]]) -> Shown:
    return {(p["document"], mark) for p in places for mark in _MARK.findall(json.dumps(p)) or [""]}


def listed(workspace: Workspace, who: str, tenant: str = TENANT, as_of: int | None = None) -> Shown:
    """All that ``who`` can find."""
    return shown_in(workspace.search(COMMON, who, ALL, tenant, as_of))
