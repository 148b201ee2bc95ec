"""`audit verify` finds every way a database can be changed by hand, and names the first fault."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.errors import LogDamagedError
from affidavit.events.merkle import Frontier
from affidavit.events.note import Checkpoint, sign, verifier_key
from affidavit.store.database import Database

ACCESS = 'allow = ["group:staff"]\n'


@pytest.fixture
def busy(
    tmp_path: Path, write_folder: Callable[[dict[str, str | bytes]], Path]
) -> Iterator[affidavit.Workspace]:
    """A workspace in which something of everything has happened."""
    root = write_folder(
        {"access.toml": ACCESS, "a.md": "# Leave\n\nLeave is 20 days.", "b.md": "# Pay\n\nPay is monthly."}
    )
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        people = tmp_path / "people.jsonl"
        people.write_text('{"id": "alice", "groups": ["staff"]}\n{"id": "bob", "groups": []}\n')
        ws.import_people(people)
        ws.add_source("folder", root, "docs")
        ws.sync()
        ws.people.grant(ws.parts.tenant(""), "user:bob", "audit:read")
        ws.people.join(ws.parts.tenant(""), "user:bob", "staff")
        (root / "b.md").write_text("# Pay\n\nPay is weekly.")
        (root / "access.toml").write_text('allow = ["group:staff", "user:bob"]\n')
        ws.sync()
        ws.people.leave(ws.parts.tenant(""), "user:bob", "staff")
        ws.ask("How many days is leave?", "alice")
        ws.ask("What is the moon made of?", "bob")
        yield ws


def test_what_nobody_touched_is_sound(busy: affidavit.Workspace) -> None:
    report = busy.verify()
    assert report["events"] == busy.parts.log.head() + 1
    assert report["documents"] == 2


def _edit_header(db: Database) -> None:
    db.run("UPDATE events SET header = replace(header, '\"tenant\":1', '\"tenant\":2') WHERE position = 5")


def _swap_bodies(db: Database) -> None:
    a, b = (row[0] for row in db.all("SELECT body FROM events WHERE position IN (4, 5)"))
    db.run("UPDATE events SET body = CASE position WHEN 4 THEN ? ELSE ? END WHERE position IN (4, 5)", (b, a))


def _reorder(db: Database) -> None:
    db.run("UPDATE events SET position = -1 WHERE position = 4")
    db.run("UPDATE events SET position = 4 WHERE position = 5")
    db.run("UPDATE events SET position = 5 WHERE position = -1")


def _truncate(db: Database) -> None:
    db.run("DELETE FROM events WHERE position > 10")


def _edit_body(db: Database) -> None:
    body = db.value("SELECT body FROM events WHERE position = 5")
    data = b'{"forged":true}'
    db.run("UPDATE bodies SET data = ?, codec = 0, size = ? WHERE id = ?", (data, len(data), body))


def _bomb(db: Database) -> None:
    body = db.value("SELECT body FROM events WHERE position = 5")
    db.run("UPDATE bodies SET data = ?, codec = 1 WHERE id = ?", (zlib.compress(b"0" * 10**7), body))


def _text(db: Database) -> None:
    body = db.value("SELECT text_body FROM revisions ORDER BY id LIMIT 1")
    db.run("UPDATE bodies SET data = ?, codec = 0, size = 5 WHERE id = ?", (b"hello", body))


TAMPERS: dict[str, tuple[str | Callable[[Database], None], str]] = {
    "event deleted": ("DELETE FROM events WHERE position = 5", "position 5: the event is missing"),
    "log cut off": (_truncate, "cut off"),
    "header edited": (_edit_header, "position 5: the header was changed"),
    "header and leaf edited": (
        "UPDATE events SET kind = 'run.started' WHERE position = 5",
        "position 5: the row's columns",
    ),
    "leaf edited": ("UPDATE events SET leaf = zeroblob(32) WHERE position = 5", "position 5"),
    "time edited": ("UPDATE events SET at = at + 1 WHERE position = 5", "position 5"),
    "events reordered": (_reorder, "not those that checkpoint"),
    "bodies swapped": (_swap_bodies, "position 4: the body was changed"),
    "body edited": (_edit_body, "position 5: the body was changed"),
    "body is a bomb": (_bomb, "position 5: body"),
    "body dropped": ("UPDATE events SET body = NULL WHERE position = 5", "position 5: the body is gone"),
    "salt replaced": ("UPDATE bodies SET salt = zeroblob(16) WHERE id = 3", "the body was changed"),
    "checkpoint removed": ("DELETE FROM checkpoints", "not covered by a signed checkpoint"),
    "checkpoint edited": (
        "UPDATE checkpoints SET note = replace(note, char(10), 'x' || char(10))",
        "checkpoint",
    ),
    "tree head edited": ("UPDATE meta SET value = '0:' WHERE key = 'frontier'", "stored tree head"),
    "stray tree node": ("INSERT INTO tree VALUES (8, 7, zeroblob(32))", "beyond the last event"),
    "public key replaced": ("UPDATE meta SET value = 'x' WHERE key = 'verifier'", "public key"),
    "joined by hand": (
        f"INSERT INTO memberships (tenant, grp, member, since, until) VALUES (1, 'group:staff', 'user:bob', 0, {2**62})",
        "memberships: a row that no event accounts for",
    ),
    "kept in a group by hand": (
        f"UPDATE memberships SET until = {2**62} WHERE member = 'user:bob'",
        "memberships",
    ),
    "left by hand": ("DELETE FROM memberships WHERE member = 'user:alice'", "the table does not"),
    "person made by hand": (
        f"INSERT INTO people (tenant, principal, facts, since, until) VALUES (1, 'user:eve', '{{}}', 0, {2**62})",
        "people: a row that no event accounts for",
    ),
    "grant made by hand": (
        f"INSERT INTO grants (tenant, action, principal, since, until) VALUES (1, 'audit:read', 'user:alice', 0, {2**62})",
        "grants: a row that no event accounts for",
    ),
    "rule opened": (
        'UPDATE access_rules SET rule = \'{"allow":[["anyone"]],"deny":[]}\' WHERE id = 1',
        "access rule 1 was changed",
    ),
    "rule and digest opened": (
        "UPDATE access_rules SET digest = 'x' WHERE id = 1",
        "access rule 1 was changed",
    ),
    "document re-pointed": ("UPDATE governance SET rule = 1 WHERE rule = 2", "governed"),
    "governance added": (
        "INSERT INTO governance (document, rule, owner, classification, rank, fresh_days, deprecated, since, until) "
        "SELECT document, rule, owner, classification, 1, fresh_days, 0, 3, 4 FROM governance LIMIT 1",
        "governed",
    ),
    "deprecation taken back": ("UPDATE governance SET deprecated = 1 - deprecated", "governed"),
    "rank edited": ("UPDATE governance SET rank = 1", "governed"),
    "access ended by hand": ("UPDATE governance SET until = since + 1", "document"),
    "text of a revision edited": (_text, "text of the revision"),
    "title of a revision edited": ("UPDATE revisions SET title = 'x'", "revision"),
    "old revision brought back": (f"UPDATE revisions SET until = {2**62}", "ends at another position"),
    "document renamed": (
        "UPDATE documents SET name = 'x.md' WHERE name = 'a.md'",
        "not the one that the log knows",
    ),
    "document given to another tenant": ("UPDATE documents SET tenant = 2", "not the one that the log knows"),
    "chunk points into another document": (
        "UPDATE chunks SET document = (SELECT max(id) FROM documents) WHERE document = (SELECT min(id) FROM documents)",
        "belongs to another document",
    ),
    "chunk deleted": ("DELETE FROM chunks WHERE id = 1", "chunk"),
    "chunk ended early": ("UPDATE chunks SET until = since + 1 WHERE id = 1", "chunk 0"),
    "chunk moved": ("UPDATE chunks SET start = start + 1", "the chunks are not those"),
    "chunk renamed": ("UPDATE chunks SET path = '[]', kind = 'code'", "the chunks are not those"),
    "chunk's fields edited": ('UPDATE chunks SET fields = \'[["clause","9"]]\'', "the chunks are not those"),
    "chunk twice": (
        "INSERT INTO chunks (revision, document, tenant, ordinal, start, stop, path, kind, fields, digest, since, until) "
        "SELECT revision, document, tenant, ordinal, start, stop, path, kind, fields, digest, since, until FROM chunks "
        "WHERE id = 1",
        "chunk 0",
    ),
    "metadata edited": ("UPDATE revisions SET metadata = '{}'", "metadata or times"),
    "time of indexing edited": ("UPDATE revisions SET indexed_at = 1", "metadata or times"),
    "place edited": ("UPDATE revisions SET location = '/elsewhere'", "metadata or times"),
    "tenant renamed": ("UPDATE tenants SET name = 'other'", "the tenants"),
    "source re-pointed": ("UPDATE sources SET location = '/elsewhere'", "the sources"),
    "embedder sent elsewhere": (
        'UPDATE meta SET value = \'{"kind": "openai", "base_url": "http://evil.example"}\' WHERE key = \'embedder\'',
        "the embedder",
    ),
    "channel re-pointed": ("UPDATE channels SET until = 5", "a channel points"),
    "head set back": ("UPDATE heads SET position = 0", "head was set back"),
    "release edited": ("UPDATE releases SET content = replace(content, '2000', '2001')", "release"),
}


def test_a_log_signed_anew_with_another_key_is_found(busy: affidavit.Workspace) -> None:
    """Whoever has the database but not the key file can sign everything again, with a key of their own."""
    db = busy.parts.database
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    name = busy.parts.signer.origin
    frontier = Frontier.from_text(db.value("SELECT value FROM meta WHERE key = 'frontier'"))
    note = sign(Checkpoint(name, frontier.size, frontier.root()), name, key, public)
    db.run("DELETE FROM checkpoints")
    db.run("INSERT INTO checkpoints (size, at, note) VALUES (?, 0, ?)", (frontier.size, note))
    db.run("UPDATE meta SET value = ? WHERE key = 'verifier'", (verifier_key(name, public),))
    with pytest.raises(LogDamagedError, match="not that of the log's key file"):
        busy.verify()


def test_a_trigger_is_found(busy: affidavit.Workspace) -> None:
    busy.parts.database.run("CREATE TRIGGER quiet AFTER INSERT ON grants BEGIN DELETE FROM grants; END")
    with pytest.raises(LogDamagedError, match="layout was changed: quiet"):
        busy.verify()


def test_an_edited_body_is_not_shown_as_if_it_were_the_record(busy: affidavit.Workspace) -> None:
    db, tenant = busy.parts.database, busy.parts.tenant("")
    run = busy.runs.newest(tenant, None, 1)[0]["run"]
    body = db.value("SELECT body FROM events WHERE run = ? AND kind = 'answer.released'", (run,))
    db.run("UPDATE bodies SET data = ?, codec = 0, size = 16 WHERE id = ?", (b'{"answer":"yes"}', body))
    with pytest.raises(LogDamagedError, match="the body was changed"):
        busy.runs.show(tenant, run, None)


@pytest.mark.parametrize("name", list(TAMPERS))
def test_each_change_by_hand_is_found(busy: affidavit.Workspace, name: str) -> None:
    change, found = TAMPERS[name]
    db = busy.parts.database
    db.run("PRAGMA foreign_keys = OFF")
    if callable(change):
        change(db)
    else:
        assert db.changed(change) > 0, "the tampering changed nothing: the test proves nothing"
    with pytest.raises(LogDamagedError) as caught:
        busy.verify()
    assert found in caught.value.message
    assert caught.value.hint
