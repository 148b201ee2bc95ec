"""The desk that drives followers: positions, locks, retries, tenants, content, and a log that is not the one it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.app.follow import LONGEST_RETRY, TRIES_ONCE, Following, Notices, Progress
from affidavit.domain.errors import BusyError, FollowerError, LogDamagedError, UsageError
from affidavit.events.follow import FIRST_WAIT, LONGEST_WAIT, MOST_BYTES, Tail
from affidavit.events.merkle import leaf_hash
from affidavit.ports.follower import Batch, FollowerCapabilities, Ground, Handed


class Kept:
    """A follower that keeps what it is given; ``faults`` are raised first, one a delivery."""

    def __init__(self, *faults: FollowerError, batch: int = 4) -> None:
        self.capabilities = FollowerCapabilities("kept", "identified", batch)
        self.events: list[Handed] = []
        self.batches: list[Batch] = []
        self.begun: list[str] = []
        self.closed = 0
        self.faults = list(faults)
        self.ground: Ground | None = None

    def begin(self, state: str, ground: Ground) -> None:
        self.begun.append(state)
        self.ground = ground

    def deliver(self, batch: Batch) -> str:
        if self.faults:
            raise self.faults.pop(0)
        self.batches.append(batch)
        self.events += batch.events
        return json.dumps({"seen": len(self.events), "rejected": 2})

    def close(self) -> None:
        self.closed += 1

    @property
    def positions(self) -> list[int]:
        return [e.position for e in self.events]


def wanted(**changed: Any) -> Following:
    return Following(**{"name": "kept", "target": "here", "once": True, **changed})


@pytest.fixture
def ready(
    workspace: affidavit.Workspace, write_folder: Callable[[dict[str, str | bytes]], Path]
) -> affidavit.Workspace:
    """A workspace with two tenants, a document and a question."""
    docs = write_folder(
        {"access.toml": 'allow = ["group:staff"]', "leave.md": "# Leave\n\nWalrus leave is 20 days a year."}
    )
    people = docs.parent / "p.jsonl"
    people.write_text('{"id": "alice", "groups": ["staff"]}\n')
    for tenant in ("acme", "other"):
        workspace.import_people(people, tenant)
    workspace.add_source("folder", docs, "docs", "acme")
    workspace.sync(tenant="acme")
    workspace.ask("How many days is walrus leave?", "alice", "acme")
    workspace.ask("Who is the king of the sea?", "alice", "other")
    return workspace


def test_everything_once_and_then_only_what_is_new(ready: affidavit.Workspace) -> None:
    head = ready.parts.log.head()
    first = Kept()
    progress = ready.followers.follow(first, wanted())
    assert first.positions == list(range(head + 1))
    assert (progress.handed, progress.position) == (head + 1, head)
    assert all(len(b.events) <= 4 for b in first.batches)
    assert first.closed == 1
    ready.ask("How many days is walrus leave?", "alice", "acme")
    second = Kept()
    ready.followers.follow(second, wanted())
    assert second.positions == list(range(head + 1, ready.parts.log.head() + 1))
    assert [json.loads(state)["seen"] for state in second.begun] == [head + 1]
    ready.verify()


def test_following_writes_no_event(ready: affidavit.Workspace) -> None:
    head = ready.parts.log.head()
    ready.followers.follow(Kept(), wanted())
    assert ready.parts.log.head() == head


def test_the_list_says_how_far_each_is(ready: affidavit.Workspace) -> None:
    head = ready.parts.log.head()
    ready.followers.follow(Kept(), wanted(name="all"))
    ready.followers.follow(Kept(), wanted(name="new", since="now", content=True))
    with pytest.raises(FollowerError):
        ready.followers.follow(Kept(FollowerError("no")), wanted(name="stuck"))
    found = {e["name"]: e for e in ready.followers.list()}
    assert [(n, e["position"], e["lag"]) for n, e in found.items()] == [
        ("all", head, 0),
        ("new", head, 0),
        ("stuck", -1, head + 1),
    ]
    assert found["new"]["content"] is True
    assert found["all"]["running"] is False
    assert (found["all"]["rejected"], found["stuck"]["rejected"]) == (2, 0)
    standing = ready.followers.standing()
    assert standing.size == head + 1
    assert standing.checkpoint_at > 0
    assert standing.lags["stuck"] == head + 1


@pytest.mark.parametrize(("since", "first"), [("start", 0), ("3", 3), ("0", 0)])
def test_from(ready: affidavit.Workspace, since: str, first: int) -> None:
    ready.followers.follow(Kept(), wanted())
    again = Kept()
    ready.followers.follow(again, wanted(since=since))
    assert again.positions == list(range(first, ready.parts.log.head() + 1))


@pytest.mark.parametrize("since", ["-1", "soon", "99999", "²"])
def test_from_nowhere(ready: affidavit.Workspace, since: str) -> None:
    with pytest.raises(UsageError, match="no position"):
        ready.followers.follow(Kept(), wanted(since=since))


@pytest.mark.parametrize("name", ["", "../x", "A", "a b", "é", "x" * 64])
def test_names_that_are_none(ready: affidavit.Workspace, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        ready.followers.follow(Kept(), wanted(name=name))


@pytest.mark.parametrize("changed", [{"target": "there"}, {"content": True}])
def test_a_name_means_one_thing(ready: affidavit.Workspace, changed: dict[str, Any]) -> None:
    ready.followers.follow(Kept(), wanted())
    with pytest.raises(UsageError, match="something else") as caught:
        ready.followers.follow(Kept(), wanted(**changed))
    assert "here" in caught.value.message
    ready.followers.follow(Kept(), wanted(**changed, since="now"))
    ready.followers.follow(Kept(), wanted(**changed))


def test_two_followers_do_not_share_what_one_of_them_may_undo(ready: affidavit.Workspace) -> None:
    def atomic() -> Kept:
        kept = Kept()
        kept.capabilities = FollowerCapabilities("file", "atomic", 4)
        return kept

    ready.followers.follow(atomic(), wanted(name="first"))
    with pytest.raises(UsageError, match="'first' hands over to here already"):
        ready.followers.follow(atomic(), wanted(name="second"))
    ready.followers.follow(atomic(), wanted(name="second", target="there"))
    ready.followers.follow(atomic(), wanted(name="first", since="start"))
    ready.followers.follow(Kept(), wanted(name="third"))
    ready.followers.follow(Kept(), wanted(name="fourth"))


def test_one_tenant(ready: affidavit.Workspace) -> None:
    follower = Kept()
    acme = ready.parts.tenant("acme")
    progress = ready.followers.follow(follower, wanted(tenant=acme))
    assert {e.tenant for e in follower.events} == {acme.id}
    assert progress.position == ready.parts.log.head()
    other = ready.parts.tenant("other")
    strange = next(e.run for e in _all(ready) if e.tenant == other.id and e.run)
    assert follower.ground is not None
    assert follower.ground.story(strange, -1, 10**6) == []


def _all(workspace: affidavit.Workspace, *, content: bool = False) -> list[Handed]:
    piece = Tail(workspace.parts.database, workspace.parts.bodies, content=content).after(-1, 10_000)
    assert piece is not None
    return list(piece.events)


def test_names_and_texts_leave_only_as_content(ready: affidavit.Workspace) -> None:
    private = ("alice", "walrus", "Walrus", "leave.md", "acme", "king")
    plain = Kept()
    ready.followers.follow(plain, wanted())
    assert not any(word in repr(plain.events) for word in private)
    content = Kept()
    ready.followers.follow(content, wanted(name="content", content=True))
    assert all(word in repr(content.events) for word in private)
    finished = [e for e in plain.events if e.kind == "run.finished" and "timings" in e.words]
    assert all(type(v) is int for e in finished for v in e.words["timings"].values())
    assert [e.words["claims"] for e in plain.events if e.kind == "answer.released"] == [1, 0]
    assert [e.words.get("reason") for e in plain.events if e.kind == "answer.released"] == [
        None,
        "not_enough_evidence",
    ]


def test_a_body_that_is_gone_stops_nobody(ready: affidavit.Workspace) -> None:
    ready.parts.database.run("PRAGMA foreign_keys=OFF")
    ready.parts.database.run("DELETE FROM bodies")
    follower = Kept()
    ready.followers.follow(follower, wanted(content=True))
    assert len(follower.events) == ready.parts.log.head() + 1
    assert {e.body for e in follower.events} == {None}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE events SET header = CAST(replace(header, 'refused', 'answered') AS BLOB) WHERE kind = 'run.finished'",
        "UPDATE events SET header = 'text' WHERE position = 3",
        "UPDATE events SET leaf = 7 WHERE position = 3",
        "UPDATE bodies SET salt = randomblob(16)",
        "DELETE FROM events WHERE position = 5",
    ],
)
def test_what_was_changed_by_hand_does_not_leave(ready: affidavit.Workspace, sql: str) -> None:
    ready.parts.database.run(sql)
    follower = Kept()
    with pytest.raises(LogDamagedError, match="position"):
        ready.followers.follow(follower, wanted())
    assert follower.closed == 1


@pytest.mark.parametrize(
    "change", ["DELETE FROM events WHERE position > 8", "UPDATE events SET leaf = randomblob(32)"]
)
def test_a_log_that_was_set_back_is_noticed(ready: affidavit.Workspace, change: str) -> None:
    ready.followers.follow(Kept(), wanted())
    ready.parts.database.run("PRAGMA foreign_keys=OFF")
    ready.parts.database.run(change)
    with pytest.raises(LogDamagedError, match="cut off, rewritten or restored"):
        ready.followers.follow(Kept(), wanted())


def test_a_fault_that_may_pass_is_tried_again_with_the_same_batch(ready: affidavit.Workspace) -> None:
    busy = [FollowerError("busy", retryable=True) for _ in range(3)]
    follower = Kept(*busy)
    waited: list[float] = []
    told: list[tuple[str, float]] = []
    notices = Notices(waiting=lambda error, wait: told.append((error.message, wait)))
    progress = ready.followers.follow(follower, wanted(), notices, waited.append)
    assert follower.positions == list(range(ready.parts.log.head() + 1))
    assert progress.failed_tries == len(waited) == len(told) == 3
    assert all(0 <= w <= 0.5 * 2**n for n, w in enumerate(waited))


def test_the_receivers_wish_is_kept_within_reason(ready: affidavit.Workspace) -> None:
    faults = [FollowerError("busy", retryable=True, wait=w) for w in (7.0, 10_000.0)]
    waited: list[float] = []
    ready.followers.follow(Kept(*faults), wanted(), sleep=waited.append)
    assert waited == [7.0, LONGEST_RETRY]


def test_once_gives_up_and_keeps_its_place(ready: affidavit.Workspace) -> None:
    busy = [FollowerError("busy", retryable=True) for _ in range(100)]
    follower = Kept(*busy)
    with pytest.raises(FollowerError, match="busy"):
        ready.followers.follow(follower, wanted(), sleep=lambda s: None)
    assert len(follower.faults) == 100 - TRIES_ONCE
    again = Kept()
    ready.followers.follow(again, wanted())
    assert again.positions[0] == 0


def test_a_fault_that_will_not_pass_is_not_tried_again(ready: affidavit.Workspace) -> None:
    waited: list[float] = []
    with pytest.raises(FollowerError, match="never"):
        ready.followers.follow(Kept(FollowerError("never")), wanted(once=False), sleep=waited.append)
    assert waited == []


class _StopError(Exception):
    pass


def test_waiting_is_cheap_and_a_new_event_wakes_it(ready: affidavit.Workspace) -> None:
    follower = Kept()
    waited: list[float] = []
    head = ready.parts.log.head()

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 20:
            thread = threading.Thread(target=lambda: ready.ask("walrus?", "alice", "acme"))
            thread.start()
            thread.join()
        if len(waited) == 25:
            raise _StopError

    with pytest.raises(_StopError):
        ready.followers.follow(follower, wanted(once=False), sleep=sleep)
    assert follower.positions == list(range(ready.parts.log.head() + 1))
    assert ready.parts.log.head() > head
    assert waited[0] == waited[20] == FIRST_WAIT
    assert waited[19] == LONGEST_WAIT


def test_two_processes_under_one_name(ready: affidavit.Workspace) -> None:
    seen: list[BusyError] = []

    def sleep(seconds: float) -> None:
        assert {e["name"]: e["running"] for e in ready.followers.list()} == {"kept": True}
        with affidavit.open(ready.parts.folder) as other:
            with pytest.raises(BusyError, match="being run by process") as caught:
                other.followers.follow(Kept(), wanted())
            seen.append(caught.value)
            other.followers.follow(Kept(), wanted(name="second"))
        raise _StopError

    with pytest.raises(_StopError):
        ready.followers.follow(Kept(), wanted(once=False), sleep=sleep)
    assert "--name" in seen[0].hint
    ready.followers.follow(Kept(), wanted())


def test_what_a_follower_saves_while_it_works_is_what_it_begins_with(ready: affidavit.Workspace) -> None:
    class Saver(Kept):
        def deliver(self, batch: Batch) -> str:
            assert self.ground is not None
            self.ground.save('{"half": 1}')
            raise FollowerError("killed here")

    with pytest.raises(FollowerError):
        ready.followers.follow(Saver(), wanted())
    after = Kept()
    ready.followers.follow(after, wanted())
    assert after.begun == ['{"half": 1}']
    assert after.positions[0] == 0


def test_progress_is_told(ready: affidavit.Workspace) -> None:
    told: list[int] = []

    def handed(progress: Progress) -> None:
        told.append(progress.position)

    ready.followers.follow(Kept(), wanted(), Notices(handed=handed))
    assert told[-1] == ready.parts.log.head()
    assert told == sorted(set(told))


def test_a_batch_is_bounded_by_bytes(ready: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_BYTES >= 2**20
    monkeypatch.setattr("affidavit.events.follow.MOST_BYTES", 600)
    tail = Tail(ready.parts.database, ready.parts.bodies, content=True)
    piece = tail.after(-1, 10_000)
    assert piece is not None
    assert 1 <= len(piece.events) < 5


def test_an_administrator_who_moves_a_follower_is_no_finding_of_verify(ready: affidavit.Workspace) -> None:
    ready.followers.follow(Kept(), wanted())
    ready.parts.database.run("UPDATE followers SET position = 0")
    ready.verify()
    with pytest.raises(LogDamagedError):
        ready.followers.follow(Kept(), wanted())


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"kind":"run.started","at":1,"tenant":1,"facts":{}}',
        b'{"kind":"run.finished","at":1,"tenant":1,"facts":{"status":1,"steps":1}}',
        b'{"kind":"thing.happened","at":99999999999999999999,"tenant":1,"facts":{}}',
        b'{"kind":"thing.happened","at":1,"tenant":1,"facts":{"x":[]}}',
        b'{"kind":7,"at":1,"tenant":1,"facts":{}}',
        b'{"kind":"thing.happened","at":1,"tenant":true,"facts":{}}',
        b"[" * 100_000,
    ],
)
def test_an_event_signed_to_say_nothing_sensible_is_named(ready: affidavit.Workspace, header: bytes) -> None:
    sql = "UPDATE events SET header = ?, leaf = ? WHERE position = 4"
    ready.parts.database.run(sql, (header, leaf_hash(header)))
    with pytest.raises(LogDamagedError, match="position 4 is not of the form"):
        ready.followers.follow(Kept(), wanted())


def test_a_runs_story_is_found_by_its_index(ready: affidavit.Workspace) -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []
    database = ready.parts.database
    tail = Tail(database, ready.parts.bodies)
    found = database.all

    def watched(sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        asked.append((sql, parameters))
        return found(sql, parameters)

    database.all = watched  # type: ignore[method-assign, assignment]  # to see the very statement
    tail.story("run-a", -1, 100)
    ((sql, parameters),) = asked
    (plan,) = found(f"EXPLAIN QUERY PLAN {sql}", parameters)
    assert "events_by_run (run=? AND position>? AND position<?)" in plan[3]
