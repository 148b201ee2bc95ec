"""What somebody who is asked for a yes is shown: what will happen, on what evidence, and what is unusual about it.

Evidence is shown as far as the approver may read it themselves; that some is not shown is said, and nothing else about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from affidavit.app.wiring import Parts
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import ErasedError
from affidavit.domain.events import EventKind
from affidavit.domain.tools import CallState, Contract, Effect, Idempotency, Role, contract
from affidavit.events.read import Recorded
from affidavit.policy.scope import Identity, decide_read
from affidavit.store.calls import CallRow, Calls

_LOOKED_AT, _COMPARED = 2_000, 500
"""Newest calls of the tenant that are looked at, and of this tool that are compared: the answer comes at once, however many."""
_ENOUGH, _ENOUGH_FOR_HOURS = 5, 20
_BEGUN = (CallState.RUNNING, CallState.DONE, CallState.UNKNOWN, CallState.READY)


@dataclass(frozen=True)
class _Before:
    """An earlier call of the same tool."""

    principal: str
    arguments: Mapping[str, Any]
    at: int


def view(parts: Parts, calls: Calls, row: CallRow, approver: Identity | None) -> dict[str, Any]:
    """``row`` for ``approver``; None is the operator at the machine, who is shown all evidence. Call inside a snapshot."""
    proposed = parts.events.event(row.proposed)
    body = parts.events.body(proposed)
    made = contract(json.loads(calls.contract(row.contract) or "{}"))
    events = parts.events.of_run(row.run)
    evidence, hidden = _evidence(parts, row, events, approver)
    earlier = list(_earlier(parts, calls, row, made.name))
    labels = body["context"].get("labels", {})
    return {
        "does": _does(made),
        "question": _question(parts, events),
        "arguments": [
            {"name": n, "value": v, "role": made.role(n).value, "from": _origins(labels.get(n, ()))}
            for n, v in body["arguments"].items()
        ],
        "evidence": evidence,
        "more_evidence": hidden,
        "unusual": [
            *_unvouched(made, labels),
            *_unlike(made, _Before(body["principal"], body["arguments"], proposed.at), earlier),
        ],
    }


def _does(made: Contract) -> list[str]:
    """What a yes means, in sentences."""
    told = [made.description.partition("\n")[0] or f"it calls {made.key}"]
    if made.effect is Effect.IRREVERSIBLE:
        told.append("It cannot be undone.")
    elif made.effect is Effect.WRITE:
        told.append(
            f"It can be put right with {made.undo}." if made.undo else "It has no tool that undoes it."
        )
    if made.idempotency is Idempotency.NONE:
        told.append("If it breaks off, nobody can tell by itself whether it was done.")
    return told


def _question(parts: Parts, events: Sequence[Recorded]) -> str:
    """What the person asked, where the call came out of a question."""
    first = next((e for e in events if e.kind is EventKind.RUN_STARTED), None)
    said = None if first is None else parts.events.body(first).get("question")
    return said if isinstance(said, str) else ""


def _origins(labels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a value came from, in words; the names of documents are among the evidence, if they may be read."""
    words = {"asker": "the person who asks", "rule": "a rule", "document": "a document", "model": "a model"}
    return sorted({words.get(one["origin"], f"the tool {one['name']}") for one in labels})


# -- evidence


def _evidence(
    parts: Parts, row: CallRow, events: Sequence[Recorded], approver: Identity | None
) -> tuple[list[dict[str, str]], bool]:
    """The documents of the run that the approver may read now, and whether there are others."""
    shown: list[dict[str, str]] = []
    hidden = False
    for source, document in _read_by(parts, events):
        if approver is None or _may_read(parts, row.tenant, approver, source, document):
            shown.append({"source": source, "document": document})
        else:
            hidden = True
    return shown, hidden


def _read_by(parts: Parts, events: Sequence[Recorded]) -> list[tuple[str, str]]:
    """What the run had read before it proposed the call, in order."""
    found: dict[tuple[str, str], None] = {}
    for event in events:
        if event.kind is EventKind.STEP_RECORDED and event.facts["name"] == "retrieve":
            hits = parts.events.body(event)["output"]["hits"]
            found.update(dict.fromkeys((hit["source"], hit["document"]) for hit in hits))
    return list(found)


def _may_read(parts: Parts, tenant: int, who: Identity, source: str, document: str) -> bool:
    states = parts.catalog.states(tenant, source, document, parts.log.head())
    rule = states[0].rule if states else None
    return rule is not None and decide_read(who, parts.catalog.rules_by_id([rule]).get(rule)).permit


# -- what is unusual


def _earlier(parts: Parts, calls: Calls, row: CallRow, name: str) -> Iterator[_Before]:
    """Earlier calls of the tool, of any version, that were begun; the newest first. What was erased is not compared."""
    found = 0
    for one in calls.newest(row.tenant, _BEGUN, _LOOKED_AT):
        if one.id >= row.id or one.tool.partition("@")[0] != name:
            continue
        event = parts.events.event(one.proposed)
        try:
            body = parts.events.body(event)
        except ErasedError:
            continue
        yield _Before(body["principal"], body["arguments"], event.at)
        found += 1
        if found == _COMPARED:
            return


def _unvouched(made: Contract, labels: Mapping[str, Any]) -> Iterator[str]:
    for name, found in labels.items():
        if made.role(name) is Role.CONTROL and not all(one["trusted"] for one in found):
            yield f"nobody who is trusted said what `{name}` is: it comes from {', '.join(_origins(found))}"


def _unlike(made: Contract, now: _Before, earlier: Sequence[_Before]) -> Iterator[str]:
    """What no earlier call was like. With too few of them only that there are few."""
    if not earlier:
        yield f"{made.name} was never called before"
        return
    if not any(b.principal == now.principal for b in earlier):
        yield f"{now.principal} never called {made.name} before"
    if len(earlier) < _ENOUGH:
        return
    for name, value in now.arguments.items():
        before = [b.arguments[name] for b in earlier if name in b.arguments]
        if made.role(name) is Role.CONTROL and len(before) >= _ENOUGH:
            yield from _new_value(name, value, before)
    hours = {_hour(b.at) for b in earlier}
    near = {(_hour(now.at) + apart) % 24 for apart in (-1, 0, 1)}
    if len(earlier) >= _ENOUGH_FOR_HOURS and not hours & near:
        yield f"none of {len(earlier)} earlier calls was made about {_hour(now.at):02d}:00 UTC"


def _new_value(name: str, value: Any, before: Sequence[Any]) -> Iterator[str]:
    if isinstance(value, int) and not isinstance(value, bool):
        numbers = [b for b in before if isinstance(b, int) and not isinstance(b, bool)]
        # where nearly every call has a number of its own it is an id, and a new one says nothing
        ids = len(set(numbers)) > 0.8 * len(numbers) and value > max(numbers, default=value)
        if numbers and value > max(numbers) and not ids:
            yield f"`{name}` is {value}; the largest of {len(numbers)} earlier calls was {max(numbers)}"
    elif isinstance(value, str):
        words = [b for b in before if isinstance(b, str)]
        if words and value not in words and len(set(words)) <= len(words) / 2:
            yield f"`{name}` is {value!r}, which none of {len(words)} earlier calls had"


def _hour(at: int) -> int:
    return datetime.fromtimestamp(at // MICROSECONDS, UTC).hour
