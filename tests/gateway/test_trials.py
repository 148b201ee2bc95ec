"""Each promise has a tool that breaks it, and the trial finds exactly that."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import pytest

from affidavit.domain.errors import ToolError, UnknownNameError
from affidavit.gateway.contracts import Context, Tool, tool
from affidavit.gateway.schemas import Limits
from affidavit.gateway.trials import PROPERTIES, Case, canary, examine

PLACE: list[Path] = []


def rows() -> list[str]:
    return sorted(p.name for p in PLACE[-1].iterdir())


@contextmanager
def sandbox() -> Iterator[Callable[[], object]]:
    """The outside is a folder: what was done is a file."""
    with TemporaryDirectory() as folder:
        PLACE.append(Path(folder))
        try:
            yield rows
        finally:
            PLACE.pop()


def done(name: str) -> None:
    (PLACE[-1] / name).touch()


def anew(prefix: str) -> None:
    """Something that is done again each time."""
    for number in range(100):
        with suppress(FileExistsError):
            os.close(os.open(PLACE[-1] / f"{prefix}{number}", os.O_CREAT | os.O_EXCL))
            return


def found(case: Case, *others: Tool) -> dict[str, str]:
    checks = list(examine([case], sandbox, [case.tool, *others]))
    assert {c.property for c in checks} <= set(PROPERTIES)
    return {c.property: c.why for c in checks if c.verdict == "finding"}


def keyed(context: Context) -> dict[str, int]:
    done(context.key)
    return {"n": 1}


# -- what is right is let be


@tool(effect="write", idempotency="by_key", undo="unbuy@1", secrets=("shop",))
def buy(n: Annotated[int, Limits(least=1, most=9)], context: Context) -> dict[str, str]:
    """Buy."""
    assert context.secrets["shop"] == canary("shop")
    done(context.key)
    return {"key": context.key}


@tool(effect="write", idempotency="native")
def unbuy(key: str) -> None:
    """Give back."""
    if not key.startswith("key-"):
        raise ToolError("no such thing")
    (PLACE[-1] / key).unlink(missing_ok=True)


def test_a_tool_that_keeps_its_promises_passes() -> None:
    case = Case(buy, {"n": 1}, result={"key": "key-1"})
    checks = list(examine([case], sandbox, [buy, unbuy]))
    assert [(c.property, c.verdict, c.why) for c in checks if c.verdict != "holds"] == []
    assert {c.property for c in checks} == set(PROPERTIES)


# -- what is wrong is found


@tool(effect="write", idempotency="native")
def lies(n: int) -> int:
    """Says int, gives text."""
    return "7"  # type: ignore[return-value]  # the fault


@tool(effect="write", idempotency="native")
def crashes(n: int) -> int:
    """Fails in its own way."""
    return 1 // 0


@tool(effect="read")
def writes(n: int) -> None:
    """Says that it reads."""
    done("x")


@tool(effect="write", idempotency="none")
def half(n: int) -> None:
    """Says that nothing happened."""
    done("x")
    raise ToolError("no")


@tool(effect="write", idempotency="none")
def unguarded(n: Annotated[int, Limits(least=0, most=9)]) -> None:
    """Did not think of 0."""
    done(str(9 // n))


@tool(effect="write", idempotency="none")
def trusting(name: str) -> None:
    """Takes a text for a path."""
    if "\u0000" not in name and name.strip("./ "):
        done(name)


ENOUGH = threading.Event()


@tool(effect="write", idempotency="none", timeout=50)
def sleeps(n: int) -> None:
    """Takes its time."""
    ENOUGH.wait(60)


@tool(effect="write", idempotency="none", secrets=("shop",))
def returns_secret(n: int, context: Context) -> str:
    """Gives it back."""
    return f"used {context.secrets['shop']}"


@tool(effect="write", idempotency="none", secrets=("shop",))
def logs_secret(n: int, context: Context) -> None:
    """Logs it, in hexadecimal."""
    logging.getLogger("shop").debug("with %s", context.secrets["shop"].encode().hex())


@tool(effect="write", idempotency="none", secrets=("shop",))
def prints_secret(n: int, context: Context) -> None:
    """Prints it."""
    print(context.secrets["shop"])


@tool(effect="write", idempotency="none", secrets=("shop",))
def keeps_secret(n: int, context: Context) -> None:
    """Leaves it outside."""
    done(context.secrets["shop"])


@tool(effect="write", idempotency="by_key")
def repeats(n: int, context: Context) -> None:
    """Never looks at the key."""
    anew("row")


@tool(effect="write", idempotency="native")
def adds(n: int) -> None:
    """Native, and counts up."""
    anew("row")


@tool(effect="write", idempotency="by_key")
def two_results(n: int, context: Context) -> bool:
    """Its result tells the second call from the first."""
    fresh = context.key not in rows()
    done(context.key)
    return fresh


MEET: list[threading.Barrier] = []
"""Where two calls of ``races`` wait for each other, one entry each: so that they do meet, however they are scheduled."""


@tool(effect="write", idempotency="by_key")
def races(n: int, context: Context) -> None:
    """Looks first, does it later."""
    if context.key in rows():
        return
    if MEET:
        MEET.pop().wait(60)
    anew("row")
    done(context.key)


@tool(effect="write", idempotency="by_key")
def remembers_late(n: int, context: Context) -> None:
    """Keeps the key after the effect, in a step of its own."""
    if context.key not in rows():
        anew("row")
        done(context.key)


@tool(effect="write", idempotency="by_key")
def remembers_early(n: int, context: Context) -> None:
    """Keeps the key before the effect, in a step of its own."""
    if context.key not in rows():
        done(context.key)
        anew("row")


SEEN: set[str] = set()


@tool(effect="write", idempotency="by_key")
def remembers_inside(n: int, context: Context) -> None:
    """Keeps the keys in memory."""
    where = f"{PLACE[-1]}{context.key}"
    if where not in SEEN:
        SEEN.add(where)
        anew("row")


@tool(effect="write", idempotency="check_first")
def checks_nothing(n: int, context: Context) -> int:
    """Its check never finds anything."""
    anew("row")
    return 1


@checks_nothing.checks
def _nothing(context: Context) -> int | None:
    return None


@tool(effect="write", idempotency="check_first")
def checks_all(n: int, context: Context) -> int:
    """Its check always says yes."""
    done(context.key)
    return 1


@checks_all.checks
def _all(context: Context) -> int | None:
    return 1


@tool(effect="write", idempotency="by_key", undo="forget@1")
def undone_wrong(n: int, context: Context) -> dict[str, int]:
    """Its undo tool leaves something behind."""
    return keyed(context)


@tool(effect="write", idempotency="native")
def forget(n: int) -> None:
    """Does nothing."""


@tool(effect="write", idempotency="by_key", undo="elsewhere@1")
def undone_nowhere(n: int, context: Context) -> dict[str, int]:
    """Its undo tool does not exist."""
    return keyed(context)


@tool(effect="write", idempotency="by_key", undo="unbuy@1")
def undone_without(n: int, context: Context) -> dict[str, int]:
    """Its result does not say what its undo tool needs."""
    return keyed(context)


@pytest.mark.parametrize(
    ("red", "broken"),
    [
        (lies, {"result"}),
        (crashes, {"result"}),
        (writes, {"effect"}),
        (half, {"result"}),
        (unguarded, {"limits"}),
        (trusting, {"limits"}),
        (sleeps, {"result", "time"}),
        (returns_secret, {"secrets"}),
        (logs_secret, {"secrets"}),
        (prints_secret, {"secrets"}),
        (keeps_secret, {"secrets"}),
        (repeats, {"twice", "together", "killed"}),
        (adds, {"twice", "together", "killed"}),
        (two_results, {"twice"}),
        (races, {"together", "killed"}),
        (remembers_late, {"killed"}),
        (remembers_early, {"killed"}),
        (remembers_inside, {"killed"}),
        (checks_nothing, {"twice", "killed"}),
        (checks_all, {"twice", "killed"}),
        (undone_wrong, {"undo"}),
        (undone_nowhere, {"undo"}),
        (undone_without, {"undo"}),
    ],
    ids=lambda one: one.__name__ if isinstance(one, Tool) else "",
)
def test_each_fault_is_found(red: Tool, broken: set[str]) -> None:
    arguments: dict[str, Any] = {"name": "ann"} if red is trusting else {"n": 3}
    other = unbuy if red is undone_without else forget
    ENOUGH.clear()
    try:
        says = found(Case(red, arguments), other)
    finally:
        ENOUGH.set()  # whoever still sleeps need not
    # two threads need not meet where the fault is one of timing alone
    assert broken - {"together"} <= set(says) <= broken | {"together"}, says


def test_a_race_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Starting(threading.Barrier):
        """What the trial lets two calls begin with."""

        def __init__(self, parties: int) -> None:
            super().__init__(parties)
            MEET.extend([meet, meet])

    meet = threading.Barrier(2)
    monkeypatch.setattr("affidavit.gateway.trials.threading.Barrier", Starting)
    assert "at the same time" in found(Case(races, {"n": 1}))["together"]


def test_what_a_case_says_of_itself_is_held_against_the_tool() -> None:
    assert "should return" in found(Case(buy, {"n": 1}, result={"key": "other"}), unbuy)["result"]
    assert "should be refused" in found(Case(buy, {"n": 1}, refused=True), unbuy)["result"]
    assert "should be done" in found(Case(unbuy, {"key": "x"}))["result"]
    assert "maximum" in found(Case(buy, {"n": 10}), unbuy)["result"]
    assert found(Case(buy, {"n": 10}, refused=True), unbuy) == {}  # its contract refuses that
    assert found(Case(unbuy, {"key": "x"}, refused=True)) == {}


def test_refusing_after_the_fact_is_a_finding() -> None:
    assert "something did" in found(Case(half, {"n": 1}, refused=True))["effect"]


def test_a_sandbox_that_differs_each_time_is_said_to() -> None:
    @contextmanager
    def unsteady() -> Iterator[Callable[[], object]]:
        with sandbox():
            yield lambda: [rows(), time.monotonic_ns()]

    checks = examine([Case(buy, {"n": 1})], unsteady, [buy, unbuy])
    assert any("leave times and random ids out" in c.why for c in checks)


def test_a_case_of_another_modules_tool_is_refused() -> None:
    with pytest.raises(UnknownNameError):
        list(examine([Case(buy, {"n": 1})], sandbox, [unbuy]))
