"""Replay: a run executed once more in memory, its outside effects answered from the record, and compared step by step."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.domain.canonical import Json, canonical, digest
from affidavit.domain.events import Event, EventKind
from affidavit.runs.recorder import Run

_GIVEN = EventKind.RUN_STARTED
"""Not compared: what a run is given."""
_TIMINGS = "timings"
_CACHED = "cached"
_COST = "cost"
"""Nor how long it took, what of it was known from before, or how long a step took."""
_CHARGED = ("model.answer", "model.verify")
"""What calls of models cost is recorded when they end, also where they were interrupted."""
_MARK = re.compile(r"\[redacted [a-z][a-z0-9-]*\]")
_TERMS = "terms"


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

    def flow(
        self,
        name: str,
        input: Json,
        part: str,
        compute: Callable[[Callable[[Json], bool]], Json],
        take: Callable[[Any], bool],
    ) -> Any:
        key, of = (name, digest(input)), digest(input)
        if self._live and key not in self._answers:
            self.asked_live += 1
            return super().flow(name, input, part, compute, take)
        n = 1
        while (part, digest({"of": of, "n": n})) in self._answers:
            take(self.effect(part, {"of": of, "n": n}, lambda: None))
            n += 1
        return self.effect(name, input, lambda: None)

    def _steps_taken(self) -> list[Event]:
        return [e for e in self.events if e.kind is EventKind.STEP_RECORDED]

    def facts(self) -> list[Fact]:
        """What has been collected, in the form that is compared."""
        return [Fact(e.kind, e.facts, e.body) for e in self.events]


def compare(recorded: Sequence[Fact], replayed: Sequence[Fact], *, whole: bool = True) -> Divergence | None:
    """The first difference between two runs, None if there is none. Without ``whole`` the second may be cut off."""
    before = [f for f in recorded if f.kind is not _GIVEN]
    after = [f for f in replayed if f.kind is not _GIVEN]
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


def compare_begun(recorded: Sequence[Fact], replayed: Sequence[Fact]) -> Divergence | None:
    """``compare`` for a run that was interrupted: the repetition may know how it would have gone on, and nothing else.

    What it did not come to in the record, its end and its decisions, is not looked at.
    """
    before, after = ([f for f in facts if _flowed(f)] for facts in (recorded, replayed))
    return compare(before, after[: len(before)])


def _flowed(fact: Fact) -> bool:
    if fact.kind is EventKind.STEP_RECORDED:
        return not fact.title.startswith(_CHARGED)
    return fact.kind is EventKind.CLAIM_RELEASED


def _difference(old: Fact, new: Fact) -> Divergence | None:
    if dict(old.facts) != dict(new.facts):
        return Divergence(old.step, old.title, "differs", dict(old.facts), dict(new.facts))
    was, now = _told(old), _told(new)
    if old.kind is EventKind.RUN_FINISHED:  # what an older affidavit did not say of the end is no difference
        now = {name: value for name, value in now.items() if name in was}
    if canonical(was) == canonical(now) or ("redacted" in old.body and agrees(was, now)):
        return None
    path, was, now = first_difference(was, now)
    return Divergence(old.step, old.title, f"differs at {path or 'its body'}", was, now)


def _told(fact: Fact) -> Any:
    """The body without what a replay cannot give: times, and the count of what was redacted before it was stored."""
    if not isinstance(fact.body, Mapping):
        return fact.body
    left_out = {"redacted", *((_TIMINGS, _CACHED) if fact.kind is EventKind.RUN_FINISHED else (_COST,))}
    return {name: value for name, value in fact.body.items() if name not in left_out}


def agrees(old: Any, new: Any, name: str = "") -> bool:
    """Whether ``old``, out of which parts were redacted, can have been ``new``: everything that is left stands there."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        known = old.keys() <= new.keys() if name == _TERMS else old.keys() == new.keys()
        return known and all(agrees(value, new[key], key) for key, value in old.items())
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        return len(old) == len(new) and all(map(agrees, old, new))
    if isinstance(old, str) and isinstance(new, str):
        return _filled(_MARK.split(old), new)
    return canonical(old) == canonical(new)


def _filled(pieces: Sequence[str], text: str) -> bool:
    """Whether ``text`` is ``pieces`` in order with anything between them."""
    first, *inner = pieces
    if not inner:
        return text == first
    last, at = inner.pop(), len(first)
    for piece in inner:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return text.startswith(first) and text.endswith(last) and at + len(last) <= len(text)


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
