"""A source of the drill's own, in the copy: some of the workspace's documents under their own rules, free to be changed.

A drill never writes to a real source. Where a source is, is on the log and points outside the copy, so a drill that must
change, delete or hide documents makes this source and works there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from affidavit.app.drills.cast import Probe, Readers, probe, text_of
from affidavit.app.drills.lab import Lab, Seen
from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import Json
from affidavit.domain.errors import UsageError
from affidavit.store.sampling import Sampled, sample

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

NAME = "drill-stock"
WHERE: Json = {"equals": ["source", NAME]}
MANIFEST = "access.toml"
FRESH_DAYS = 30
_DOCUMENTS = 12
_QUESTIONS = 5
_DAY = 86_400


@dataclass(frozen=True)
class Stock:
    """``probes`` ask about documents of the source, and are asked of that source alone."""

    folder: Path
    tenant: str
    probes: Sequence[Probe]

    def file(self, probe: Probe) -> Path:
        """The file that the probe is about."""
        return self.folder / probe.document

    def ask(self, lab: Lab, ws: Workspace, probe: Probe, user: str = "", as_of: int | None = None) -> Seen:
        """What the probe gets from this source."""
        return lab.ask(ws, probe, user, as_of, WHERE)

    def search(self, lab: Lab, ws: Workspace, probe: Probe, user: str = "") -> Seen:
        return lab.search(ws, probe, user, WHERE)

    def sync(self, ws: Workspace) -> dict[str, int]:
        """Sync this source alone; the counts."""
        (report,) = ws.sync(NAME, self.tenant)
        return report.counts()


def lay_in(lab: Lab, ws: Workspace, tenant: str = "", documents: int = _DOCUMENTS) -> Stock:
    """Make the source, sync it and find questions about it. Raises UsageError when the workspace has nothing fit for it."""
    tenant = tenant or (lab.probes[0].tenant if lab.probes else "")
    readers = Readers(ws, tenant)
    with ws.parts.database.read():
        chosen = sample(ws.parts.database, ws.parts.tenant(tenant).id, 2 * documents)
    fit = [s for s in chosen if any(readers.may(u, s.rule) for u in readers.users)][:documents]
    if not fit:
        raise UsageError("no document of the workspace has a reader", "sync a source and import people first")
    folder = lab.room / "stock"
    folder.mkdir()
    texts = {f"{n:02}.txt": (s, text_of(ws, s)) for n, s in enumerate(fit, 1)}
    for name, (_, text) in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    rules = {name: readers.rules[s.rule] for name, (s, _) in texts.items()}
    (folder / MANIFEST).write_text(manifest(rules), encoding="utf-8")
    ws.add_source("folder", folder, NAME, tenant)
    stock = Stock(folder, tenant, [])
    stock.sync(ws)
    return Stock(folder, tenant, _probes(ws, tenant, readers, texts))


def _probes(
    ws: Workspace, tenant: str, readers: Readers, texts: dict[str, tuple[Sampled, str]]
) -> list[Probe]:
    found: list[Probe] = []
    for n, (name, (document, text)) in enumerate(texts.items()):
        if len(found) == _QUESTIONS:
            break
        users = [u for u in readers.users if readers.may(u, document.rule)]
        others = [u for u in readers.users if u not in users]
        user, outsider = users[n % len(users)], others[n % len(others)] if others else ""
        found += probe(ws, tenant, user, NAME, name, text, outsider, WHERE)
    if not found:
        raise UsageError(
            "no document of the workspace holds a sentence that can be asked about",
            "give a question of your own: --question TEXT --as USER",
        )
    return found


def manifest(rules: dict[str, AccessRule]) -> str:
    """An ``access.toml`` that gives each file its own rule, and a limit of freshness."""
    lines = []
    for name, rule in rules.items():
        lines += [
            f"[files.{_toml(name)}]",
            "inherit = false",
            f"allow = {_toml([sorted(layer) for layer in rule.layers])}",
            f"deny = {_toml(sorted(rule.deny))}",
            f'fresh_for = "{FRESH_DAYS}d"',
            "",
        ]
    return "\n".join(lines)


def _toml(value: object) -> str:
    """Text and lists of text are written in TOML as in JSON."""
    return json.dumps(value, ensure_ascii=False)


def age(path: Path, days: int) -> None:
    """Make a file look unchanged for so many days."""
    then = time.time() - days * _DAY
    os.utime(path, (then, then))
