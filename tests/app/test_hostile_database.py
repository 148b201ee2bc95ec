"""Whoever holds the database without the key, and knows how SQLite and our checks look at it, is found out all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.canonical import Json, canonical
from affidavit.domain.errors import LogDamagedError
from affidavit.domain.events import commit_body
from affidavit.domain.records import FOREVER
from affidavit.events.merkle import leaf_hash
from affidavit.store.database import Database

Change = str | Callable[[Database], None]


@pytest.fixture
def busy(
    tmp_path: Path, write_folder: Callable[[dict[str, str | bytes]], Path]
) -> Iterator[affidavit.Workspace]:
    root = write_folder({"access.toml": 'allow = ["group:staff"]\n', "a.md": "# Leave\n\nLeave is 20 days."})
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        people = tmp_path / "people.jsonl"
        people.write_text(
            '{"id": "alice", "groups": ["staff"], "desk": "4"}\n{"id": "carol", "groups": []}\n'
        )
        ws.import_people(people)
        ws.add_source("folder", root, "docs")
        ws.sync()
        ws.ask("How many days is leave?", "alice")
        yield ws


def _forge(position: int, kind: str, facts: dict[str, Json], body: Json) -> Callable[[Database], None]:
    """An event that hashes to its leaf and commits to its body, where nothing signed reaches."""

    def change(db: Database) -> None:
        data, salt = canonical(body), b"s" * 16
        commitment = commit_body(salt, data)
        row = db.run(
            "INSERT INTO bodies (salt, codec, size, data) VALUES (?, 0, ?, ?)", (salt, len(data), data)
        )
        header = canonical({"v": 1, "kind": kind, "at": 5, "tenant": 1, "facts": facts, "body": commitment})
        db.run(
            "INSERT INTO events (position, kind, tenant, run, at, header, leaf, body) VALUES (?, ?, 1, '', 5, ?, ?, ?)",
            (position, kind, header, leaf_hash(header), row),
        )

    return change


def _sink_from_before(db: Database) -> None:
    """A sink of the attacker's own, with an event that only readers of a kind see."""
    _forge(
        -1, "sink.changed", {"subject": 9, "change": "added"}, {"name": "x", "kind": "file", "settings": {}}
    )(db)
    db.run("INSERT INTO sinks VALUES (9, 'x', 'file', '{}', -1, ?)", (FOREVER,))


def _poison(db: Database) -> None:
    """An index that was built over other values than its table's: carol looks up her groups and is given alice's."""
    name = "memberships_by_member"
    sql = db.value("SELECT sql FROM sqlite_master WHERE name = ?", (name,))
    lying = f"CREATE INDEX {name} ON memberships (tenant, replace(member, 'alice', 'carol'), until)"
    for text in (lying, sql):
        db.run("PRAGMA writable_schema = ON")
        db.run("UPDATE sqlite_master SET sql = ? WHERE name = ?", (text, name))
        db.run("PRAGMA writable_schema = RESET")
        db.close()
        if text == lying:
            db.run(f"REINDEX {name}")
    found = db.value("SELECT grp FROM memberships WHERE tenant = 1 AND member = 'user:carol' AND until > 0")
    assert found == "group:staff", "the index does not lie: the test proves nothing"


def _header(**said: Json) -> Callable[[Database], None]:
    def change(db: Database) -> None:
        at = db.value("SELECT at FROM events WHERE position = 5")
        header = canonical({"v": 1, "kind": "person.changed", "at": at, "tenant": 1, **said})
        db.run(
            "UPDATE events SET header = ?, leaf = ?, kind = 'person.changed', at = ?, tenant = 1, run = '', body = NULL "
            "WHERE position = 5",
            (header, leaf_hash(header), said.get("at", at)),
        )

    return change


def _deep(db: Database) -> None:
    header = b"[" * 200_000
    db.run("UPDATE events SET header = ?, leaf = ? WHERE position = 5", (header, leaf_hash(header)))


