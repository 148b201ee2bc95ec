"""One workspace's parts, put together."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from importlib import import_module, resources
from pathlib import Path

from affidavit.adapters.embedded import EmbeddedIndex
from affidavit.app.config import EmbedderSpec, close_embedder, make_embedder, metered
from affidavit.app.embedding_costs import Tariff
from affidavit.app.feed import CatalogFeed
from affidavit.app.guarding import GuardShop
from affidavit.app.models import ModelShop
from affidavit.app.redaction import Redactions
from affidavit.app.times import moment
from affidavit.ask.asker import Agents, Asker, nobody_acts
from affidavit.ask.caches import Caches
from affidavit.ask.conversation import Conversations
from affidavit.ask.retrieve import Retriever
from affidavit.ask.scopes import Scopes
from affidavit.domain.canonical import Json, canonical
from affidavit.domain.clock import Clock, Randomness, SystemClock, SystemRandomness
from affidavit.domain.errors import UnknownNameError, UsageError, WorkspaceDamagedError
from affidavit.domain.release import Release, load
from affidavit.domain.routes import Target
from affidavit.events.log import Log, Signer
from affidavit.events.read import Reader
from affidavit.ingest.vectors import Vectors
from affidavit.ports.embedder import Embedder
from affidavit.ports.index import Feed, Index
from affidavit.ports.model import ChatModel
from affidavit.store.bodies import Bodies
from affidavit.store.catalog import Catalog
from affidavit.store.controls import Controls
from affidavit.store.database import Database
from affidavit.store.people import People, Tenant

DATABASE, KEY, INDEX, LOCKS = "affidavit.db", Path("keys") / "log.key", "index", "locks"
SETTINGS = "server.toml"
"""How the server is set up; it may be there before the workspace is."""
STABLE = "stable"
SERVING = "embedder"
NEXT = "embedder_next"
RETENTION = "retention"
PRICES = "prices"
ERASED = "erased"
"""The setting that holds the position of the last erasure of a document: an index built before it is built anew."""


def schema() -> str:
    """The catalog's tables as SQL."""
    return resources.files("affidavit.store").joinpath("schema.sql").read_text(encoding="utf-8")


def _model_at(target: Target) -> ChatModel:
    """As ``modelspec.model_at``, whose adapters are imported when the first model is asked."""
    return import_module("affidavit.app.modelspec").model_at(target)  # type: ignore[no-any-return]


