"""The same key and request get the same answer, and nothing is done twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue
from tests.server_world import ANSWER, FILES, QUESTION, World, people

import affidavit
from affidavit.app.erasure import Target
from affidavit.app.operations.operation import Caller, Method, Nothing, Operation
from affidavit.app.operations.table import TABLE
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import (
    AffidavitError,
    ForbiddenError,
    InProgressError,
    NotRepeatableError,
    StoppedError,
    ToolError,
)
from affidavit.entrypoints.http.idempotency import Once, Owner
from affidavit.runs.recorder import Run, new_run_id
from affidavit.store.replies import ReplyState
from affidavit.testing.clock import FixedClock

Write = Callable[[dict[str, str | bytes]], Path]
KEY = "Idempotency-Key"
ASK = {"question": QUESTION}


@pytest.fixture
def world(workspace: affidavit.Workspace, write_folder: Write) -> World:
    world = people(workspace)
    workspace.add_source("folder", write_folder(FILES), "docs", "acme")
    workspace.sync("", "acme")
    return world


def rows(world: World) -> int:
    return int(world.ws.parts.database.value("SELECT count(*) FROM replies"))


def test_the_same_request_is_answered_once_from_any_process(world: World) -> None:
    headers = {**world.key("alice"), KEY: '"5f0c"'}
    with world.client() as client, world.client() as other:
        first = client.post("/v1/ask", headers=headers, json=ASK)
        head = world.ws.parts.log.head()
        for again in (client, other):
            answer = again.post("/v1/ask", headers=headers, json=ASK)
            assert answer.json() == first.json()
            assert answer.headers["Idempotency-Replayed"] == "true"
        assert world.ws.parts.log.head() == head
    with world.client() as restarted:
        assert restarted.post("/v1/ask", headers=headers, json=ASK).json() == first.json()
    assert "Idempotency-Replayed" not in first.headers


def test_as_a_stream_too(world: World) -> None:
    headers = {**world.key("alice"), KEY: "k", "Accept": "text/event-stream"}
    with world.client() as client:
        first = client.post("/v1/ask", headers=headers, json=ASK)
        again = client.post("/v1/ask", headers=headers, json=ASK)
    assert "event: claim" in first.text and ANSWER in again.text
    assert first.text.rpartition("event: answer")[2] == again.text.rpartition("event: answer")[2]


def test_a_key_is_for_one_request_of_one_person(world: World) -> None:
    headers = {**world.key("alice"), KEY: "k"}
    with world.client() as client:
        first = client.post("/v1/ask", headers=headers, json=ASK).json()
        other = client.post("/v1/ask", headers=headers, json={"question": "Something else?"})
        assert (other.status_code, other.json()["code"]) == (422, "arguments")
        assert client.post("/v1/search", headers=headers, json=ASK).status_code == 422
        hers = client.post("/v1/ask", headers={**world.key("mallory"), KEY: "k"}, json=ASK).json()
        assert hers["run"] != first["run"] and hers["status"] == "refused"
        for bad in ("", '"', "a b", "x" * 256):
            answer = client.post("/v1/ask", headers={**world.key("alice"), KEY: bad}, json=ASK)
            assert answer.status_code in ((200,) if not bad else (400, 422)), bad


def test_answers_are_forgotten_after_a_day_and_when_anything_is_erased(
    world: World, clock: FixedClock
) -> None:
    headers = {**world.key("alice"), KEY: "k"}
    with world.client() as client:
        first = client.post("/v1/ask", headers=headers, json=ASK).json()
        clock.advance(86_401 * MICROSECONDS)
        second = client.post("/v1/ask", headers=headers, json=ASK).json()
        assert second["run"] != first["run"] and rows(world) == 1
        tenant = world.ws.parts.tenant("acme")
        world.ws.erasing.erase(tenant, Target("run", first["run"]), "operator:test", "asked for")
        assert rows(world) == 0
        assert client.post("/v1/ask", headers=headers, json=ASK).json()["run"] != second["run"]


def test_of_one_caller_the_oldest_keys_go_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affidavit.entrypoints.http.idempotency._MOST", 3)
    with world.client() as client:
        for name, times in (("mallory", 1), ("alice", 5)):
            for n in range(times):
                client.post("/v1/search", headers={**world.key(name), KEY: f"k{n}"}, json=ASK)
    assert rows(world) == 4


def test_whoever_may_no_longer_is_not_told_again(world: World) -> None:
    headers = {**world.key("alice"), KEY: "k"}
    with world.client() as client:
        assert client.post("/v1/ask", headers=headers, json=ASK).status_code == 200
        world.ws.load_people([], "acme")
        world.ws.people.load(world.ws.parts.tenant("acme"), [], remove_missing=True)
        assert client.post("/v1/ask", headers=headers, json=ASK).status_code in (401, 403)


def test_what_was_revoked_is_not_told_again(world: World, clock: FixedClock) -> None:
    tenant = world.ws.parts.tenant("acme")
    headers = {**world.key("alice"), KEY: "k"}
    with world.client() as client:
        first = client.post("/v1/ask", headers=headers, json=ASK)
        assert first.json()["status"] == "answered"
        clock.advance(MICROSECONDS)
        (group, *_) = world.ws.people.show(tenant, "user:alice")["groups"]
        world.ws.people.leave(tenant, "user:alice", group.removeprefix("group:"))
        again = client.post("/v1/ask", headers=headers, json=ASK)
        assert (again.status_code, ANSWER in again.text) == (409, False)
        head = world.ws.parts.log.head()
        assert client.post("/v1/ask", headers=headers, json=ASK).status_code == 409
        assert world.ws.parts.log.head() == head
        anew = client.post("/v1/ask", headers={**headers, KEY: "l"}, json=ASK).json()
        assert anew["status"] == "refused"


def test_a_key_for_less_is_not_told_what_a_key_for_more_was(world: World) -> None:
    ws = world.ws
    tenant = ws.parts.tenant("acme")
    ws.people.grant(tenant, "user:alice", "audit:read")
    (run,) = [ws.ask(QUESTION, "alice", "acme").run]
    with world.client() as client:
        for scopes, view in ((None, "auditor"), (["run:read"], "asker")):
            made = ws.credentials.make_key(tenant, "user:alice", "x", 9, "operator:dave", scopes)[1]
            headers = {"Authorization": f"Bearer {made}", KEY: "k"}
            assert client.post(f"/v1/runs/{run}/export", headers=headers, json={}).json()["view"] == view


def test_whatever_gives_a_secret_gives_it_once() -> None:
    for operation in TABLE:
        fields = getattr(operation.gives, "model_fields", {})
        assert operation.once == ("secret" in fields), operation.name


# -- what goes wrong


@dataclass
class Doing:
    """One process that does something that makes no run."""

    once: Once
    caller: Caller
    done: int = 0
    raises: BaseException | None = None
    between: Callable[[], None] = lambda: None

    def operation(self, **more: Any) -> Operation[Nothing]:
        row = Operation(
            "things.make",
            "question:ask",
            Method.ASK,
            "/things",
            "Make one.",
            Nothing,
            dict[str, JsonValue],
            self.work,
            {},
            changes=True,
        )
        return replace(row, **more)

    def work(self, ws: affidavit.Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
        self.done += 1
        self.between()
        if self.raises is not None:
            raise self.raises
        return {"n": self.done}

    def do(self, run: str = "run-aaaaaaaaaaaaaaaa", **more: Any) -> Any:
        row, caller = self.operation(**more), replace(self.caller, run=run)
        return self.once.do("k", caller, row, Nothing(), lambda: self.work(None, caller, Nothing()))  # type: ignore[arg-type]


@pytest.fixture
def doing(world: World) -> Doing:
    return Doing(Once(world.ws), Caller(world.ws.parts.tenant("acme"), "user:alice", "key"))


def test_while_it_is_being_done_it_is_not_done_again(world: World, doing: Doing) -> None:
    other = Doing(Once(world.ws), doing.caller)

    def ask_meanwhile() -> None:
        for one in (doing, other):
            with pytest.raises(InProgressError):
                one.once.do("k", doing.caller, doing.operation(), Nothing(), lambda: {"n": 99})

    doing.between = ask_meanwhile
    assert doing.do() == ({"n": 1}, False)
    assert other.do() == ({"n": 1}, True)


def test_two_at_the_same_moment_do_it_once(world: World, doing: Doing) -> None:
    both = threading.Barrier(2)
    results: list[object] = []

    def ask() -> None:
        both.wait()
        try:
            results.append(doing.do()[0])
        except InProgressError:
            results.append("in progress")
        finally:
            world.ws.parts.database.value("SELECT 1")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert doing.done == 1
    assert results.count({"n": 1}) >= 1


@pytest.mark.parametrize("error", [ForbiddenError("no"), StoppedError("stopped")])
def test_what_was_refused_may_be_tried_again(doing: Doing, error: AffidavitError) -> None:
    doing.raises = error
    with pytest.raises(type(error)):
        doing.do()
    doing.raises = None
    assert doing.do() == ({"n": 2}, False)


@pytest.mark.parametrize("error", [ToolError("gone", happened=None), RuntimeError(), KeyboardInterrupt()])
def test_what_may_have_happened_is_not_tried_again(doing: Doing, error: BaseException) -> None:
    doing.raises = error
    with pytest.raises(type(error)):
        doing.do()
    doing.raises = None
    with pytest.raises(NotRepeatableError):
        doing.do()
    assert doing.done == 1


def test_a_secret_is_not_kept(world: World, doing: Doing) -> None:
    assert doing.do(once=True) == ({"n": 1}, False)
    assert world.ws.parts.database.value("SELECT answer FROM replies") == ""
    with pytest.raises(NotRepeatableError, match="shown once"):
        doing.do(once=True)


def dead(world: World, doing: Doing, run: str) -> None:
    """As a process leaves it that was killed over the request."""
    doing.do(run)
    with world.ws.parts.database.write():
        world.ws.parts.database.run(
            "UPDATE replies SET state = ?, answer = '', owner = 'gone'", (ReplyState.BEGUN.value,)
        )


def test_after_a_crash_only_what_left_no_trace_is_done_again(world: World, doing: Doing) -> None:
    run = new_run_id(world.ws.parts.randomness)
    dead(world, doing, run)
    with pytest.raises(NotRepeatableError):
        doing.do()
    assert doing.do(makes_run=True) == ({"n": 2}, False)
    dead_run = Run(run, 1, "ask", world.ws.parts.release().digest)
    dead_run.start({"principal": "user:alice"})
    world.ws.parts.log.write(dead_run.flush_begun)
    with world.ws.parts.database.write():
        world.ws.parts.database.run(
            "UPDATE replies SET state = ?, answer = '', owner = 'gone', run = ?",
            (ReplyState.BEGUN.value, run),
        )
    with pytest.raises(NotRepeatableError, match="how far") as caught:
        doing.do(makes_run=True)
    assert run in caught.value.hint


def test_a_process_is_known_to_live_by_its_lock(world: World) -> None:
    mine, other = Owner(world.ws), Owner(world.ws)
    assert mine.lives(mine.name) and mine.lives(other.name) and not mine.lives("nobody")
    other.close()
    assert not mine.lives(other.name)
    mine.close()
    assert not list((world.ws.parts.folder / "locks").glob("server-*"))
