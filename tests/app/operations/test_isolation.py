"""One organisation and another in one workspace: neither can tell that the other is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.app.operations.world import UNKNOWN, TwoSides, asked, kind_of, told, two_sides

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.operations.operation import Operation, perform
from affidavit.app.operations.table import TABLE
from affidavit.domain.errors import ForbiddenError
from affidavit.domain.roles import EVERYBODY
from affidavit.testing.clock import FixedClock, SeededRandomness

_ALONE = {"drills.run", "log.verify"}
"""Not here: they take a copy or read everything, and take no name of anything."""
_OPERATIONS = [row for row in TABLE if row.name not in _ALONE]
_NAMING = [(row, f) for row in _OPERATIONS for f in row.takes.model_fields if kind_of(row, f)]
_VOLATILE = re.compile(r"run-[a-z2-7]{16}|call-[a-z2-7]+|[0-9a-f]{20,}|\d+")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSides]:
    folder: Path = tmp_path_factory.mktemp("two")
    with affidavit.init(folder / "ws", EmbedderSpec("none"), FixedClock(), SeededRandomness()) as ws:
        yield two_sides(ws, folder)


def _plain(value: Any, *names: str) -> str:
    """``value`` without ``names`` and without what differs from one moment to the next."""
    text = _shown(value)
    for name in names:
        for part in (name, name.partition(":")[2] or name):
            text = text.replace(part, "NAME")
    return _VOLATILE.sub("N", text)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


@pytest.mark.parametrize(("row", "field"), [pytest.param(r, f, id=f"{r.name}-{f}") for r, f in _NAMING])
def test_what_is_theirs_is_not_there(world: TwoSides, row: Operation[Any], field: str) -> None:
    kind = kind_of(row, field)
    names = world.theirs.known[kind], UNKNOWN[kind]
    for _ in range(2):  # the first time what we say ourselves may change what there is of ours
        theirs, absent = (told(world, row, asked(row, world.ours, {field: name})) for name in names)
    assert _plain(theirs, *names) == _plain(absent, *names)


@pytest.mark.parametrize(
    "row",
    [r for r in _OPERATIONS if any(kind_of(r, f) for f in r.takes.model_fields)],
    ids=lambda row: row.name,
)
def test_what_is_wholly_theirs_is_not_there(world: TwoSides, row: Operation[Any]) -> None:
    """Every name in it theirs: the document of that source, in that revision."""
    kinds = {f: kind for f in row.takes.model_fields if (kind := kind_of(row, f))}
    asking = [
        asked(row, world.ours, {f: known[kind] for f, kind in kinds.items()})
        for known in (world.theirs.known, UNKNOWN)
    ]
    names = [known[kind] for known in (world.theirs.known, UNKNOWN) for kind in kinds.values()]
    for _ in range(2):
        theirs, absent = (told(world, row, one) for one in asking)
    assert _plain(theirs, *names) == _plain(absent, *names)


@pytest.mark.parametrize("row", _OPERATIONS, ids=lambda row: row.name)
def test_nothing_of_theirs_shows(world: TwoSides, row: Operation[Any]) -> None:
    mine = asked(row, world.ours)
    found = told(world, row, mine)
    assert world.theirs.secret not in _shown(found)
    assert "globex" not in _shown(found)
    assert str(world.ws.parts.folder.parent) not in _shown(found)


@pytest.mark.parametrize(
    ("row", "field"),
    [pytest.param(r, f, id=f"{r.name}-{f}") for r, f in _NAMING if r.action in EVERYBODY],
)
def test_what_a_colleague_has_is_not_there_either(world: TwoSides, row: Operation[Any], field: str) -> None:
    """Within one organisation: somebody without grants, and what the administrator has."""
    nobody = replace(world.ours.admin, principal=f"user:{world.ours.secret}-nobody")
    kind = kind_of(row, field)
    names = world.ours.known[kind], UNKNOWN[kind]
    for _ in range(2):
        hers, absent = (told(world, row, asked(row, world.ours, {field: n}), nobody) for n in names)
    assert _plain(hers, *names) == _plain(absent, *names)


@pytest.mark.parametrize("row", [r for r in _OPERATIONS if r.action in EVERYBODY], ids=lambda row: row.name)
def test_an_auditor_with_a_narrow_key_sees_what_is_theirs(world: TwoSides, row: Operation[Any]) -> None:
    narrow = replace(world.ours.admin, scopes=EVERYBODY)
    reader = world.ours.known["person"]
    run = world.ws.search("ledger", reader, tenant="acme").run
    given_ = asked(row, world.ours, {"run": run} if "run" in row.takes.model_fields else {})
    found = _shown(told(world, row, given_, narrow))
    assert reader not in found.replace(given_.model_dump_json(), "")


@settings(max_examples=120)
@given(data=st.data())
def test_whatever_is_asked_for_nothing_of_theirs_shows(world: TwoSides, data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(_OPERATIONS), label="operation")
    said = {
        field: data.draw(
            st.sampled_from([world.ours.known[kind], world.theirs.known[kind], UNKNOWN[kind]]), label=field
        )
        for field in row.takes.model_fields
        if (kind := kind_of(row, field))
    }
    found = _shown(told(world, row, asked(row, world.ours, said)))
    assert world.theirs.secret not in found
    assert "globex" not in found


@pytest.mark.parametrize("row", list(TABLE), ids=lambda row: row.name)
def test_a_grant_there_is_none_here(world: TwoSides, row: Operation[Any]) -> None:
    """Their administrator, with a proof that names our organisation, is a stranger in it."""
    mixed = type(world.ours.admin)(world.ours.tenant, world.theirs.admin.principal, "key")
    with pytest.raises(ForbiddenError):
        perform(world.ws, mixed, row, asked(row, world.ours))


def test_after_all_this_the_log_is_sound(world: TwoSides) -> None:
    world.ws.verify()
