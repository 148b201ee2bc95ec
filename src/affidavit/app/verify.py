"""``audit verify``: the log against its signatures, then the catalog against the log.

The catalog decides who reads what, so a row that no event accounts for is a finding: people, memberships, grants, access
rules and revisions are folded from the log again and compared with the tables ("fold equals fetch").
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from affidavit.app.wiring import Parts
from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import sha256
from affidavit.domain.errors import LogDamagedError
from affidavit.domain.events import EventKind
from affidavit.domain.records import FOREVER
from affidavit.events.verify import LogVerifier

_GOVERNANCE = ("owner", "classification", "rank", "fresh_days")


class Verifier:
    """Checks everything there is to check. Raises LogDamagedError at the first fault."""

    def __init__(self, parts: Parts, progress: Callable[[int], None] | None = None) -> None:
        self._parts = parts
        self._db = parts.database
        self._progress = progress

    def run(self) -> dict[str, Any]:
        """What was checked, as counts and the root."""
        verifier = self._parts.catalog.setting("verifier") or ""
        with self._db.read():
            report = LogVerifier(self._db, self._parts.bodies, verifier, self._progress).run()
            people, documents = self._folded()
        return {
            "events": report.events,
            "bodies": report.bodies,
            "checkpoints": report.checkpoints,
            "root": report.root,
            "public_key": verifier,
            "people_rows": people,
            "documents": documents,
        }

    def _folded(self) -> tuple[int, int]:
        try:
            counts = self._people(), self._documents()
            self._releases()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # whoever holds the log's key can sign events that say nothing sensible
            raise _row(f"an event or row is not of the form that affidavit writes ({error!r})") from error
        return counts

    def _events(self, *kinds: EventKind) -> list[tuple[int, EventKind, int, dict[str, Any], Any]]:
        found = []
        for kind in kinds:
            for event in self._parts.events.of_kind(kind):
                found.append(
                    (event.position, kind, event.tenant, event.facts, self._parts.events.body(event))
                )
        return sorted(found, key=lambda e: e[0])

    # -- people, memberships, grants: every interval of every row

    def _people(self) -> int:
        people: dict[tuple[int, str], list[list[Any]]] = defaultdict(list)
        members: dict[tuple[int, str, str], list[list[Any]]] = defaultdict(list)
        grants: dict[tuple[int, str, str], list[list[Any]]] = defaultdict(list)
        kinds = (EventKind.PERSON_CHANGED, EventKind.MEMBERSHIP_CHANGED, EventKind.GRANT_CHANGED)
        for position, kind, tenant, facts, body in self._events(*kinds):
            who = body["principal"]
            if kind is EventKind.PERSON_CHANGED:
                _close(people[tenant, who], position)
                if facts["change"] != "removed":
                    people[tenant, who].append([position, FOREVER, json.dumps(body["facts"], sort_keys=True)])
            elif kind is EventKind.MEMBERSHIP_CHANGED:
                for group in body["left"]:
                    _close(members[tenant, group, who], position)
                for group in body["joined"]:
                    members[tenant, group, who].append([position, FOREVER, ""])
            elif facts["change"] == "granted":
                grants[tenant, facts["action"], who].append([position, FOREVER, ""])
            else:
                _close(grants[tenant, facts["action"], who], position)
        count = self._compare("people", people, "tenant, principal, since, until, facts", 2)
        count += self._compare("memberships", members, "tenant, grp, member, since, until, ''", 3)
        return count + self._compare("grants", grants, "tenant, action, principal, since, until, ''", 3)

    def _compare(self, table: str, folded: Any, columns: str, key: int) -> int:
        expected = {(*k, since, until, extra) for k, rows in folded.items() for since, until, extra in rows}
        actual = set()
        for row in self._db.each(f"SELECT {columns} FROM {table}"):  # noqa: S608  # our own constants
            extra = json.dumps(json.loads(row[key + 2]), sort_keys=True) if row[key + 2] else ""
            actual.add((*row[: key + 2], extra))
        for row in sorted(actual - expected, key=repr):
            raise LogDamagedError(
                f"{table}: a row that no event accounts for: {row[:key]} from position {row[key]}",
                "somebody changed the database by hand; restore it from a backup",
            )
        for row in sorted(expected - actual, key=repr):
            raise LogDamagedError(
                f"{table}: the log says {row[:key]} from position {row[key]}, the table does not",
                "somebody changed the database by hand; restore it from a backup",
            )
        return len(actual)

    # -- documents: revisions, their texts, and the rules that govern them

    def _documents(self) -> int:
        revisions: dict[tuple[int, int], Any] = {}
        governed: dict[tuple[int, int], Any] = {}
        ended: dict[int, int] = {}
        current: dict[int, Any] = {}
        identity: dict[int, tuple[int, int, str]] = {}
        kinds = (EventKind.DOCUMENT_INDEXED, EventKind.DOCUMENT_REMOVED, EventKind.ACCESS_CHANGED)
        for position, kind, tenant, facts, body in self._events(*kinds):
            if kind is EventKind.DOCUMENT_INDEXED:
                document, governance = facts["subject"], body["governance"]
                revisions[document, position] = body
                identity[document] = (tenant, facts["source"], body["name"])
                if current.get(document) != governance:
                    current[document] = governed[document, position] = governance
            elif kind is EventKind.DOCUMENT_REMOVED:
                ended[facts["subject"]] = position
                current.pop(facts["subject"], None)
            else:
                for change in body:
                    for document in change["documents"]:
                        current[document] = governed[document, position] = change["governance"]
        self._check_identity(identity, ended)
        self._check_governance(self._rules(), governed, ended)
        self._check_revisions(revisions, ended)
        return len(current)

    def _check_identity(self, identity: dict[int, tuple[int, int, str]], ended: dict[int, int]) -> None:
        for id, tenant, source, name, until in self._db.each(
            "SELECT id, tenant, source, name, until FROM documents"
        ):
            if identity.get(id) != (tenant, source, name) or until != ended.get(id, FOREVER):
                raise _row(f"document {id} is not the one that the log knows")
        stray = self._db.value(
            "SELECT c.id FROM chunks c LEFT JOIN revisions r ON r.id = c.revision LEFT JOIN documents d ON d.id = c.document "
            "WHERE r.document IS NOT c.document OR d.tenant IS NOT c.tenant OR c.since < r.since OR c.until > r.until"
        )
        if stray is not None:
            raise _row(f"chunk {stray} belongs to another document, tenant or time than its revision")

    def _rules(self) -> dict[int, str]:
        rules = {}
        for id, digest, text in self._db.each("SELECT id, digest, rule FROM access_rules"):
            if AccessRule.from_json(json.loads(text)).digest != digest:
                raise _row(f"access rule {id} was changed: it does not have the digest it is filed under")
            rules[id] = digest
        return rules

    def _check_governance(
        self, rules: dict[int, str], governed: dict[tuple[int, int], Any], ended: dict[int, int]
    ) -> None:
        last: dict[int, int] = {}
        seen = set()
        rows = self._db.all(
            "SELECT document, since, until, rule, owner, classification, rank, fresh_days FROM governance "
            "ORDER BY document, since"
        )
        for document, since, until, rule, *rest in rows:
            said = {"rule": rules.get(rule), **dict(zip(_GOVERNANCE, rest, strict=True))}
            if governed.get((document, since)) != said:
                raise _row(
                    f"document {document} is governed from position {since} in a way that no event set"
                )
            if last.get(document, since) != since:
                raise _row(f"document {document} has a gap in who may read it at position {since}")
            last[document] = until
            seen.add((document, since))
        for document, until in last.items():
            if until != ended.get(document, FOREVER):
                raise _row(f"document {document} is readable until another position than the log says")
        missing = set(governed) - seen
        if missing:
            raise _row(
                f"document {min(missing)[0]} lacks the rule that the log set at position {min(missing)[1]}"
            )

    def _check_revisions(self, revisions: dict[tuple[int, int], Any], ended: dict[int, int]) -> None:
        rows = self._db.all(
            "SELECT document, since, until, name, title, digest, text_body FROM revisions ORDER BY document, since"
        )
        starts: dict[int, list[int]] = defaultdict(list)
        for document, position in sorted(revisions):
            starts[document].append(position)
        seen = set()
        for document, since, until, name, title, digest, text_body in rows:
            body = revisions.get((document, since))
            if body is None or (body["revision"], body["text"], body["title"]) != (name, digest, title):
                raise _row(f"document {document} has a revision from position {since} that no event made")
            later = [p for p in starts[document] if p > since]
            if until != (later[0] if later else ended.get(document, FOREVER)):
                raise _row(
                    f"document {document}: the revision of position {since} ends at another position than recorded"
                )
            if sha256(self._parts.bodies.get(text_body)) != digest:
                raise _row(f"document {document}: the text of the revision of position {since} was changed")
            seen.add((document, since))
        missing = set(revisions) - seen
        if missing:
            raise _row(
                f"document {min(missing)[0]} lacks the revision that the log made at position {min(missing)[1]}"
            )

    def _releases(self) -> None:
        published = {event[3]["release"] for event in self._events(EventKind.RELEASE_PUBLISHED)}
        for digest, content in self._db.all("SELECT digest, content FROM releases"):
            if digest not in published or sha256(content.encode()) != digest:
                raise _row(f"release {digest[:12]} was changed or never published")


def _close(rows: list[list[Any]], position: int) -> None:
    for row in rows:
        if row[1] == FOREVER:
            row[1] = position


def _row(what: str) -> LogDamagedError:
    return LogDamagedError(what, "somebody changed the database by hand; restore it from a backup")
