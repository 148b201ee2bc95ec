"""A small workspace behind the HTTP server, asked in the same process."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.testclient import TestClient

import affidavit
from affidavit.app.people import Entry
from affidavit.app.settings import Settings
from affidavit.entrypoints.http.application import make_app
from affidavit.testing.clock import SeededRandomness

QUESTION = "How many days of annual leave do I have?"
ANSWER = "Annual leave is 25 days a year."
FILES: dict[str, str | bytes] = {
    "access.toml": 'allow = ["group:staff"]',
    "leave.md": f"# Leave\n\n{ANSWER}\n",
}


class Letters(SeededRandomness):
    """Ids that begin with a letter, as the log wants them."""

    def token(self, size: int) -> bytes:
        found = super().token(size)
        while not base64.b32encode(found)[:1].isalpha():
            found = super().token(size)
        return found


@dataclass
class World:
    """``ws`` with alice, who may read, and mallory, who may not; ``auditor`` dave."""

    ws: affidavit.Workspace
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, user: str, tenant: str = "acme") -> dict[str, str]:
        """The header by which ``user`` asks."""
        name = f"{user}@{tenant}"
        if name not in self.keys:
            owner = self.ws.parts.tenant(tenant)
            self.keys[name] = self.ws.credentials.make_key(owner, f"user:{user}", "k", 30, "operator:test")[1]
        return {"Authorization": f"Bearer {self.keys[name]}"}

    @contextmanager
    def client(self, settings: Settings | None = None, **more: Any) -> Iterator[TestClient]:
        """A client of a server of its own."""
        with TestClient(make_app(self.ws, settings, **more), base_url="http://localhost") as client:
            yield client


def people(ws: affidavit.Workspace) -> World:
    """acme's people and globex's gina."""
    ws.parts.randomness = Letters()
    staff = [Entry(f"user:{name}", frozenset({"group:staff"}), {}) for name in ("alice", "dave")]
    ws.load_people([*staff, Entry("user:mallory", frozenset(), {})], "acme")
    ws.load_people([Entry("user:gina", frozenset(), {})], "globex")
    ws.people.grant(ws.parts.tenant("acme"), "user:dave", "role:auditor")
    return World(ws)


def events(text: str) -> list[tuple[str, int | None, Any]]:
    """(event, id, data) of what a stream said; comments are left out."""
    out = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            id = int(fields["id"]) if "id" in fields else None
            out.append((fields["event"], id, json.loads(fields["data"])))
    return out
