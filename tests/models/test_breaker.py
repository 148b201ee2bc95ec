"""The breaker against a model of itself: one probe and no more, and it never stays shut for ever."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from affidavit.models.breaker import Breaker, Permit

COOL, THRESHOLD = 10.0, 3


class BreakerMachine(RuleBasedStateMachine):
    """Any order of asking, answering, failing and cancelling, over time."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker(THRESHOLD, COOL)
        self.opened: float | None = None
        self.probes = 0
        self.row = 0
        self.era: list[Permit] = []

    @rule(seconds=st.sampled_from([0.1, 5.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def ask(self) -> Permit | None:
        ready = self.breaker.ready(self.now)
        permit = self.breaker.admit(self.now)
        assert (permit is not None) is ready
        if permit is None:
            assert self.opened is not None, "closed, and nobody may ask"
            assert self.now < self.opened + COOL or self.probes == 1, "half open, and nobody may probe"
            return None
        assert permit.probe is (self.opened is not None)
        if permit.probe:
            assert self.opened is not None and self.now >= self.opened + COOL
            self.probes += 1
        self.era.append(permit)
        return permit

    @invariant()
    def one_probe(self) -> None:
        assert self.probes <= 1

    @rule(permit=consumes(permits), end=st.sampled_from(["passed", "failed", "unknown"]))
    def ends(self, permit: Permit | None, end: str) -> None:
        if permit is None:
            return
        current = permit in self.era
        if end == "failed":
            self.breaker.failed(permit, self.now)
        else:
            getattr(self.breaker, end)(permit)
        if not current:
            return
        self.probes -= permit.probe
        if end == "passed":
            self.opened, self.row, self.probes = None, 0, 0
        elif end == "failed":
            self.row += 1
            if permit.probe or self.row >= THRESHOLD:
                self.opened, self.row, self.probes, self.era = self.now, 0, 0, []


BreakerMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestBreaker = BreakerMachine.TestCase


def test_what_was_asked_before_it_opened_says_nothing_about_now() -> None:
    breaker = Breaker(1, COOL)
    early, failing = breaker.admit(0), breaker.admit(0)
    assert early is not None and failing is not None
    breaker.failed(failing, 0)
    breaker.passed(early)
    assert not breaker.ready(5) and breaker.ready(COOL)


def test_a_cancelled_probe_lets_another_probe() -> None:
    breaker = Breaker(1, COOL)
    breaker.failed(breaker.admit(0) or pytest.fail("not admitted"), 0)
    probe = breaker.admit(11)
    assert probe is not None and probe.probe and breaker.admit(11) is None
    breaker.unknown(probe)
    assert breaker.admit(11) is not None


def test_quiet_lasts_a_minute_at_most() -> None:
    breaker = Breaker()
    breaker.rest(0, 1e12)
    breaker.rest(0, 1)
    assert not breaker.ready(59.9) and breaker.ready(60)
