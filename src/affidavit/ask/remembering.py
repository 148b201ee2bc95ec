"""What a later question is shown of the conversation before it: the latest turns as they were, the older ones summarised.

A summary is worked out anew for each question, from what the person may read now; none is kept. Each of its lines names the runs
it comes from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from affidavit.ask.agreement import fault
from affidavit.ask.guard import output_signals
from affidavit.ask.prompt import prompt
from affidavit.domain.canonical import Json
from affidavit.domain.release import Release
from affidavit.models.caller import Caller
from affidavit.models.deadline import Deadline
from affidavit.models.outcome import GOOD, Judged
from affidavit.models.stretches import ceiling, level_of
from affidavit.ports.model import ChatRequest, ChatResult
from affidavit.runs.recorder import Run

ANSWER, SUMMARISE = "answer", "summarise"
MOST_TURNS = 6
"""Turns that are shown as they were."""
_MOST_LINES, _LONGEST_LINE = 6, 300
_SECONDS, _TOKENS = 10.0, 600
_COVERAGE = 0.5
_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "turns": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["text", "turns"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["lines"],
    "additionalProperties": False,
}


def may_be_shown(turns: Sequence[Any], release: Release) -> list[dict[str, Any]]:
    """``turns`` without answers that some target of the answer may not see: the question that is made of them goes to each."""
    task = None if release.models is None else release.models.tasks.get(ANSWER)
    least = min((ceiling(o) for o in task.options), default=None) if task is not None else None
    return [
        {**t, "answer": [], "sensitivity": []}
        if least is not None and any(level_of(word) > least for word in t["sensitivity"])
        else dict(t)
        for t in turns
    ]


def summary(run: Run, older: Sequence[Any], caller: Caller | None, release: Release) -> list[dict[str, Any]]:
    """Lines ``{"text", "runs"}`` for ``older`` turns. Step ``summary``; without a model that says something usable, what was
    asked and nothing of what was answered."""
    if not older:
        return []
    lines = None
    if caller is not None and release.models is not None and SUMMARISE in release.models.tasks:
        lines = _by_model(run, older, caller)
    how = "model" if lines else "questions"
    lines = lines or [{"text": t["question"], "runs": [t["run"]]} for t in older[-_MOST_LINES:]]
    run.step("summary", {"turns": [t["run"] for t in older]}, {"how": how, "lines": lines})
    return lines


def _by_model(run: Run, older: Sequence[Any], caller: Caller) -> list[dict[str, Any]] | None:
    named = {f"T{n}": t for n, t in enumerate(older, 1)}
    shown: list[Json] = [
        {"id": name, "question": t["question"], "answer": t["answer"]} for name, t in named.items()
    ]
    deadline = Deadline.after(_SECONDS)
    request = ChatRequest(
        prompt(SUMMARISE, 1).render(turns=shown), _TOKENS, deadline.left, _SCHEMA, "summary"
    )

    def check(result: ChatResult) -> Judged:
        return GOOD if _lines(result.text, named) else Judged(False, "schema")

    sensitivity = {word for t in older for word in t["sensitivity"]}
    outcome = caller.call(run, SUMMARISE, request, sensitivity=sensitivity, deadline=deadline, check=check)
    return None if outcome.result is None else _lines(outcome.result.text, named)


def _lines(text: str, named: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines that say what their turns say, none if the model said anything else."""
    try:
        said = json.loads(text)["lines"]
        found = [(str(line["text"]).strip(), list(map(str, line["turns"]))) for line in said[:_MOST_LINES]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [
        {"text": line, "runs": [named[n]["run"] for n in names]}
        for line, names in found
        if names and set(names) <= set(named) and _holds(line, [named[n] for n in names])
    ]


def _holds(line: str, turns: Sequence[Any]) -> bool:
    told = "\n".join("\n".join((t["question"], *t["answer"])) for t in turns)
    fine = 0 < len(line) <= _LONGEST_LINE and line.isprintable() and not output_signals(line)
    return fine and not fault(line, told, "", _COVERAGE)
