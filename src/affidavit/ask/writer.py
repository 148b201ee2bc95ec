"""Step 8 with a language model: it writes claims over the evidence, and only those that hold are kept.

The model sees the question and the passages as data, nothing else. Where it fails, is not allowed to see the text, or
writes nothing that holds, there is None, and the extractive answerer or a refusal follows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.ask.claims import (
    ANSWER_SCHEMA,
    MOST_CLAIMS,
    Judge,
    check_answer,
    parse_answer,
    parse_claim,
)
from affidavit.ask.cutter import ClaimCutter
from affidavit.ask.drafts import ANSWER, Checked, Drafted, Written
from affidavit.ask.giving import Giving
from affidavit.ask.prompt import named_prompt, prompt
from affidavit.ask.retrieve import Passage
from affidavit.ask.showing import Own, Showing, Shown
from affidavit.domain.canonical import Json
from affidavit.domain.errors import ModelError, UsageError
from affidavit.domain.release import Release, Writing
from affidavit.models.caller import Caller
from affidavit.models.course import Piece
from affidavit.models.deadline import Deadline
from affidavit.models.outcome import GOOD, Judged
from affidavit.models.plane import Parts
from affidavit.ports.model import ChatRequest, ChatResult
from affidavit.runs.recorder import Run

VERIFY = "verify"
CLAIM = "model.claim"
"""The step of a claim that was cut out of a growing answer."""
_JUDGED: Mapping[str, Json] = {
    "type": "object",
    "properties": {"supported": {"type": "array", "items": {"type": "boolean"}}},
    "required": ["supported"],
    "additionalProperties": False,
}


class _Stream:
    """Claims out of one growing answer, each checked and offered once, whichever of the targets says it."""

    def __init__(self, check: Callable[[Drafted], Checked], giving: Giving) -> None:
        self._check = check
        self._giving = giving
        self._cutter = ClaimCutter()
        self._heard, self._cut = 0, 0
        self._attempt = 0
        self.checked: list[Checked] = []

    def cut(self, piece: Piece) -> list[Json]:
        """The claims that are whole by ``piece``, of the form asked for."""
        if piece.number != self._heard:
            self._heard, self._cut, self._cutter = piece.number, 0, ClaimCutter()
        out: list[Json] = []
        for claim in self._cutter.push(piece.text):
            if self._cut == MOST_CLAIMS or not _is_claim(claim):
                self._cutter.stop()
                break
            self._cut += 1
            out.append({"attempt": piece.number, "claim": claim})
        return out

    def take(self, said: Mapping[str, Any]) -> bool:
        """Check a claim that was cut, and offer it; whether any was given so far."""
        if said["attempt"] != self._attempt:
            self._attempt = said["attempt"]
            self.forget()
        self.add(parse_claim(said["claim"]))
        return bool(self._giving.given)

    def forget(self) -> None:
        """The answer begins anew: nothing of it was given."""
        self.checked.clear()
        self._giving.forget()

    def add(self, drafted: Drafted) -> None:
        """The next claim."""
        checked = self._check(drafted)
        self.checked.append(checked)
        if not checked.fault:
            self._giving.offer(checked.text, checked.quotes)

    def complete(self, whole: Sequence[Drafted]) -> bool:
        """The answer is ``whole``: add what was not cut out of it. False if it is not the one of which claims were given."""
        same = [c.drafted for c in self.checked] == list(whole[: len(self.checked)])
        if not same and self._giving.given:
            return False
        if not same:
            self.forget()
        for drafted in whole[len(self.checked) :]:
            self.add(drafted)
        return True


@dataclass(frozen=True)
class _Asking:
    """One prompt put to the targets that may see it; ``check`` checks what they say."""

    run: Run
    shown: Shown
    within: Deadline
    check: Callable[[Sequence[Drafted]], list[Checked]]


class Writer:
    """Writes one answer with the models of a release. ``count`` estimates tokens, ``own`` has a target count them."""

    def __init__(
        self, caller: Caller, release: Release, count: Callable[[str], int], own: Own | None = None
    ) -> None:
        if release.models is None or ANSWER not in release.models.tasks or release.writing is None:
            raise UsageError("the release has no model that answers", "see docs/how-to/models.md")
        self._caller = caller
        self._writing: Writing = release.writing
        self._prompt = named_prompt(release.writing.prompt, release.writing.version, release.writing.digest)
        self._judge = VERIFY in release.models.tasks
        self._longest = max(
            (o.settings.max_tokens for o in release.models.tasks[ANSWER].options if o.settings), default=1024
        )
        self._showing = Showing(self._prompt, release.writing, release.models.tasks[ANSWER], count, own)

    def write(
        self,
        run: Run,
        question: str,
        passages: Sequence[Passage],
        support: Judge | None = None,
        giving: Giving | None = None,
    ) -> Written | None:
        """Claims that hold, or None where nothing can be used. With ``giving`` each is offered as soon as it is whole.

        Records what the model was shown, what it wrote, and what became of each claim.
        """
        deadline = Deadline.after(self._writing.milliseconds / 1000)
        order = [f"P{n}" for n in range(1, len(passages) + 1)]
        for shown, within in self._showing.each(run, question, passages, deadline):
            asking = _Asking(run, shown, within, self._checker(run, shown, order, deadline, support))
            request = ChatRequest(shown.messages, self._longest, within.left, ANSWER_SCHEMA, "answer")
            by = "words" if support is None else "vectors"
            if giving is not None:
                done, written = self._stream(asking, request, giving, by)
                if done:
                    return written
                continue
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
                checked = asking.check(parse_answer(outcome.result.text))
                return self._written(run, outcome.result.model, checked, by)
        return None

    def _checker(
        self, run: Run, shown: Shown, order: Sequence[str], deadline: Deadline, support: Judge | None
    ) -> Callable[[Sequence[Drafted]], list[Checked]]:
        judge = judging(self._caller, run, shown.sensitivity, deadline) if self._judge else None
        return lambda drafted: check_answer(
            drafted, shown.passages, self._writing.coverage, judge, support, order, self._writing.wording
        )

    def _stream(
        self, asking: _Asking, request: ChatRequest, giving: Giving, by: str
    ) -> tuple[bool, Written | None]:
        """A claim at a time; whether this is the end of it, and what there is. What was given stays, whatever becomes of the
        rest."""
        giving.forget()

        def one(drafted: Drafted) -> Checked:
            (checked,) = asking.check([drafted])
            asking.run.step("check.claim", {"claim": drafted.text}, _record(checked))
            return checked

        stream = _Stream(one, giving)
        outcome = self._caller.stream(
            asking.run,
            ANSWER,
            request,
            Parts(CLAIM, stream.cut, stream.take),
            sensitivity=asking.shown.sensitivity,
            deadline=asking.within,
            check=_of_the_form,
            options=asking.shown.options,
        )
        if outcome.result is not None and stream.complete(parse_answer(outcome.result.text)):
            return True, self._written(asking.run, outcome.result.model, stream.checked, by)
        if not giving.given:
            return False, None
        asked = [d.option for d in outcome.decisions if d.what in ("asked", "hedged")]
        model = asked[-1] if asked else ""
        return True, self._written(asking.run, model, stream.checked, by, incomplete=True)

    def _written(
        self, run: Run, model: str, checked: Sequence[Checked], by: str, *, incomplete: bool = False
    ) -> Written | None:
        run.step("check", {"claims": len(checked), "support": by}, {"claims": [_record(c) for c in checked]})
        good = tuple((c.text, c.quotes) for c in checked if not c.fault)
        if len(good) < len(checked) and (self._writing.whole or not good):
            return None
        return Written(model, good, incomplete)


def judging(
    caller: Caller, run: Run, sensitivity: set[str], deadline: Deadline
) -> Callable[[Sequence[tuple[str, str]]], Sequence[bool]]:
    """Asks the models of the task ``verify`` whether claims are carried by what they cite."""
    asked = prompt("verify", 1)

    def judge(pairs: Sequence[tuple[str, str]]) -> Sequence[bool]:
        """No verdict is no support: a judge that fails lets nothing through."""
        messages = asked.render(pairs=[{"claim": c, "evidence": e} for c, e in pairs])
        request = ChatRequest(messages, 256, deadline.left, _JUDGED, "verdict")
        outcome = caller.call(
            run,
            VERIFY,
            request,
            sensitivity=sensitivity,
            deadline=deadline,
            check=lambda r: GOOD if len(_verdicts(r.text)) == len(pairs) else Judged(False, "schema"),
        )
        return [False] * len(pairs) if outcome.result is None else _verdicts(outcome.result.text)

    return judge


def _of_the_form(result: ChatResult) -> Judged:
    try:
        parse_answer(result.text)
    except ModelError as error:
        return Judged(False, "schema", error.message)
    return GOOD


def _is_claim(text: str) -> bool:
    try:
        parse_claim(text)
    except ModelError:
        return False
    return True


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
