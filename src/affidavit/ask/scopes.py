"""From a person to a scope: who they are, and which access rules let them in, at one position or at two."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from affidavit.ask.caches import Memory
from affidavit.domain.canonical import Json
from affidavit.domain.errors import UnknownNameError, UsageError
from affidavit.domain.filter import And, AnyOf, Filter, Not
from affidavit.domain.records import Scope
from affidavit.policy.scope import Identity, VisibleRules, identity
from affidavit.store.catalog import Catalog
from affidavit.store.controls import Controls
from affidavit.store.database import Database
from affidavit.store.people import People


@dataclass(frozen=True)
class Reader:
    """A person about to read: who they are now, who they were at the position asked about, and their scope.

    ``rules``: the last access rule there was; later ones could not be in the scope. ``stopped``: the sources left out of it.
    """

    tenant: int
    now: Identity
    then: Identity
    scope: Scope
    rules: int
    stopped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Past:
    """An earlier moment at which a question is asked again: the log's ``head``, the last access rule there was, the time
    on the clock, the embedder that served, and the heads at which hits were checked again, in order."""

    head: int
    rules: int
    clock: int
    embedder: str
    checks: tuple[int, ...]
    instead: tuple[tuple[int, bool], ...] = ()


class Scopes:
    """Resolves scopes. Safe to share between threads; call inside a snapshot."""

    def __init__(self, database: Database, people: People, catalog: Catalog) -> None:
        self._db = database
        self._people = people
        self._catalog = catalog
        self._controls = Controls(database)
        self._tenants: dict[int, VisibleRules] = {}
        self._lock = threading.Lock()

    def head(self) -> int:
        """The log's last position in this snapshot."""
        return int(self._db.value("SELECT coalesce(max(position), -1) FROM events"))

    def identify(self, tenant: int, principal: str, position: int) -> Identity:
        """``principal`` at ``position``; a stranger has no principals at all."""
        known = self._people.facts(tenant, principal, position) is not None
        return identity(
            principal, self._people.closure(tenant, principal, position) if known else frozenset(), known
        )

    def resolve(
        self,
        tenant: int,
        principal: str,
        as_of: int | None = None,
        filter: Filter | None = None,
        past: Past | None = None,
        memory: Memory | None = None,
    ) -> Reader:
        """The reader's scope now, or as of an earlier position: what was visible then *and* is visible now.

        ``past`` moves what "now" means. ``memory`` may know who the person is.

        Raises UnknownNameError for a stranger, UsageError for a position that has not been reached, StoppedError if the
        tenant is stopped. A source that is stopped is left out inside the index, as if it were not there.
        """
        head = self.head() if past is None else past.head
        if as_of is not None and not 0 <= as_of <= head:
            raise UsageError(
                f"position {as_of} is not between 0 and {head}", "`affidavit status` shows the position"
            )
        now = self._known(tenant, principal, head, memory)
        if not now.principals:
            raise UnknownNameError(
                f"there is no {principal} in this tenant", "`affidavit people list` shows who is known"
            )
        position = head if as_of is None else as_of
        then = now if position == head else self._known(tenant, principal, position, memory)
        with self._lock:
            rules = self._rules(tenant)
            visible_now, visible_then = rules.of(now), rules.of(then)
            last = rules.last
        if past is not None:
            last = past.rules
            visible_now, visible_then = _until(visible_now, last), _until(visible_then, last)
        stopped = self.stopped(tenant, head)
        instead = () if past is None else past.instead
        scope = Scope(tenant, visible_now, visible_then, head, position, _without(filter, stopped), instead)
        return Reader(tenant, now, then, scope, last, stopped)

    def _known(self, tenant: int, principal: str, position: int, memory: Memory | None) -> Identity:
        if memory is None:
            return self.identify(tenant, principal, position)
        version = self._people.version(position)
        return memory.identity(version, lambda: self.identify(tenant, principal, position))

    def stopped(self, tenant: int, position: int) -> tuple[str, ...]:
        """The sources of ``tenant`` that are stopped at ``position``. Raises StoppedError if all of it is."""
        kills = self._controls.kills(tenant, position)
        for kill in kills:
            if kill.whole:
                raise kill.error()
        return tuple(sorted(kill.name for kill in kills if kill.kind == "source"))

    def _rules(self, tenant: int) -> VisibleRules:
        rules = self._tenants.setdefault(tenant, VisibleRules())
        if self._catalog.last_rule(tenant) > rules.last:
            rules.extend(self._catalog.rules(tenant, rules.last))
        return rules


def _without(filter: Filter | None, sources: tuple[str, ...]) -> Filter | None:
    if not sources:
        return filter
    others = Not(AnyOf("source", sources))
    return others if filter is None else And((filter, others))


def _until(rules: frozenset[int], last: int) -> frozenset[int]:
    return frozenset(id for id in rules if id <= last)


def scope_record(reader: Reader) -> tuple[Json, Json]:
    """(input, output) of the step ``scope``. For auditors only: the numbers tell how many rules there are."""
    scope = reader.scope
    return {"rules": reader.rules}, {"now": sorted(scope.now), "then": sorted(scope.then)}
