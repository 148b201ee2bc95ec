"""Acme at work: tools, a call that waits, an approver, an operator and an administrator."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.testclient import TestClient
from tests.entrypoints.console.conftest import FILES, OURS, PEOPLE, Browse, put

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.domain.canonical import Json
from affidavit.entrypoints.http.application import make_app
from affidavit.testing.clock import FixedClock, SeededRandomness

CODE = """
from affidavit import tool

@tool(effect="write", idempotency="native", data=["text"], undo="unsend")
def send(to: str, text: str) -> dict[str, str]:
    "Send a word to somebody."
    return {"to": to}

@tool(effect="write", idempotency="native")
def unsend(to: str) -> str:
    "Take a word back."
    return to

@tool(effect="irreversible", idempotency="none", data=["text"])
def pay(to: str, amount: int, text: str) -> None:
    "Pay somebody."
"""
ROLES = {"olga": "operator", "carol": "approver", "ada": "admin"}
_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Office:
    """The workspace, its clock, the name of a call that waits for carol, and a browser for each person."""

    ws: affidavit.Workspace
    clock: FixedClock
    waiting: str
    browse: Browse


@contextmanager
def at_work(folder: Path) -> Iterator[Office]:
    """Acme in ``folder``, with tools and people with roles. olga asks for a payment, which waits."""
    clock = FixedClock()
    with affidavit.init(folder / "ws", EmbedderSpec("none"), clock, SeededRandomness()) as ws:
        groups = {**PEOPLE, **{name: {"staff"} for name in ROLES}}
        ws.load_people(
            Entry(f"user:{name}", frozenset(f"group:{g}" for g in mine), {}) for name, mine in groups.items()
        )
        files: dict[str, str | bytes] = {**FILES, "staff/torn.pdf": b"%PDF-1.4 torn"}
        ws.add_source("folder", put(folder / "docs", files), "wiki")
        ws.sync()
        tenant = ws.parts.tenant("")
        for name, role in ROLES.items():
            ws.people.grant(tenant, f"user:{name}", f"role:{role}")
        (ws.parts.folder / "office.py").write_text(CODE)
        (ws.parts.folder / "tools.toml").write_text('[[tools]]\nfile = "office.py"\n')
        ws.controls.set_mode(tenant, "live", "operator:test", "to work")
        asked: dict[str, Json] = {"to": "Acme", "amount": 5_000, "text": "thanks"}
        done = ws.tools.call(tenant, "olga", "pay", asked)
        assert done.state.value == "waiting", done
        app = make_app(ws)

        def browse(name: str) -> TestClient:
            _, token = ws.credentials.begin_session(tenant, f"user:{name}", "link", 8)
            return TestClient(app, OURS, headers={"Origin": OURS}, cookies={"__Host-affidavit": token})

        with TestClient(app):
            yield Office(ws, clock, done.row.name, browse)


def token(page: str) -> str:
    """What the forms of ``page`` carry."""
    found = _TOKEN.search(page)
    assert found, page
    return found[1]


def looked_at(client: TestClient, page: str) -> str:
    """The version of what ``page`` is there to change."""
    found = re.search(r'name="version" value="([^"]+)"', client.get(page).text)
    assert found
    return html.unescape(found[1])


def send(client: TestClient, page: str, action: str, /, **fields: str) -> str:
    """Fill in the form at ``page`` as a person does, and send it to ``action``; the page that follows."""
    answer = client.post(action, data={"csrf": token(client.get(page).text), **fields})
    assert answer.status_code == 200, answer.text
    return answer.text
