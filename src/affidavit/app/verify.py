"""``audit verify``: the log against its signatures, then the catalog against the log.

The catalog decides who reads what, so a row that no event accounts for is a finding: people, memberships, grants, access
rules and revisions are folded from the log again and compared with the tables ("fold equals fetch"). What was erased says
nothing any more: the rows it was about must be gone or empty, so that an erasure can hide no row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from affidavit.app.callfold import check_calls
from affidavit.app.fold import CREDENTIAL, PROPOSAL, CatalogFold, Intervals, packed
from affidavit.app.layout import (
    check_bodies,
    check_heads,
    check_indexes,
    check_layout,
    check_settings,
)
from affidavit.app.layout import (
    damaged as _row,
)
from affidavit.app.redaction import REDACTION
from affidavit.app.runlist import RunListCheck
from affidavit.app.wiring import ERASED, PRICES, RETENTION, SERVING, Parts
from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import canonical, digest, sha256
from affidavit.domain.errors import ErasedError
from affidavit.domain.events import EventKind
from affidavit.domain.records import FOREVER, Span
from affidavit.events.verify import LogVerifier
from affidavit.store.credentials import EMPTIED
from affidavit.store.database import Row
from affidavit.store.proposals import LEFT
from affidavit.store.shapes import chunk_details, unpack_fields, unpack_path
from affidavit.store.tokenvectors import TokenVectors

_GOVERNANCE = ("owner", "classification", "rank", "fresh_days", "deprecated")
_EMPTY_REVISION = ("", "", "", None, None, "", "", "{}", None, 0)
_EMPTY_CHUNK = (0, 0, "[]", "", "[]", "")


class Verifier:
    """Checks everything there is to check. Raises LogDamagedError at the first fault."""

    def __init__(self, parts: Parts, progress: Callable[[int], None] | None = None) -> None:
        self._parts = parts
        self._db = parts.database
        self._progress = progress
        self._fold = CatalogFold()

    def run(self) -> dict[str, Any]:
        """What was checked, as counts and the root; ``frontier`` is what a later check can go on from."""
        verifier = self._parts.catalog.setting("verifier") or ""
        if verifier != self._parts.signer.verifier():
            raise _row("the public key in the database is not that of the log's key file")
        with self._db.read():
            runs = RunListCheck(self._db)
            fold = runs.beside(self._fold.fold())
            report = LogVerifier(self._db, verifier, self._progress, fold=fold).run()
            people, documents = self._folded()
            runs.close()
            check_heads(self._parts, report.events - 1)
            check_bodies(self._parts, report.bodies)
        return {
            "events": report.events,
            "bodies": report.bodies,
            "erased": report.erased,
            "checkpoints": report.checkpoints,
            "root": report.root,
            "frontier": report.frontier,
            "public_key": verifier,
            "people_rows": people,
            "documents": documents,
        }

    def _folded(self) -> tuple[int, int]:
        try:
            check_layout(self._parts)
            check_indexes(self._parts)
            check_settings(self._parts)
            people = self._people()
            self._documents()
            self._releases()
            self._settings()
            self._keeping()
            self._money()
            check_calls(self._db, self._fold.calls)
            self._controls()
            self._credentials()
            self._proposals()
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            # whoever holds the log's key can sign events that say nothing sensible
            raise _row(f"an event or row is not of the form that affidavit writes ({error!r})") from error
        return people, len(self._fold.current)

    def _events(self, kind: EventKind) -> list[tuple[int, int, dict[str, Any], Any]]:
        """(position, tenant, facts, body) of every event of a kind that is rare."""
        return [
            (e.position, e.tenant, e.facts, self._parts.events.body(e))
            for e in self._parts.events.of_kind(kind)
        ]

    # -- people, memberships, grants: every interval of every row

    def _people(self) -> int:
        fold = self._fold
        count = self._compare("people", fold.people, "tenant, principal, since, until, facts", 2)
        count += self._compare("memberships", fold.members, "tenant, grp, member, since, until, ''", 3)
        return count + self._compare("grants", fold.grants, "tenant, action, principal, since, until, ''", 3)

    def _compare(self, table: str, folded: Intervals, columns: str, key: int) -> int:
        expected = {(*k, since, until, extra) for k, rows in folded.items() for since, until, extra in rows}
        actual = set()
        for row in self._db.each(f"SELECT {columns} FROM {table}"):  # noqa: S608  # our own constants
            if row in actual:
                raise _row(f"{table}: a row stands there twice: {row[:key]} from position {row[key]}")
            actual.add(row)
        for row in sorted(actual - expected, key=repr):
            raise _row(f"{table}: a row that no event accounts for: {row[:key]} from position {row[key]}")
        for row in sorted(expected - actual, key=repr):
            raise _row(f"{table}: the log says {row[:key]} from position {row[key]}, the table does not")
        return len(actual)

    # -- documents: revisions, their texts, and the rules that govern them

    def _documents(self) -> None:
        self._check_identity()
        self._check_governance(self._rules())
        self._check_revisions()

    def _check_identity(self) -> None:
        fold = self._fold
        for (document, position), said in fold.revisions.items():
            if (said is None) != (document in fold.erased):
                raise _row(f"document {document} was erased in part: see its revision of position {position}")
        for document, position in fold.erased.items():
            if not fold.ended.get(document, FOREVER) < position:
                raise _row(f"document {document} was erased at position {position} without being removed")
        first: dict[int, int] = {}
        for document, position in fold.revisions:
            first.setdefault(document, position)
        for id, tenant, source, name, since, until, stamp in self._db.each(
            "SELECT id, tenant, source, name, since, until, stamp FROM documents"
        ):
            known = fold.identity.get(id), first.pop(id, None), fold.ended.get(id, FOREVER)
            if known != ((tenant, source, name), since, until):
                raise _row(f"document {id} is not the one that the log knows")
            if id in fold.erased and stamp:
                raise _row(f"document {id} was erased, but its stamp is there")
        if first:
            raise _row(f"document {min(first)} is not there, but the log knows it")
        stray = self._db.value(
            "SELECT c.id FROM chunks c LEFT JOIN revisions r ON r.id = c.revision LEFT JOIN documents d ON d.id = c.document "
            "WHERE r.document IS NOT c.document OR d.tenant IS NOT c.tenant OR c.since < r.since OR c.until > r.until"
        )
        if stray is not None:
            raise _row(f"chunk {stray} belongs to another document, tenant or time than its revision")

    def _rules(self) -> dict[int, tuple[int, str]]:
        """(tenant, digest) of each rule."""
        rules = {}
        for id, tenant, filed, text in self._db.each("SELECT id, tenant, digest, rule FROM access_rules"):
            rule = AccessRule.from_json(json.loads(text))
            if rule.digest != filed or canonical(rule.as_json()).decode() != text:
                raise _row(f"access rule {id} was changed: it does not have the digest it is filed under")
            rules[id] = tenant, filed
        return rules

    def _check_governance(self, rules: dict[int, tuple[int, str]]) -> None:
        fold = self._fold
        governed = {at: said for at, said in fold.governed.items() if at[0] not in fold.erased}
        last: dict[int, int] = {}
        seen = set()
        rows = self._db.each(
            "SELECT document, since, until, rule, owner, classification, rank, fresh_days, deprecated FROM governance "
            "ORDER BY document, since"
        )
        for document, since, until, rule, *rest in rows:
            owner, filed = rules.get(rule, (None, None))
            said = {"rule": filed, **dict(zip(_GOVERNANCE, rest, strict=True))}
            if document in fold.identity and owner != fold.identity[document][0]:
                raise _row(f"document {document} is governed by a rule of another tenant")
            if governed.get((document, since)) != said:
                raise _row(
                    f"document {document} is governed from position {since} in a way that no event set"
                )
            if last.get(document, since) != since:
                raise _row(f"document {document} has a gap in who may read it at position {since}")
            last[document] = until
            seen.add((document, since))
        for document, until in last.items():
            if until != fold.ended.get(document, FOREVER):
                raise _row(f"document {document} is readable until another position than the log says")
        missing = set(governed) - seen
        if missing:
            raise _row(
                f"document {min(missing)[0]} lacks the rule that the log set at position {min(missing)[1]}"
            )

    def _check_revisions(self) -> None:
        fold = self._fold
        ends = self._revision_ends()
        chunks = _ChunkRows(
            self._db.each(
                "SELECT revision, ordinal, since, until, start, stop, path, kind, fields, digest FROM chunks "
                "ORDER BY revision, ordinal, since"
            )
        )
        seen = 0
        rows = self._db.each(
            "SELECT id, document, since, until, name, title, digest, text_body, source_body, location, media_type, metadata, "
            "modified, indexed_at FROM revisions ORDER BY id"
        )
        for id, document, since, until, *said in rows:
            at = document, since
            if at not in fold.revisions:
                raise _row(f"document {document} has a revision from position {since} that no event made")
            if until != ends[at]:
                raise _row(
                    f"document {document}: the revision of position {since} ends at another position than recorded"
                )
            mine = chunks.of(id)
            expected = fold.revisions[at]
            if expected is None:
                self._check_empty(document, since, tuple(said), mine)
            else:
                self._check_revision(document, since, said, expected)
                self._check_chunks(document, (since, until), mine, expected[96:128].hex())
            seen += 1
        if chunks.left():
            raise _row("there are chunks of a revision that is not there")
        if seen != len(fold.revisions):
            there = set(self._db.all("SELECT document, since FROM revisions"))
            if len(there) != seen:
                raise _row("a revision stands in the catalog twice")
            missing = min(set(fold.revisions) - there)
            raise _row(f"document {missing[0]} lacks the revision that the log made at position {missing[1]}")

    def _revision_ends(self) -> dict[tuple[int, int], int]:
        """Where each revision must end: where the next one begins, or with its document."""
        ends: dict[tuple[int, int], int] = {}
        before: tuple[int, int] | None = None
        for at in sorted(self._fold.revisions):
            if before is not None:
                ends[before] = at[1] if before[0] == at[0] else self._fold.ended.get(before[0], FOREVER)
            before = at
        if before is not None:
            ends[before] = self._fold.ended.get(before[0], FOREVER)
        return ends

    def _check_revision(self, document: int, since: int, said: list[Any], expected: bytes) -> None:
        name, title, text, text_body, source_body, *details = said
        found = packed(name, title, text, digest(details), expected[96:128].hex(), None)
        if found[:64] != expected[:64]:
            raise _row(f"document {document} has a revision from position {since} that no event made")
        if found[64:96] != expected[64:96]:
            raise _row(
                f"document {document}: place, kind, metadata or times of the revision of position {since} changed"
            )
        try:
            if sha256(self._parts.bodies.get(text_body)) != text:
                raise _row(f"document {document}: the text of the revision of position {since} was changed")
            original = bytes(32)
            if source_body is not None:
                original = bytes.fromhex(sha256(self._parts.bodies.get(source_body)))
        except ErasedError as error:
            raise _row(
                f"document {document}: the text of the revision of position {since} is gone without an erasure on record"
            ) from error
        if original != expected[128:]:
            raise _row(
                f"document {document}: the source bytes of the revision of position {since} were changed"
            )

    def _check_empty(self, document: int, since: int, said: tuple[Any, ...], chunks: list[Row]) -> None:
        """An erased revision: the times of its rows are left, and how many chunks it had."""
        numbers = {row[0] for row in chunks}
        if (
            said != _EMPTY_REVISION
            or any(row[3:] != _EMPTY_CHUNK for row in chunks)
            or len(numbers) != self._fold.chunk_counts[document, since]
        ):
            raise _row(f"document {document} was erased, but its revision of position {since} is not empty")

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
            start, stop, path, kind, fields, text = same.pop()
            facts.append((Span(start, stop, unpack_path(path), kind, unpack_fields(fields)), text))
        if chunk_details(facts) != expected:
            raise _row(
                f"document {document}: the chunks are not those that the log made at position {span[0]}"
            )

    def _releases(self) -> None:
        """Every release that was published, and what each channel pointed at, when: replays go back to them."""
        since: dict[str, int] = {}
        channels: list[list[Any]] = []
        for position, _, facts, _ in self._events(EventKind.RELEASE_PUBLISHED):
            since.setdefault(facts["release"], position)
            for row in channels:
                if row[0] == facts["channel"] and row[3] == FOREVER:
                    row[3] = position
            channels.append([facts["channel"], facts["release"], position, FOREVER])
        rows = self._db.all("SELECT digest, since, content FROM releases")
        for name, published, content in rows:
            if since.get(name) != published or sha256(content.encode()) != name:
                raise _row(f"release {name[:12]} was changed or never published")
        if len(rows) != len(since):
            raise _row(f"a release is not there: {min(since.keys() - {row[0] for row in rows})[:12]}")
        there = self._db.all("SELECT name, release, since, until FROM channels ORDER BY since, until")
        if [list(row) for row in there] != channels:
            raise _row("a channel points at another release than the log says")

    def _keeping(self) -> None:
        """Holds, retention, redaction, and what may not come back: each says what is kept, so each is on the log."""
        fold = self._fold
        rows = self._db.all(
            "SELECT id, tenant, kind, subject, source, reason, stated_by, since, until FROM holds"
        )
        if {id: list(rest) for id, *rest in rows} != fold.holds:
            raise _row("the retention holds are not those that the log knows")
        barred = {(*key, since, until) for key, spans in fold.barred.items() for since, until in spans}
        if set(self._db.all("SELECT tenant, mark, since, until FROM barred")) != barred:
            raise _row("the documents that may not come back are not those that the log knows")
        last = str(max(fold.erased.values())) if fold.erased else None
        for key, expected in (
            (RETENTION, canonical(fold.retention).decode() if fold.retention else None),
            (REDACTION, canonical(fold.redaction).decode() if fold.redaction is not None else None),
            (ERASED, last),
        ):
            if self._parts.catalog.setting(key) != expected:
                raise _row(f"the setting {key} is not what the log says")

    def _money(self) -> None:
        """Budgets and prices: what may be spent, and what it is held to cost."""
        rows = self._db.all(
            "SELECT number, tenant, who, task, per, amount, requests, currency, since, until FROM budgets"
        )
        if sorted(rows) != sorted(map(tuple, self._fold.budgets)):
            raise _row("the budgets are not those that the log knows")
        prices = None if self._fold.prices is None else canonical(self._fold.prices).decode()
        if self._parts.catalog.setting(PRICES) != prices:
            raise _row("the prices are not those that the log knows")

    def _controls(self) -> None:
        """Modes, kill switches, where secrets are, and what is promised: each is on the log."""
        for table, columns, folded in (
            ("imports", "name, digest, since, until", self._fold.imports),
            ("modes", "tenant, mode, since, until", self._fold.modes),
            ("kills", "tenant, kind, name, reason, stated_by, since, until", self._fold.kills),
            ("secrets", "tenant, name, kind, place, since, until", self._fold.secrets),
            (
                "objectives",
                "tenant, level, source, within, share, days, since, until",
                self._fold.objectives,
            ),
            ("four_eyes", "tenant, actions, stated_by, since, until", self._fold.four_eyes),
        ):
            rows = self._db.all(f"SELECT {columns} FROM {table}")  # noqa: S608  # our own constants
            if sorted(rows) != sorted(map(tuple, folded)):
                raise _row(f"the {table} are not those that the log knows")

    def _credentials(self) -> None:
        """What proves who asks: a row put in by hand, or widened, would let somebody in as anybody."""
        said = dict(self._fold.credentials)
        for id, tenant, since, until, *row in self._db.each(
            f"SELECT id, tenant, since, until, {', '.join(CREDENTIAL)} FROM credentials"  # noqa: S608  # our own constants
        ):
            rest = [
                json.loads(v) if k in ("scopes", "acts_for") else v
                for k, v in zip(CREDENTIAL, row, strict=True)
            ]
            known = said.pop(id, None)
            if known is None or [tenant, since, until] != [known[0], *known[2:]]:
                raise _row(f"the credential {id} is not as the log knows it")
            if rest != known[1] if known[1] is not None else (rest[1:] != EMPTIED or until == FOREVER):
                raise _row(f"the credential {id} is not as the log knows it")
        if said:
            raise _row("a credential is not there that the log knows")

    def _proposals(self) -> None:
        """What waits for a second person: a row put in by hand would be done in somebody's name."""
        said = dict(self._fold.proposals)
        for id, tenant, state, since, until, *row in self._db.each(
            f"SELECT id, tenant, state, since, until, {', '.join(PROPOSAL)} FROM proposals"  # noqa: S608  # our own constants
        ):
            rest = [json.loads(v) if k == "scopes" else v for k, v in zip(PROPOSAL, row, strict=True)]
            known = said.pop(id, None)
            if (
                known is None
                or [tenant, state, since, until] != [known[0], *known[2:]]
                or rest[1:] != (LEFT if known[1] is None else known[1][1:])
                or (known[1] is not None and rest[0] != known[1][0])
            ):
                raise _row(f"the proposal {id} is not as the log knows it")
        if said:
            raise _row("a proposal is not there that the log knows")

    def _settings(self) -> None:
        """Tenants, sources and the embedder: they decide whose documents are whose, and where texts are sent."""
        names = sorted(
            (facts["subject"], body["name"], position)
            for position, _, facts, body in self._events(EventKind.TENANT_CREATED)
        )
        if self._db.all("SELECT id, name, since FROM tenants ORDER BY id") != names:
            raise _row("the tenants are not those that the log knows")
        sources: dict[int, list[Any]] = {}
        for position, tenant, facts, body in self._events(EventKind.SOURCE_CHANGED):
            if facts["change"] == "added":
                said = (body["name"], body["kind"], body["location"], canonical(body["settings"]).decode())
                sources[facts["subject"]] = [tenant, *said, position, FOREVER]
            else:
                sources[facts["subject"]][-1] = position
        rows = self._db.all("SELECT id, tenant, name, kind, location, settings, since, until FROM sources")
        if {id: list(rest) for id, *rest in rows} != sources:
            raise _row("the sources are not those that the log knows")
        sinks: dict[int, list[Any]] = {}
        for position, _, facts, body in self._events(EventKind.SINK_CHANGED):
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
        created = self._events(EventKind.WORKSPACE_CREATED)[0][3].get("embedder")
        if serving != (changes[-1][3] if changes else created):
            raise _row("the embedder is not the one that the log knows")
        added = [(facts["subject"], at) for at, _, facts, _ in self._events(EventKind.VECTORS_ADDED)]
        for space, since in TokenVectors(self._parts.catalog).all().items():
            if (self._parts.catalog.embedder(space), since) not in added:
                raise _row("token vectors are there since another position than the log says")


class _ChunkRows:
    """Chunk rows by revision, handed out in the order of revisions' ids; one revision's rows in memory."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._groups = ((id, [row[1:] for row in group]) for id, group in groupby(rows, key=lambda r: r[0]))
        self._next = next(self._groups, None)

    def of(self, revision: int) -> list[Row]:
        """The rows of ``revision``; ask in ascending order."""
        if self._next is None or self._next[0] != revision:
            return []
        rows = self._next[1]
        self._next = next(self._groups, None)
        return rows

    def left(self) -> bool:
        """Whether some were not asked for."""
        return self._next is not None