TAMPERS: dict[str, tuple[Change, str]] = {
    "a trigger under a name like SQLite's own": (
        "CREATE TRIGGER sqliteXquiet AFTER INSERT ON grants BEGIN DELETE FROM grants; END",
        "layout was changed: sqliteXquiet",
    ),
    "a view under such a name": ("CREATE VIEW SQLITExv AS SELECT 1", "layout was changed: SQLITExv"),
    "an index that lies": (_poison, "contradicts itself"),
    "an event before the first": (
        _forge(
            -1,
            "source.changed",
            {"subject": 1, "change": "added"},
            {"name": "docs", "kind": "folder", "location": "/evil", "settings": {}},
        ),
        "position -1: there is an event before the first",
    ),
    "a sink that only an event before the first knows": (_sink_from_before, "before the first"),
    "a checkpoint of no events": ("INSERT INTO checkpoints VALUES (0, 0, 'x')", "checkpoint of no events"),
    "a header nested too deep": (_deep, "position 5: the header is not canonical"),
    "a header without facts": (_header(), "position 5: the row's columns"),
    "a header whose time is text": (_header(at="x", facts={}), "position 5: the row's columns"),
    "a body that is a number": (
        "UPDATE bodies SET data = 99999999999999, codec = 0 WHERE id = 3",
        "not of the form",
    ),
    "a body of negative size": (
        "UPDATE bodies SET size = -5, codec = 1, data = x'789c030000000001' WHERE id = 3",
        "not of the form",
    ),
    "a body whose limit is lifted": (
        "UPDATE bodies SET size = -1, codec = 1, data = x'789c030000000001' WHERE id = 3",
        "not of the form",
    ),
    "a salt that is text": ("UPDATE bodies SET salt = 'abc' WHERE id = 3", "the body was changed"),
    "a membership twice": (
        "INSERT INTO memberships (tenant, grp, member, since, until) SELECT tenant, grp, member, since, until "
        "FROM memberships",
        "stands there twice",
    ),
    "a key twice in what is known of a person": (
        "UPDATE people SET facts = '{\"desk\":\"1\",' || substr(facts, 2) WHERE facts <> '{}'",
        "people: a row that no event",
    ),
    "something besides in a rule": (
        "UPDATE access_rules SET rule = '{\"x\":1,' || substr(rule, 2)",
        "access rule 1 was changed",
    ),
    "a rule moved to another tenant": ("UPDATE access_rules SET tenant = 2", "rule of another tenant"),
    "a document's beginning moved": ("UPDATE documents SET since = 99", "not the one that the log knows"),
    "a tenant's beginning moved": ("UPDATE tenants SET since = 99", "the tenants"),
    "a channel that ends almost never": (
        f"INSERT INTO channels (name, release, since, until) SELECT name, release, 0, {FOREVER - 1} FROM channels",
        "a channel points",
    ),
    "a channel's past": ("UPDATE channels SET since = 999", "a channel points"),
    "a release's beginning moved": ("UPDATE releases SET since = 999", "release"),
    "a setting that is not ours": ("INSERT INTO meta VALUES ('x', 'y')", "setting 'x'"),
    "a head beyond the log": (f"UPDATE heads SET position = {FOREVER - 1}", "head is beyond the log"),
    "another head": ("INSERT INTO heads VALUES ('x', 1)", "head is beyond the log"),
    "a text kept beside": (
        "INSERT INTO bodies (salt, codec, size, data) VALUES (x'00', 0, 3, x'616263')",
        "a text that no event and no revision has",
    ),
}


@pytest.mark.parametrize("name", list(TAMPERS))
def test_what_no_event_accounts_for_is_found(busy: affidavit.Workspace, name: str) -> None:
    change, found = TAMPERS[name]
    db = busy.parts.database
    db.run("PRAGMA foreign_keys = OFF")
    if callable(change):
        change(db)
    else:
        db.run(change)
    db.close()
    with pytest.raises(LogDamagedError) as caught:
        busy.verify()
    assert found in caught.value.message


def test_an_event_before_the_first_is_found_by_a_look_at_what_is_new(busy: affidavit.Workspace) -> None:
    busy.verified.full()
    _forge(-3, "source.changed", {"subject": 1, "change": "removed"}, {})(busy.parts.database)
    with pytest.raises(LogDamagedError, match="before the first"):
        busy.verified.since()


def test_a_document_without_text_cannot_vanish(
    tmp_path: Path, write_folder: Callable[[dict[str, str | bytes]], Path]
) -> None:
    """It has no chunk that would miss it."""
    root = write_folder({"access.toml": 'allow = ["group:staff"]\n', "empty.md": ""})
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        people = tmp_path / "people.jsonl"
        people.write_text('{"id": "alice", "groups": ["staff"]}\n')
        ws.import_people(people)
        ws.add_source("folder", root, "docs")
        ws.sync()
        db = ws.parts.database
        if not db.value("SELECT count(*) FROM documents"):
            pytest.skip("an empty file is no document")
        db.run("PRAGMA foreign_keys = OFF")
        db.run("DELETE FROM documents")
        with pytest.raises(LogDamagedError, match="document 1"):
            ws.verify()


@pytest.mark.parametrize(
    "text", ["[" * 90_000, '{"format": 1, "mac": 5}', "[]", "\ud800".encode("utf-8", "surrogatepass")]
)
def test_a_hostile_state_file_is_an_error_with_a_name(
    busy: affidavit.Workspace, tmp_path: Path, text: str | bytes
) -> None:
    state = tmp_path / "state.json"
    state.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(LogDamagedError, match="verified"):
        busy.verified.since(state)
