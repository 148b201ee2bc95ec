"""A small organisation, and a browser without scripts for each of its people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import affidavit
from affidavit.app.people import Entry
from affidavit.entrypoints.http.application import make_app
from affidavit.store.people import Tenant

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


@pytest.fixture
def acme(
    workspace: affidavit.Workspace, write_folder: Callable[[dict[str, str | bytes]], Path]
) -> affidavit.Workspace:
    """alice reads what staff may, bob what finance may too, dave audits, mallory is a stranger."""
    workspace.load_people(
        [
            Entry(f"user:{name}", frozenset(f"group:{g}" for g in groups), {})
            for name, groups in PEOPLE.items()
        ]
    )
    workspace.add_source("folder", write_folder(FILES), "wiki")
    workspace.sync()
    workspace.people.grant(workspace.parts.tenant(""), "user:dave", "role:auditor")
    return workspace


@pytest.fixture
def tenant(acme: affidavit.Workspace) -> Tenant:
    """Their tenant."""
    return acme.parts.tenant("")


@pytest.fixture
def browse(acme: affidavit.Workspace, tenant: Tenant) -> Iterator[Browse]:
    """A browser without scripts for a person who is signed in."""
    app = make_app(acme)
    with TestClient(app):

        def client(name: str) -> TestClient:
            _, token = acme.credentials.begin_session(tenant, f"user:{name}", "link", 8)
            return TestClient(app, OURS, headers={"Origin": OURS}, cookies={"__Host-affidavit": token})

        yield client
