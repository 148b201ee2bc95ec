"""Tools for people: which there are, calling them, approving calls, and the story of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from affidavit.app.approvalview import view
from affidavit.app.authority import OPERATOR, is_operator
from affidavit.app.callstory import story, summary
from affidavit.app.imports import imported
from affidavit.app.toolfile import read_tools
from affidavit.app.wiring import STABLE, Parts
from affidavit.ask.asker import instant
from affidavit.domain.access import named, principal
from affidavit.domain.canonical import Json
from affidavit.domain.errors import AccessDeniedError, UnknownNameError, UsageError
from affidavit.domain.labels import ASKER
from affidavit.domain.tools import CallState, Contract
from affidavit.events.log import Transaction
from affidavit.gateway.callbook import day
from affidavit.gateway.contracts import Callee, Entry, Registry, deprecated, retired
from affidavit.gateway.gateway import PATIENCE, Done, Gateway
from affidavit.gateway.ledger import Ledger
from affidavit.gateway.rules import People, Proposal, Rules, Secrets, Standing, no_secrets
from affidavit.runs.recorder import Run, new_run_id
from affidavit.store.calls import OPEN, CallRow, Calls
from affidavit.store.people import Tenant

JOURNEY = "call"
_LISTED = 100


class ToolDesk:
    """The tools of a workspace and the calls that were made."""

    def __init__(
        self,
        parts: Parts,
        rules: Rules,
        people: People,
        secrets: Secrets = no_secrets,
    ) -> None:
        """``rules`` decide, ``people`` says who somebody is, ``secrets`` has the credentials."""
        self._parts = parts
        self._rules = rules
        self._secrets = secrets
        self._people = people
        self._more: list[Callee] = []
        self.calls = Calls(parts.database)

    def add(self, *tools: Callee) -> None:
        """Use ``tools`` besides those of tools.toml, in this process, from now on."""
        self._more += tools
        for one in tools:
            if "gateway" in self.__dict__:
                self.gateway.registry.add(one)

    @cached_property
    def gateway(self) -> Gateway:
        """The one door. Loads the code that tools.toml names."""
        parts = self._parts
        ledger = Ledger(self.calls, parts.events, self._rules, self.person, parts.randomness)
        registry = Registry([*read_tools(parts.folder), *imported(parts), *self._more])
        return Gateway(
            parts.database,
            parts.log,
            parts.events,
            ledger,
            registry,
            parts.clock,
            self._secrets,
            self._tenant_name,
        )

    def _tenant_name(self, id: int) -> str:
        return next((t.name for t in self._parts.people.tenants() if t.id == id), "")

    def person(self, tenant: int, principal: str) -> Standing:
        """Who somebody is now, with the roles that they or their groups were granted."""
        return self._people(tenant, principal)

    def contracts(self, tenant: int) -> tuple[Contract, ...]:
        """What a policy must know: every tool's contract, the same objects each time. Loads the tools."""
        return tuple(entry.contract for entry in self.gateway.registry)

    # -- what there is

    def all(self) -> list[dict[str, Any]]:
        """Every tool and version."""
        return [self._described(entry) for entry in self.gateway.registry]

    def show(self, name: str) -> dict[str, Any]:
        """One tool's contract, and its digest. Raises UnknownNameError."""
        found = [e for e in self.gateway.registry if name in (e.contract.key, e.contract.name)]
        if not found:
            self.gateway.registry.named(name, self._today())
        return {**self._described(found[-1]), **found[-1].contract.as_json()}

    def _described(self, entry: Entry) -> dict[str, Any]:
        made, today = entry.contract, self._today()
        state = "retired" if retired(made, today) else "deprecated" if deprecated(made, today) else "in use"
        return {
            "tool": made.key,
            "effect": made.effect.value,
            "idempotency": made.idempotency.value,
            "state": state,
            "owner": made.owner,
            "says": made.description.partition("\n")[0],
            "digest": made.digest,
        }

    def _today(self) -> Any:
        return day(self._parts.clock.now())

    # -- calling

    def call(
        self,
        tenant: Tenant,
        user: str,
        tool: str,
        arguments: Mapping[str, Json],
        context: Mapping[str, Json] | None = None,
        patience: float = PATIENCE,
        run: str = "",
        by: str = "",
    ) -> Done:
        """Call a tool as ``user``: a run of its own. Raises UnknownNameError, ArgumentsError, RefusedError.

        What ``user`` says is theirs: each argument is labelled so, unless ``context`` holds other ``labels``. ``run``: the id
        that the run will have, "" for a new one; ``by`` the service that asks for them, "" if they do themselves.
        """
        wanted, first = self._own_run(tenant, user, tool, arguments, context or {}, run, by)
        return self.gateway.call(wanted, first, patience)

    def propose(
        self,
        tenant: Tenant,
        user: str,
        tool: str,
        arguments: Mapping[str, Json],
        context: Mapping[str, Json] | None = None,
        run: str = "",
        by: str = "",
    ) -> CallRow:
        """As ``call``, but leave it to whoever calls ``work``."""
        wanted, first = self._own_run(tenant, user, tool, arguments, context or {}, run, by)
        return self.gateway.propose(wanted, first)

    def undo(self, tenant: Tenant, user: str, call: str, by: str = "") -> Done:
        """Put a call right with the tool its contract names; decided and recorded like any call."""
        wanted, first = self._own_run(tenant, user, "", {}, {}, by=by)
        return self.gateway.undo(tenant.id, call, wanted, first)

    def _own_run(
        self,
        tenant: Tenant,
        user: str,
        tool: str,
        arguments: Mapping[str, Json],
        context: Mapping[str, Json],
        id: str = "",
        by: str = "",
    ) -> tuple[Proposal, Callable[[Transaction], object]]:
        """A proposal with a run of its own, and what begins that run."""
        who = self.known(tenant, user)
        run = Run(id or new_run_id(self._parts.randomness), tenant.id, JOURNEY, self._release())
        run.start({"principal": who, **({"by": by} if by else {})})
        labels: dict[str, Json] = {name: [ASKER.as_json()] for name in arguments}
        given: dict[str, Json] = {"labels": labels, **context}
        wanted = Proposal(tenant.id, who, tool, arguments, run.id, own=True, context=given)
        return wanted, run.flush

    def _release(self) -> str:
        """The digest of the release in force; what is in it decides nothing here."""
        found = self._parts.catalog.channel(STABLE)
        return self._parts.release().digest if found is None else found[0]

    def known(self, tenant: Tenant, user: str) -> str:
        """The principal called ``user``. Raises UsageError, UnknownNameError for a stranger."""
        who = named(user)
        if not who.startswith(("user:", "service:")):
            raise UsageError(f"{who} cannot act", "a user or a service acts; groups are what they belong to")
        who = principal(who)
        with self._parts.database.read():
            if not self.person(tenant.id, who).principals:
                raise UnknownNameError(
                    f"there is no {who} in {tenant.name}", "`affidavit people list` shows who is known"
                )
        return who

    def _allowed(self, tenant: Tenant, by: str, also: str = "") -> str:
        """``by`` as it goes on record. Raises AccessDeniedError, and as ``known`` does."""
        if is_operator(by):
            return by
        who = self.known(tenant, by)
        if who != also and not self.person(tenant.id, who).roles & {"operator", "admin"}:
            raise AccessDeniedError(
                f"{who} may not do this in {tenant.name}",
                f"grant it: affidavit people grant {who} role:operator; or state who you are: --by {OPERATOR}NAME",
            )
        return who

    # -- looking

    def newest(
        self, tenant: Tenant, states: Iterable[CallState] = CallState, limit: int = _LISTED
    ) -> list[dict[str, Any]]:
        """The newest calls first."""
        with self._parts.database.read():
            rows = self.calls.newest(tenant.id, states, limit)
            return [summary(self._parts, row) for row in rows]

    def story(self, tenant: Tenant, call: str) -> dict[str, Any]:
        """Everything about a call, for the operator and auditors. Raises UnknownNameError."""
        row = self._find(tenant, call)
        with self._parts.database.read():
            return story(self._parts, self.calls, row)

    def _find(self, tenant: Tenant, call: str) -> CallRow:
        """The call of this name, without loading any tool. Raises UnknownNameError."""
        with self._parts.database.read():
            row = self.calls.named(call)
        if row is None or row.tenant != tenant.id:
            raise self._no_call(call)
        return row

    def _no_call(self, call: str) -> UnknownNameError:
        return UnknownNameError(f"there is no call {call[:40]!r}", "`affidavit tool calls` lists them")

    def waiting(self, tenant: Tenant, limit: int = _LISTED) -> list[dict[str, Any]]:
        """What waits for a person's yes, the newest first."""
        out = []
        for one in self.newest(tenant, (CallState.WAITING,), limit):
            with self._parts.database.read():
                row = self.calls.named(one["call"])
                asked = [a for a in self.calls.approvals(row.id) if a.state == OPEN] if row else []
            if asked:
                out.append({**one, "roles": list(asked[-1].roles), "until": instant(asked[-1].expires)})
        return out

    def asked(self, tenant: Tenant, call: str, user: str = "") -> dict[str, Any]:
        """The story of a call, and what ``user`` must know before they say yes or no: what it does, on what evidence that they
        may read, what is unusual. Without ``user``: the operator at the machine.

        Raises UnknownNameError, also if ``user`` neither asked for the call nor was ever asked about it.
        """
        row = self._find(tenant, call)
        parts = self._parts
        if not user:
            with parts.database.read():
                return {**story(parts, self.calls, row), **view(parts, self.calls, row, None)}
        who = self.known(tenant, user)
        roles = self.person(tenant.id, who).roles
        with parts.database.read():
            found = story(parts, self.calls, row)
            concerned = {role for one in self.calls.approvals(row.id) for role in one.roles}
            if who != found["principal"] and not roles & concerned:
                raise self._no_call(call)
            approver = parts.scopes.identify(tenant.id, who, parts.log.head())
            return {**found, **view(parts, self.calls, row, approver)}

    # -- people decide

    def approve(self, tenant: Tenant, user: str, call: str, why: str = "", *, go_on: bool = True) -> Done:
        """A yes; with ``go_on`` the call is carried out, if nothing else is missing. Raises RefusedError."""
        row = self.gateway.approve(tenant.id, call, self.known(tenant, user), why)
        return self.gateway.follow(row.id) if go_on else self.gateway.stands(row.id)

    def deny(self, tenant: Tenant, user: str, call: str, why: str = "") -> Done:
        """A no. Raises RefusedError."""
        return self.gateway.stands(self.gateway.deny(tenant.id, call, self.known(tenant, user), why).id)

    def cancel(self, tenant: Tenant, by: str, call: str, why: str = "") -> Done:
        """Take back what has not begun: whoever asked for it may, and whoever ``clear_up`` hears. Raises AccessDeniedError."""
        row = self._find(tenant, call)
        with self._parts.database.read():
            asked = self._parts.events.body(self._parts.events.event(row.proposed))["principal"]
        by = self._allowed(tenant, by, asked)
        return self.gateway.stands(self.gateway.cancel(tenant.id, call, by, why).id)

    def clear_up(self, tenant: Tenant, by: str, call: str, why: str, *, happened: bool) -> Done:
        """Say what became of an ``unknown`` call, after looking. ``by`` is ``operator:NAME``, or a person with the role operator
        or admin. Raises AccessDeniedError."""
        by = self._allowed(tenant, by)
        row = self.gateway.clear_up(tenant.id, call, by, why, happened=happened)
        return self.gateway.stands(row.id)
