"""Replay: a run executed once more in memory, its outside effects answered from the record, and compared step by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.domain.canonical import Json, canonical, digest
from affidavit.domain.events import Event, EventKind
from affidavit.runs.recorder import Run

_MEASURED = frozenset({EventKind.RUN_FINISHED, EventKind.RUN_STARTED})
"""Not compared: what a run is given, and how long it took."""


@dataclass(frozen=True)
class Fact:
    """One event of a run, recorded or repeated: what replay compares."""

    kind: EventKind
    facts: Mapping[str, Any]
    body: Any

    @property
    def step(self) -> int:
        """The step's number, 0 for what is not a step."""
        number = self.facts.get("step", 0)
        return int(number)

    @property
    def title(self) -> str:
        """What it is, in a word."""
        return str(self.facts["name"]) if self.kind is EventKind.STEP_RECORDED else self.kind.value


@dataclass(frozen=True)
class Divergence:
    """Where a replay first differs: ``step`` and ``name`` of the step, ``what`` in words, and both values there."""

    step: int
    name: str
    what: str
    recorded: Any
    replayed: Any

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


class ReplayDivergenceError(Exception):
    """A repeated run asks for an effect that the record does not hold."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence.what)
        self.divergence = divergence


class Rerun(Run):
    """A run repeated in memory: never written.

    With ``live`` an effect that the record cannot answer is computed; without, it is a ReplayDivergenceError.
    ``asked_live`` counts those computed.
    """

    def __init__(
        self, id: str, tenant: int, journey: str, release: str, recorded: Sequence[Fact], *, live: bool
    ) -> None:
        super().__init__(id, tenant, journey, release)
        self._live = live
        self._answers: dict[tuple[str, str], Any] = {}
        self._inputs: dict[str, list[Any]] = defaultdict(list)
        self.asked_live = 0
        for fact in recorded:
            if fact.kind is EventKind.STEP_RECORDED:
                self._answers[fact.title, digest(fact.body["input"])] = fact.body["output"]
                self._inputs[fact.title].append(fact.body["input"])

    def effect(self, name: str, input: Json, compute: Callable[[], Json]) -> Any:
        key = name, digest(input)
        if key in self._answers:
            output = self._answers[key]
        elif self._live:
            self.asked_live += 1
            output = compute()
        else:
            known = self._inputs.get(name)
            what = "asks something else" if known else "is not in the record"
            was = known[0] if known else None
            raise ReplayDivergenceError(Divergence(len(self._steps_taken()) + 1, name, what, was, input))
        self.step(name, input, output)
        return output

    def _steps_taken(self) -> list[Event]:
        return [e for e in self.events if e.kind is EventKind.STEP_RECORDED]

    def facts(self) -> list[Fact]:
        """What has been collected, in the form that is compared."""
        return [Fact(e.kind, e.facts, e.body) for e in self.events]


def compare(recorded: Sequence[Fact], replayed: Sequence[Fact], *, whole: bool = True) -> Divergence | None:
    """The first difference between two runs, None if there is none. Without ``whole`` the second may be cut off."""
    before = [f for f in recorded if f.kind not in _MEASURED]
    after = [f for f in replayed if f.kind not in _MEASURED]
    for old, new in zip(before, after, strict=False):
        if (old.kind, old.title) != (new.kind, new.title):
            return Divergence(old.step, old.title, f"is {new.title} now", old.title, new.title)
        where = _difference(old, new)
        if where is not None:
            return where
    if len(before) != len(after) and (whole or len(after) > len(before)):
        extra = (before if len(before) > len(after) else after)[min(len(before), len(after))]
        what = "is missing now" if len(before) > len(after) else "is new"
        return Divergence(extra.step, extra.title, what, None, None)
    return None


def _difference(old: Fact, new: Fact) -> Divergence | None:
    if dict(old.facts) != dict(new.facts):
        return Divergence(old.step, old.title, "differs", dict(old.facts), dict(new.facts))
    if "redacted" in old.body or canonical(old.body) == canonical(new.body):
        return None
    path, was, now = first_difference(old.body, new.body)
    return Divergence(old.step, old.title, f"differs at {path or 'its body'}", was, now)


def first_difference(old: Any, new: Any, path: str = "") -> tuple[str, Any, Any]:
    """(path, old value, new value) of the first place where two JSON values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            if key not in old or key not in new:
                return f"{path}.{key}".lstrip("."), old.get(key), new.get(key)
            if canonical(old[key]) != canonical(new[key]):
                return first_difference(old[key], new[key], f"{path}.{key}".lstrip("."))
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        for n, (was, now) in enumerate(zip(old, new, strict=False)):
            if canonical(was) != canonical(now):
                return first_difference(was, now, f"{path}[{n}]")
        if len(old) != len(new):
            return f"{path} (length)", len(old), len(new)
    return path, old, new
