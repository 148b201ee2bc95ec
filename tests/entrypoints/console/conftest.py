"""A small organisation, and a browser without scripts for each of its people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.entrypoints.http.application import make_app
from affidavit.testing.clock import FixedClock, SeededRandomness

OURS = "https://testserver"
Browse = Callable[[str], TestClient]

FILES: dict[str, str | bytes] = {
    "staff/access.toml": 'allow = ["group:staff"]',
    "staff/leave.md": "# Annual leave\n\nAnnual leave is 25 days a year. Up to 5 days may be carried over until March.\n",
    "staff/parking.md": "# Parking\n\nThe garage closes at 22:00 on working days.\n",
    "pay/access.toml": 'allow = ["group:finance"]',
    "pay/bonus.md": "# Bonus\n\nThe bonus of managers is 15 percent of the salary.\n",
}
PEOPLE = {"alice": {"staff"}, "bob": {"staff", "finance"}, "dave": {"staff"}, "mallory": set[str]()}


def put(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write ``files`` below ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


@contextmanager
def organisation(folder: Path) -> Iterator[affidavit.Workspace]:
    """alice reads what staff may, bob what finance may too, dave audits, mallory is a stranger."""
    with affidavit.init(folder / "ws", EmbedderSpec("none"), FixedClock(), SeededRandomness()) as workspace:
        workspace.load_people(
            [
                Entry(f"user:{name}", frozenset(f"group:{g}" for g in groups), {})
                for name, groups in PEOPLE.items()
            ]
        )
        workspace.add_source("folder", put(folder / "docs", FILES), "wiki")
        workspace.sync()
        workspace.people.grant(workspace.parts.tenant(""), "user:dave", "role:auditor")
        yield workspace


@contextmanager
def browsing(workspace: affidavit.Workspace) -> Iterator[Browse]:
    """A browser without scripts for a person who is signed in."""
    app = make_app(workspace)
    with TestClient(app):

        def client(name: str) -> TestClient:
            tenant = workspace.parts.tenant("")
            _, token = workspace.credentials.begin_session(tenant, f"user:{name}", "link", 8)
            return TestClient(app, OURS, headers={"Origin": OURS}, cookies={"__Host-affidavit": token})

        yield client


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[affidavit.Workspace]:
    """One for each module: whatever a test asks stays on record."""
    with organisation(tmp_path_factory.mktemp("acme")) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def browse(acme: affidavit.Workspace) -> Iterator[Browse]:
    """``browsing`` in ``acme``."""
    with browsing(acme) as client:
        yield client
