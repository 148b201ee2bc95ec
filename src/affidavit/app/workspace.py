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
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from affidavit.app.config import (
    EmbedderSpec,
    close_embedder,
    default_embedder,
    make_embedder,
    metered,
    weights_missing,
)
from affidavit.app.people import Entry, ImportReport, PeopleDesk, read_people
from affidavit.app.runs import RunDesk
from affidavit.app.sources import SourceDesk
from affidavit.app.times import moment
from affidavit.app.wiring import (
    DATABASE,
    INDEX,
    KEY,
    NEXT,
    SERVING,
    SETTINGS,
    STABLE,
    Parts,
    assemble,
    schema,
)
from affidavit.ask.asker import Asker, Question
from affidavit.ask.conversation import Conversations
from affidavit.ask.giving import OnClaim
from affidavit.ask.searcher import Hits, Searcher
from affidavit.domain.access import named, principal
from affidavit.domain.answer import Answer
from affidavit.domain.canonical import Json, canonical
from affidavit.domain.clock import Clock, Randomness, SystemClock, SystemRandomness
from affidavit.domain.errors import (
    AffidavitError,
    DiskFullError,
    UsageError,
    WorkspaceError,
    WorkspaceMissingError,
)
from affidavit.domain.events import Event, EventKind
from affidavit.domain.filter import parse_filter
from affidavit.domain.release import DEFAULT, load
from affidavit.domain.version import VERSION
from affidavit.events.log import KEY_BYTES, Log, Signer, Transaction
from affidavit.ingest.sync import SyncReport
from affidavit.models.caller import CHARGED, EMBED, CountingMeter
from affidavit.ports.embedder import Request, charges
from affidavit.runs.recorder import Run, new_run_id
from affidavit.store.bodies import Bodies
from affidavit.store.catalog import Catalog
from affidavit.store.database import SCHEMA_VERSION, Database
from affidavit.store.people import Tenant

if TYPE_CHECKING:
    from affidavit.app.acting import ActDesk
    from affidavit.app.binding import BindingDesk
    from affidavit.app.budgets import BudgetDesk
    from affidavit.app.controls import ControlDesk
    from affidavit.app.credentials import CredentialDesk
    from affidavit.app.documents import DocumentDesk
    from affidavit.app.drillbook import DrillBook
    from affidavit.app.drills.desk import DrillDesk
    from affidavit.app.erasure import EraseDesk
    from affidavit.app.evaluation import EvalDesk
    from affidavit.app.exports import ExportDesk
    from affidavit.app.figures import FiguresDesk
    from affidavit.app.follow import FollowDesk
    from affidavit.app.history import HistoryDesk
    from affidavit.app.imports import ImportDesk
    from affidavit.app.incidentdesk import IncidentDesk
    from affidavit.app.incidents import FeedbackDesk
    from affidavit.app.keeping import KeepDesk
    from affidavit.app.levels import LevelDesk
    from affidavit.app.looking import LookDesk
    from affidavit.app.money import MoneyDesk
    from affidavit.app.outside import OutsideDesk
    from affidavit.app.policies import PolicyDesk
    from affidavit.app.proofs import ProofDesk
    from affidavit.app.proposals import ProposalDesk
    from affidavit.app.quality import QualityDesk
    from affidavit.app.replaydesk import ReplayDesk
    from affidavit.app.sourcebook import SourceBook
    from affidavit.app.tools import ToolDesk
    from affidavit.app.verified import VerifiedDesk
    from affidavit.app.why import WhyDesk

DEFAULT_TENANT = "main"
_COMMIT_EVERY = 100


def _later(module: str, name: str) -> Any:
    """A class of ours that few commands need: imported when one does, so that the others do not wait for it."""
    return getattr(import_module(f"affidavit.app.{module}"), name)


