"""``audit verify``: the log against its signatures, then the catalog against the log.

The catalog decides who reads what, so a row that no event accounts for is a finding: people, memberships, grants, access
rules and revisions are folded from the log again and compared with the tables ("fold equals fetch").
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from itertools import groupby
from typing import Any

from affidavit.app.wiring import SERVING, Parts, schema
from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import canonical, digest, sha256
from affidavit.domain.errors import LogDamagedError
from affidavit.domain.events import EventKind
from affidavit.domain.records import FOREVER, Span
from affidavit.events.verify import LogVerifier
from affidavit.store.catalog import chunk_details, unpack_path
from affidavit.store.database import Row, sqlite_objects

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
        if verifier != self._parts.signer.verifier():
            raise _row("the public key in the database is not that of the log's key file")
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
            self._settings()
            self._tables()
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
        for id, filed, text in self._db.each("SELECT id, digest, rule FROM access_rules"):
            if AccessRule.from_json(json.loads(text)).digest != filed:
                raise _row(f"access rule {id} was changed: it does not have the digest it is filed under")
            rules[id] = filed
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
        starts: dict[int, list[int]] = defaultdict(list)
        for document, position in sorted(revisions):
            starts[document].append(position)
        chunks = self._chunks()
        seen = set()
        rows = self._db.all(
            "SELECT id, document, since, until, name, title, digest, text_body, source_body, location, media_type, metadata, "
            "modified, indexed_at FROM revisions ORDER BY document, since"
        )
        for id, document, since, until, name, title, text, text_body, source_body, *details in rows:
            body = revisions.get((document, since))
            if body is None or (body["revision"], body["text"], body["title"]) != (name, text, title):
                raise _row(f"document {document} has a revision from position {since} that no event made")
            later = [p for p in starts[document] if p > since]
            if until != (later[0] if later else ended.get(document, FOREVER)):
                raise _row(
                    f"document {document}: the revision of position {since} ends at another position than recorded"
                )
            if digest(details) != body["details"]:
                raise _row(
                    f"document {document}: place, kind, metadata or times of the revision of position {since} changed"
                )
            if sha256(self._parts.bodies.get(text_body)) != text:
                raise _row(f"document {document}: the text of the revision of position {since} was changed")
            original = None if source_body is None else sha256(self._parts.bodies.get(source_body))
            if original != body["original"]:
                raise _row(
                    f"document {document}: the source bytes of the revision of position {since} were changed"
                )
            self._check_chunks(document, (since, until), chunks.get(id, []), body["chunks"])
            seen.add((document, since))
        missing = set(revisions) - seen
        if missing:
            raise _row(
                f"document {min(missing)[0]} lacks the revision that the log made at position {min(missing)[1]}"
            )

    def _chunks(self) -> dict[int, list[Row]]:
        found: dict[int, list[Row]] = defaultdict(list)
        sql = (
            "SELECT revision, ordinal, since, until, start, stop, path, kind, digest FROM chunks "
            "ORDER BY revision, ordinal, since"
        )
        for revision, *rest in self._db.each(sql):
            found[revision].append(tuple(rest))
        return found

    def _check_chunks(self, document: int, span: tuple[int, int], rows: list[Row], expected: str) -> None:
        """Each chunk covers its revision's whole time without a gap (vectors that came late make a second row), and says
        what the log says."""
        facts: list[tuple[Span, str]] = []
        for ordinal, group in groupby(rows, key=lambda row: row[0]):
            since = span[0]
            versions = list(group)
            for _, begins, ends, *_rest in versions:
                if begins != since:
                    raise _row(
                        f"document {document}: chunk {ordinal} is not there for the whole of its revision"
                    )
                since = ends
            same = {row[3:] for row in versions}
            if since != span[1] or ordinal != len(facts) or len(same) != 1:
                raise _row(f"document {document}: chunk {ordinal} is not as its revision has it")
            start, stop, path, kind, text = same.pop()
            facts.append((Span(start, stop, unpack_path(path), kind), text))
        if chunk_details(facts) != expected:
            raise _row(
                f"document {document}: the chunks are not those that the log made at position {span[0]}"
            )

    def _releases(self) -> None:
        published = self._events(EventKind.RELEASE_PUBLISHED)
        names = {facts["release"] for _, _, _, facts, _ in published}
        for name, content in self._db.all("SELECT digest, content FROM releases"):
            if name not in names or sha256(content.encode()) != name:
                raise _row(f"release {name[:12]} was changed or never published")
        serving = {facts["channel"]: facts["release"] for _, _, _, facts, _ in published}
        rows = self._db.all("SELECT name, release FROM channels WHERE until = ?", (FOREVER,))
        if dict(rows) != serving or len(rows) != len(serving):
            raise _row("a channel points at another release than the log says")

    def _tables(self) -> None:
        """No table, index, view or trigger but ours: a trigger could change what a commit writes."""
        ours = sqlite_objects(schema())
        there = self._db.all(
            "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
        )
        if there != ours:
            other = sorted({row[1] for row in set(there) ^ set(ours)})
            raise _row(f"the database's layout was changed: {other[0]}")
        head = self._db.value("SELECT position FROM heads WHERE name = 'catalog'")
        last = self._db.value(
            "SELECT max(p) FROM (SELECT max(since) p FROM governance UNION SELECT max(until) FROM governance WHERE until < ? "
            "UNION SELECT max(since) FROM chunks UNION SELECT max(until) FROM chunks WHERE until < ?)",
            (FOREVER, FOREVER),
        )
        if (head or -1) < (last or -1):
            raise _row("the catalog's head was set back: an index would not learn of changes")

    def _settings(self) -> None:
        """Tenants, sources and the embedder: they decide whose documents are whose, and where texts are sent."""
        names = {
            facts["subject"]: body["name"] for _, _, _, facts, body in self._events(EventKind.TENANT_CREATED)
        }
        if dict(self._db.all("SELECT id, name FROM tenants")) != names:
            raise _row("the tenants are not those that the log knows")
        sources: dict[int, list[Any]] = {}
        for position, _, tenant, facts, body in self._events(EventKind.SOURCE_CHANGED):
            if facts["change"] == "added":
                said = (body["name"], body["kind"], body["location"], canonical(body["settings"]).decode())
                sources[facts["subject"]] = [tenant, *said, position, FOREVER]
            else:
                sources[facts["subject"]][-1] = position
        rows = self._db.all("SELECT id, tenant, name, kind, location, settings, since, until FROM sources")
        if {id: list(rest) for id, *rest in rows} != sources:
            raise _row("the sources are not those that the log knows")
        sinks: dict[int, list[Any]] = {}
        for position, _, _, facts, body in self._events(EventKind.SINK_CHANGED):
            if facts["change"] == "added":
                settings = canonical(body["settings"]).decode()
                sinks[facts["subject"]] = [body["name"], body["kind"], settings, position, FOREVER]
            else:
                sinks[facts["subject"]][-1] = position
        rows = self._db.all("SELECT id, name, kind, settings, since, until FROM sinks")
        if {id: list(rest) for id, *rest in rows} != sinks:
            raise _row("the sinks that checkpoints are sent to are not those that the log knows")
        changes = self._events(EventKind.EMBEDDER_CHANGED)
        serving = json.loads(self._parts.catalog.setting(SERVING) or "null")
        # `init` must put the first embedder into the body of WORKSPACE_CREATED; without that it is not accounted for
        created = self._events(EventKind.WORKSPACE_CREATED)[0][4].get("embedder")
        if serving != (changes[-1][4] if changes else created):
            raise _row("the embedder is not the one that the log knows")


def _close(rows: list[list[Any]], position: int) -> None:
    for row in rows:
        if row[1] == FOREVER:
            row[1] = position


def _row(what: str) -> LogDamagedError:
    return LogDamagedError(what, "somebody changed the database by hand; restore it from a backup")
