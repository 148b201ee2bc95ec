"""A service that speaks for somebody: what it does ends with its key."""

from __future__ import annotations

import pytest

import affidavit
from affidavit.app.operations.operation import Caller, perform
from affidavit.app.operations.table import TABLE
from affidavit.app.people import Entry
from affidavit.domain.errors import ForbiddenError

_FIELDS = {
    "keys.make": {"principal": "user:alice", "name": "for later"},
    "keys.rotate": {},
    "looks.begin": {"person": "user:bob", "reason": "why not"},
}


@pytest.mark.parametrize("name", [row.name for row in TABLE if row.once])
def test_it_is_given_no_secret_that_outlives_its_key(workspace: affidavit.Workspace, name: str) -> None:
    people = [Entry(f"user:{n}", frozenset(), {}) for n in ("alice", "bob")]
    workspace.load_people([*people, Entry("service:bot", frozenset(), {})], "acme")
    acme = workspace.parts.tenant("acme")
    workspace.people.grant(acme, "user:alice", "role:admin")
    hers, _ = workspace.credentials.make_key(acme, "user:alice", "hers", 9, "operator:dave")
    before = workspace.parts.log.head()
    asked = TABLE[name].takes.model_validate(_FIELDS[name] or {"id": hers.id})
    with pytest.raises(ForbiddenError, match="speaks for"):
        perform(workspace, Caller(acme, "user:alice", "key", "service:bot"), TABLE[name], asked)
    assert workspace.parts.log.head() == before
    assert perform(workspace, Caller(acme, "user:alice", "session"), TABLE[name], asked)["secret"]