@dataclass
class Parts:
    """Everything an operation may need. Made by ``assemble``; safe to share between threads."""

    folder: Path
    database: Database
    bodies: Bodies
    people: People
    catalog: Catalog
    signer: Signer
    log: Log
    events: Reader
    scopes: Scopes
    index: Index
    clock: Clock
    randomness: Randomness
    serving: EmbedderSpec
    embedder: Embedder | None
    models: ModelShop = field(default_factory=lambda: ModelShop(_model_at))
    tariff: Tariff | None = None
    caches: Caches = field(default_factory=Caches)
    guards: GuardShop = field(init=False)
    retriever: Retriever = field(init=False)
    controls: Controls = field(init=False)

    def __post_init__(self) -> None:
        self.guards = GuardShop(self.models.at)
        self.controls = Controls(self.database)
        self.models.stopped = lambda target: self.controls.model((target.name, target.model))
        self.retriever = Retriever(
            self.database,
            self.catalog,
            self.bodies,
            self.scopes,
            self.index,
            self.embedder,
            self.feed_of,
            self.refresh,
        )

    def feed(self) -> Feed:
        """The catalog as the index sees it, with the serving embedder's vectors. Use inside a snapshot."""
        return self.feed_of("" if self.embedder is None else self.embedder.info.fingerprint)

    def feed_of(self, fingerprint: str) -> Feed:
        """``feed`` with the vectors of the embedder ``fingerprint``; "" for none."""
        erased = self.catalog.setting(ERASED)
        after = f" after erasure {erased}" if erased else ""
        embedder = self.catalog.embedder(fingerprint) if fingerprint else None
        return CatalogFeed(self.catalog, self.bodies, fingerprint + after, embedder)

    def refresh(self) -> None:
        """Follow a change of the embedder that another process made."""
        spec = serving(self.catalog)
        if spec != self.serving:
            self.serve(spec)

    def vectors(self, embedder: Embedder | None) -> Vectors | None:
        """What makes and keeps ``embedder``'s vectors, and its token vectors if the release ranks by them."""
        if embedder is None:
            return None
        late = self.release().retrieval.late > 0
        return Vectors(self.database, self.log, self.catalog, self.bodies, embedder, late=late)

    def asker(
        self, retriever: Retriever | None = None, agents: Agents = nobody_acts, caches: Caches | None = None
    ) -> Asker:
        """Who answers questions, through ``retriever`` where it is not the serving one, acting by ``agents``."""
        return Asker(
            self.database,
            self.log,
            self.scopes,
            retriever or self.retriever,
            self.clock,
            self.randomness,
            self.models.caller,
            self.models.writer,
            Conversations(self.events, self.catalog),
            self.guards.of,
            agents,
            caches,
        )

    def serve(self, spec: EmbedderSpec) -> None:
        """From now on questions are embedded by ``spec``."""
        before = self.embedder
        self.serving = spec
        self.embedder = metered(make_embedder(spec), spec, self.tariff)
        self.retriever.embedder = self.embedder
        close_embedder(before)

    def charge_by(self, tariff: Tariff) -> None:
        """From now on what an embedding endpoint's answers cost is worked out by ``tariff``."""
        self.tariff = tariff
        self.embedder = self.retriever.embedder = metered(self.embedder, self.serving, tariff)

    def mark(self, kind: str, *of: Json) -> str:
        """A pseudonym of something erased, which only the holder of the log's key can make or compare."""
        return hmac.digest(self.signer.derived("erased"), canonical([kind, *of]), "sha256").hex()

    def tenant(self, name: str) -> Tenant:
        """The tenant called ``name``, or the only one if ``name`` is empty. Raises UnknownNameError."""
        with self.database.read():
            if name:
                found = self.people.tenant(name)
                if found is not None:
                    return found
            tenants = self.people.tenants()
        names = ", ".join(t.name for t in tenants) or "none yet"
        if name:
            raise UnknownNameError(f"there is no tenant {name!r}", f"known tenants: {names}")
        if len(tenants) == 1:
            return tenants[0]
        raise UnknownNameError("which tenant?", f"add --tenant NAME; known tenants: {names}")

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
        position = self.log.position_at(at)
        if position < 0:
            raise UsageError(f"the workspace is younger than {when}", "`affidavit run list` shows times")
        return position

    def release(self) -> Release:
        """The release that answers."""
        with self.database.read():
            found = self.catalog.channel(STABLE)
        if found is None:
            raise WorkspaceDamagedError("no release is published", "restore the workspace from a backup")
        return _checked(*found)

    def release_named(self, digest: str) -> Release:
        """A release by its digest: the one an old run cites. Raises WorkspaceDamagedError."""
        with self.database.read():
            content = self.catalog.release(digest)
        if content is None:
            raise WorkspaceDamagedError(
                f"release {digest[:12]} is gone", "restore the workspace from a backup"
            )
        return _checked(digest, content)

    def release_like(self, beginning: str) -> str:
        """The one digest of a published release that begins so. Raises UnknownNameError."""
        with self.database.read():
            found = [digest for digest in self.catalog.releases() if digest.startswith(beginning)]
        if len(found) != 1:
            raise UnknownNameError(
                f"{len(found)} releases begin with {beginning!r}", "`affidavit release list` shows them"
            )
        return found[0]


def _checked(digest: str, content: str) -> Release:
    release = load(json.loads(content))
    if release.digest != digest:
        raise WorkspaceDamagedError(
            "the release was changed: its content does not have the digest it is filed under",
            "run `affidavit audit verify`; restore the workspace from a backup",
        )
    return release


def serving(catalog: Catalog) -> EmbedderSpec:
    """The embedder that serves, as the workspace says."""
    return EmbedderSpec.from_json(json.loads(catalog.setting(SERVING) or '{"kind": "none"}'))


def assemble(folder: Path, clock: Clock | None = None, randomness: Randomness | None = None) -> Parts:
    """The parts of the workspace in ``folder``. Raises WorkspaceError and its kin when it cannot be used."""
    clock, randomness = clock or SystemClock(), randomness or SystemRandomness()
    database = Database(folder / DATABASE)
    database.check()
    bodies = Bodies(database, randomness)
    people, catalog = People(database), Catalog(database)
    origin = catalog.setting("origin") or ""
    signer = Signer(folder / KEY, origin)
    spec = serving(catalog)
    return Parts(
        folder=folder,
        database=database,
        bodies=bodies,
        people=people,
        catalog=catalog,
        signer=signer,
        log=Log(database, bodies, clock, signer, Redactions(catalog).current),
        events=Reader(database, bodies),
        scopes=Scopes(database, people, catalog),
        index=EmbeddedIndex(folder / INDEX),
        clock=clock,
        randomness=randomness,
        serving=spec,
        embedder=make_embedder(spec),
    )
