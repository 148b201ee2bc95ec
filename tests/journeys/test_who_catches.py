"""Who catches what: every way of the threat model to change the record, and which party notices.

The table in docs/explanation/who-catches-what.md says what ``ATTACKS`` says, and ``ATTACKS`` says what happens.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.events.test_log import EVENT

import affidavit
from affidavit.app.compare import Comparer
from affidavit.app.config import EmbedderSpec
from affidavit.app.sinks import settings_of
from affidavit.app.witness import Witness, create
from affidavit.domain.canonical import canonical
from affidavit.domain.clock import SystemClock
from affidavit.domain.errors import LogDamagedError
from affidavit.domain.events import commit_body
from affidavit.events.log import TILE_LEVELS
from affidavit.events.merkle import Frontier, leaf_hash
from affidavit.events.note import Checkpoint, sign, verifier_key
from affidavit.events.prove import Tree
from affidavit.testing.clock import SeededRandomness

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "who-catches-what.md"
PARTIES = ("`audit verify` alone", "a file sink", "a git folder", "a witness", "a reader's bundle")
OUTSIDE = PARTIES[1:]


class World:
    """An honest past: a backup, a question, a sending to everybody outside, a question more, and a reader who kept it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        docs = home / "docs"
        docs.mkdir(parents=True)
        (docs / "access.toml").write_text('allow = ["group:staff"]\n')
        (docs / "leave.md").write_text("# Leave\n\nWalrus leave is 20 days a year.")
        (home / "people.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
        subprocess.run(["git", "init", "--quiet", str(home / "repo")], check=True)
        with affidavit.init(home / "ws", EmbedderSpec("none")) as ws:
            ws.import_people(home / "people.jsonl")
            ws.add_source("folder", docs, "docs")
            ws.sync()
            ws.outside.add("file", "file", settings_of("file", str(home / "kept")))
            ws.outside.add("repo", "git", settings_of("git", str(home / "repo")))
            create(home / "witness", "witness.example/bob", SeededRandomness())
            self.witness = Witness(home / "witness", SystemClock())
            self.witness.add_log(ws.parts.signer.verifier())
            ws.parts.database.value("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copytree(home / "ws", home / "backup")
            ws.ask("How many days is walrus leave?", "alice")
            assert [sent.outcome for sent in ws.outside.send()] == ["sent", "sent"]
            assert cosign(ws, self.witness) == 200
            self.sent = ws.parts.log.head() + 1
            ws.ask("What is walrus leave?", "alice")
            (home / "bundle.json").write_text(json.dumps({"checkpoint": ws.outside.newest()[1]}))
            ws.parts.log.write(lambda tx: tx.append(EVENT))
            ws.parts.database.value("PRAGMA wal_checkpoint(TRUNCATE)")


def cosign(ws: affidavit.Workspace, witness: Witness) -> int:
    """How the witness answers the log's newest checkpoint."""
    size, note = ws.outside.newest()
    seen = witness.show()["logs"][0]["size"] or 0
    try:
        with ws.parts.database.read():
            proof = Tree(ws.parts.database).consistency(min(seen, size), size)
    except LogDamagedError:
        proof = []
    lines = "".join(base64.b64encode(node).decode() + "\n" for node in proof)
    return witness.add_checkpoint(f"old {min(seen, size)}\n{lines}\n{note}".encode()).status


def resign(ws: affidavit.Workspace, key: Ed25519PrivateKey | None = None) -> None:
    """Make the whole log sound again, as only who has its key can: leaves, tree, head, checkpoint, signature."""
    db, origin = ws.parts.database, ws.parts.signer.origin
    key = key or Ed25519PrivateKey.from_private_bytes((ws.parts.folder / "keys" / "log.key").read_bytes())
    frontier = Frontier()
    db.run("DELETE FROM tree")

    def completed(level: int, number: int, hash: bytes) -> None:
        if level % TILE_LEVELS == 0:
            db.run("INSERT INTO tree VALUES (?, ?, ?)", (level, number, hash))

    for position, header in db.all("SELECT position, header FROM events ORDER BY position"):
        db.run("UPDATE events SET leaf = ? WHERE position = ?", (leaf_hash(header), position))
        frontier.append(leaf_hash(header), completed)
    note = sign(
        Checkpoint(origin, frontier.size, frontier.root()), origin, key, key.public_key().public_bytes_raw()
    )
    db.run("DELETE FROM checkpoints")
    db.run("INSERT INTO checkpoints VALUES (?, 0, ?)", (frontier.size, note))
    db.run("UPDATE meta SET value = ? WHERE key = 'frontier'", (frontier.as_text(),))


def answers(ws: affidavit.Workspace) -> list[int]:
    """The positions of the answers, oldest first."""
    return [
        p
        for (p,) in ws.parts.database.all(
            "SELECT position FROM events WHERE kind = 'answer.released' ORDER BY 1"
        )
    ]


def rewrite(ws: affidavit.Workspace, position: int, data: bytes) -> None:
    """Give the event another body, with the commitment that belongs to it."""
    db = ws.parts.database
    header, body = db.all("SELECT header, body FROM events WHERE position = ?", (position,))[0]
    salt = db.value("SELECT salt FROM bodies WHERE id = ?", (body,))
    db.run("UPDATE bodies SET data = ?, codec = 0, size = ? WHERE id = ?", (data, len(data), body))
    said = json.loads(header)
    said["body"] = commit_body(salt, data)
    db.run("UPDATE events SET header = ? WHERE position = ?", (canonical(said), position))


FORGED = canonical({"answer": "Walrus leave is 2 days a year."})


def edit(ws: affidavit.Workspace, world: World) -> None:
    rewrite(ws, answers(ws)[0], FORGED)


def delete(ws: affidavit.Workspace, world: World) -> None:
    ws.parts.database.run("DELETE FROM events WHERE position = ?", (answers(ws)[0],))


def truncate(ws: affidavit.Workspace, world: World) -> None:
    ws.parts.database.run("DELETE FROM events WHERE position >= ?", (answers(ws)[0],))


def reorder(ws: affidavit.Workspace, world: World) -> None:
    db, at = ws.parts.database, answers(ws)[0]
    db.run("UPDATE events SET position = -1 WHERE position = ?", (at,))
    db.run("UPDATE events SET position = ? WHERE position = ?", (at, at - 1))
    db.run("UPDATE events SET position = ? WHERE position = -1", (at - 1,))


def swap(ws: affidavit.Workspace, world: World) -> None:
    db, (a, b) = ws.parts.database, answers(ws)
    bodies = [db.value("SELECT body FROM events WHERE position = ?", (p,)) for p in (b, a)]
    for position, body in zip((a, b), bodies, strict=True):
        db.run("UPDATE events SET body = ? WHERE position = ?", (body, position))


def drop_salt(ws: affidavit.Workspace, world: World) -> None:
    body = "SELECT body FROM events WHERE position = ?"
    ws.parts.database.run(f"UPDATE bodies SET salt = zeroblob(16) WHERE id = ({body})", (answers(ws)[0],))


def join_by_hand(ws: affidavit.Workspace, world: World) -> None:
    ws.parts.database.run(
        "INSERT INTO memberships (tenant, grp, member, since, until) VALUES (1, 'group:staff', 'user:eve', 0, ?)",
        (2**62,),
    )


def edit_signed(ws: affidavit.Workspace, world: World) -> None:
    edit(ws, world)
    resign(ws)


def truncate_signed(ws: affidavit.Workspace, world: World) -> None:
    run = ws.parts.database.value("SELECT run FROM events WHERE position = ?", (answers(ws)[0],))
    ws.parts.database.run(
        "DELETE FROM events WHERE position >= (SELECT min(position) FROM events WHERE run = ?)", (run,)
    )
    ws.parts.database.run("DELETE FROM runs WHERE position > (SELECT max(position) FROM events)")
    ws.parts.database.run(  # a text left behind would give it away
        "DELETE FROM bodies WHERE id > (SELECT max(body) FROM (SELECT body FROM events UNION "
        "SELECT text_body FROM revisions UNION SELECT source_body FROM revisions))"
    )
    resign(ws)


def fork(ws: affidavit.Workspace, world: World) -> None:
    truncate_signed(ws, world)
    ws.parts.log.write(lambda tx: [tx.append(EVENT) for _ in range(60)])


def edit_unsent(ws: affidavit.Workspace, world: World) -> None:
    rewrite(ws, answers(ws)[1], FORGED)
    resign(ws)


def restore(ws: affidavit.Workspace, world: World) -> None:
    ws.parts.database.close()
    for name in ("affidavit.db", "affidavit.db-wal", "affidavit.db-shm"):
        (ws.parts.folder / name).unlink(missing_ok=True)
    shutil.copy(world.home / "backup" / "affidavit.db", ws.parts.folder / "affidavit.db")


def replace_key(ws: affidavit.Workspace, world: World) -> None:
    db, origin = ws.parts.database, ws.parts.signer.origin
    key = Ed25519PrivateKey.from_private_bytes(b"n" * 32)
    (ws.parts.folder / "keys" / "log.key").write_bytes(b"n" * 32)
    verifier = verifier_key(origin, key.public_key().public_bytes_raw())
    body = db.value("SELECT body FROM events WHERE position = 0")
    said = json.loads(ws.parts.bodies.get(body))
    db.run("UPDATE meta SET value = ? WHERE key = 'verifier'", (verifier,))
    rewrite(ws, 0, canonical({**said, "verifier": verifier}))
    resign(ws, key)


def rewrite_file(ws: affidavit.Workspace, world: World) -> None:
    edit_signed(ws, world)
    (world.home / "kept").write_text(ws.outside.newest()[1])


def lie(ws: affidavit.Workspace, world: World) -> None:
    ws.parts.log.write(lambda tx: tx.append(EVENT))


@dataclass(frozen=True)
class Attack:
    """``name`` as in the table; ``key``: whether the log's key is needed; ``caught``: by whom."""

    name: str
    key: bool
    act: Callable[[affidavit.Workspace, World], None]
    caught: tuple[str, ...]


VERIFY = PARTIES[:1]
ATTACKS = (
    Attack("edit an event", False, edit, PARTIES),
    Attack("delete an event", False, delete, PARTIES),
    Attack("cut the end off", False, truncate, PARTIES),
    Attack("reorder events", False, reorder, PARTIES),
    Attack("swap two bodies", False, swap, VERIFY),
    Attack("drop a salt", False, drop_salt, VERIFY),
    Attack("put a person into a group by hand", False, join_by_hand, VERIFY),
    Attack("put an old backup in place", False, restore, OUTSIDE),
    Attack("edit an answer and sign everything again", True, edit_signed, OUTSIDE),
    Attack("cut the end off and sign again", True, truncate_signed, OUTSIDE),
    Attack("fork: cut the end off, go on differently, sign", True, fork, OUTSIDE),
    Attack("replace the key and sign everything with it", True, replace_key, OUTSIDE),
    Attack("edit an answer, sign, and rewrite the file sink's file", True, rewrite_file, PARTIES[2:]),
    Attack("edit what was answered since the last sending, and sign", True, edit_unsent, PARTIES[4:]),
    Attack("record something untrue as it happens", True, lie, ()),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world") / "honest")


def noticed(home: Path, world: World) -> tuple[str, ...]:
    """Who notices that something is wrong with the workspace in ``home``."""
    found = []
    with affidavit.open(home / "ws") as ws:
        comparer = Comparer(ws.parts)

        def disagrees(where: Path) -> bool:
            (finding,) = comparer.compare([comparer.place(str(where), ws.outside)])
            return bool(finding.problem)

        try:
            ws.verify()
        except LogDamagedError:
            found.append(PARTIES[0])
        witness = Witness(home / "witness", SystemClock())
        found += [
            party
            for party, wrong in (
                (PARTIES[1], disagrees(home / "kept")),
                (PARTIES[2], disagrees(home / "repo")),
                (PARTIES[3], _held_against(ws, witness, disagrees)),
                (PARTIES[4], disagrees(home / "bundle.json")),
            )
            if wrong
        ]
    return tuple(found)


def _held_against(ws: affidavit.Workspace, witness: Witness, disagrees: Callable[[Path], bool]) -> bool:
    """A witness notices in two ways: what it holds does not fit, or it refuses what it is offered."""
    (held,) = witness.folder.glob("logs/*/checkpoint")
    return disagrees(held) or cosign(ws, witness) != 200


def test_nobody_cries_wolf(world: World) -> None:
    assert noticed(_copy(world, world.home.parent / "calm"), world) == ()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_who_catches(world: World, tmp_path: Path, attack: Attack) -> None:
    home = _copy(world, tmp_path / "attacked")
    here = World.__new__(World)
    here.home = home
    with affidavit.open(home / "ws") as ws:
        ws.parts.database.run("PRAGMA foreign_keys = OFF")
        attack.act(ws, here)
    assert noticed(home, here) == attack.caught


def _copy(world: World, to: Path) -> Path:
    shutil.copytree(world.home, to)
    return to


def test_the_table_says_the_same() -> None:
    rows = re.findall(r"^\| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    table = [[cell.strip() for cell in row.split("|")] for row in rows if not row.startswith("---")]
    assert table[0] == ["what is done", "needs the key", *PARTIES]
    said = [
        (row[0], row[1] == "yes", tuple(p for p, c in zip(PARTIES, row[2:], strict=True) if c == "yes"))
        for row in table[1:]
    ]
    assert said == [(a.name, a.key, a.caught) for a in ATTACKS]
