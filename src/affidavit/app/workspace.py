"""A workspace: one installation's state in one directory, and everything one can do with it.

``open`` and ``init`` are the whole Python interface; the command line calls the same methods.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from affidavit.app.config import (
    EmbedderSpec,
    close_embedder,
    default_embedder,
    weights_missing,
)
from affidavit.app.desks import Desks, later
from affidavit.app.making import make
from affidavit.app.people import Entry, ImportReport, read_people
from affidavit.app.reembed import migrate
from affidavit.app.wiring import (
    NEXT,
    STABLE,
    Parts,
    assemble,
)
from affidavit.ask.asker import Question
from affidavit.ask.giving import OnClaim
from affidavit.ask.searcher import Hits, Searcher
from affidavit.domain.access import named, principal
from affidavit.domain.answer import Answer
from affidavit.domain.canonical import Json, canonical
from affidavit.domain.clock import Clock, Randomness, SystemClock, SystemRandomness
from affidavit.domain.errors import (
    AffidavitError,
    UsageError,
)
from affidavit.domain.events import Event, EventKind
from affidavit.domain.filter import parse_filter
from affidavit.domain.release import load
from affidavit.events.log import Transaction
from affidavit.ingest.sync import SyncReport
from affidavit.models.caller import CountingMeter
from affidavit.ports.embedder import Request
from affidavit.store.database import SCHEMA_VERSION
from affidavit.store.people import Tenant

DEFAULT_TENANT = "main"
_COMMIT_EVERY = 100


class Workspace(Desks):
    """An open workspace. Safe to share between threads; several processes may have it open."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._searcher = Searcher(
            parts.database, parts.log, parts.scopes, parts.retriever, parts.randomness, parts.caches
        )
        parts.models.meter = self._meter
        parts.charge_by(self._embedding)
        self._asker = parts.asker(caches=parts.caches)

    def _meter(self, tenant: int, principal: str) -> CountingMeter:
        meter: CountingMeter = later("metering", "QuestionMeter")(
            self.money.budgets, tenant, principal, self.parts.models.count
        )
        return meter

    def _embedding(self, provider: str, model: str, request: Request) -> Json:
        return self.money.embedding(provider, model, request)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files and connections."""
        if "works" in self.__dict__:
            self.works.close()
        close_embedder(self.parts.embedder)
        self.parts.models.close()
        self.parts.guards.close()
        if "money" in self.__dict__:
            self.money.close()
        if "figures" in self.__dict__:
            self.figures.close()
        self.parts.database.close()

    # -- people and sources

    def import_people(self, path: Path, tenant: str = "", *, remove_missing: bool = False) -> ImportReport:
        """Load people and groups from a JSON Lines file; the tenant is made if it is new."""
        return self.people.load(self.ensure_tenant(tenant), read_people(path), remove_missing=remove_missing)

    def load_people(self, entries: Iterable[Entry], tenant: str = "") -> ImportReport:
        """Load people and groups."""
        return self.people.load(self.ensure_tenant(tenant), entries)

    def ensure_tenant(self, name: str) -> Tenant:
        """The tenant ``name``, made if new; without a name the only one there is, or a new ``main``."""
        if name:
            return self.people.ensure_tenant(name)
        with self.parts.database.read():
            tenants = self.parts.people.tenants()
        return self.people.ensure_tenant(DEFAULT_TENANT) if not tenants else self.parts.tenant("")

    def add_source(
        self,
        kind: str,
        location: Path,
        name: str,
        tenant: str = "",
        mapping: dict[str, str] | None = None,
        allow: Sequence[str] = (),
    ) -> None:
        """Register a place documents come from; nothing is read yet."""
        self.sources.add(self.ensure_tenant(tenant), kind, location, name, mapping or {}, allow)

    def sync(
        self, name: str = "", tenant: str = "", progress: Callable[[SyncReport], None] = lambda report: None
    ) -> list[SyncReport]:
        """Bring one source, or every source of the tenant, up to date."""
        owner = self.parts.tenant(tenant)
        sources = [self.sources.get(owner, name)] if name else self.sources.all(owner)
        if not sources:
            raise UsageError(
                "there is no source to sync", "add one: affidavit source add folder PATH --name NAME"
            )
        reports = [self.sources.sync(source, progress) for source in sources]
        self.levels.look()
        return reports

    # -- questions

    def question(
        self,
        text: str,
        user: str,
        tenant: str = "",
        as_of: int | None = None,
        where: Json = None,
        follows: str = "",
        run: str = "",
        by: str = "",
    ) -> Question:
        """A question as ``ask`` and ``search`` take it. ``user`` is a principal, or a user's bare name; ``run`` an id of
        ``new_run_id`` that nothing else has, "" for a new one; ``by`` whoever asks for them, "" if they do themselves."""
        who = named(user)
        if not who.startswith(("user:", "service:")):
            raise UsageError(f"{who} cannot ask", "a user or a service asks; groups are what they belong to")
        try:
            canonical([text, where])
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"the question or filter cannot be kept exactly: {error}", "type it again"
            ) from error
        parsed = None if where is None else parse_filter(where)
        return Question(
            self.parts.tenant(tenant).id, principal(who), text, as_of, parsed, where, follows, run=run, by=by
        )

    def ask(
        self,
        text: str,
        user: str,
        tenant: str = "",
        as_of: int | None = None,
        where: Json = None,
        follows: str = "",
        on_claim: OnClaim | None = None,
        run: str = "",
        by: str = "",
    ) -> Answer:
        """Answer with citations, or refuse; on the record before it returns.

        ``follows`` is an earlier run of the same person that this question goes on from. ``on_claim`` is given each claim once it
        is verified and durable, in order: where a model writes, while it still does. If it raises, the answer ends there.
        ``run`` and ``by`` as for ``question``.
        """
        question = self.question(text, user, tenant, as_of, where, follows, run, by)
        question = replace(question, streamed=on_claim is not None)
        answer = self._asker.ask(question, self.parts.release(), on_claim)
        self._warn()
        return answer

    def act(
        self,
        text: str,
        user: str,
        feature: str = "default",
        tenant: str = "",
        run: str = "",
        by: str = "",
    ) -> Answer:
        """Answer, with calls of the tools that the release allows for ``feature``; or wait where a person must say yes.

        Raises UsageError where the release lets no model act.
        """
        answer = self.acting.act(replace(self.question(text, user, tenant, run=run, by=by), acts=feature))
        self._warn()
        return answer

    def _warn(self) -> None:
        """Put on record that a budget is nearly spent, if a model was asked. The answer is durable by now and stands whatever
        comes of this: a warning that could not be told stays due, and the next question tells it."""
        if "money" in self.__dict__:
            with suppress(AffidavitError):
                self.budgets.tell()

    def search(
        self,
        text: str,
        user: str,
        k: int = 10,
        tenant: str = "",
        as_of: int | None = None,
        where: Json = None,
        *,
        chunks: bool = True,
        run: str = "",
        by: str = "",
    ) -> Hits:
        """The best ``k`` passages that ``user`` may read; with ``chunks`` false the best of each of ``k`` documents."""
        question = self.question(text, user, tenant, as_of, where, run=run, by=by)
        return self._searcher.search(question, k, self.parts.release(), chunks=chunks)

    def search_batch(
        self,
        questions: Sequence[Question],
        k: int,
        *,
        chunks: bool = True,
        progress: Callable[[], None] = lambda: None,
    ) -> Iterator[Hits]:
        """Many searches; each hundred is durable before any of it is given."""
        release = self.parts.release()
        for start in range(0, len(questions), _COMMIT_EVERY):
            yield from self._searcher.batch(
                questions[start : start + _COMMIT_EVERY], k, release, chunks=chunks, progress=progress
            )

    def position(self, when: str) -> int:
        """The position that ``when`` names: a number, or an ISO 8601 time (UTC unless it says otherwise)."""
        return self.parts.position(when)

    # -- the embedder

    def use_embedder(
        self, spec: EmbedderSpec, progress: Callable[[int], None] | None = None, *, background: bool = False
    ) -> threading.Thread | None:
        """Change the embedder: everything is embedded anew while the old one serves, then the new one takes over.

        Interrupted, it goes on where it stopped when called again. With ``background`` the work goes on in the thread
        that is returned.
        """
        if background:
            thread = threading.Thread(
                target=migrate, args=(self.parts, spec, progress), name="affidavit-embed"
            )
            thread.start()
            return thread
        migrate(self.parts, spec, progress)
        return None

    # -- releases

    def publish(self, content: Mapping[str, Any], channel: str = STABLE) -> str:
        """Make ``content`` a release and point ``channel`` at it: the next question is answered under it. Its digest.

        Raises UsageError for a content that cannot be used here.
        """
        release = load(content)
        caller = self.parts.models.caller(release, 0, "")
        self.parts.models.writer(release, caller)  # that its prompts and routes can be used
        if release.policy is not None:
            self.policy.check(release.policy)
        facts: dict[str, int | str] = {"release": release.digest, "channel": channel}

        def write(tx: Transaction) -> None:
            event = Event(EventKind.RELEASE_PUBLISHED, facts=facts, body=release.content)
            self.parts.catalog.publish(release.digest, release.content, channel, tx.append(event))

        self.parts.log.write(write)
        return release.digest

    def releases(self) -> list[str]:
        """The digests of the releases that were ever published, oldest first."""
        with self.parts.database.read():
            return self.parts.catalog.releases()

    # -- looking after it

    def verify(self, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Check the log, and the catalog against it. Raises LogDamagedError at the first fault."""
        return later("verify", "Verifier")(self.parts, progress).run()  # type: ignore[no-any-return]

    def status(self) -> dict[str, Any]:
        """How things stand, for people and for ``--json``."""
        parts = self.parts
        self.levels.look()
        unusable = weights_missing(parts.serving)
        with parts.database.read():
            index = parts.index.status()
            head = parts.log.head()
            embedder = (
                None if parts.embedder is None else parts.catalog.embedder(parts.embedder.info.fingerprint)
            )
            tenants = {}
            for tenant in parts.people.tenants():
                tenants[tenant.name] = {
                    **parts.catalog.counts(tenant.id),
                    "mode": parts.controls.mode(tenant.id),
                    "people": len(parts.people.principals(tenant.id, head)),
                    "sources": [
                        {"name": s.name, "kind": s.kind, "location": s.location, "synced_at": s.synced_at}
                        for s in parts.catalog.sources(tenant.id)
                    ],
                }
            pending = parts.catalog.count_without_vector(embedder) if parts.embedder is not None else 0
            following = parts.catalog.setting(NEXT)
        return {
            "folder": str(parts.folder),
            "version": SCHEMA_VERSION,
            "position": head,
            "release": parts.release().digest,
            "embedder": parts.serving.kind,
            "embedder_name": parts.embedder.info.name if parts.embedder is not None else None,
            "embedder_next": json.loads(following)["kind"] if following else None,
            "search": "keyword only" if parts.embedder is None or unusable else "keyword and dense",
            "weights_missing": unusable,
            "chunks_without_vector": pending,
            "index": {
                "rows": index.rows,
                "position": index.position,
                "segments": index.segments,
                "bytes": index.bytes,
                "rebuilt": index.rebuilt or None,
            },
            "tenants": tenants,
            "sinks": self.outside.status(),
            "budgets": self.budgets.alerts(),
            "stopped": self.controls.status(),
            "levels": self.levels.promised(),
        }


def open(path: str | os.PathLike[str]) -> Workspace:
    """Open the workspace in ``path``. Raises WorkspaceError and its kin when it cannot be used."""
    return Workspace(assemble(Path(path)))


def open_with(folder: Path, clock: Clock | None) -> Workspace:
    """``open`` with another clock; drills open their copies with it."""
    return Workspace(assemble(folder, clock))


def init(
    path: str | os.PathLike[str],
    embedder: EmbedderSpec | None = None,
    clock: Clock | None = None,
    randomness: Randomness | None = None,
) -> Workspace:
    """Make a workspace in ``path`` (a new or empty directory, or one whose ``init`` was cut off) and open it."""
    make(Path(path), embedder or default_embedder(), clock or SystemClock(), randomness or SystemRandomness())
    return Workspace(assemble(Path(path), clock, randomness))
