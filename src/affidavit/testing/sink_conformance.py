"""What every sink must do. Subclass in a test module and say how to make one, and how to see what arrived:

    class TestMine(SinkConformance):
        def make(self) -> Sink:
            return Mine()

        def arrived(self) -> list[str]:
            return [...]  # the checkpoints that are there now, oldest first

The sink must take the log of ``testing.signed_log.SignedLog``; a witness must know its key.
"""
# ruff: noqa: S101 - a test suite asserts

from __future__ import annotations

import pytest

from affidavit.domain.errors import SinkError
from affidavit.ports.sink import Sink
from affidavit.testing.signed_log import ORIGIN, SignedLog


class SinkConformance:
    """The contract of ``ports.sink`` as tests."""

    keeps_all = True
    """Whether older checkpoints stay beside the newest."""
    once = True
    """Whether the place itself keeps a repetition out (a mailbox and a webhook can only recognise one)."""

    def make(self) -> Sink:
        """A sink; every one made during a test puts checkpoints in the same place."""
        raise NotImplementedError

    def arrived(self) -> list[str]:
        """The checkpoints in that place now, oldest first, without cosignatures."""
        raise NotImplementedError

    def broken(self) -> Sink:
        """A sink whose place cannot be reached."""
        raise NotImplementedError

    def test_what_is_sent_arrives_byte_for_byte(self) -> None:
        log = SignedLog()
        self.make().send(log.delivery(7))
        assert self.arrived() == [log.note(7)]

    def test_a_longer_log_follows(self) -> None:
        log = SignedLog()
        self.make().send(log.delivery(7))
        self.make().send(log.delivery(64, before=7))
        self.make().send(log.delivery(65, before=64))
        sent = [log.note(7), log.note(64), log.note(65)]
        assert self.arrived() == (sent if self.keeps_all else sent[-1:])

    def test_the_same_twice_is_one(self) -> None:
        log = SignedLog()
        self.make().send(log.delivery(7))
        self.make().send(log.delivery(7, before=7))
        self.make().send(log.delivery(7))  # as after a crash between sending and remembering it
        assert list(dict.fromkeys(self.arrived())) == [log.note(7)]
        if self.once:
            assert len(self.arrived()) == 1

    def test_what_is_held_is_what_arrived_or_nothing(self) -> None:
        log = SignedLog()
        assert self.make().held(ORIGIN) == []
        self.make().send(log.delivery(7))
        held = [note[: len(log.note(7))] for note in self.make().held(ORIGIN)]
        assert held in ([], [log.note(7)])

    def test_a_place_out_of_reach_is_an_error_that_helps(self) -> None:
        with pytest.raises(SinkError) as caught:
            self.broken().send(SignedLog().delivery(7))
        assert caught.value.message
        assert caught.value.hint
