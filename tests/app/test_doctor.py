"""`affidavit doctor`: what is wrong is found, and what to do is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.server_world import FILES, World, people
from typer.testing import CliRunner

import affidavit
from affidavit.app import doctor
from affidavit.app.doctor import BROKEN, FINE, NOTE, Finding, examine
from affidavit.domain.clock import MICROSECONDS
from affidavit.entrypoints.cli import app
from affidavit.testing.clock import FixedClock

Write = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def world(workspace: affidavit.Workspace, write_folder: Write) -> World:
    world = people(workspace)
    workspace.add_source("folder", write_folder(FILES), "docs", "acme")
    workspace.sync("", "acme")
    workspace.verified.full()
    return world


def found(world: World, what: str) -> list[Finding]:
    return [f for f in examine(world.ws) if f.what == what]


def test_a_workspace_in_order_has_nothing_to_be_told(world: World) -> None:
    findings = examine(world.ws)
    assert {f.state for f in findings} == {FINE}
    assert {f.what for f in findings} >= {"workspace", "disk", "clock", "log", "embedder", "settings"}


def test_every_finding_that_is_not_fine_says_what_to_do(world: World, clock: FixedClock) -> None:
    ws = world.ws
    (ws.parts.folder / "server.toml").write_text("[server]\nprot = 1\n")
    (ws.parts.folder / "keys" / "verified.json").unlink()
    ws.add_source("folder", ws.parts.folder, "never", "acme")
    ws.controls.kill(ws.parts.tenant("acme"), "all", "operator:test", "because")
    world.key("alice")
    clock.advance(-3600 * MICROSECONDS)
    by_what = {f.what: f for f in examine(ws) if f.state != FINE}
    assert {what: f.state for what, f in by_what.items()} == {
        "clock": BROKEN,
        "log": NOTE,
        "source": NOTE,
        "kill switch": NOTE,
        "settings": BROKEN,
    }
    assert all(f.hint for f in by_what.values())
    assert "server.port" in by_what["settings"].hint


def test_a_changed_log_is_broken(world: World) -> None:
    with world.ws.parts.database.write():
        world.ws.parts.database.run("DELETE FROM events WHERE position = (SELECT max(position) FROM events)")
    (log,) = found(world, "log")
    assert log.state == BROKEN


def test_keys_that_end_are_told(world: World, clock: FixedClock) -> None:
    world.key("alice")
    assert not found(world, "keys")
    clock.advance(20 * 86_400 * MICROSECONDS)
    assert "within 14 days" in found(world, "keys")[0].message
    clock.advance(20 * 86_400 * MICROSECONDS)
    assert "have expired" in found(world, "keys")[0].message


def test_a_disk_that_fills(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LITTLE_SPACE", 2**62)
    assert found(world, "disk")[0].state == NOTE
    monkeypatch.setattr(doctor, "_NO_SPACE", 2**62)
    assert found(world, "disk")[0].state == BROKEN


def test_a_folder_that_others_may_open(world: World) -> None:
    world.ws.parts.folder.chmod(0o755)
    assert f"chmod go-rwx {world.ws.parts.folder}" in [f.hint for f in found(world, "workspace")]


def test_as_a_command(world: World) -> None:
    folder = str(world.ws.parts.folder)
    cli = CliRunner()
    told = cli.invoke(app, ["doctor", "-w", folder, "--json"])
    findings = json.loads(told.stdout)["findings"]
    assert {f["what"] for f in findings} >= {"disk", "settings"}
    (world.ws.parts.folder / "server.toml").write_text("[server]\nprot = 1\n")
    broken = cli.invoke(app, ["doctor", "-w", folder])
    assert broken.exit_code == 1
    assert "broken settings: there is no setting server.prot" in broken.stdout
