"""What may be done at all: the mode, the kill switch, and where secrets are. Each change is an event.

All of it is read from the database at each step, so that a change holds for the very next one in every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from affidavit.app.authority import authorise, is_operator
from affidavit.app.config import check_variable, environment
from affidavit.app.incidents import text_of
from affidavit.app.plainfile import open_plain
from affidavit.app.wiring import Parts
from affidavit.domain.access import check_name
from affidavit.domain.conceal import SHORTEST, Concealer, Secret
from affidavit.domain.errors import AccessDeniedError, UnknownNameError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.tools import is_tool_name
from affidavit.events.log import Transaction
from affidavit.store.controls import EVERYWHERE, KINDS, MODES, Kill, SecretPlace
from affidavit.store.people import Tenant

CHANGE_MODE, CHANGE_KILL, CHANGE_SECRET = "mode:change", "kill:change", "secret:change"
_LARGEST = 16_384
_SHOWN = "all, tenant, tool:NAME, tool:NAME@VERSION, source:NAME, model:NAME"


class ControlDesk:
    """``by`` is ``operator:NAME``, or a principal whose role includes the change."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._controls = parts.controls

    # -- modes

    def mode(self, tenant: Tenant, position: int | None = None) -> str:
        """The tenant's mode, now or as it was at ``position``."""
        return self._controls.mode(tenant.id, position)

    def set_mode(self, tenant: Tenant, mode: str, by: str, reason: str) -> str:
        """From the next step on. A mode that it has already is no event. Raises AccessDeniedError."""
        if mode not in MODES:
            raise UsageError(f"there is no mode {mode!r}", f"one of: {', '.join(MODES)}")
        by, reason = authorise(self._parts, tenant, by, CHANGE_MODE), text_of(reason)

        def write(tx: Transaction) -> None:
            if self._controls.mode(tenant.id) == mode:
                return
            body = {"by": by, "reason": reason}
            event = Event(EventKind.MODE_CHANGED, tenant.id, facts={"mode": mode}, body=body)
            self._controls.set_mode(tenant.id, mode, tx.append(event))

        self._parts.log.write(write)
        return mode

    # -- kill switches

    def kills(self, tenant: Tenant, position: int | None = None) -> list[Kill]:
        """What is stopped for the tenant, now or as it was at ``position``."""
        return self._controls.kills(tenant.id, position)

    def status(self) -> list[str]:
        """What is stopped anywhere, in words."""
        tenants = self._parts.people.tenants()
        found = dict.fromkeys(self._controls.kills(EVERYWHERE), "")
        for tenant in tenants:
            found.update({k: f"{tenant.name}: " for k in self._controls.kills(tenant.id) if k.tenant})
        return [where + kill.why() for kill, where in found.items()]

    def kill(self, tenant: Tenant, what: str, by: str, reason: str) -> Kill:
        """Stop ``what`` (``all``, ``tenant``, ``tool:NAME``, ``source:NAME``, ``model:NAME``) from the next step on.

        ``all`` and models are every tenant's, so only ``operator:NAME`` stops them. What is stopped already stays so, with
        the first reason. Raises UsageError, AccessDeniedError.
        """
        scope, kind, name = self._named(tenant, what)
        by, reason = self._authorised(tenant, scope, by), text_of(reason)

        def write(tx: Transaction) -> Kill:
            there = self._there(scope, kind, name)
            if there is not None:
                return there
            body = {"name": name, "reason": reason, "by": by}
            facts: dict[str, int | str] = {"subject": kind, "change": "killed"}
            position = tx.append(Event(EventKind.KILL_CHANGED, scope, facts=facts, body=body))
            kill = Kill(scope, kind, name, reason, by, position)
            self._controls.kill(kill)
            return kill

        return self._parts.log.write(write)

    def revive(self, tenant: Tenant, what: str, by: str, reason: str) -> None:
        """Let ``what`` go on. Raises UnknownNameError if it is not stopped."""
        scope, kind, name = self._named(tenant, what)
        by, reason = self._authorised(tenant, scope, by), text_of(reason)

        def write(tx: Transaction) -> None:
            if self._there(scope, kind, name) is None:
                raise UnknownNameError(f"{what} is not stopped", "`affidavit kill` lists what is")
            body = {"name": name, "reason": reason, "by": by}
            facts: dict[str, int | str] = {"subject": kind, "change": "revived"}
            position = tx.append(Event(EventKind.KILL_CHANGED, scope, facts=facts, body=body))
            self._controls.revive(scope, kind, name, position)

        self._parts.log.write(write)

    def _named(self, tenant: Tenant, what: str) -> tuple[int, str, str]:
        kind, colon, name = what.partition(":")
        whole = kind in ("all", "tenant")
        if kind not in KINDS or bool(colon) == whole or bool(name) == whole:
            raise UsageError(f"{what!r} cannot be stopped", f"one of: {_SHOWN}")
        if kind == "tool" and not is_tool_name(name):
            raise UsageError(
                f"{name!r} is no name of a tool", "NAME or NAME@VERSION, as `tool list` shows it"
            )
        if not whole:
            check_name(name, f"{kind} name")
        return (EVERYWHERE if kind in ("all", "model") else tenant.id), kind, name

    def _authorised(self, tenant: Tenant, scope: int, by: str) -> str:
        if scope == EVERYWHERE and not is_operator(by):
            raise AccessDeniedError(
                f"{by} may not stop or revive what every tenant uses", "at the machine: --by operator:NAME"
            )
        return authorise(self._parts, tenant, by, CHANGE_KILL)

    def _there(self, scope: int, kind: str, name: str) -> Kill | None:
        same = (k for k in self._controls.kills(scope) if (k.tenant, k.kind, k.name) == (scope, kind, name))
        return next(same, None)

    # -- secrets: only ever named by where they are

    def set_secret(self, tenant: Tenant, name: str, kind: str, place: str, by: str) -> SecretPlace:
        """Remember that the secret ``name`` is in the variable (``env``) or file (``file``) ``place``. It is not read now."""
        check_name(name, "secret name")
        if kind == "env":
            check_variable(place, "--from-env")
        elif kind == "file":
            place = str(Path(place).resolve())
        else:
            raise UsageError("a secret is in a variable or in a file", "--from-env VAR or --from-file FILE")
        by = authorise(self._parts, tenant, by, CHANGE_SECRET)
        secret = SecretPlace(name, kind, place)

        def write(tx: Transaction) -> None:
            body = {"name": name, "kind": kind, "place": place, "by": by}
            event = Event(EventKind.SECRET_CHANGED, tenant.id, facts={"change": "set"}, body=body)
            self._controls.set_secret(tenant.id, secret, tx.append(event))

        self._parts.log.write(write)
        return secret

    def remove_secret(self, tenant: Tenant, name: str, by: str) -> None:
        """Forget where it is. Raises UnknownNameError."""
        by = authorise(self._parts, tenant, by, CHANGE_SECRET)

        def write(tx: Transaction) -> None:
            if all(secret.name != name for secret in self._controls.secrets(tenant.id)):
                raise UnknownNameError(f"there is no secret {name!r}", "`affidavit secret list` shows them")
            event = Event(
                EventKind.SECRET_CHANGED,
                tenant.id,
                facts={"change": "removed"},
                body={"name": name, "by": by},
            )
            self._controls.remove_secret(tenant.id, name, tx.append(event))

        self._parts.log.write(write)

    def secrets(self, tenant: Tenant) -> list[dict[str, Any]]:
        """Where the tenant's secrets are, and whether they can be read here and now."""
        return [
            {**vars(secret), "readable": not self._fault(secret)}
            for secret in self._controls.secrets(tenant.id)
        ]

    def values(self, tenant: int, names: Iterable[str]) -> Mapping[str, str]:
        """The secrets ``names`` of ``tenant``, for the tool that is about to run and for nobody else. Raises UsageError."""
        known = {secret.name: secret for secret in self._controls.secrets(tenant)}
        found = {}
        for name in names:
            if name not in known:
                raise UsageError(
                    f"the secret {name!r} is not known", f"affidavit secret set {name} --from-env VARIABLE"
                )
            found[name] = _read(known[name])
        return found

    def concealer(self, values: Mapping[str, str]) -> Concealer:
        """What takes ``values`` out of a tool's results and errors before anything else sees them."""
        return Concealer(values)

    def _fault(self, secret: SecretPlace) -> str:
        try:
            _read(secret)
        except UsageError as error:
            return error.message
        return ""


def _read(secret: SecretPlace) -> Secret:
    """The text itself. Raises UsageError, which says where it should be and nothing of what is there."""
    hint = f"put it there, alone and with at least {SHORTEST} characters"
    if secret.kind == "env":
        text, where = environment(secret.place).strip(), f"the variable {secret.place}"
    else:
        where = f"the file {secret.place}"
        try:
            with open_plain(Path(secret.place)) as file:
                text = file.read(_LARGEST).decode("utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"the secret {secret.name!r}: {where} cannot be read", hint) from error
    if len(text) < SHORTEST:
        raise UsageError(f"the secret {secret.name!r}: {where} holds none", hint)
    return Secret(text)