class Workspace:
    """An open workspace. Safe to share between threads; several processes may have it open."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.people = PeopleDesk(parts)
        self.sources = SourceDesk(parts)
        self.runs = RunDesk(parts)
        self._searcher = Searcher(
            parts.database, parts.log, parts.scopes, parts.retriever, parts.randomness, parts.caches
        )
        parts.models.meter = self._meter
        parts.charge_by(self._embedding)
        self._asker = Asker(
            parts.database,
            parts.log,
            parts.scopes,
            parts.retriever,
            parts.clock,
            parts.randomness,
            parts.models.caller,
            parts.models.writer,
            Conversations(parts.events, parts.catalog),
            parts.guards.of,
            caches=parts.caches,
        )

    def _meter(self, tenant: int, principal: str) -> CountingMeter:
        meter: CountingMeter = _later("metering", "QuestionMeter")(
            self.money.budgets, tenant, principal, self.parts.models.count
        )
        return meter

    def _embedding(self, provider: str, model: str, request: Request) -> Json:
        return self.money.embedding(provider, model, request)

    @cached_property
    def replays(self) -> ReplayDesk:
        """Runs once more: identical or not, and with something changed."""
        return _later("replaydesk", "ReplayDesk")(self.parts, self.runs, self.position)  # type: ignore[no-any-return]

    @cached_property
    def proofs(self) -> ProofDesk:
        """Proofs of positions and of growth."""
        return _later("proofs", "ProofDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def exports(self) -> ExportDesk:
        """Evidence for others, in files."""
        return _later("exports", "ExportDesk")(self.parts, self.proofs)  # type: ignore[no-any-return]

    @cached_property
    def verified(self) -> VerifiedDesk:
        """What was verified before, so that only the rest must be."""
        return _later("verified", "VerifiedDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def erasing(self) -> EraseDesk:
        """Taking contents away, on record."""
        return _later("erasure", "EraseDesk")(self.parts, self.sources)  # type: ignore[no-any-return]

    @cached_property
    def keeping(self) -> KeepDesk:
        """How long contents are kept, and what must be."""
        return _later("keeping", "KeepDesk")(self.parts, self.erasing)  # type: ignore[no-any-return]

    @cached_property
    def feedback(self) -> FeedbackDesk:
        """What people say about answers."""
        return _later("incidents", "FeedbackDesk")(self.parts, self.runs)  # type: ignore[no-any-return]

    @cached_property
    def incidents(self) -> IncidentDesk:
        """What went wrong, with the evidence packed."""
        desk: IncidentDesk = _later("incidentdesk", "IncidentDesk")(
            self.parts, self.feedback, self.replays, self.exports, self.keeping
        )
        return desk

    @cached_property
    def drills(self) -> DrillDesk:
        """What happens when something breaks, tried on a copy."""
        return _later("drills.desk", "DrillDesk")(self.parts.folder, open_with)  # type: ignore[no-any-return]

    @cached_property
    def drill_book(self) -> DrillBook:
        """Drills that run in the background, with their reports on record."""
        return _later("drillbook", "DrillBook")(self.parts, self.drills)  # type: ignore[no-any-return]

    @cached_property
    def evaluation(self) -> EvalDesk:
        """How good retrieval is, on judged questions."""
        return _later("evaluation", "EvalDesk")(self)  # type: ignore[no-any-return]

    @cached_property
    def outside(self) -> OutsideDesk:
        """Places outside this machine that checkpoints are sent to."""
        return _later("outside", "OutsideDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def followers(self) -> FollowDesk:
        """Whoever the log is handed over to."""
        return _later("follow", "FollowDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def money(self) -> MoneyDesk:
        """What models cost."""
        return _later("money", "MoneyDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def imports(self) -> ImportDesk:
        """Tools of others that were accepted."""
        return _later("imports", "ImportDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def tools(self) -> ToolDesk:
        """What the system can do, and what it did."""
        policy, controls = self.policy, self.controls
        desk: ToolDesk = _later("tools", "ToolDesk")(self.parts, policy, policy.standing, controls.values)
        policy.contracts = desk.contracts
        return desk

    @cached_property
    def acting(self) -> ActDesk:
        """Questions that may be acted upon."""
        return _later("acting", "ActDesk")(self.parts, self.tools)  # type: ignore[no-any-return]

    @cached_property
    def policy(self) -> PolicyDesk:
        """What may be done with tools."""
        return _later("policies", "PolicyDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def controls(self) -> ControlDesk:
        """Modes, kill switches and where secrets are."""
        return _later("controls", "ControlDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def quality(self) -> QualityDesk:
        """How good a source is, and whether it agrees with what is held of it."""
        return _later("quality", "QualityDesk")(self.parts, self.sources)  # type: ignore[no-any-return]

    @cached_property
    def levels(self) -> LevelDesk:
        """What is promised, and how it is kept."""
        return _later("levels", "LevelDesk")(self.parts, self.sources)  # type: ignore[no-any-return]

    @cached_property
    def bindings(self) -> BindingDesk:
        """Which account of the sign-in provider's somebody is."""
        return _later("binding", "BindingDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def credentials(self) -> CredentialDesk:
        """What proves who asks over the network."""
        return _later("credentials", "CredentialDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def documents(self) -> DocumentDesk:
        """Documents for whoever may read them."""
        return _later("documents", "DocumentDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def source_book(self) -> SourceBook:
        """Sources for whoever looks after them."""
        return _later("sourcebook", "SourceBook")(self.parts, self.sources)  # type: ignore[no-any-return]

    @cached_property
    def history(self) -> HistoryDesk:
        """What people decided and changed lately."""
        return _later("history", "HistoryDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def why(self) -> WhyDesk:
        """Why somebody may read a document, or may not."""
        return _later("why", "WhyDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def looking(self) -> LookDesk:
        """Seeing the workspace as another person sees it, on record."""
        return _later("looking", "LookDesk")(self.parts, self.credentials)  # type: ignore[no-any-return]

    @cached_property
    def figures(self) -> FiguresDesk:
        """How questions went, day by day."""
        return _later("figures", "FiguresDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def proposals(self) -> ProposalDesk:
        """What takes two people, and waits for the second."""
        return _later("proposals", "ProposalDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def budgets(self) -> BudgetDesk:
        """What may be spent."""
        return _later("budgets", "BudgetDesk")(self.parts, self.money)  # type: ignore[no-any-return]

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files and connections."""
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
        if when.isdecimal():
            return int(when)
        try:
            at = moment(when)
        except UsageError as error:
            raise UsageError(
                f"{when!r} is neither a position nor a time", "write 1234 or 2026-11-21T10:00"
            ) from error
        position = self.parts.log.position_at(at)
        if position < 0:
            raise UsageError(f"the workspace is younger than {when}", "`affidavit run list` shows times")
        return position

    # -- the embedder

    def use_embedder(
        self, spec: EmbedderSpec, progress: Callable[[int], None] | None = None, *, background: bool = False
    ) -> threading.Thread | None:
        """Change the embedder: everything is embedded anew while the old one serves, then the new one takes over.

        Interrupted, it goes on where it stopped when called again. With ``background`` the work goes on in the thread
        that is returned.
        """
        if background:
            thread = threading.Thread(target=self._migrate, args=(spec, progress), name="affidavit-embed")
            thread.start()
            return thread
        self._migrate(spec, progress)
        return None

    def _migrate(self, spec: EmbedderSpec, progress: Callable[[int], None] | None) -> None:
        self.parts.log.write(lambda tx: self.parts.catalog.set_setting(NEXT, json.dumps(spec.as_json())))
        embedder = metered(make_embedder(spec), spec, self.parts.tariff)
        if embedder is not None:
            spec = replace(spec, width=embedder.info.dimensions)
        vectors = self.parts.vectors(embedder)
        if vectors is not None:
            while vectors.fill(reindex=False, progress=progress):
                pass  # a sync may have brought more meanwhile
            vectors.settle()

        def switch(tx: Transaction) -> None:
            facts: dict[str, int | str] = {"subject": 0 if vectors is None else vectors.id}
            tx.append(Event(EventKind.EMBEDDER_CHANGED, facts=facts, body=spec.as_json()))
            self.parts.catalog.set_setting(SERVING, json.dumps(spec.as_json()))
            self.parts.catalog.set_setting(NEXT, "")

        owed = charges(embedder)
        if owed:
            self.parts.log.write(self._embedding_run(owed).flush)
        self.parts.log.write(switch)
        close_embedder(embedder)
        self.parts.serve(spec)
        with self.parts.database.read():
            self.parts.index.persist(self.parts.feed())

    def _embedding_run(self, owed: list[Json]) -> Run:
        """What it cost to embed everything anew, for nobody in particular."""
        run = Run(new_run_id(self.parts.randomness), 0, "embed", self.parts.release().digest)
        run.start({"software": VERSION})
        run.step(f"{CHARGED}{EMBED}", {}, {"charges": owed})
        run.finish("done", {})
        return run

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
        return _later("verify", "Verifier")(self.parts, progress).run()  # type: ignore[no-any-return]

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
    folder = Path(path)
    if (folder / DATABASE).is_file() and _finished(folder):
        raise UsageError(f"{folder} is a workspace already", f"look at it with: affidavit -w {folder} status")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # every text is in there
        foreign = {p.name for p in folder.iterdir()} - {
            DATABASE,
            f"{DATABASE}-wal",
            f"{DATABASE}-shm",
            INDEX,
            "keys",
            "locks",
            SETTINGS,
        }
        if foreign:
            raise WorkspaceError(
                f"{folder} is not empty: it holds {sorted(foreign)[0]!r}",
                "choose a new directory for the workspace",
            )
        _make_key(folder / KEY, randomness or SystemRandomness())
    except OSError as error:
        raise _unusable(folder, error) from error
    database = Database(folder / DATABASE)
    database.create(schema())
    _first_events(folder, database, embedder or default_embedder(), clock, randomness or SystemRandomness())
    database.close()
    return Workspace(assemble(folder, clock, randomness))


def _finished(folder: Path) -> bool:
    database = Database(folder / DATABASE)
    try:
        database.check()
        return Catalog(database).setting("origin") is not None
    except WorkspaceMissingError:
        return False
    finally:
        database.close()


def _unusable(folder: Path, error: OSError) -> WorkspaceError:
    if error.errno == 28:  # ENOSPC
        return DiskFullError(
            f"the disk that holds {folder} is full", "free some space and run the command again"
        )
    return WorkspaceError(f"{folder} cannot be made: {error.strerror}", "check the path and its permissions")


def _make_key(path: Path, randomness: Randomness) -> None:
    """The log's private key, readable by its owner alone; durable before anything is signed with it.

    Made anew even if a file is there: nothing was signed yet, and who knows who put it there.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(randomness.token(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _first_events(
    folder: Path, database: Database, spec: EmbedderSpec, clock: Clock | None, randomness: Randomness
) -> None:
    origin = f"affidavit/{randomness.token(8).hex()}"
    signer = Signer(folder / KEY, origin)
    catalog = Catalog(database)
    log = Log(database, Bodies(database, randomness), clock or SystemClock(), signer)
    release = load(DEFAULT)

    def write(tx: Transaction) -> None:
        if catalog.setting("origin") is not None:
            raise UsageError(f"{folder} was made a workspace by another process just now", "use it")
        catalog.set_setting("origin", origin)
        catalog.set_setting("verifier", signer.verifier())
        catalog.set_setting(SERVING, json.dumps(spec.as_json()))
        tx.append(
            Event(
                EventKind.WORKSPACE_CREATED,
                facts={"schema": SCHEMA_VERSION},
                body={"origin": origin, "verifier": signer.verifier(), "embedder": spec.as_json()},
            )
        )
        facts: dict[str, int | str] = {"release": release.digest, "channel": STABLE}
        position = tx.append(Event(EventKind.RELEASE_PUBLISHED, facts=facts, body=release.content))
        catalog.publish(release.digest, release.content, STABLE, position)

    log.write(write)
