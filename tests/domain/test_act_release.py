"""What a release says of acting: exactly that, or it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from affidavit.domain.acting import parse_acting
from affidavit.domain.errors import UsageError
from affidavit.domain.release import DEFAULT, load

ACT: dict[str, Any] = {
    "tools": {"default": ["look", "refund@2"], "none": []},
    "steps": 6,
    "milliseconds": 60_000,
    "prompt": "act",
    "version": 1,
    "digest": "0" * 64,
    "coverage": "0.6",
}


def test_what_is_said_is_what_holds() -> None:
    acting = parse_acting(ACT)
    assert acting.tools == {"default": ("look", "refund@2"), "none": ()}
    assert (acting.steps, acting.milliseconds, acting.coverage) == (6, 60_000, 0.6)
    assert load(DEFAULT).acting is None
    assert load({**DEFAULT, "act": ACT}).acting == acting


@pytest.mark.parametrize("key", [k for k in ACT if k != "tools"])
def test_every_value_is_part_of_the_release_s_name(key: str) -> None:
    other = 7 if isinstance(ACT[key], int) else "0.5" if key == "coverage" else "other"
    assert load({**DEFAULT, "act": {**ACT, key: other}}).digest != load({**DEFAULT, "act": ACT}).digest


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": {}},
        {"tools": {"default": "refund"}},
        {"tools": {"default": [7]}},
        {"tools": ["refund"]},
        {"steps": 0},
        {"steps": 101},
        {"milliseconds": 0},
        {"coverage": "1.5"},
        {"coverage": "nan"},
        {"more": 1},
    ],
    ids=str,
)
def test_anything_else_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="malformed"):
        load({**DEFAULT, "act": {**ACT, **wrong}})
    for name in ACT:
        with pytest.raises(UsageError, match="malformed"):
            load({**DEFAULT, "act": {k: v for k, v in ACT.items() if k != name}})
