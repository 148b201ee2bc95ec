"""Bundles and populations: who may have which, what an asker's tells, and that the log knows of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.offline.made import DAY, QUESTION, Made, denied_run, make

import affidavit
from affidavit.domain.errors import AccessDeniedError, LogDamagedError, UsageError, WorkspaceError
from affidavit.domain.events import EventKind
from affidavit.offline.verify_affidavit import Bundle, Key, Population
from affidavit.testing.clock import START


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    made = make(tmp_path)
    with made.ws:
        yield made


def exported(ws: affidavit.Workspace) -> list[dict[str, Any]]:
    return [ws.parts.events.body(e) for e in ws.parts.events.of_kind(EventKind.AUDIT_EXPORTED)]


def check(ws: affidavit.Workspace, value: dict[str, Any]) -> Bundle:
    return Bundle(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(),
        Key(ws.proofs.key()),
    )


def test_an_askers_bundle_holds_what_they_were_given_and_no_more(made: Made) -> None:
    acme = made.ws.parts.tenant("acme")
    bundle = check(made.ws, made.ws.exports.bundle(acme, made.run, "user:alice"))
    assert [h["kind"] for _, h, _ in bundle.story] == ["run.started", "answer.released", "run.finished"]
    assert bundle.story[0][2]["question"] == QUESTION
    assert "20 days" in bundle.story[1][2]["answer"]
    assert bundle.story[2][2] is None  # how long steps took, and whether anything was denied
    assert bundle.view == "asker"
    operator = made.ws.exports.bundle(acme, made.run, None)
    assert operator == made.ws.exports.bundle(acme, made.run, "user:alice")


def test_an_auditors_bundle_holds_everything(made: Made) -> None:
    acme = made.ws.parts.tenant("acme")
    events = made.ws.parts.events.of_run(made.run)
    for who, audit in (("user:dave", False), (None, True)):
        bundle = check(made.ws, made.ws.exports.bundle(acme, made.run, who, audit=audit))
        assert [p for p, _, _ in bundle.story] == [e.position for e in events]
        assert [b for _, _, b in bundle.story] == [made.ws.parts.events.body(e) for e in events]
        assert bundle.gapless()
        assert not bundle.missing


def test_other_peoples_runs_do_not_exist(made: Made) -> None:
    ws, acme = made.ws, made.ws.parts.tenant("acme")
    before = ws.parts.log.head()
    messages = set()
    for tenant, run, who in (
        (acme, made.run, "user:erin"),
        (acme, made.run, "user:mallory"),
        (acme, "run-nothing", "user:alice"),
        (acme, "run-\u00e9", "user:alice"),
        (ws.parts.tenant("globex"), made.run, "user:gina"),
        (ws.parts.tenant("globex"), made.run, None),
    ):
        with pytest.raises(AccessDeniedError) as denied:
            ws.exports.export(tenant, run, ws.parts.folder.parent / "no.json", who, audit=who is None)
        messages.add((denied.value.message.replace(run, "R"), denied.value.hint))
    assert len(messages) == 1
    assert not (ws.parts.folder.parent / "no.json").exists()
    assert ws.parts.log.head() == before


def test_an_askers_bundle_does_not_tell_how_much_was_denied(tmp_path: Path) -> None:
    """The same run with and without denials: the same events, equally far apart."""
    shapes = []
    for denials in (0, 1, 7):
        folder = tmp_path / str(denials)
        folder.mkdir()
        made = make(folder)
        with made.ws as ws:
            run = denied_run(ws, "acme", denials)
            bundle = check(ws, ws.exports.bundle(ws.parts.tenant("acme"), run, "user:alice"))
            first = bundle.story[0][0]
            shapes.append(
                [
                    (p - first, h["kind"], {**h["facts"]}, b if b is None else {**b})
                    for p, h, b in bundle.story
                ]
            )
            assert "secret" not in json.dumps(bundle.value)
            audited = check(ws, ws.exports.bundle(ws.parts.tenant("acme"), run, "user:dave"))
            assert len(audited.of("decision.made")) == denials
            assert audited.gapless()
    assert shapes[0] == shapes[1] == shapes[2]


def test_each_export_is_on_the_log_before_its_file_is_there(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, acme = made.ws, made.ws.parts.tenant("acme")
    done = ws.exports.export(acme, made.run, tmp_path / "b.json", "user:dave", page=tmp_path / "b.html")
    assert "20 days" in (tmp_path / "b.html").read_text(encoding="utf-8")
    assert (tmp_path / "b.json").stat().st_mode & 0o077 == 0
    ws.exports.population(tmp_path / "p.jsonl", START, START + DAY, acme, "user:dave")
    first, second = exported(ws)
    assert (first["by"], first["run"], first["view"], first["digest"]) == (
        "user:dave",
        made.run,
        "auditor",
        done.digest,
    )
    assert (second["by"], second["from"], second["to"]) == ("user:dave", START, START + DAY)
    ws.verify()

    def full(change: object) -> None:
        raise WorkspaceError("no", "no")

    monkeypatch.setattr(ws.parts.log, "write", full)
    with pytest.raises(WorkspaceError):
        ws.exports.export(acme, made.run, tmp_path / "c.json", "user:dave")
    assert {p.name for p in tmp_path.iterdir() if "c.json" in p.name} == set()
    with pytest.raises(WorkspaceError):
        ws.exports.export(acme, made.run, tmp_path / "no" / "d.json", "user:dave")


def test_a_tampered_log_gives_an_error_and_no_bundle(made: Made) -> None:
    ws, acme = made.ws, made.ws.parts.tenant("acme")
    position = ws.parts.events.of_run(made.run)[2].position
    ws.parts.database.run("UPDATE events SET leaf = ? WHERE position = ?", (bytes(32), position))
    with pytest.raises(LogDamagedError):
        ws.exports.bundle(acme, made.run, None, audit=True)


def test_a_body_that_is_gone_is_named(made: Made) -> None:
    ws, acme = made.ws, made.ws.parts.tenant("acme")
    event = ws.parts.events.of_run(made.run)[2]
    ws.parts.database.run("UPDATE events SET body = NULL WHERE position = ?", (event.position,))
    bundle = check(ws, ws.exports.bundle(acme, made.run, None, audit=True))
    assert bundle.missing == [event.position]
    assert any(str(event.position) in line for line in bundle.not_proved())


def population(
    ws: affidavit.Workspace, path: Path, start: int, end: int, tenant: str = "", who: str | None = None
) -> Population:
    ws.exports.population(path, start, end, ws.parts.tenant(tenant) if tenant else None, who)
    with path.open("rb") as file:
        return Population(file, Key(ws.proofs.key()))


def test_a_population_holds_every_run_of_its_days(made: Made, tmp_path: Path) -> None:
    ws = made.ws
    whole = population(ws, tmp_path / "a", START, START + 10 * DAY)
    assert [r["who"] for r in whole.runs.values()] == [
        None,
        "user:gina",
        "user:alice",
        "user:gina",
        "user:erin",
        "user:gina",
    ]
    assert {r["status"] for r in whole.runs.values()} == {"done", "answered", "refused"}
    assert not whole.withheld
    middle = population(ws, tmp_path / "b", START + DAY, START + 2 * DAY)
    assert [r["who"] for r in middle.runs.values()] == ["user:gina", "user:alice", "user:gina"]
    end = json.loads((tmp_path / "b").read_bytes().splitlines()[-2])["end"]
    assert end["days"] == {"2026-09-22": 3}
    first, last = middle.head["first"], middle.head["stop"]
    assert first > 0
    assert last < middle.checkpoint.size
    assert any("No run of the interval is missing" in line for line in middle.proved())
    for start, stop in ((0, 5), (START + 20 * DAY, START + 30 * DAY), (START + DAY + 1, START + 2 * DAY)):
        assert not population(ws, tmp_path / "c", start, stop).runs


def test_a_tenants_population_withholds_the_others(made: Made, tmp_path: Path) -> None:
    acme = population(made.ws, tmp_path / "a", START, START + 10 * DAY, "acme", "user:dave")
    assert {r["who"] for r in acme.runs.values()} == {None, "user:alice", "user:erin"}
    assert acme.withheld
    assert b"gina" not in (tmp_path / "a").read_bytes()
    assert any("other tenants" in line for line in acme.not_proved())
    assert not any("No run of the interval is missing" in line for line in acme.proved())


def test_who_may_export_a_population(made: Made, tmp_path: Path) -> None:
    ws = made.ws
    for tenant, who in (
        ("acme", "user:alice"),
        ("acme", "user:mallory"),
        ("globex", "user:dave"),
        ("", "user:dave"),
    ):
        with pytest.raises(AccessDeniedError):
            population(ws, tmp_path / "x", START, START + DAY, tenant, who)
    with pytest.raises(UsageError):
        population(ws, tmp_path / "x", START, START)
    assert not (tmp_path / "x").exists()
    assert exported(ws) == []


def test_a_runs_events_are_found_by_the_index(made: Made) -> None:
    """Without it every bundle, and every `run show`, would read the whole log."""
    sql = "EXPLAIN QUERY PLAN SELECT position FROM events WHERE run = ? AND run <> '' ORDER BY position"
    (plan,) = made.ws.parts.database.all(sql, (made.run,))
    assert "events_by_run" in plan[3]
