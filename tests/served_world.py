"""A workspace with people, keys and documents, served: in this process, or by a real server on loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.clock import Clock
from affidavit.entrypoints.http.application import make_app
from affidavit.store.people import Tenant
from affidavit.testing.clock import SeededRandomness

TENANT = "acme"
LEAVE = "How many days of annual leave do I have?"
LEAVE_SAYS = "Annual leave is 25 days a year."
PAY = "What is the salary of the director?"
PAY_SAYS = "The salary of the director is 90,000 a year."
FILES = {
    "hr/access.toml": 'allow = ["group:staff"]',
    "hr/leave.md": f"# Leave\n\n{LEAVE_SAYS} Unused days lapse in March.",
    "pay/access.toml": 'allow = ["group:finance"]',
    "pay/salaries.md": f"# Salaries\n\n{PAY_SAYS}",
}
PEOPLE = (
    {"id": "alice", "groups": ["staff"]},
    {"id": "bob", "groups": ["staff", "finance"]},
    {"id": "erin", "groups": []},
    {"service": "bot", "groups": []},
)


@dataclass
class Served:
    """``keys``: one for each person, by their bare name."""

    ws: affidavit.Workspace
    tenant: Tenant
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, name: str, **limits: Any) -> str:
        """A new key."""
        return self.made(name, **limits)[1]

    def made(self, name: str, **limits: Any) -> tuple[str, str]:
        """(its id, a new key)."""
        principal = name if ":" in name else f"user:{name}"
        made, key = self.ws.credentials.make_key(
            self.tenant, principal, "test", 30, "operator:test", **limits
        )
        return made.id, key

    def header(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[name]}"}


def begun(folder: Path, clock: Clock, files: dict[str, str] | None = None) -> Served:
    """The people of ``PEOPLE`` with a key each, and documents."""
    docs = folder / "docs"
    for name, text in {**FILES, **(files or {})}.items():
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text(text, encoding="utf-8")
    (folder / "people.jsonl").write_text("".join(json.dumps(one) + "\n" for one in PEOPLE))
    ws = affidavit.init(folder / "ws", EmbedderSpec("none"), clock, SeededRandomness())
    ws.import_people(folder / "people.jsonl", TENANT)
    ws.add_source("folder", docs, "docs", TENANT)
    ws.sync()
    served = Served(ws, ws.parts.tenant(TENANT))
    for person in PEOPLE:
        if "id" in person:
            served.keys[str(person["id"])] = served.key(str(person["id"]))
    return served


@contextmanager
def on_loopback(app: Any) -> Iterator[str]:
    """``app`` behind a real server; its address, without a slash at the end."""
    place = socket.create_server(("127.0.0.1", 0))  # it queues whoever comes before the server does
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
    thread = threading.Thread(target=lambda: server.run(sockets=[place]))
    thread.start()
    try:
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        place.close()


@contextmanager
def served_on_loopback(served: Served) -> Iterator[str]:
    """The whole application over ``served``."""
    with on_loopback(make_app(served.ws)) as address:
        yield address
