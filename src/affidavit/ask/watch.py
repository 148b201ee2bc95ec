"""The guards of a release within one question: what they say of its words, its evidence and its claims, as steps of the run.

A guard sees one text at a time: the question, one passage the asker may read, one claim with its quotes. So what it says of one
never depends on another, and never on what the asker may not read. A release without guards adds no step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from affidavit.ask.guard import MASK
from affidavit.ask.retrieve import Passage
from affidavit.domain.answer import Citation, Claim
from affidavit.domain.canonical import Json, digest, text_digest
from affidavit.domain.guard_core import NAME
from affidavit.domain.guard_policy import GuardStep
from affidavit.domain.guards import Finding, Stage, Verdict, merged, take_out
from affidavit.domain.records import CLASSIFICATIONS
from affidavit.domain.release import Release
from affidavit.domain.routes import CONFIDENTIAL
from affidavit.models.guards import Found, Guards, Judged, Remove
from affidavit.runs.recorder import Run

FOUND = "guard.found"
"""The step that holds what a guard of others said; the steps named after stages hold what the release makes of it."""


class Watch:
    """One question under the guards of ``release``. ``refused``: a guard forbids the whole answer; ``dropped``: claims that were
    kept back."""

    def __init__(self, run: Run, release: Release, guards: Guards) -> None:
        self._run = run
        self._policy = release.guarding.policy
        self._content: Any = release.content["guard"]
        self._guards = guards
        self._asked: Counter[str] = Counter()
        self.refused = False
        self.dropped = 0

    def question(self, text: str, classes: Iterable[str] = ()) -> str | None:
        """The question as it may be used, None if it may not. ``classes``: the classifications of what is in it besides the
        person's words."""
        if not self._policy.steps(Stage.QUESTION):
            return text
        judged = self._judge(Stage.QUESTION, text, confidential(classes), blank)
        left = judged.verdict is not Verdict.REFUSE and any(c.isalnum() for c in judged.text)
        verdict = judged.verdict if left else Verdict.REFUSE
        self._step(Stage.QUESTION, len(text), {"verdict": verdict.value, **_said(judged)}, judged.cost)
        return judged.text if left else None

    def turns(self, turns: Sequence[Any]) -> list[Any]:
        """Earlier turns of a conversation as they may be used: their questions are watched like this one's."""
        if not self._policy.steps(Stage.QUESTION):
            return list(turns)
        kept = []
        for turn in turns:
            question = self.question(turn["question"], turn["sensitivity"])
            if question is not None:
                kept.append({**turn, "question": question})
        return kept

    def passages(self, passages: Sequence[Passage]) -> list[Passage]:
        """The passages that may be evidence, without what is to be taken out: there ``MASK`` stands, and no sentence with it is
        quoted or shown."""
        if not self._policy.steps(Stage.PASSAGE):
            return list(passages)
        kept: list[Passage] = []
        said: list[Json] = []
        cost = 0
        for passage in passages:
            heading = "\n".join((passage.view.title, *passage.view.path, ""))
            whole = heading + passage.text
            judged = self._judge(Stage.PASSAGE, whole, confidential([passage.view.classification]), mask)
            spared = _spared(judged, heading)
            if spared:
                kept.append(
                    passage if judged.text == whole else _masked(passage, judged.text[len(heading) :])
                )
            verdict = judged.verdict.value if spared else Verdict.REFUSE.value
            said.append({"chunk": passage.chunk, "verdict": verdict, **_said(judged)})
            cost += judged.cost
        self._step(Stage.PASSAGE, len(passages), {"passages": said}, cost)
        return kept

    def claim(self, claim: Claim, classes: Iterable[str]) -> bool:
        """Whether the claim may be given. What would be redacted takes the claim with it: a quote is what the document says.
        ``refuse`` forbids the answer, see ``refused``. ``classes``: the classifications of what it cites."""
        if not self._policy.steps(Stage.ANSWER):
            return True
        judged = self._judge(Stage.ANSWER, _shown(claim), confidential(classes), take_out)
        verdict = self._verdict(judged)
        self._step(Stage.ANSWER, len(_shown(claim)), {"verdict": verdict.value, **_said(judged)}, judged.cost)
        self.refused |= verdict is Verdict.REFUSE
        self.dropped += verdict is Verdict.REDACT
        return verdict in (Verdict.ALLOW, Verdict.FLAG)

    def _verdict(self, judged: Judged) -> Verdict:
        """A guard that fails and whose release says ``redact`` takes the claim, not the answer."""
        last = len(judged.outcomes) - 1
        step = self._policy.steps(Stage.ANSWER)[last]
        if judged.outcomes[last].failed and step.failure is Verdict.REDACT:
            return Verdict.REDACT
        return judged.verdict

    def _judge(self, stage: Stage, text: str, local: bool, remove: Remove) -> Judged:
        policy = digest(self._content[stage.value])

        def asking(step: GuardStep, given: str, ask: Callable[[], Found]) -> Found:
            what: dict[str, Json] = {"stage": stage.value, "guard": step.guard, "text": text_digest(given)}
            what |= {"policy": policy, "local": local}
            again = self._asked[digest(what)]
            self._asked[digest(what)] += 1
            said = self._run.effect(FOUND, {**what, "again": again}, lambda: _plain(ask()))
            return Found(tuple(Finding(**f) for f in said["findings"]), said["failed"])

        return self._guards.judge(self._policy, stage, text, local=local, asking=asking, remove=remove)

    def _step(self, stage: Stage, size: int, output: Json, cost: int) -> None:
        self._run.step(f"guard.{stage.value}", {"size": size}, output, cost)


