"""A guard over a text that grows: nothing is let go that a later character could make part of a finding.

What is held back is bounded: the last ``REACH`` characters, the word that has no end yet, a tag or bracket that is open,
a private
key whose end has not come. More than ``HELD`` characters held is a refusal. What is released in all is, character by character,
what the guard would have made of the whole text at once (``tests/models/test_guard_stream.py`` holds it to that).
"""

from __future__ import annotations

from collections.abc import Sequence

from affidavit.domain.errors import UsageError
from affidavit.domain.folding import Folded
from affidavit.domain.guard_core import find
from affidavit.domain.guard_policy import GuardStep
from affidavit.domain.guards import Finding, Verdict, take_out
from affidavit.domain.leaks import pending
from affidavit.models.guards import streamable
from affidavit.policy.guards import decide, verdict_of

REACH = 384
"""Characters that a finding with blanks in it can have, those around it that decide it included; others have no blanks."""
CONTEXT = 96
"""Characters before a finding that decide about it."""
HELD = 16_384


class GuardedStream:
    """One growing text under one step of ``core``. Not for several threads.

    ``refused`` is set when a finding refuses, or more is held than may be: what was released until then is text before it, and
    nothing more comes.
    """

    def __init__(self, step: GuardStep) -> None:
        if not streamable(step):
            raise UsageError(
                "this step judges whole texts only",
                "watch a growing answer for secrets, personal data, ways out and patterns",
            )
        self._step = step
        self._text = ""
        self._given = 0  # of self._text, before which all was released
        self._cuts = [0]  # places in self._text that no finding touches
        self._looked = 0
        self.refused = False
        self.findings: list[Finding] = []
        """What decided so far; offsets into the text that went in."""
        self._gone = 0  # characters that went in before self._text

    def push(self, text: str) -> str:
        """Take in ``text``; what may be given now, often nothing."""
        if self.refused:
            return ""
        self._text += text
        held = len(self._text) - self._given
        if held < REACH or len(self._text) - self._looked < max(64, held // 4):
            return ""
        self._looked = len(self._text)
        return self._release(last=False)

    def close(self) -> str:
        """The text is whole: the rest of it."""
        return "" if self.refused else self._release(last=True)

    def _release(self, *, last: bool) -> str:
        found = [f for f in self._found() if f.end > self._given]
        cut = len(self._text) if last else self._cut(found)
        refusing = next((f for f in found if verdict_of(self._step, f) is Verdict.REFUSE), None)
        if refusing is not None and refusing.start < cut:
            cut, self.refused = refusing.start, True
        within = [f for f in found if f.start < cut]
        out = self._render(cut, within)
        self.findings += [_moved(f, self._gone) for f in within] + (
            [] if refusing is None or not self.refused else [_moved(refusing, self._gone)]
        )
        if not self.refused:
            self._forget(cut)
            self.refused = len(self._text) - self._given > HELD
        return out

    def _found(self) -> Sequence[Finding]:
        return find(
            self._text, set(self._step.verdicts), hosts=self._step.hosts, patterns=self._step.patterns
        )

    def _cut(self, found: Sequence[Finding]) -> int:
        """The last place behind a blank before which everything is decided, at least ``self._given``."""
        folded = Folded(self._text, lower=False)
        at = min(len(self._text) - REACH, _source(folded, pending(folded.text)))
        while at > self._given:
            crossing = min((f.start for f in found if f.start < at < f.end), default=at)
            blank = _blank_before(self._text, crossing, self._given)
            if blank == at == crossing:
                return at
            at = blank
        return self._given

    def _render(self, cut: int, within: Sequence[Finding]) -> str:
        redact = [_moved(f, -self._given) for f in decide(self._step, within).redact]
        return take_out(self._text[self._given : cut], [f for f in redact if f.start >= 0])

    def _forget(self, cut: int) -> None:
        """Drop what no later decision looks at."""
        self._given = cut
        self._cuts.append(cut)
        base = max((c for c in self._cuts if c <= cut - CONTEXT), default=self._cuts[0])
        self._cuts = [c - base for c in self._cuts if c >= base]
        self._text = self._text[base:]
        self._given -= base
        self._looked -= base
        self._gone += base


def _source(folded: Folded, at: int) -> int:
    return folded.span(at, at + 1)[0] if at < len(folded.text) else 1 << 60


def _blank_before(text: str, at: int, least: int) -> int:
    while at > least and not text[at - 1].isspace():
        at -= 1
    return max(at, least)


def _moved(finding: Finding, by: int) -> Finding:
    return Finding(
        finding.guard, finding.kind, finding.start + by, finding.end + by, finding.reason, finding.confidence
    )
