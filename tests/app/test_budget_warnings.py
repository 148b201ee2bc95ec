"""A warning goes on the log right after the answer that made it due: once over all processes, and never at the answer's cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.app.test_models import QUESTION, SENTENCE, Scripted, claims, release
from tests.receiver import receiving

import affidavit
from affidavit.adapters.cloudevents import WebhookFollower
from affidavit.app.config import EmbedderSpec
from affidavit.app.follow import Following
from affidavit.domain.errors import DiskFullError
from affidavit.domain.events import EventKind

Write = Callable[[dict[str, str | bytes]], Path]
BY = "operator:test"
PRICES = {"price": [{"provider": "test", "model": "far", "input": "1", "output": "1"}]}


@pytest.fixture
def ws(tmp_path: Path, write_folder: Write) -> Iterator[affidavit.Workspace]:
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as made:
        (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
        made.import_people(tmp_path / "p.jsonl")
        files: dict[str, str | bytes] = {"access.toml": 'allow = ["group:staff"]'}
        made.add_source(
            "folder", write_folder({**files, "leave.md": f"# Walrus leave\n\n{SENTENCE}"}), "docs"
        )
        made.sync()
        made.money.set_prices(PRICES, BY)
        made.publish(release())
        scripted(made)
        yield made


def scripted(ws: affidavit.Workspace) -> None:
    model = Scripted(False)
    model.say = claims(("You get 20 days of walrus leave a year.", SENTENCE))
    ws.parts.models.make = lambda target: model


def warnings(ws: affidavit.Workspace) -> list[str]:
    changes = [e.facts["change"] for e in ws.parts.events.of_kind(EventKind.BUDGET_CHANGED)]
    return [change for change in changes if change not in ("set", "removed")]


def test_the_answer_that_crosses_the_line_is_followed_by_its_warning(ws: affidavit.Workspace) -> None:
    ws.budgets.set("workspace", "none", "day", BY, requests=3)
    told = []
    for _ in range(5):
        answer = ws.ask(QUESTION, "alice")
        told.append((answer.model is not None, warnings(ws)))
    assert told == [
        (True, []),
        (True, []),
        (True, ["warned"]),
        (False, ["warned", "spent"]),
        (False, ["warned", "spent"]),
    ]
    ws.verify()


def test_two_processes_that_find_the_same_due_tell_it_once(
    ws: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other tells it between this one's look and its write."""
    ws.budgets.set("workspace", "none", "day", BY, requests=1)
    monkeypatch.setattr(ws, "_warn", lambda: None)
    ws.ask(QUESTION, "alice")
    due = ws.money.ledger.due
    with affidavit.open(ws.parts.folder) as other:

        def interrupted() -> list[tuple[int, str, int, int]]:
            found = due()
            assert other.budgets.tell() == 1
            return found

        monkeypatch.setattr(ws.money.ledger, "due", interrupted)
        assert ws.budgets.tell() == 0
    assert warnings(ws) == ["warned"]


def test_a_counter_that_was_lost_does_not_tell_again(ws: affidavit.Workspace) -> None:
    ws.budgets.set("workspace", "none", "day", BY, requests=5)
    for _ in range(4):
        ws.ask(QUESTION, "alice")
    assert warnings(ws) == ["warned"]
    ws.money.close()
    for path in ws.parts.folder.glob("money.db*"):
        path.unlink()
    ws.ask(QUESTION, "alice")
    assert warnings(ws) == ["warned"]


def test_a_warning_that_cannot_be_told_costs_nobody_an_answer(
    ws: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws.budgets.set("workspace", "none", "day", BY, requests=1)

    def full() -> int:
        raise DiskFullError("no room", "make some")

    with monkeypatch.context() as broken:
        broken.setattr(ws.budgets, "tell", full)
        assert ws.ask(QUESTION, "alice").model
    assert warnings(ws) == []
    ws.ask(QUESTION, "alice")
    assert warnings(ws) == ["spent"]  # it stayed due, and by now it is worse


def test_without_models_nothing_is_looked_up(ws: affidavit.Workspace) -> None:
    with affidavit.open(ws.parts.folder) as other:
        other.publish({k: v for k, v in release().items() if k not in ("models", "write")})
        other.ask(QUESTION, "alice")
        assert "money" not in vars(other)


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_webhook_is_told_by_following_the_log(ws: affidavit.Workspace) -> None:
    ws.budgets.set("workspace", "none", "day", BY, requests=1)
    ws.ask(QUESTION, "alice")
    with receiving() as receiver:
        follower = WebhookFollower(receiver.url, ws.parts.clock.now)
        ws.followers.follow(follower, Following(name="hook", target=receiver.url, once=True))
        told: list[dict[str, Any]] = []
        for post in receiver.posts:
            said = json.loads(post.body)
            told += said if isinstance(said, list) else [said]
    assert "warned" in json.dumps([e for e in told if e["type"].endswith("budget.changed")])
