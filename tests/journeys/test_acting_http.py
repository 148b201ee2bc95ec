"""A model on a real server, over HTTP in a vendor's own format, acts; and a server on random weights does nothing it may not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.acting_world import TENANT, ActingWorld, answer, begun, release
from tests.model_servers import scripted_model, tiny_server

from affidavit.app.modelspec import model_at
from affidavit.domain.records import RunStatus
from affidavit.testing.clock import FixedClock
from affidavit.testing.scripted_model import Call, Prompt, Reply
from affidavit.testing.tiny_model import MODEL, TinyServer
from affidavit.testing.wire_openai import ScriptedModel

__all__ = ["scripted_model", "tiny_server"]
pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
ASKED = "Refund order 7 to account A-7 please."
RESULT = '{"account": "A-7", "order": 7, "state": "refunded"}'


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[ActingWorld]:
    made = begun(tmp_path, clock)
    with made.ws as ws:
        ws.parts.models.make = model_at
        yield made


def served(url: str, model: str) -> dict[str, Any]:
    """The release with its model at ``url``."""
    content = release()
    target = content["models"]["targets"]["near"]
    content["models"]["targets"]["near"] = {**target, "kind": "openai", "model": model, "base_url": url}
    return content


def test_a_model_over_http_acts_and_tells(world: ActingWorld, scripted_model: ScriptedModel) -> None:
    world.ws.publish(served(scripted_model.url, "scripted"))
    ((_, said),) = answer(("Order 7 was refunded to account A-7.", "T1", RESULT))
    turns = [
        Reply("", (Call("refund_v1", json.dumps({"order": 7, "account": "A-7", "note": ""})),), "tools"),
        Reply("", (Call("answer", json.dumps(said)),), "tools"),
    ]

    def next_turn(prompt: Prompt) -> Reply:
        assert "answer" in prompt.tools
        return turns.pop(0)

    scripted_model.answer_with = next_turn
    found = world.ws.act(ASKED, "alice", tenant=TENANT)
    assert (found.status, found.answer) == (RunStatus.ANSWERED, "Order 7 was refunded to account A-7.")
    assert world.outside.done == [("refund", (7, "A-7", ""))]
    assert scripted_model.seen[0].tools == (
        "inbox-read_v1",
        "order-look_v1",
        "refund_v1",
        "close_account_v1",
        "answer",
    )
    (report,) = world.ws.replays.replay(world.tenant, [found.run])
    assert report.identical


def test_a_model_that_fails_does_nothing(world: ActingWorld, scripted_model: ScriptedModel) -> None:
    world.ws.publish(served(scripted_model.url, "scripted"))
    for reply in (
        Reply(status=500),
        Reply("no form at all"),
        Reply(raw=b"{"),
        Reply("", (Call("answer", "{"),)),
    ):
        scripted_model.answer_with = partial(_say, reply)
        found = world.ws.act(ASKED, "alice", tenant=TENANT)
        assert found.status is RunStatus.REFUSED
        assert not world.outside.done


def test_random_weights_are_held(world: ActingWorld, tiny_server: TinyServer) -> None:
    world.ws.publish(served(tiny_server.url, MODEL))
    found = world.ws.act(ASKED, "alice", tenant=TENANT)
    assert found.status in (RunStatus.REFUSED, RunStatus.ANSWERED)
    (report,) = world.ws.replays.replay(world.tenant, [found.run])
    assert report.identical


def _say(reply: Reply, prompt: object) -> Reply:
    return reply
