"""Work that goes on behind a request: 202, where to look, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.server_world import FILES, World, events, people

import affidavit
from affidavit.app.sources import SourceDesk
from affidavit.ingest.sync import SyncReport

Write = Callable[[dict[str, str | bytes]], Path]
SYNC = "/v1/sources/docs/sync"
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def world(workspace: affidavit.Workspace, write_folder: Write) -> World:
    world = people(workspace)
    workspace.add_source("folder", write_folder(FILES), "docs", "acme")
    for tenant, who in (("acme", "user:dave"), ("globex", "user:gina")):
        workspace.people.grant(workspace.parts.tenant(tenant), who, "role:admin")
    return world


def test_it_is_accepted_done_and_told(world: World) -> None:
    dave = world.key("dave")
    with world.client() as client:
        begun = client.post(SYNC, headers=dave)
        assert begun.status_code == 202
        assert begun.headers["Location"] == f"/v1/works/{begun.json()['work']}"
        assert begun.json()["run"] == begun.headers["X-Request-Id"]
        said = events(client.get(begun.headers["Location"], headers={**dave, **STREAM}).text)
        assert [name for name, _, _ in said] == ["work.began", "work.ended"]
        resumed = {**dave, **STREAM, "Last-Event-ID": str(said[0][1])}
        assert events(client.get(begun.headers["Location"], headers=resumed).text) == said[1:]
        told = client.get(begun.headers["Location"], headers=dave).json()
        assert (told["state"], told["counts"]["added"]) == ("done", 1)
        assert client.get("/v1/sources/docs", headers=dave).json()["syncing"] is False
        for stranger, status in (("mallory", 403), ("alice", 403)):
            for headers in (world.key(stranger), {**world.key(stranger), **STREAM}):
                assert client.get(begun.headers["Location"], headers=headers).status_code == status


def test_of_another_organisation_it_is_not_there_by_whatever_is_sent(world: World) -> None:
    gina = world.key("gina", "globex")
    with world.client() as client:
        begun = client.post(SYNC, headers={**world.key("dave"), "Idempotency-Key": "k"})
        path = begun.headers["Location"]
        world.ws.works.wait()
        tag = client.get(path, headers=world.key("dave")).headers["ETag"]
        absent = client.get("/v1/works/990099", headers=gina)
        for more in (
            {},
            STREAM,
            {**STREAM, "Last-Event-ID": "0"},
            {"If-None-Match": tag},
            {"If-None-Match": "*"},
        ):
            theirs = client.get(path, headers={**gina, **more})
            assert theirs.status_code == 404
            assert theirs.json()["code"] == absent.json()["code"]
        # the key is the caller's own: theirs begins nothing of ours and is told nothing of it
        again = client.post(SYNC, headers={**gina, "Idempotency-Key": "k"})
        assert (again.status_code, "Idempotency-Replayed" in again.headers) == (404, False)
        mine = client.post(SYNC, headers={**world.key("dave"), "Idempotency-Key": "k"})
        assert (mine.status_code, mine.json()) == (202, begun.json())


def test_a_second_is_refused_and_the_end_of_the_server_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SourceDesk.sync

    def until_told_to_stop(
        desk: SourceDesk, source: Any, progress: Callable[[SyncReport], None], run: str
    ) -> Any:
        def step(report: SyncReport) -> None:
            work = world.ws.works._works[0]
            work.stop.wait()
            progress(report)

        return real(desk, source, step, run)

    monkeypatch.setattr(SourceDesk, "sync", until_told_to_stop)
    dave = world.key("dave")
    with world.client() as client:
        begun = client.post(SYNC, headers=dave).json()["work"]
        assert client.get("/v1/sources/docs", headers=dave).json()["syncing"] is True
        second = client.post(SYNC, headers=dave)
        assert (second.status_code, second.json()["code"]) == (409, "in_progress")
        # nobody's hand is held meanwhile
        assert client.get(f"/v1/works/{begun}", headers=dave).json()["state"] == "running"
    told = world.ws.works.show(world.ws.parts.tenant("acme"), begun)
    assert (told["state"], told["code"]) == ("failed", "stopped")
    world.ws.verify()
