"""What every guard must do. Subclass in a test module and say how to make one, and what it finds:

class TestMine(GuardConformance):
    bad = "a text it objects to"

    def make(self) -> Guard:
        return Mine()
"""
# ruff: noqa: S101 - a test suite asserts

from __future__ import annotations

import threading
from decimal import Decimal

import pytest

from affidavit.domain.errors import GuardError
from affidavit.domain.guards import Finding, Stage
from affidavit.ports.guard import Guard

_SECONDS = 100.0


class GuardConformance:
    """The contract of ``ports.guard`` as tests."""

    good = "The meeting is on Tuesday."
    bad = ""

    def make(self) -> Guard:
        """A guard that finds something in ``bad`` and nothing in ``good``."""
        raise NotImplementedError

    def broken(self) -> Guard | None:
        """One whose back-end does not answer or answers nonsense; None if there is nothing that could break."""
        return None

    def test_nothing_found_is_empty(self) -> None:
        guard = self.make()
        for stage in guard.info.stages:
            assert list(guard.check(self.good, stage, _SECONDS)) == []

    def test_what_is_found_is_well_formed(self) -> None:
        guard = self.make()
        for stage in guard.info.stages:
            found = guard.check(self.bad, stage, _SECONDS)
            assert found
            for finding in found:
                self._check(guard, finding)

    def _check(self, guard: Guard, finding: Finding) -> None:
        assert finding.guard == guard.info.name
        assert finding.kind
        assert finding.reason
        assert 0 <= finding.start <= finding.end <= len(self.bad)
        assert guard.info.places or finding.whole
        assert Decimal(0) <= finding.sure <= Decimal(1)
        assert self.bad not in finding.reason

    def test_odd_texts_are_judged(self) -> None:
        guard = self.make()
        for text in ("", " \n", "\u200b", "é" * 500, "a\0b", "😀"):
            guard.check(text, Stage.ANSWER, _SECONDS)

    def test_the_same_twice_is_the_same(self) -> None:
        guard = self.make()
        once = list(guard.check(self.bad, Stage.ANSWER, _SECONDS))
        assert list(guard.check(self.bad, Stage.ANSWER, _SECONDS)) == once

    def test_several_threads_may_ask(self) -> None:
        guard = self.make()
        wanted = list(guard.check(self.bad, Stage.ANSWER, _SECONDS))
        got: list[list[Finding]] = []
        threads = [
            threading.Thread(target=lambda: got.append(list(guard.check(self.bad, Stage.ANSWER, _SECONDS))))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [wanted] * 4

    def test_a_broken_back_end_is_an_error_that_helps(self) -> None:
        guard = self.broken()
        if guard is None:
            pytest.skip("nothing that could break")
        with pytest.raises(GuardError) as caught:
            guard.check(self.good, Stage.ANSWER, _SECONDS)
        assert caught.value.message
        assert caught.value.hint

    def test_a_closed_guard_does_not_judge(self) -> None:
        guard = self.make()
        guard.close()
        with pytest.raises(GuardError):
            guard.check(self.good, Stage.ANSWER, _SECONDS)
