"""Versions of what is read, and changes that are made only to the version that was looked at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.app.operations.world import TwoSides, asked, two_sides

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.operations.operation import Caller, Method, Operation, perform
from affidavit.app.operations.table import TABLE
from affidavit.app.operations.versions import only_if, same, tag
from affidavit.domain.errors import AffidavitError, PreconditionError, UsageError
from affidavit.testing.clock import FixedClock, SeededRandomness

GUARDED = [row for row in TABLE if row.guards]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwoSides]:
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none"), FixedClock(), SeededRandomness()) as ws:
        yield two_sides(ws, tmp_path)


def looked(world: TwoSides, name: str, /, **said: Any) -> str:
    """The tag of what ``name`` gives us now."""
    row = TABLE[name]
    return tag(row, perform(world.ws, world.ours.admin, row, row.takes.model_validate(said)))


def change(world: TwoSides, name: str, match: str | None, /, **said: Any) -> Any:
    """Do ``name`` if what it changes is still ``match``."""
    row = TABLE[name]
    taken = row.takes.model_validate(said)
    caller = world.ours.admin
    condition = only_if(world.ws, caller, TABLE, row, taken, match)
    return perform(world.ws, caller, row, taken, only_if=condition)


# -- tags


TAGS = st.text(st.characters(min_codepoint=0x23, max_codepoint=0x7E), max_size=8)


@given(st.lists(st.tuples(st.booleans(), TAGS), max_size=5), TAGS, st.booleans())
def test_tags_are_compared_as_the_rfc_says(said: list[tuple[bool, str]], ours: str, weak: bool) -> None:
    header = ", ".join(f'{"W/" if w else ""}"{t}"' for w, t in said)
    now = f'{"W/" if weak else ""}"{ours}"'
    assert same(header, now) == any(t == ours for _, t in said)
    assert same(header, now, strong=True) == (not weak and any(t == ours and not w for w, t in said))
    assert same(" * ", now) and same("*", now, strong=True)


@pytest.mark.parametrize("header", ["", "abc", '"abc', 'abc"', "'abc'", 'w/"abc"x', "**", '"*"'])
def test_what_is_no_tag_matches_nothing(header: str) -> None:
    assert not same(header, '"abc"', strong=True)


def test_a_tag_changes_with_the_thing_and_not_with_the_time() -> None:
    row = TABLE["sources.list"]
    first = {"items": [{"name": "a", "age": 1}]}
    assert tag(row, first) == tag(row, {"items": [{"name": "a", "age": 2}]})
    assert tag(row, first) != tag(row, {"items": [{"name": "b", "age": 1}]})
    assert tag(row, first).startswith('W/"') and tag(TABLE["modes.show"], {}).startswith('"')


# -- every row


@pytest.mark.parametrize("row", GUARDED, ids=lambda row: row.name)
def test_what_guards_a_change_is_a_read_that_writes_nothing_and_has_a_strong_tag(row: Operation[Any]) -> None:
    read = TABLE[row.guards]
    assert row.changes and read.method is Method.READ
    assert not (read.makes_run or read.passing or read.changes)
    needed = {name for name, field in read.takes.model_fields.items() if field.is_required()}
    assert needed <= row.takes.model_fields.keys()
    assert "after" not in read.takes.model_fields  # a page is not the whole


@pytest.mark.parametrize("row", GUARDED, ids=lambda row: row.name)
def test_another_version_is_not_changed(world: TwoSides, row: Operation[Any]) -> None:
    taken = asked(row, world.ours)
    head = world.ws.parts.log.head()
    for stale in ('"0123"', 'W/"0123"', "", "nonsense"):
        condition = only_if(world.ws, world.ours.admin, TABLE, row, taken, stale)
        with pytest.raises(PreconditionError):
            perform(world.ws, world.ours.admin, row, taken, only_if=condition)
    assert world.ws.parts.log.head() == head


def test_a_condition_is_never_ignored(world: TwoSides) -> None:
    for row in TABLE:
        if row.method is not Method.READ and not row.guards:
            with pytest.raises(UsageError, match="that has a version"):
                only_if(world.ws, world.ours.admin, TABLE, row, asked(row, world.ours), "*")


def test_what_is_not_there_or_not_to_be_seen_matches_nothing_not_even_any(world: TwoSides) -> None:
    for call in (world.theirs.known["call"], "call-quokka"):
        with pytest.raises(PreconditionError, match="no longer"):
            change(world, "calls.cancel", "*", call=call, reason="no")


def test_what_replaces_everything_must_say_what_was_looked_at(world: TwoSides) -> None:
    rules = {"rules": {"a.cedar": ""}, "reason": "why"}
    with pytest.raises(PreconditionError) as caught:
        change(world, "policy.publish", None, **rules)
    assert caught.value.required and "policy.show" in caught.value.hint


# -- two at once


def _at_once(world: TwoSides, *works: Callable[[], Any]) -> list[Any]:
    """What each of ``works``, begun at the same moment, gave or raised."""
    both = threading.Barrier(len(works))
    found: list[Any] = [None] * len(works)

    def one(n: int, work: Callable[[], Any]) -> None:
        both.wait()
        try:
            found[n] = work()
        except AffidavitError as error:
            found[n] = error

    threads = [threading.Thread(target=one, args=(n, work)) for n, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _checks_let_both_through(monkeypatch: pytest.MonkeyPatch, world: TwoSides, many: int) -> None:
    """Nobody writes before all have been told, outside the transaction, that it still is what they looked at."""
    told = threading.Barrier(many)
    log = world.ws.parts.log
    real = log.only_if

    def wait_for_all(check: Callable[[], None]) -> Any:
        told.wait()
        return real(check)

    monkeypatch.setattr(log, "only_if", wait_for_all)


CHANGES: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "modes.set": ("modes.show", {}, [{"mode": "read-only", "reason": w} for w in "abcd"]),
    "people.join": (
        "people.show",
        {"name": "user:gerbil-nobody"},
        [{"name": "user:gerbil-nobody", "group": f"club-{w}"} for w in "abcd"],
    ),
    "people.grant": (
        "people.show",
        {"name": "user:gerbil-nobody"},
        [{"name": "user:gerbil-nobody", "action": a} for a in ("audit:read", "source:read", "kill:change")],
    ),
}


@pytest.mark.parametrize("name", list(CHANGES))
def test_of_several_at_once_who_looked_at_the_same_one_wins(
    world: TwoSides, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    read, seen, wishes = CHANGES[name]
    before = looked(world, read, **seen)
    _checks_let_both_through(monkeypatch, world, len(wishes))
    found = _at_once(world, *(lambda w=w: change(world, name, before, **w) for w in wishes))
    lost = [f for f in found if isinstance(f, PreconditionError)]
    assert len(lost) == len(wishes) - 1, found
    assert looked(world, read, **seen) != before


def test_of_a_yes_and_a_no_to_the_same_request_one_wins(
    world: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = world.ours
    world.ws.people.grant(side.tenant, side.admin.principal, "role:approver")
    call = world.ws.tools.propose(side.tenant, side.known["person"], "close_account", {"account": "A-9"}).name
    before = looked(world, "approvals.show", call=call)
    _checks_let_both_through(monkeypatch, world, 2)
    said = {"call": call, "reason": "sure"}
    found = _at_once(
        world,
        lambda: change(world, "approvals.approve", before, **said),
        lambda: change(world, "approvals.deny", before, **said),
    )
    assert sum(isinstance(f, PreconditionError) for f in found) == 1
    assert len([f for f in found if isinstance(f, dict)]) == 1


def test_an_incident_that_somebody_noted_meanwhile_is_not_closed(
    world: TwoSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = world.ours.known["incident"]
    before = looked(world, "incidents.show", incident=incident)
    _checks_let_both_through(monkeypatch, world, 2)
    found = _at_once(
        world,
        lambda: change(world, "incidents.note", before, incident=incident, text="look again"),
        lambda: change(world, "incidents.close", before, incident=incident, text="it was nothing"),
    )
    assert sum(isinstance(f, PreconditionError) for f in found) == 1
    world.ws.verify()


def test_a_second_policy_over_one_that_was_not_seen_is_refused(
    workspace: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = workspace.ensure_tenant("acme")
    workspace.load_people([affidavit.app.people.Entry("user:ann", frozenset(), {})], "acme")
    workspace.people.grant(tenant, "user:ann", "role:admin")
    ann = Caller(tenant, "user:ann", "key")
    row = TABLE["policy.publish"]
    shown = TABLE["policy.show"]
    rules = dict(workspace.policy.in_force())
    before = tag(shown, perform(workspace, ann, shown, shown.takes()))
    published = workspace.parts.release().digest

    def publish(name: str) -> Any:
        mine = {**rules, f"{name}.cedar": f'@id("{name}") forbid (principal, action, resource);'}
        taken = row.takes.model_validate({"rules": mine, "reason": name})
        condition = only_if(workspace, ann, TABLE, row, taken, before)
        return perform(workspace, ann, row, taken, only_if=condition)

    world: Any = type("W", (), {"ws": workspace})
    _checks_let_both_through(monkeypatch, world, 2)
    found = _at_once(world, lambda: publish("one"), lambda: publish("two"))
    assert sum(isinstance(f, PreconditionError) for f in found) == 1
    (won,) = [f for f in found if isinstance(f, dict)]
    assert workspace.parts.release().digest == won["release"] != published
