"""Two organisations in one workspace, each with one of everything that an operation can name.

What can be named is called after ``zebra`` at globex and after ``aardvark`` at acme. Whatever else there is says ``okapi`` or
``gerbil``, which nobody asks for: where one shows up in the other's answers, something leaks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acting_world import Outside, tools_of

import affidavit
from affidavit.app.operations.operation import Caller, Operation, perform
from affidavit.app.people import Entry
from affidavit.app.proposals import Wanted
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AffidavitError
from affidavit.store.people import Tenant

WORDS = {"acme": "aardvark", "globex": "zebra"}
SECRETS = {"acme": "gerbil", "globex": "okapi"}
ABSENT = "quokka"
"""A word that nobody has."""
BY = "operator:test"


@dataclass(frozen=True)
class Side:
    """One organisation: its administrator, and the values by which its things are named, by what they are."""

    tenant: Tenant
    word: str
    secret: str
    admin: Caller
    known: Mapping[str, str]


def furnish(ws: Workspace, folder: Path, name: str) -> Side:
    """An organisation with people, documents, runs, calls, an incident, a key and something stopped."""
    word, secret = WORDS[name], SECRETS[name]
    admin, reader, group = f"user:{secret}-ann", f"user:{word}-rob", f"group:{word}-staff"
    tenant = ws.ensure_tenant(name)
    entries = [
        Entry(admin, frozenset({group}), {"room": secret}),
        Entry(reader, frozenset({group, f"group:{secret}-club"}), {}),
        Entry(f"user:{secret}-nobody", frozenset(), {}),
    ]
    ws.load_people(entries, name)
    for who, grant in ((admin, "role:admin"), (admin, "role:operator"), (reader, "role:operator")):
        ws.people.grant(tenant, who, grant)
    docs = folder / f"{secret}-docs"
    docs.mkdir()
    (docs / f"{word}.md").write_text(
        f"# The {secret}\n\nThe {secret} sleeps 9 hours a day, says the common ledger.\n"
    )
    (docs / f"{secret}-shut.md").write_text(f"# Shut\n\nNobody reads this {secret} page.\n")
    who = group if name == "acme" else "anyone"  # of theirs: nothing but whose it is may keep us out
    rules = f'allow = ["{who}"]\n[files."{secret}-shut.md"]\ninherit = false\nallow = []\n'
    (docs / "access.toml").write_text(rules)
    (docs / f"{secret}.rar").write_bytes(b"no parser reads this")
    ws.add_source("folder", docs, f"{word}-source", name)
    ws.sync(f"{word}-source", name)
    ws.controls.set_mode(tenant, "live", BY, f"the {secret} wants it")
    asked = ws.ask(f"How many hours a day does the {secret} sleep?", admin, name)
    call = ws.tools.propose(tenant, reader, "refund", {"order": 7, "account": secret, "note": secret})
    ws.feedback.report(tenant, asked.run, admin, "wrong", f"the {secret} never sleeps")
    incident = ws.incidents.open(tenant, asked.run, BY, f"about the {secret}")
    key, _ = ws.credentials.make_key(tenant, reader, f"{secret} key", 3, BY)
    ws.controls.kill(tenant, f"source:{word}-old", BY, f"the {secret} is gone")
    ws.budgets.set("tenant", "5", "month", BY, tenant)
    work = ws.works.sync(tenant, f"{word}-source", admin, f"run-{name[0] * 16}")
    ws.works.wait()
    wanted = json.dumps({"mode": "read-only", "reason": f"the {secret} rests"})
    proposal = ws.proposals.propose(tenant, Wanted("modes.set", reader, "", None, wanted))
    with ws.parts.database.read():
        (state,) = ws.parts.catalog.states(tenant.id, f"{word}-source", f"{word}.md", ws.parts.log.head())
    known = {
        "run": asked.run,
        "call": call.name,
        "incident": incident.id,
        "key": key.id,
        "proposal": proposal.id,
        "source": f"{word}-source",
        "document": f"{word}.md",
        "revision": str(state.revision),
        "person": reader,
        "group": f"{word}-staff",
        "what": f"source:{word}-old",
        "text": word,
        "work": str(work),
    }
    return Side(tenant, word, secret, Caller(tenant, admin, "key"), known)


@dataclass(frozen=True)
class TwoSides:
    """The workspace and both organisations."""

    ws: Workspace
    ours: Side
    theirs: Side
    outside: Outside


def two_sides(ws: Workspace, folder: Path) -> TwoSides:
    """acme, whose administrator asks, and globex, of which nothing may show."""
    outside = Outside()
    ws.tools.add(*tools_of(outside))
    return TwoSides(ws, furnish(ws, folder, "acme"), furnish(ws, folder, "globex"), outside)


KINDS: Mapping[str, str] = {
    "run": "run",
    "call": "call",
    "incident": "incident",
    "id": "key",
    "source": "source",
    "document": "document",
    "revision": "revision",
    "person": "person",
    "principal": "person",
    "group": "group",
    "what": "what",
    "prefix": "text",
    "follows": "run",
    "work": "work",
}
"""What a field of an operation names."""
OF_NAME: Mapping[str, str] = {"sources": "source", "people": "person"}
"""What the field ``name`` names, by the group of the operation; elsewhere it is nothing of a tenant's."""
UNKNOWN: Mapping[str, str] = {
    "run": "run-quokkaquokkaquok",
    "call": "call-0123456789abcdef",
    "incident": "inc-0123456789",
    "key": "cquokkaquokkaquo",
    "proposal": "pquokkaquokkaquo",
    "source": "quokka-source",
    "document": "quokka.md",
    "revision": "r0123456789abcdef0123",
    "person": "user:quokka-rob",
    "group": "quokka-staff",
    "what": "source:quokka-old",
    "text": ABSENT,
    "work": "990099",
}
"""Of each kind, one that nobody has."""


def kind_of(operation: Operation[Any], field: str) -> str:
    """What ``field`` of ``operation`` names, "" for nothing of a tenant's."""
    if operation.name == "runs.list" and field == "text":
        return "text"
    if field == "name":
        return OF_NAME.get(operation.group, "")
    if field == "id" and operation.group == "proposals":
        return "proposal"
    return KINDS.get(field, "")


def asked(operation: Operation[Any], side: Side, changed: Mapping[str, Any] | None = None) -> Any:
    """The input of ``operation``, with every name in it one of ``side``'s, but for ``changed``."""
    said = dict(operation.example)
    for field in operation.takes.model_fields:
        kind = kind_of(operation, field)
        if kind and (field in said or operation.takes.model_fields[field].is_required()):
            said[field] = side.known[kind]
    return operation.takes.model_validate({**said, **(changed or {})})


def told(world: TwoSides, operation: Operation[Any], given: Any, caller: Caller | None = None) -> Any:
    """What ``operation`` gives, or the error that it raises, as JSON."""
    try:
        found = perform(world.ws, caller or world.ours.admin, operation, given)
    except AffidavitError as error:
        return {"error": type(error).__name__, **error.as_dict()}
    if operation.later:
        world.ws.works.wait()
    return found


__all__ = ["ABSENT", "KINDS", "UNKNOWN", "Side", "TwoSides", "affidavit", "asked", "told", "two_sides"]
