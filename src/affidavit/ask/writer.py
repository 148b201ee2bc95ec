"""Step 8 with a language model: it writes claims over the evidence, and only those that hold are kept.

The model sees the question and the passages as data, nothing else. Where it fails, is not allowed to see the text, or
writes nothing that holds, there is None, and the extractive answerer or a refusal follows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from affidavit.ask.claims import ANSWER_SCHEMA, Checked, Judge, Quoted, check_answer, parse_answer
from affidavit.ask.prompt import Prompt, prompt
from affidavit.ask.retrieve import Passage
from affidavit.ask.showing import Own, Showing, Shown
from affidavit.domain.canonical import Json
from affidavit.domain.errors import ModelError, UsageError
from affidavit.domain.release import Release, Writing
from affidavit.models.caller import Caller
from affidavit.models.deadline import Deadline
from affidavit.models.outcome import GOOD, Judged
from affidavit.ports.model import ChatRequest, ChatResult
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


class Writer:
    """Writes one answer with the models of a release. ``count`` estimates tokens, ``own`` has a target count them."""

    def __init__(
        self, caller: Caller, release: Release, count: Callable[[str], int], own: Own | None = None
    ) -> None:
        if release.models is None or ANSWER not in release.models.tasks or release.writing is None:
            raise UsageError("the release has no model that answers", "see docs/how-to/models.md")
        self._caller = caller
        self._writing: Writing = release.writing
        self._prompt = _named(release.writing)
        self._judge = VERIFY in release.models.tasks
        self._longest = max(
            (o.settings.max_tokens for o in release.models.tasks[ANSWER].options if o.settings), default=1024
        )
        self._showing = Showing(self._prompt, release.writing, release.models.tasks[ANSWER], count, own)

    def write(
        self, run: Run, question: str, passages: Sequence[Passage], support: Judge | None = None
    ) -> Written | None:
        """Claims that hold, or None where nothing can be used.

        Records what the model was shown, what it wrote, and what became of each claim.
        """
        deadline = Deadline.after(self._writing.milliseconds / 1000)
        for shown, within in self._showing.each(run, question, passages, deadline):
            request = ChatRequest(shown.messages, self._longest, within.left, ANSWER_SCHEMA, "answer")
            outcome = self._caller.call(
                run,
                ANSWER,
                request,
                sensitivity=shown.sensitivity,
                deadline=within,
                check=_of_the_form,
                options=shown.options,
            )
            if outcome.result is not None:
                return self._kept(run, outcome.result, shown, len(passages), deadline, support)
        return None

    def _kept(
        self,
        run: Run,
        result: ChatResult,
        shown: Shown,
        passages: int,
        deadline: Deadline,
        support: Judge | None,
    ) -> Written | None:
        """What of an answer holds, None where nothing can be used."""
        judge = self._judging(run, shown.sensitivity, deadline) if self._judge else None
        order = [f"P{n}" for n in range(1, passages + 1)]
        checked = check_answer(
            parse_answer(result.text), shown.passages, self._writing.coverage, judge, support, order
        )
        by = "words" if support is None else "vectors"
        run.step("check", {"claims": len(checked), "support": by}, {"claims": [_record(c) for c in checked]})
        good = tuple((c.drafted.text.strip(), c.quotes) for c in checked if not c.fault)
        if len(good) < len(checked) and (self._writing.whole or not good):
            return None
        return Written(result.model, good)

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


def _record(checked: Checked) -> dict[str, Json]:
    drafted = checked.drafted
    return {
        "text": drafted.text,
        "citations": [{"passage": p, "quote": q} for p, q in drafted.citations],
        "fault": checked.fault,
    }
