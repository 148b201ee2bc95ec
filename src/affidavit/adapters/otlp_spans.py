"""A run of the log as spans: what to call it, when it was, and ids that are the same each time.

Names of ``gen_ai.*`` follow the OpenTelemetry semantic conventions for generative AI, which are "Development": they are
written down here and nowhere else. Everything without a convention is ``affidavit.*``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, Union

from affidavit.ports.follower import Handed

OPERATION, PROVIDER, WORKFLOW = "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.workflow.name"
MODEL, INPUT, OUTPUT = "gen_ai.request.model", "gen_ai.input.messages", "gen_ai.output.messages"
QUERY, DOCUMENTS = "gen_ai.retrieval.query.text", "gen_ai.retrieval.documents"
_OPERATIONS: Mapping[str, str] = {"retrieve": "retrieval", "embed": "embeddings"}
"""Steps that the conventions have a word for. Any other step is a span all the same."""
_NOT_GENERATIVE = frozenset(("sync",))
_MOST_DECISIONS = 100
_LONGEST = 16_384

Value: TypeAlias = Union[str, int, bool]


@dataclass(frozen=True)
class Note:
    """A span event."""

    at: int
    name: str
    attributes: Mapping[str, Value]


@dataclass
class Span:
    """A span before it is put on the wire. Times are microseconds since 1970 UTC; ``parent`` is b"" for a root.

    ``status`` is "" (unset) or "error".
    """

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    start: int
    end: int
    attributes: dict[str, Value]
    notes: list[Note] = field(default_factory=list)
    dropped_notes: int = 0
    status: str = ""


def trace_id(origin: str, run: str) -> bytes:
    """16 bytes, the same for a run wherever and however often it is told."""
    return hashlib.sha256(f"affidavit trace\0{origin}\0{run}".encode()).digest()[:16]


def span_id(origin: str, run: str, position: int) -> bytes:
    """8 bytes, the same for the event at ``position`` each time."""
    return hashlib.sha256(f"affidavit span\0{origin}\0{run}\0{position}".encode()).digest()[:8]


def spans(origin: str, story: Sequence[Handed], root_told: int | None = None) -> list[Span]:
    """The spans of a run: one for the run, one for each recorded step.

    ``story`` are the run's events in order; without an end the run is told as unfinished. ``root_told`` is the position of the
    start if the run was told as unfinished before: then its end becomes a span of its own and ``story`` holds only what
    came since.
    """
    started = next((e for e in story if e.kind == "run.started"), None)
    finished = next((e for e in story if e.kind == "run.finished"), None)
    if not story:
        return []
    anchor = root_told if root_told is not None else (started or story[0]).position
    run = story[0].run
    root = span_id(origin, run, anchor)
    out = _steps(origin, story, root, _Times(story, finished))
    if root_told is None:
        out.insert(0, _root(origin, story, started, finished, root))
    elif finished is not None:
        out.append(_late_end(origin, finished, root))
    return out


def _root(
    origin: str, story: Sequence[Handed], started: Handed | None, finished: Handed | None, id: bytes
) -> Span:
    first = started or story[0]
    journey = str(first.facts.get("journey", "run"))
    attributes: dict[str, Value] = {
        "affidavit.run": first.run,
        "affidavit.journey": journey,
        "affidavit.position": first.position,
        "affidavit.tenant": first.tenant,
        "affidavit.run.status": str(finished.facts["status"]) if finished else "unfinished",
    }
    if "release" in first.facts:
        attributes["affidavit.release"] = str(first.facts["release"])
    name = f"affidavit {journey}"
    if journey not in _NOT_GENERATIVE:
        attributes |= {OPERATION: "invoke_workflow", WORKFLOW: journey}
        name = f"invoke_workflow {journey}"
    for event in story:
        if event.kind == "answer.released":
            attributes |= {f"affidavit.answer.{k}": v for k, v in event.words.items()}
            attributes |= _given(event.body)
    attributes |= _asked(first.body)
    total = sum(_timings(finished).values())
    end = (finished or story[-1]).at
    start = min(first.at, end - total)
    span = Span(trace_id(origin, first.run), id, b"", name, start, end, attributes)
    if finished is None or finished.facts["status"] == "failed":
        span.status = "error"
        attributes["error.type"] = "unfinished" if finished is None else "failed"
    return span


def _late_end(origin: str, finished: Handed, root: bytes) -> Span:
    """The end of a run that was told as unfinished."""
    attributes: dict[str, Value] = {
        "affidavit.run": finished.run,
        "affidavit.position": finished.position,
        "affidavit.run.status": str(finished.facts["status"]),
    }
    id = span_id(origin, finished.run, finished.position)
    return Span(
        trace_id(origin, finished.run), id, root, "affidavit run ended", finished.at, finished.at, attributes
    )


class _Times:
    """When each step was. The log says when it became durable, the run's end how long its laps took: a lap is named after its
    steps (``guard_route``). Laps are laid end to end in the order of the steps; a step without a lap is a moment."""

    def __init__(self, story: Sequence[Handed], finished: Handed | None) -> None:
        self._laps = _timings(finished)
        self._spans: dict[str, tuple[int, int]] = {}
        self._cursor = 0 if finished is None else finished.at - sum(self._laps.values())
        for event in story:
            if event.kind == "step.recorded":
                self._lay(str(event.facts["name"]))

    def _lap(self, step: str) -> str:
        if step in self._laps:
            return step
        return next((lap for lap in self._laps if step in lap.split("_")), "")

    def _lay(self, step: str) -> None:
        lap = self._lap(step)
        if lap and lap not in self._spans:
            self._spans[lap] = (self._cursor, self._cursor + self._laps[lap])
            self._cursor += self._laps[lap]

    def of(self, event: Handed) -> tuple[int, int, str]:
        """(start, end, the lap that says so or "")."""
        lap = self._lap(str(event.facts["name"]))
        return (*self._spans[lap], lap) if lap in self._spans else (event.at, event.at, "")


def _steps(origin: str, story: Sequence[Handed], root: bytes, times: _Times) -> list[Span]:
    out: list[Span] = []
    for event in story:
        if event.kind == "step.recorded":
            out.append(_step(origin, event, root, times))
        elif event.kind == "decision.made" and out:
            if len(out[-1].notes) < _MOST_DECISIONS:
                attributes: dict[str, Value] = {f"affidavit.decision.{k}": v for k, v in event.facts.items()}
                attributes |= _text("affidavit.decision.body", event.body)
                out[-1].notes.append(Note(event.at, "affidavit.decision", attributes))
            else:
                out[-1].dropped_notes += 1
    return out


def _step(origin: str, event: Handed, root: bytes, times: _Times) -> Span:
    step = str(event.facts["name"])
    start, end, lap = times.of(event)
    attributes: dict[str, Value] = {
        "affidavit.run": event.run,
        "affidavit.position": event.position,
        "affidavit.step": event.facts["step"],
        "affidavit.step.name": step,
    }
    if lap:
        attributes["affidavit.step.lap"] = lap
    name = step
    if step in _OPERATIONS:
        attributes |= {OPERATION: _OPERATIONS[step], PROVIDER: "affidavit"}
        name = f"{_OPERATIONS[step]} affidavit"
    if isinstance(event.body, dict):
        attributes |= _text("affidavit.step.input", event.body.get("input"))
        attributes |= _text("affidavit.step.output", event.body.get("output"))
        if step == "retrieve":
            attributes |= _documents(event.body.get("output"))
    id = span_id(origin, event.run, event.position)
    return Span(trace_id(origin, event.run), id, root, name, start, end, attributes)


# -- content: only when bodies were asked for


def _asked(body: Any) -> dict[str, Value]:
    if not isinstance(body, dict):
        return {}
    out: dict[str, Value] = {}
    if isinstance(body.get("principal"), str):
        out["affidavit.principal"] = body["principal"]
    if isinstance(body.get("question"), str):
        part = {"type": "text", "content": body["question"]}
        out |= _text(INPUT, [{"role": "user", "parts": [part]}])
        out |= {QUERY: body["question"][:_LONGEST]}
    return out


def _given(body: Any) -> dict[str, Value]:
    if not isinstance(body, dict) or not isinstance(body.get("answer"), str):
        return {}
    message = {
        "role": "assistant",
        "parts": [{"type": "text", "content": body["answer"]}],
        "finish_reason": "stop",
    }
    return _text(OUTPUT, [message])


def _documents(output: Any) -> dict[str, Value]:
    hits = output.get("hits") if isinstance(output, dict) else None
    if not isinstance(hits, list):
        return {}
    named = [{"id": h["document"], "score": float(h["score"])} for h in hits if isinstance(h, dict)]
    return _text(DOCUMENTS, named)


def _text(name: str, value: Any) -> dict[str, Value]:
    """``value`` as JSON under ``name``; nothing for None, and cut where it is longer than a backend takes."""
    if value is None:
        return {}
    text = json.dumps(value, ensure_ascii=False)
    return {name: text} if len(text) <= _LONGEST else {name: text[:_LONGEST], f"{name}.cut": True}


def _timings(finished: Handed | None) -> dict[str, int]:
    found = finished.words.get("timings") if finished else None
    return found if isinstance(found, dict) else {}
