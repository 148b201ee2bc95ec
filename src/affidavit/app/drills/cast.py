"""Who asks what in a drill: questions made from the copy's own documents, asked as people who may read them.

Who may read what is worked out here from rules and memberships alone, not by the code that answers: a drill that asked the
thing under test would believe it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from affidavit.domain.access import ANYONE, AccessRule
from affidavit.domain.canonical import Json
from affidavit.store.people import Tenant
from affidavit.store.sampling import Sampled, sample
from affidavit.text.sentences import sentences

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

_PEOPLE = 200  # looked at for somebody who may read a document
_DOCUMENTS = 24  # of a tenant, looked at
_SENTENCES = 4  # tried for each document
_LONGEST_TEXT = 200_000
_WORD = re.compile(r"\w+")
_PROSE = re.compile(r"[^\W\d_][^\n|]{29,199}")  # a line of text, not a heading, a table or a list


@dataclass(frozen=True)
class Probe:
    """A question that ``user`` was answered from ``document`` before anything was broken.

    ``outsider`` is somebody of the tenant who may not read the document, or "". ``document`` is "" for a question that was
    refused. ``said``: the operator gave the question. A chosen one is a sentence of a document, so no report repeats it.
    """

    tenant: str
    user: str
    question: str
    source: str = ""
    document: str = ""
    outsider: str = ""
    said: bool = False

    @property
    def place(self) -> tuple[str, str]:
        """The document by source and name."""
        return self.source, self.document

    def __str__(self) -> str:
        who = self.user.removeprefix("user:")
        return f"{who} asked “{self.question}”" if self.said else f"{who} asked about {self.document}"


class Readers:
    """Who may read what, from rules and memberships."""

    def __init__(self, ws: Workspace, tenant: str) -> None:
        parts = ws.parts
        self._tenant: Tenant = parts.tenant(tenant)
        self._catalog = parts.catalog
        with parts.database.read():
            self._db, head = parts.database, parts.log.head()
            self.rules: Mapping[int, AccessRule] = parts.catalog.rules(self._tenant.id)
            known = [p for p in parts.people.principals(self._tenant.id, head) if not p.startswith("group:")]
            self.users = known if len(known) <= _PEOPLE else known[:: len(known) // _PEOPLE]
            self._is = {u: self._principals(ws, u, head) for u in self.users}

    def _principals(self, ws: Workspace, user: str, head: int) -> frozenset[str]:
        return ws.parts.people.closure(self._tenant.id, user, head) | {ANYONE}

    def may(self, user: str, rule: int) -> bool:
        """Whether ``user`` may read what ``rule`` governs."""
        found = self.rules.get(rule)
        return found is not None and user in self._is and found.permits(self._is[user])

    def readable(self, user: str) -> frozenset[tuple[str, str]]:
        """(source, name) of every document that ``user`` may read."""
        rules = [id for id in self.rules if self.may(user, id)]
        with self._db.read():
            return frozenset(self._catalog.readable_names(self._tenant.id, rules))


def readable_by(ws: Workspace, tenant: str, user: str) -> frozenset[tuple[str, str]]:
    """(source, name) of every document that ``user`` may read now; nothing for a stranger."""
    parts = ws.parts
    owner = parts.tenant(tenant)
    with parts.database.read():
        head = parts.log.head()
        if parts.people.facts(owner.id, user, head) is None:
            return frozenset()
        mine = parts.people.closure(owner.id, user, head) | {ANYONE}
        rules = [id for id, rule in parts.catalog.rules(owner.id).items() if rule.permits(mine)]
        return frozenset(parts.catalog.readable_names(owner.id, rules))


def choose(ws: Workspace, count: int, tenant: str = "") -> list[Probe]:
    """At most ``count`` questions, over all tenants (or one), about different documents and by different people if possible."""
    with ws.parts.database.read():
        names = [t.name for t in ws.parts.people.tenants() if tenant in ("", t.name)]
    found: list[list[Probe]] = [_of_tenant(ws, name, count) for name in names]
    mixed = [probes[n] for n in range(count) for probes in found if n < len(probes)]
    return mixed[:count]


def _of_tenant(ws: Workspace, tenant: str, count: int) -> list[Probe]:
    readers = Readers(ws, tenant)
    with ws.parts.database.read():
        documents = sample(ws.parts.database, ws.parts.tenant(tenant).id, _DOCUMENTS)
    probes: list[Probe] = []
    for document in documents:
        asked = len(probes)
        users = [u for u in readers.users if readers.may(u, document.rule)]
        if users and asked < count:
            user = users[(7 * asked) % len(users)]
            outsiders = [u for u in readers.users if u not in users]
            outsider = outsiders[asked % len(outsiders)] if outsiders else ""
            probes += probe(ws, tenant, user, document.source, document.name, text_of(ws, document), outsider)
    # somebody's private document says more about permission than what everyone may read
    return sorted(probes, key=lambda p: not p.outsider)


def text_of(ws: Workspace, document: Sampled) -> str:
    """The document's text as the catalog holds it, or its beginning."""
    with ws.parts.database.read():
        return ws.parts.bodies.get(document.text_body).decode()[:_LONGEST_TEXT]


def probe(
    ws: Workspace,
    tenant: str,
    user: str,
    source: str,
    name: str,
    text: str,
    outsider: str = "",
    where: Json = None,
) -> list[Probe]:
    """A question that is answered from the document, if one of its sentences makes one; else nothing."""
    for sentence in _telling(text):
        question = sentence.rstrip(".!?:; ") + "?"
        answer = ws.ask(question, user, tenant, where=where)
        if any(c.source == source and c.document == name for claim in answer.claims for c in claim.citations):
            return [Probe(tenant, user, question, source, name, outsider)]
    return []


def _telling(text: str) -> Sequence[str]:
    """The sentences most likely to be asked about: of middling length, with many different words."""
    whole = (text[a:b] for a, b in sentences(text))
    fit = [s for s in whole if _PROSE.fullmatch(s) and len(_WORD.findall(s)) >= 5]
    return _spread(fit, _SENTENCES)


def _spread(items: Sequence[str], count: int) -> list[str]:
    if len(items) <= count:
        return list(items)
    return [items[n * len(items) // count] for n in range(count)]
