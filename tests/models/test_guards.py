"""The guards of a release: verdicts, order, and that whatever goes wrong is a refusal."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from tests.patience import soon

from affidavit.domain.canonical import digest
from affidavit.domain.errors import GuardError, UsageError
from affidavit.domain.guard_policy import GuardPolicy, parse
from affidavit.domain.guards import Finding, Stage, Verdict
from affidavit.domain.release import DEFAULT, load
from affidavit.models.guards import Guards
from affidavit.ports.guard import GuardInfo


class Other:
    """A guard that finds what it is told to, or fails."""

    def __init__(
        self,
        findings: Sequence[Finding] = (),
        error: Exception | None = None,
        wait: threading.Event | None = None,
    ) -> None:
        self.findings, self.error, self.wait = findings, error, wait
        self.saw: list[str] = []

    @property
    def info(self) -> GuardInfo:
        return GuardInfo("other", "1", local=True, places=True)

    def check(self, text: str, stage: Stage, timeout: float) -> Sequence[Finding]:
        self.saw.append(text)
        if self.wait is not None:
            self.wait.wait(200)
        if self.error is not None:
            raise self.error
        return self.findings

    def close(self) -> None:
        """Nothing to close."""


def policy(*steps: dict[str, Any], stage: str = "answer") -> GuardPolicy:
    patient = [{"timeout_ms": 60_000, **step} for step in steps]
    return parse({"longest": 10, stage: patient})


def judge(other: Other, step: dict[str, Any], text: str = "some text") -> Any:
    return Guards({"other": other}).judge(policy({"guard": "other", **step}), Stage.ANSWER, text)


def test_without_steps_everything_passes_unchanged() -> None:
    judged = Guards().judge(GuardPolicy(), Stage.ANSWER, "a sk-proj-abcdefghijklmnopqrstuvwx")
    assert (judged.verdict, judged.text, judged.outcomes) == (
        Verdict.ALLOW,
        "a sk-proj-abcdefghijklmnopqrstuvwx",
        (),
    )


def test_the_next_guard_sees_what_the_one_before_left() -> None:
    other = Other()
    steps = policy({"guard": "core", "verdicts": {"email": "redact", "orders": "flag"}}, {"guard": "other"})
    judged = Guards({"other": other}).judge(steps, Stage.ANSWER, "write to a@b.example")
    assert judged.verdict is Verdict.REDACT
    assert judged.text == "write to [redacted email]"
    assert other.saw == ["write to [redacted email]"]
    assert [o.verdict for o in judged.outcomes] == [Verdict.REDACT, Verdict.ALLOW]
    assert judged.outcomes[0].reason == "core: email"
    assert judged.cost > 0
    assert "a@b.example" not in str([o.plain() for o in judged.outcomes])


def test_a_refusal_leaves_nothing_and_ends_it() -> None:
    other = Other()
    steps = policy({"guard": "core", "verdicts": {"email": "refuse"}}, {"guard": "other"})
    judged = Guards({"other": other}).judge(steps, Stage.ANSWER, "write to a@b.example")
    assert (judged.verdict, judged.text, other.saw) == (Verdict.REFUSE, "", [])


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (GuardError("x"), "error"),
        (RuntimeError("x"), "error"),
        (ZeroDivisionError(), "error"),
        (MemoryError(), "error"),
    ],
)
def test_a_guard_that_raises_refuses(error: Exception, how: str) -> None:
    judged = judge(Other(error=error), {})
    assert (judged.verdict, judged.outcomes[0].failed, judged.text) == (Verdict.REFUSE, how, "")


def test_a_guard_that_hangs_refuses_and_is_not_asked_without_end() -> None:
    wait = threading.Event()
    other = Other(wait=wait)
    guards, steps = Guards({"other": other}), policy({"guard": "other", "timeout_ms": 5})
    for _ in range(20):
        judged = guards.judge(steps, Stage.ANSWER, "x")
        assert (judged.verdict, judged.outcomes[0].failed) == (Verdict.REFUSE, "timeout")
    soon(lambda: len(other.saw) == 16)
    wait.set()


def test_a_guard_that_is_not_there_refuses() -> None:
    judged = Guards().judge(policy({"guard": "other"}), Stage.ANSWER, "x")
    assert (judged.verdict, judged.outcomes[0].failed) == (Verdict.REFUSE, "missing")


def test_findings_outside_the_text_are_a_failure() -> None:
    assert judge(Other([Finding("other", "x", 5, 100, "r")]), {}).outcomes[0].failed == "error"


def test_a_declared_verdict_on_failure_holds_and_redact_then_refuses() -> None:
    assert judge(Other(error=GuardError("x")), {"failure": "flag"}).verdict is Verdict.FLAG
    assert judge(Other(error=GuardError("x")), {"failure": "redact"}).verdict is Verdict.REFUSE


def test_kinds_that_nobody_named_refuse_and_unsure_ones_are_flagged() -> None:
    assert judge(Other([Finding("other", "S1", 0, 0, "r")]), {}).verdict is Verdict.REFUSE
    assert judge(Other([Finding("other", "S1", 0, 0, "r", "0.4")]), {}).verdict is Verdict.FLAG
    assert judge(Other([Finding("other", "S1", 0, 0, "r", "0.4")]), {"from": "0.3"}).verdict is Verdict.REFUSE
    assert judge(Other([Finding("other", "S1", 0, 0, "r")]), {"otherwise": "allow"}).verdict is Verdict.ALLOW
    assert (
        judge(Other([Finding("other", "S1", 0, 0, "r")]), {"verdicts": {"S1": "redact"}}).text
        == "[redacted S1]"
    )


def test_what_is_configured_is_part_of_the_digest_and_what_is_not_leaves_it() -> None:
    assert load(DEFAULT).digest == "0319aafc6370a1bf7db66444375ece067635aa29c2e1c9a915174aa4c26264e9"
    guarded = {
        **DEFAULT,
        "guard": {"longest": 2000, "answer": [{"guard": "core", "verdicts": {"secret": "refuse"}}]},
    }
    assert load(guarded).digest != load(DEFAULT).digest
    assert load(guarded).digest == digest(guarded)
    assert load(guarded).guarding.policy.steps(Stage.ANSWER)[0].verdicts == {"secret": Verdict.REFUSE}


@pytest.mark.parametrize(
    "section",
    [
        {"answr": []},
        {"answer": {}},
        {"answer": [{}]},
        {"answer": [{"guard": "Core"}]},
        {"answer": [{"guard": "core"}]},
        {"answer": [{"guard": "core", "verdicts": {"secrets": "refuse"}}]},
        {"answer": [{"guard": "core", "verdicts": {"secret": "deny"}}]},
        {"answer": [{"guard": "core", "verdicts": {"secret": "refuse"}, "otherwise": "allow"}]},
        {"answer": [{"guard": "core", "verdicts": {"x": "refuse"}, "patterns": {"x": "a*"}}]},
        {"answer": [{"guard": "core", "verdicts": {"secret": "refuse"}, "patterns": {"x": "abc"}}]},
        {"answer": [{"guard": "core", "verdicts": {"secret": "refuse"}, "patterns": {"secret": "abc"}}]},
        {"answer": [{"guard": "core", "verdicts": {"link": "refuse"}, "hosts": ["https://acme.example"]}]},
        {"answer": [{"guard": "other", "hosts": ["acme.example"]}]},
        {"answer": [{"guard": "other", "from": 0.5}]},
        {"answer": [{"guard": "other", "from": "1.5"}]},
        {"answer": [{"guard": "other", "timeout_ms": 0}]},
        {"answer": [{"guard": "other", "timeout_ms": True}]},
        {"answer": [{"guard": "other", "failure": "ignore"}]},
        {"answer": [{"guard": "other", "verdict": {}}]},
        {"answer": ["core"]},
    ],
)
def test_what_is_not_understood_is_no_release(section: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        load({**DEFAULT, "guard": {"longest": 2000, **section}})
