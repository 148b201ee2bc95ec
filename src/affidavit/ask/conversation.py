"""A question that follows others: what was said before, as far as it may still be read, and the question made to stand alone.

Permissions are evaluated anew at each turn: a turn that cites what the person may no longer read is not remembered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

from affidavit.ask.guard import output_signals
from affidavit.ask.prompt import prompt
from affidavit.ask.remembering import MOST_TURNS, may_be_shown, summary
from affidavit.ask.scopes import Reader
from affidavit.domain.canonical import Json
from affidavit.domain.errors import AccessDeniedError
from affidavit.domain.events import EventKind
from affidavit.domain.release import Release
from affidavit.events.read import Reader as Events
from affidavit.models.caller import Caller
from affidavit.models.deadline import Deadline
from affidavit.models.outcome import GOOD, Judged
from affidavit.policy.scope import decide_read
from affidavit.ports.model import ChatRequest, ChatResult
from affidavit.runs.recorder import Run
from affidavit.store.catalog import Catalog
from affidavit.text.analyze import terms

REWRITE = "rewrite"
MOST_WALKED = 48
"""Turns that are looked back at, left out or not."""
_LONGEST, _LONGEST_UNCLEAR = 2000, 200
_POINTS_BACK = frozenset(
    "it its they them their this that these those he she his her there then one ones same such instead also else".split()
)
_CARRIES_ON = ("and ", "or ", "but ", "what about ", "how about ", "why", "since when", "until when")
_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "unclear": {"type": "string"}},
    "required": ["question", "unclear"],
    "additionalProperties": False,
}


class Conversations:
    """Remembers turns out of the log. Call inside a snapshot."""

    def __init__(self, events: Events, catalog: Catalog) -> None:
        self._events = events
        self._catalog = catalog

    def turns(self, reader: Reader, follows: str) -> list[Json]:
        """The turns before, oldest first: ``{"run", "question", "answer", "sensitivity"}``; ``answer`` holds the claims,
        ``sensitivity`` the classifications of what they cite. A turn that cites anything which may not be read now is left out
        whole, since what was asked may repeat what was answered.

        Raises AccessDeniedError if ``follows`` is not a run of the person who asks, as if it did not exist.
        """
        found: list[Json] = []
        run, walked = follows, 0
        while run and walked < MOST_WALKED:
            said = self._run(reader, run)
            if said is None and not walked:
                raise AccessDeniedError(
                    f"there is no question {run} of yours to go on from",
                    "`affidavit run list --as YOU` shows yours",
                )
            if said is None:  # an older one may have been erased
                break
            given, answer = said
            claims = answer.get("claims", ())
            kept = [self._classes(reader, c) for c in claims]
            if all(kept):
                found.append(
                    {
                        "run": run,
                        "question": given["question"],
                        "answer": [c["text"] for c in claims],
                        "sensitivity": sorted({word for classes in kept for word in classes}),
                    }
                )
            run, walked = given.get("follows", ""), walked + 1
        return found[::-1]

    def _run(self, reader: Reader, run: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """What was given and what was answered, None if there is no such question of the reader's."""
        events = self._events.of_run(run) if run.isascii() else []
        bodies = {
            e.kind: self._events.body(e)
            for e in events
            if e.kind in (EventKind.RUN_STARTED, EventKind.ANSWER_RELEASED)
        }
        given = bodies.get(EventKind.RUN_STARTED) or {}
        mine = given.get("principal") == reader.now.principal and events[0].tenant == reader.tenant
        if not mine or not isinstance(given.get("question"), str):
            return None
        return given, bodies.get(EventKind.ANSWER_RELEASED) or {}

    def _classes(self, reader: Reader, claim: Mapping[str, Any]) -> list[str]:
        """The classifications of what ``claim`` cites; none if any of it may not be read now."""
        found = []
        for cited in (*claim["citations"], *claim.get("overrules", ())):
            if cited["source"] in reader.stopped:
                return []
            states = self._catalog.states(
                reader.tenant, cited["source"], cited["document"], reader.scope.head
            )
            if not states or states[0].rule is None:
                return []
            rule = self._catalog.rules_by_id([states[0].rule]).get(states[0].rule)
            if not decide_read(reader.now, rule).permit:
                return []
            found.append(states[0].classification or "internal")
        return found


def stand_alone(
    run: Run, question: str, turns: Sequence[Any], caller: Caller | None, release: Release
) -> tuple[str, str]:
    """(the question so that it can be understood alone, a question back to the person or ""). Step ``rewrite``.

    By a model where the release has one for it; else by a rule: a question that points back carries the one before with it.
    """
    shown = may_be_shown(turns, release)
    lines = summary(run, shown[:-MOST_TURNS], caller, release)
    said = None
    if caller is not None and release.models is not None and REWRITE in release.models.tasks:
        said = _by_model(
            run, question, shown[-MOST_TURNS:], lines, caller, {w for t in shown for w in t["sensitivity"]}
        )
    alone, unclear = said or (_by_rule(question, turns), "")
    how = "rule" if said is None else "model"
    withheld = sum(bool(t["answer"]) and not s["answer"] for t, s in zip(turns, shown, strict=True))
    given: dict[str, Json] = {"turns": len(turns), "summary": len(lines), "withheld": withheld}
    run.step("rewrite", given, {"how": how, "question": alone, "unclear": unclear})
    return alone, unclear


def _by_rule(question: str, turns: Sequence[Any]) -> str:
    lowered = question.lower()
    points = bool(set(lowered.replace("?", " ").split()) & _POINTS_BACK)
    carries = lowered.startswith(_CARRIES_ON) or len(terms(question)) <= 1
    return f"{turns[-1]['question']} {question}" if turns and (points or carries) else question


def _by_model(
    run: Run, question: str, turns: Sequence[Any], lines: Sequence[Any], caller: Caller, sensitivity: Set[str]
) -> tuple[str, str] | None:
    shown: list[Json] = [{"summary": line["text"]} for line in lines]
    shown += [{"question": t["question"], "answer": t["answer"]} for t in turns]
    messages = prompt(REWRITE, 1).render(turns=shown, question=[question])
    deadline = Deadline.after(_SECONDS)
    request = ChatRequest(messages, 300, deadline.left, _SCHEMA, "question")
    outcome = caller.call(
        run, REWRITE, request, sensitivity=sensitivity, deadline=deadline, check=_of_the_form
    )
    return None if outcome.result is None else _parsed(outcome.result.text)


_SECONDS = 10.0


def _of_the_form(result: ChatResult) -> Judged:
    return Judged(False, "schema") if _parsed(result.text) is None else GOOD


def _parsed(text: str) -> tuple[str, str] | None:
    """What the model said, None if it is not of the form or says what may not be shown."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or set(said) != {"question", "unclear"}:
        return None
    question, unclear = said["question"], said["unclear"]
    if not isinstance(question, str) or not isinstance(unclear, str):
        return None
    fits = 0 < len(question.strip()) <= _LONGEST and len(unclear) <= _LONGEST_UNCLEAR
    shown = unclear.isprintable() and not output_signals(unclear) and "http" not in unclear.lower()
    return (question.strip(), unclear.strip()) if fits and shown else None
