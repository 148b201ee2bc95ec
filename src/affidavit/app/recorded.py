"""A run as it was recorded: what it was given, and everything needed to put the same question again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from affidavit.ask.asker import Question
from affidavit.ask.effects import Asked, as_recorded
from affidavit.ask.scopes import Past
from affidavit.domain.errors import NotRepeatableError
from affidavit.domain.events import EventKind
from affidavit.domain.filter import parse_filter
from affidavit.domain.records import RunStatus
from affidavit.domain.tools import CALL
from affidavit.events.read import ErasedBody, Reader, Recorded
from affidavit.runs.replay import Fact

QUESTIONS = ("ask", "search", "act")
"""Journeys that put a question."""
_OF_CALLS = frozenset({EventKind.CALL_PROPOSED, EventKind.CALL_CHANGED, EventKind.APPROVAL_RESOLVED})


@dataclass(frozen=True)
class RecordedRun:
    """One run of the log with its bodies. ``facts`` are in the order of the log, the run's start first."""

    id: str
    tenant: int
    journey: str
    release: str
    first: int
    last: int
    at: int
    facts: tuple[Fact, ...]

    @property
    def given(self) -> dict[str, Any]:
        """What the run was started with."""
        body: dict[str, Any] = self.facts[0].body
        return body

    @cached_property
    def steps(self) -> dict[str, Any]:
        """The bodies (input, output) of its steps by name; the last one of a name."""
        return {f.title: f.body for f in self.facts if f.kind is EventKind.STEP_RECORDED}

    @property
    def denials(self) -> list[dict[str, Any]]:
        """What the recheck denied, with the reason."""
        return [f.body for f in self.facts if f.kind is EventKind.DECISION_MADE]

    @property
    def answer(self) -> dict[str, Any]:
        """What the person was given, also by a run that never ended; {} for one that gives no answer."""
        found = [f.body for f in self.facts if f.kind is EventKind.ANSWER_RELEASED]
        claims = [f.body for f in self.facts if f.kind is EventKind.CLAIM_RELEASED]
        return found[0] if found else unfinished_answer(claims, self.release) if claims else {}

    @property
    def interrupted(self) -> bool:
        """Whether it ended, or was ended, before its answer was whole."""
        ends = [f.facts["status"] for f in self.facts if f.kind is EventKind.RUN_FINISHED]
        return not ends or ends[0] == RunStatus.FAILED.value

    @property
    def hits(self) -> list[dict[str, Any]]:
        """What was retrieved and passed the recheck, best first."""
        found: list[dict[str, Any]] = self.steps.get("retrieve", {"output": {"hits": []}})["output"]["hits"]
        return found

    def question(self) -> Question:
        """The question, as ``ask`` and ``search`` take it. Raises NotRepeatableError where there is none, or parts of it
        were redacted."""
        given = self.given
        if "question" not in given and "redacted" not in given:
            raise NotRepeatableError(
                f"{self.id} cannot be repeated: it asked nothing, it is a {self.journey}",
                "what it did stands in its record: affidavit run show",
            )
        if "redacted" in given:
            raise NotRepeatableError(
                f"{self.id} cannot be repeated: its question was redacted before it was stored",
                "the record still says what was retrieved and given: affidavit run show",
            )
        as_of = given["position"] if given["position"] != given["head"] else None
        where = given["filter"]
        parsed = None if where is None else parse_filter(where)
        follows = given.get("follows", "")
        return Question(
            self.tenant,
            given["principal"],
            given["question"],
            as_of,
            parsed,
            where,
            follows,
            given.get("streamed", False),
            given.get("acts", ""),
        )

    def past(self) -> Past:
        """The moment of the run."""
        given = self.given
        rules = self.steps["scope"]["input"]["rules"]
        return Past(given["head"], rules, given.get("clock", 0), given["embedder"], self._checks())

    def _checks(self) -> tuple[int, ...]:
        if self.journey == "search":
            heads = self.steps["retrieve"]["input"]["heads"] if "retrieve" in self.steps else ()
        else:
            heads = (self.steps["recheck"]["input"]["head"],) if "recheck" in self.steps else ()
        return tuple(heads) or (self.given["head"],)

    def asked(self) -> Asked:
        """The question as the embedder saw it then; by keyword alone where it never got that far."""
        given = self.given
        said = self.steps.get("embed", {"output": {"vector": None, "degraded": "", "late": False}})["output"]
        return as_recorded(given["question"], given["embedder"], said)


def unfinished_answer(claims: Sequence[Mapping[str, Any]], release: str) -> dict[str, Any]:
    """What was given by a run whose process ended before it could say so: the claims on record, and nothing made of them."""
    return {
        "status": "unfinished",
        "answer": "\n".join(str(claim["text"]) for claim in claims),
        "claims": list(claims),
        "refusal": None,
        "model": None,
        "release": release,
        "incomplete": "unfinished",
    }


def recorded_run(reader: Reader, events: list[Recorded]) -> RecordedRun:
    """The run that ``events`` tell of, without what the gateway wrote about its calls: a step says what became of each.

    Raises LogDamagedError if a body was changed, NotRepeatableError if one was erased.
    """
    facts = []
    for event in events:
        if event.kind in _OF_CALLS or event.facts.get("action") == CALL:
            continue
        body = reader.body(event)
        if isinstance(body, ErasedBody):
            raise NotRepeatableError(
                f"{event.run} cannot be repeated: position {event.position} was erased",
                "`affidavit audit erasures` says by whom and why",
            )
        facts.append(Fact(event.kind, event.facts, body))
    first = events[0]
    journey, release = first.facts["journey"], first.facts["release"]
    return RecordedRun(
        first.run, first.tenant, journey, release, first.position, events[-1].position, first.at, tuple(facts)
    )
