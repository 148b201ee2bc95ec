"""The example tools through the gateway: approved by somebody else, carried out for real, undone."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from tests.conftest import EXAMPLES
from tests.gateway.world import Table, World
from tests.ports import free_port

import affidavit
from affidavit.app.toolfile import read_tools
from affidavit.domain.decisions import Verdict
from affidavit.domain.tools import CallState
from affidavit.gateway.contracts import Registry
from affidavit.gateway.gateway import Gateway
from affidavit.gateway.ledger import Ledger
from affidavit.store.calls import Calls
from affidavit.testing.clock import FixedClock

ASKED = ("refund@1", "send_mail@1")


def world(ws: affidavit.Workspace, settings: str = "") -> World:
    """A gateway over the examples: refunds and mail wait for an approver, all else is permitted."""
    folder = ws.parts.folder
    for file in (EXAMPLES / "tools").glob("*.py"):
        shutil.copy(file, folder)
    (folder / "tools.toml").write_text(settings or (EXAMPLES / "tools" / "tools.toml").read_text())
    tools = read_tools(folder)
    verdicts = {t.contract.key: Verdict.PERMIT for t in tools} | dict.fromkeys(ASKED, Verdict.NEEDS_APPROVAL)
    table, parts = Table(verdicts), ws.parts
    ledger = Ledger(Calls(parts.database), parts.events, table, table.person, parts.randomness)
    gateway = Gateway(parts.database, parts.log, parts.events, ledger, Registry(tools), parts.clock)
    return World(ws, table, gateway, ledger)


@pytest.fixture
def ws(workspace: affidavit.Workspace) -> affidavit.Workspace:
    workspace.people.ensure_tenant("main")
    return workspace


def call(there: World, name: str, **arguments: Any) -> Any:
    return there.gateway.call(*there.wanted(name, arguments=arguments))


def test_a_refund_waits_for_somebody_else_is_made_and_taken_back(ws: affidavit.Workspace) -> None:
    there = world(ws)
    asked = call(there, "refund", order=7, cents=500, reason="arrived broken")
    assert asked.state is CallState.WAITING
    assert not (ws.parts.folder / "refunds.db").exists()
    row = there.gateway.approve(1, asked.row.name, "user:bob", "seen the photograph")
    done = there.gateway.follow(row.id)
    assert (done.state, done.result) == (CallState.DONE, {"refund": 1, "order": 7, "cents": 500})
    assert call(there, "refunded", order=7).result == 500
    undone = there.gateway.undo(1, done.row.name, *there.wanted("", arguments={}))
    assert (undone.state, undone.result) == (CallState.DONE, 500)
    assert call(there, "refunded", order=7).result == 0
    with closing(sqlite3.connect(ws.parts.folder / "refunds.db")) as ledger:
        keys = ledger.execute("SELECT count(DISTINCT key) FROM rows").fetchone()
    assert keys == (2,)
    ws.verify()


def test_a_ticket_is_opened_once_though_its_worker_died_before_it_was_recorded(
    ws: affidavit.Workspace, clock: FixedClock
) -> None:
    there = world(ws)
    row = there.gateway.propose(
        *there.wanted("open_ticket", arguments={"title": "Scanner", "body": "It is cold"})
    )
    claim = there.claim(row.id)
    entry = there.gateway.registry.get("open_ticket@1")
    assert entry is not None
    context = affidavit.Context(claim.row.key, 1, 1.0)
    entry.callee.run(claim.wanted.arguments, context)  # and here it dies
    clock.advance(60_000_000)
    there.gateway.work()
    clock.advance(60_000_000)
    there.gateway.work()
    done = there.gateway.stands(row.id)
    assert (done.state, done.result) == (CallState.DONE, {"ticket": 1})
    with closing(sqlite3.connect(ws.parts.folder / "tickets.db")) as tracker:
        assert tracker.execute("SELECT count(*) FROM tickets").fetchone() == (1,)


class Mailbox:
    """Keeps what is delivered, as aiosmtpd hands it over."""

    def __init__(self) -> None:
        self.letters: list[tuple[list[str], str]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # its name there
        self.letters.append((envelope.rcpt_tos, envelope.content.decode()))
        return "250 OK"


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_letter_is_sent_once_and_only_after_a_yes(ws: affidavit.Workspace) -> None:
    mailbox, port = Mailbox(), free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        settings = f'[[tools]]\nfile = "mail.py"\nsettings = {{ host = "127.0.0.1", port = {port}, sender = "d@acme.example" }}\n'
        there = world(ws, settings)
        asked = call(there, "send_mail", to="ann@acme.example", subject="Hello", text="A letter.")
        assert mailbox.letters == []
        row = there.gateway.approve(1, asked.row.name, "user:bob")
        assert there.gateway.follow(row.id).state is CallState.DONE
    finally:
        controller.stop()
    ((recipients, letter),) = mailbox.letters
    assert recipients == ["ann@acme.example"]
    assert "Subject: Hello" in letter
    down = call(there, "send_mail", to="ann@acme.example", subject="Again", text="")
    row = there.gateway.approve(1, down.row.name, "user:bob")
    assert there.gateway.follow(row.id).state is CallState.FAILED  # nobody listens: nothing was sent for sure
