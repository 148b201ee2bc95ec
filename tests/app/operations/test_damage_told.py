"""A workspace that was changed by hand: who may look is told so, and nothing of another organisation."""

from __future__ import annotations

import pytest

import affidavit
from affidavit.app.operations.operation import Caller, perform
from affidavit.app.operations.table import TABLE
from affidavit.app.people import Entry
from affidavit.domain.errors import LogDamagedError


def test_what_was_changed_is_not_named_to_others(workspace: affidavit.Workspace) -> None:
    verify = TABLE["log.verify"]
    for name, who in (("acme", "user:dave"), ("globex", "user:gina")):
        workspace.load_people([Entry(who, frozenset({"group:board"}), {})], name)
    acme, globex = workspace.parts.tenant("acme"), workspace.parts.tenant("globex")
    for tenant, who in ((acme, "user:dave"), (globex, "user:gina")):
        workspace.people.grant(tenant, who, "audit:read")
    dave = Caller(acme, "user:dave", "session")
    assert perform(workspace, dave, verify, verify.takes())["events"]
    with workspace.parts.database.write():
        workspace.parts.database.run("DELETE FROM memberships WHERE tenant = ?", (globex.id,))
    with pytest.raises(LogDamagedError) as whole:
        workspace.verify()
    assert "gina" in whole.value.message
    with pytest.raises(LogDamagedError) as told:
        perform(workspace, dave, verify, verify.takes())
    assert "gina" not in f"{told.value.message} {told.value.hint}"