def may_refuse(steps: Sequence[GuardStep]) -> bool:
    """Whether one claim can forbid the whole answer: then nothing may be given before all of it was judged."""
    return any(
        Verdict.REFUSE in step.verdicts.values()
        or (step.guard != NAME and Verdict.REFUSE in (step.otherwise, step.failure))
        for step in steps
    )


def confidential(classes: Iterable[str]) -> bool:
    """Whether a text of these classifications may not leave the machine; what nobody knows may not."""
    return any(CLASSIFICATIONS.index(c) >= CONFIDENTIAL if c in CLASSIFICATIONS else bool(c) for c in classes)


def mask(text: str, findings: Sequence[Finding]) -> str:
    """``text`` with each finding's place covered, letter for letter: what stands behind it stays where it was."""
    if any(f.whole for f in findings):
        return MASK * len(text)
    out = text
    for start, end, _ in merged(findings):
        out = out[:start] + MASK * (end - start) + out[end:]
    return out


def blank(text: str, findings: Sequence[Finding]) -> str:
    """``text`` with three dots for each finding's place: words of ours in a question would be searched for."""
    if any(f.whole for f in findings):
        return ""
    out = text
    for start, end, _ in reversed(merged(findings)):
        out = f"{out[:start]}…{out[end:]}"
    return out


def _spared(judged: Judged, heading: str) -> bool:
    """Whether something is left of a passage. What is found in its title or headings cannot be taken out of them."""
    if judged.verdict is Verdict.REFUSE or MASK in judged.text[: len(heading)]:
        return False
    return bool(judged.text[len(heading) :].replace(MASK, "").strip())


def _masked(passage: Passage, text: str) -> Passage:
    def covered(view: Any) -> str:
        full = passage.revision_text(view)
        return full[: view.start] + text + full[view.stop :]

    return replace(passage, revision_text=covered)


def _shown(claim: Claim) -> str:
    """All of a claim that a person is shown, once each."""
    cited: tuple[Citation, ...] = (*claim.citations, *claim.overrules)
    return "\n".join(dict.fromkeys([claim.text, *(t for c in cited for t in (c.quote, c.title))]))


def _said(judged: Judged) -> dict[str, Json]:
    return {"outcomes": [o.plain() for o in judged.outcomes]}


def _plain(found: Found) -> dict[str, Json]:
    return {"findings": [f.plain() for f in found.findings], "failed": found.failed}
