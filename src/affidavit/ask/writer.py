"""Step 8 with a language model: it writes claims over the evidence, and only those that hold are kept.

The model sees the question and the passages as data, nothing else. Where it fails, is not allowed to see the text, or
writes nothing that holds, there is None, and the extractive answerer or a refusal follows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from affidavit.ask.claims import ANSWER_SCHEMA, Checked, Quoted, check_answer, parse_answer
from affidavit.ask.guard import output_signals
from affidavit.ask.prompt import Prompt, prompt
from affidavit.ask.retrieve import Passage
from affidavit.ask.units import units
from affidavit.domain.canonical import Json
from affidavit.domain.errors import ModelError, UsageError
from affidavit.domain.release import Release, Writing
from affidavit.models.caller import Caller
from affidavit.models.deadline import Deadline
from affidavit.models.outcome import GOOD, Judged
from affidavit.ports.model import ChatRequest, ChatResult, Message
from affidavit.runs.recorder import Run

ANSWER, VERIFY = "answer", "verify"
_JUDGED: Mapping[str, Json] = {
    "type": "object",
    "properties": {"supported": {"type": "array", "items": {"type": "boolean"}}},
    "required": ["supported"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Written:
    """What a model wrote and what of it holds. ``model`` names who wrote it, as the provider says. No claims: it finds that the
    evidence does not answer."""

    model: str
    claims: tuple[tuple[str, tuple[Quoted, ...]], ...]


@dataclass(frozen=True)
class _Fitted:
    passages: Mapping[str, Passage]
    dropped: tuple[str, ...]
    messages: tuple[Message, ...]
    tokens: int


class Writer:
    """Writes one answer with the models of a release. ``count`` estimates tokens."""

    def __init__(self, caller: Caller, release: Release, count: Callable[[str], int]) -> None:
        if release.models is None or ANSWER not in release.models.tasks or release.writing is None:
            raise UsageError("the release has no model that answers", "see docs/how-to/models.md")
        self._caller = caller
        self._writing: Writing = release.writing
        self._prompt = _named(release.writing)
        self._judge = VERIFY in release.models.tasks
        self._longest = max(
            (o.settings.max_tokens for o in release.models.tasks[ANSWER].options if o.settings), default=1024
        )
        self._count = count

    def write(self, run: Run, question: str, passages: Sequence[Passage]) -> Written | None:
        """Claims that hold, or None where nothing can be used.

        Records what the model was shown, what it wrote, and what became of each claim.
        """
        deadline = Deadline.after(self._writing.milliseconds / 1000)
        fitted = self._fit(question, passages)
        if not fitted.passages:
            return None
        run.step(
            "prompt",
            {"name": self._prompt.name, "version": self._prompt.version, "digest": self._prompt.digest},
            {
                "passages": {name: p.chunk for name, p in fitted.passages.items()},
                "dropped": list(fitted.dropped),
                "tokens": fitted.tokens,
            },
        )
        sensitivity = {p.view.classification or "internal" for p in fitted.passages.values()}
        request = ChatRequest(fitted.messages, self._longest, deadline.left, ANSWER_SCHEMA, "answer")
        outcome = self._caller.call(
            run, ANSWER, request, sensitivity=sensitivity, deadline=deadline, check=_of_the_form
        )
        if outcome.result is None:
            return None
        drafted = parse_answer(outcome.result.text)
        judge = self._judging(run, sensitivity, deadline) if self._judge else None
        checked = check_answer(drafted, fitted.passages, self._writing.coverage, judge)
        run.step("check", {"claims": len(checked)}, {"claims": [_record(c) for c in checked]})
        good = tuple((c.drafted.text.strip(), c.quotes) for c in checked if not c.fault)
        if len(good) < len(checked) and (self._writing.whole or not good):
            return None
        return Written(outcome.result.model, good)

    def _fit(self, question: str, passages: Sequence[Passage]) -> _Fitted:
        """As many passages as the budget holds, the least useful left out first."""
        named = {f"P{n}": p for n, p in enumerate(passages, 1)}
        dropped: list[str] = []
        while True:
            messages = self._prompt.render(
                evidence=[_shown(name, p) for name, p in named.items()], question=[question]
            )
            tokens = sum(self._count(m.content) for m in messages)
            if tokens <= self._writing.tokens or not named:
                return _Fitted(named, tuple(dropped), messages, tokens)
            _, last = named.popitem()
            dropped.append(last.chunk)

    def _judging(
        self, run: Run, sensitivity: set[str], deadline: Deadline
    ) -> Callable[[Sequence[tuple[str, str]]], Sequence[bool]]:
        asked = prompt("verify", 1)

        def judge(pairs: Sequence[tuple[str, str]]) -> Sequence[bool]:
            """No verdict is no support: a judge that fails lets nothing through."""
            messages = asked.render(pairs=[{"claim": c, "evidence": e} for c, e in pairs])
            request = ChatRequest(messages, 256, deadline.left, _JUDGED, "verdict")
            outcome = self._caller.call(
                run,
                VERIFY,
                request,
                sensitivity=sensitivity,
                deadline=deadline,
                check=lambda r: GOOD if len(_verdicts(r.text)) == len(pairs) else Judged(False, "schema"),
            )
            return [False] * len(pairs) if outcome.result is None else _verdicts(outcome.result.text)

        return judge


def _named(writing: Writing) -> Prompt:
    """The prompt that the release names. Raises UsageError if this version of affidavit has another text under that name."""
    try:
        found = prompt(writing.prompt, writing.version)
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no prompt {writing.prompt} version {writing.version}",
            "publish a release for this version",
        ) from error
    if found.digest != writing.digest:
        raise UsageError(
            f"prompt {writing.prompt} version {writing.version} is not the one that the release names",
            f"its digest is {found.digest}; publish a release that says so",
        )
    return found


def _of_the_form(result: ChatResult) -> Judged:
    try:
        parse_answer(result.text)
    except ModelError as error:
        return Judged(False, "schema", error.message)
    return GOOD


def _verdicts(text: str) -> list[bool]:
    """The judge's verdicts, none if it said anything else."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return []
    found = said.get("supported") if isinstance(said, dict) else None
    return found if isinstance(found, list) and all(isinstance(v, bool) for v in found) else []


def _shown(name: str, passage: Passage) -> dict[str, Json]:
    """A passage as the model sees it: without sentences that read as orders or hold a secret."""
    view, text = passage.view, passage.text
    for unit in reversed(units(0, passage)):
        if output_signals(unit.quote):
            text = f"{text[: unit.start - view.start]}…{text[unit.end - view.start :]}"
    return {"id": name, "title": view.title, "headings": list(view.path), "rank": view.rank, "text": text}


def _record(checked: Checked) -> dict[str, Json]:
    drafted = checked.drafted
    return {
        "text": drafted.text,
        "citations": [{"passage": p, "quote": q} for p, q in drafted.citations],
        "fault": checked.fault,
    }
