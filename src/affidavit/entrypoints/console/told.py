"""What happened to a call of a tool, in the order in which it did, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.tools import ENDED
from affidavit.entrypoints.console.charts import Span

_ASKED = {
    "propose": "The policy was asked.",
    "approve": "The policy was asked again, with the yes.",
    "claim": "The policy was asked again, just before it was carried out.",
}
_STATES = {
    "waiting": "It waits for a person.",
    "ready": "It may be carried out.",
    "running": "It was begun.",
    "done": "It was carried out.",
    "failed": "It failed.",
    "unknown": "Nobody can tell whether it was done.",
    "denied": "It will not be carried out.",
    "expired": "Nobody decided in time.",
}
_ENDED = frozenset(state.value for state in ENDED)


@dataclass(frozen=True)
class Moment:
    """One thing that happened: ``says`` in a sentence, ``word`` the state or verdict; ``rules`` that decided, ``roles`` of which
    a yes is needed, ``by`` whom, and ``why`` in their own words."""

    at: str
    position: int
    says: str
    word: str
    rules: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    by: str = ""
    why: str = ""
    errors: tuple[str, ...] = field(default=())


def happened(call: Mapping[str, Any]) -> list[Moment]:
    """Decisions, words of people and changes of a call's state, in the order of the log."""
    return sorted([*_decided(call), *_approved(call), *_changed(call)], key=lambda one: one.position)


def _decided(call: Mapping[str, Any]) -> Iterator[Moment]:
    for one in call["decisions"]:
        yield Moment(
            one["at"],
            one["position"],
            _ASKED.get(one["when"] or "", "The policy was asked."),
            one["verdict"],
            tuple(one["rules"] or ()),
            tuple(one["roles"] or ()),
            errors=tuple(one["errors"] or ()),
        )


def _approved(call: Mapping[str, Any]) -> Iterator[Moment]:
    words = {"approved": "A person said yes.", "denied": "A person said no."}
    for one in call["approvals"]:
        says = words.get(one["verdict"], "A person's word was asked.")
        yield Moment(
            one["at"], one["position"], says, one["verdict"], by=one["by"] or "", why=one["why"] or ""
        )


def _changed(call: Mapping[str, Any]) -> Iterator[Moment]:
    for one in call["changes"]:
        yield Moment(
            one["at"],
            one["position"],
            _STATES.get(one["state"], "It changed."),
            one["state"],
            why=one["why"] or "",
        )


def spans(call: Mapping[str, Any]) -> list[Span]:
    """Where the time of a call went, in microseconds since it was asked for: from each of its states to the next. Nothing where
    all of it was within the second that the record tells."""
    begun = _micros(call["at"])
    marks = [("asked", begun), *((one["state"], _micros(one["at"])) for one in call["changes"])]
    laps = [
        Span(_while(name), at - begun, later - at, "wait" if _while(name) == "waiting" else "")
        for (name, at), (_, later) in pairwise(marks)
        if name not in _ENDED
    ]
    return laps if any(lap.length for lap in laps) else []


def _while(state: str) -> str:
    return {"asked": "deciding", "ready": "in the queue", "running": "carried out"}.get(state, state)


def _micros(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * MICROSECONDS)
