"""The hand of a model: what it proposes is held against the allow-list and the contract, labelled, and handed to the one door.

A model is never believed here, and nothing here asks one: whoever drives it, a good model, a bad one or a benchmark, gets the
same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from affidavit.domain.canonical import Json
from affidavit.domain.errors import AffidavitError
from affidavit.domain.labels import ASKER, Label, Labels, Origin, Text, trusted
from affidavit.domain.provenance import Memory
from affidavit.domain.tools import CallState, Contract, Role
from affidavit.runs.recorder import Run

PROPOSE, CALL = "act.propose", "act.call"
NOT_OFFERED = "not_offered"
MALFORMED = "malformed"
_MOST_SHOWN = 20_000
_MOST_KEPT = 2_000
"""Characters of arguments that are none, for the record."""


class Doors(Protocol):
    """What the application hands in, so that nothing here knows the gateway."""

    def parse(self, text: str) -> dict[str, Json]:
        """Arguments out of a model's JSON, exact or refused. Raises ArgumentsError."""
        ...

    def call(
        self, run: Run, step: int, tool: str, arguments: Mapping[str, Json], context: Mapping[str, Json]
    ) -> Mapping[str, Json]:
        """Propose the call, and carry it out where that is permitted: ``call``, ``state``, ``result``, ``why`` of one that has
        ended. Raises WaitsError for one that has not, AffidavitError for one that cannot be put."""
        ...


@dataclass(frozen=True)
class Observed:
    """What became of one proposal. ``state`` is a call's, or ``refused`` where it never became one. ``text``: the result as it
    is shown and quoted, "" where there is none; ``at``: the number of the step that says so."""

    id: str
    tool: str
    arguments: Mapping[str, Json]
    state: str
    text: str
    why: str
    call: str
    at: int

    @property
    def done(self) -> bool:
        return self.state == CallState.DONE.value

    def line(self) -> dict[str, Json]:
        """As a model sees it."""
        told: dict[str, Json] = {"result": self.text} if self.done else {"why": self.why}
        return {
            "id": self.id,
            "tool": self.tool,
            "arguments": dict(self.arguments),
            "state": self.state,
            **told,
        }


class Hand:
    """One run's. Not shared between threads. ``memory`` knows who vouches for what."""

    def __init__(
        self, run: Run, memory: Memory, contracts: Sequence[Contract], doors: Doors, most: int
    ) -> None:
        self._run = run
        self.memory = memory
        self._contracts = {c.key: c for c in contracts}
        self._doors = doors
        self._most = most
        self.observed: list[Observed] = []

    @property
    def left(self) -> int:
        """How many proposals more are listened to; one that is refused counts too."""
        return self._most - len(self.observed)

    def read(self, text: str, document: str, owner: str) -> None:
        """A passage that is shown to the model: content, and vouching for nothing."""
        self.memory.read(Text(text, (Label(Origin.DOCUMENT, document, owner),)))

    def propose(self, tool: str, arguments: str) -> Observed:
        """A model proposes to call ``tool`` with this JSON. Beyond the bound, nothing happens and nothing is recorded."""
        if self.left <= 0:
            return Observed("", tool, {}, "refused", "", "no more calls are allowed", "", 0)
        tool, arguments = _kept(tool), _kept(arguments)
        contract, given, why = self._understood(tool, arguments)
        labels = {} if contract is None else self.memory.labels_of(contract, given)
        fault = "" if not why else NOT_OFFERED if contract is None else MALFORMED
        number = len(self.observed) + 1
        asked: dict[str, Json] = {
            "n": number,
            "tool": tool,
            "arguments": given if not why else arguments[:_MOST_KEPT],
        }
        self._run.step(PROPOSE, asked, {"fault": fault, **_labelled(contract, labels)})
        if contract is None or why:
            seen = Observed(f"T{number}", tool, {}, "refused", "", why, "", self._run.taken)
        else:
            seen = self._called(number, contract, given, labels)
        self.observed.append(seen)
        return seen

    def _understood(self, tool: str, arguments: str) -> tuple[Contract | None, dict[str, Json], str]:
        contract = self._contracts.get(tool)
        if contract is None:
            return None, {}, f"there is no tool {tool[:80]!r} among those that are offered"
        try:
            return contract, self._doors.parse(arguments), ""
        except AffidavitError as error:
            return contract, {}, error.message

    def _called(
        self, number: int, contract: Contract, given: Mapping[str, Json], labels: Mapping[str, Labels]
    ) -> Observed:
        context: dict[str, Json] = {"labels": {n: _plain(found) for n, found in labels.items()}}
        step = self._run.taken + 1
        input: dict[str, Json] = {"n": number, "tool": contract.key, "arguments": dict(given)}

        def compute() -> Json:
            try:
                return dict(self._doors.call(self._run, step, contract.key, given, context))
            except WaitsError:
                raise
            except AffidavitError as error:
                return {"call": "", "state": "refused", "result": None, "why": error.message}

        said: Any = self._run.effect(CALL, input, compute)
        self._learn(contract, given, said)
        text = shown(said["result"]) if said["state"] == CallState.DONE.value else ""
        return Observed(
            f"T{number}",
            contract.key,
            given,
            said["state"],
            text,
            said["why"],
            said["call"],
            self._run.taken,
        )

    def _learn(self, contract: Contract, given: Mapping[str, Json], said: Mapping[str, Any]) -> None:
        """What came back is known to the run from now on; the words of a failing tool are a tool's words."""
        if said["state"] == CallState.DONE.value:
            self.memory.returned(contract, given, said["result"])
        elif said["state"] in (CallState.FAILED.value, CallState.UNKNOWN.value):
            self.memory.read(Text(said["why"], (Label(Origin.TOOL, contract.key, contract.owner),)))


class WaitsError(Exception):
    """A run can go no further for now: its call ``name`` waits for a person, or for whoever carries calls out."""

    def __init__(self, name: str, state: str) -> None:
        super().__init__(f"{name} is {state}")
        self.name, self.state = name, state


def memory_of(question: str) -> Memory:
    """A run's memory at its beginning: it has heard the person, and read nothing."""
    return Memory(Text(question, (ASKER,)))


def shown(result: Json) -> str:
    """A result as a model sees it and an answer quotes it."""
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, sort_keys=True)
    return text[:_MOST_SHOWN]


def _kept(text: str) -> str:
    """What a model wrote as it can stand in a record: JSON can spell half a character."""
    return text.encode("utf-8", "replace").decode()


def _plain(labels: Labels) -> list[Json]:
    return [label.as_json() for label in sorted(labels)]


def _labelled(contract: Contract | None, labels: Mapping[str, Labels]) -> dict[str, Json]:
    """For the record: where each argument came from, and which control arguments nobody vouches for."""
    if contract is None:
        return {"labels": {}, "unvouched": []}
    bad = [n for n, found in labels.items() if contract.role(n) is Role.CONTROL and not trusted(found)]
    return {"labels": {n: _plain(found) for n, found in labels.items()}, "unvouched": sorted(bad)}
