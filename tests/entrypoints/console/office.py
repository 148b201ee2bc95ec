"""Acme at work: tools, a call that waits, an approver, an operator and an administrator."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.testclient import TestClient

import affidavit
from affidavit.app.people import Entry
from affidavit.domain.canonical import Json

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
_TOKEN = re.compile(r'name="csrf" value="([0-9a-zA-Z_.-]+)"')


@dataclass
class Office:
    """The workspace, and the name of a call that waits for carol."""

    ws: affidavit.Workspace
    waiting: str


def furnish(ws: affidavit.Workspace) -> Office:
    """Add the tools, and people with roles; olga asks for a payment, which waits."""
    tenant = ws.parts.tenant("")
    ws.load_people([Entry(f"user:{name}", frozenset({"group:staff"}), {}) for name in ROLES])
    for name, role in ROLES.items():
        ws.people.grant(tenant, f"user:{name}", f"role:{role}")
    (ws.parts.folder / "office.py").write_text(CODE)
    (ws.parts.folder / "tools.toml").write_text('[[tools]]\nfile = "office.py"\n')
    ws.controls.set_mode(tenant, "live", "operator:test", "to work")
    asked: dict[str, Json] = {"to": "Acme", "amount": 5_000, "text": "thanks"}
    done = ws.tools.call(tenant, "olga", "pay", asked)
    assert done.state.value == "waiting", done
    return Office(ws, done.row.name)


def send(client: TestClient, page: str, action: str, **fields: str) -> str:
    """Fill in the form at ``page`` as a person does, and send it to ``action``; the page that follows."""
    found = _TOKEN.search(client.get(page).text)
    assert found, page
    answer = client.post(action, data={"csrf": found[1], **fields})
    assert answer.status_code == 200, answer.text
    return answer.text
