"""One budget that later steps see."""

from __future__ import annotations

from affidavit.models.deadline import Deadline


def test_what_one_step_takes_the_next_does_not_have() -> None:
    now = 100.0
    whole = Deadline.after(10, lambda: now)
    step = whole.within(4)
    assert (whole.left, step.left) == (10, 4)
    now = 107.0
    assert (whole.left, step.left, whole.within(4).left) == (3, 0, 3)
    now = 200.0
    assert whole.left == 0
