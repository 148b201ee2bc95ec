"""What is erased is gone from every file, the log still verifies, and an erasure can hide nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.erasure import Target, ranges
from affidavit.domain.canonical import Json
from affidavit.domain.errors import (
    AccessDeniedError,
    AffidavitError,
    HeldError,
    LogDamagedError,
    UnknownNameError,
    UsageError,
)
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from affidavit.events.merkle import Frontier
from affidavit.store.database import Database

BY, WHY = "operator:dpo", "request 17"
DOCUMENT = Target("document", "secret.md", "docs")
PERSON = Target("person", "user:alice")


@pytest.fixture
def busy(
    tmp_path: Path, write_folder: Callable[[dict[str, str | bytes]], Path]
) -> Iterator[affidavit.Workspace]:
    """A workspace with a document and a person whose every trace is a word that stands nowhere else."""
    root = write_folder(
        {
            "access.toml": 'allow = ["group:staff"]\n',
            "secret.md": "# Xylophone leave\n\nXylophone leave is 20 days a year. They are quokkadays. "
            + "Padding text. " * 200,
            "page.html": "<html><title>Zebrafish</title><p>Zebrafish pay is monthly.</p></html>",
            "other.md": "# Pay\n\nPay is monthly.\n\nIt is walrusmoney.",
        }
    )
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.parts.database.run(
            "PRAGMA secure_delete=OFF"
        )  # some builds have it on, and would hide what we leave
        people = tmp_path / "people.jsonl"
        people.write_text(
            '{"id": "alice", "groups": ["staff"], "desk": "narwhalroom"}\n{"id": "bob", "groups": ["staff"]}\n'
        )
        ws.import_people(people)
        ws.add_source("folder", root, "docs")
        ws.sync()
        (root / "secret.md").write_text(
            "# Xylophone leave\n\nXylophone leave is 30 days a year.\n\nThey are quokkadays.\n"
        )
        ws.sync()
        ws.people.grant(ws.parts.tenant(""), "user:alice", "audit:read")
        assert ws.ask("How many days is xylophone leave?", "alice").status.value == "answered"
        ws.ask("How is pay, is it monthly?", "alice")
        assert ws.ask("How many days is xylophone leave?", "bob").status.value == "answered"
        ws.search("zebrafish", "bob")
        yield ws


def erase(ws: affidavit.Workspace, target: Target, **more: bool) -> dict[str, object]:
    return ws.erasing.erase(ws.parts.tenant(""), target, BY, WHY, **more)


def bytes_of(folder: Path) -> bytes:
    """Everything in the workspace's files, write-ahead log and index included."""
    return b"\0".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def bodies(ws: affidavit.Workspace) -> str:
    """Every body that is left, in clear."""
    db = ws.parts.database
    stored = [row[0] for row in db.all("SELECT id FROM bodies WHERE codec <> 2")]
    return "\n".join(ws.parts.bodies.get(id).decode("utf-8", "replace") for id in stored)


def test_a_document_is_gone_and_the_log_is_sound(busy: affidavit.Workspace) -> None:
    root = busy.verify()["root"]
    report = erase(busy, DOCUMENT)
    assert report["contents"] == 2
    assert report["scrubbed"]
    assert busy.status()["index"]["rows"] == 2  # built anew: not even ended rows of it are left
    left = bodies(busy).lower()
    assert "quokkaday" not in left
    assert "secret.md" not in left
    assert "walrusmoney" in left
    verified = busy.verify()
    assert verified["erased"] == report["events"]
    assert verified["documents"] == 2
    assert root != verified["root"]
    folder = busy.parts.folder
    busy.close()
    raw = bytes_of(folder).lower()
    for word in (b"quokkaday", b"secret.md", b"xylophone leave is", b"xylophone\x00"):
        assert word not in raw
    assert b"walrusmoney" in raw
    with affidavit.open(folder) as ws:
        assert ws.ask("How many days is xylophone leave?", "bob").status.value == "refused"
        assert not ws.search("quokkadays", "bob").hits
        assert ws.search("walrusmoney", "bob").hits
        ws.verify()


def test_a_removed_document_and_its_original_can_be_erased(busy: affidavit.Workspace, tmp_path: Path) -> None:
    (tmp_path / "docs" / "page.html").unlink()
    busy.sync()
    assert erase(busy, Target("document", "page.html"))["contents"] == 2
    busy.verify()
    folder = busy.parts.folder
    busy.close()
    assert b"zebrafish pay" not in bytes_of(folder).lower()


def test_it_does_not_come_back_unless_allowed(busy: affidavit.Workspace, tmp_path: Path) -> None:
    erase(busy, DOCUMENT)
    (report,) = busy.sync()
    assert [f.code for f in report.faults] == ["erased"]
    assert "secret.md" not in bodies(busy)
    tenant = busy.parts.tenant("")
    with pytest.raises(UnknownNameError):
        busy.keeping.readmit(tenant, "docs", "other.md", BY, WHY)
    busy.sources.remove(tenant, "docs")  # nor by registering the source anew
    busy.add_source("folder", tmp_path / "docs", "docs")
    busy.sync()
    assert not busy.search("quokkadays", "bob").hits
    busy.keeping.readmit(tenant, "docs", "secret.md", BY, WHY)
    busy.sync()
    assert busy.search("quokkadays", "bob").hits
    busy.verify()
    erase(busy, DOCUMENT)
    busy.sync()
    assert not busy.search("quokkadays", "bob").hits
    busy.verify()


def test_a_person_is_gone_and_others_keep_theirs(busy: affidavit.Workspace) -> None:
    tenant = busy.parts.tenant("")
    before = [r["run"] for r in busy.runs.newest(tenant, None, 50) if r["principal"] == "user:bob"]
    report = erase(busy, PERSON)
    assert report["rows"] == 3
    assert report["runs"] == 2
    assert "user:alice" not in bodies(busy)
    with pytest.raises(AffidavitError):
        busy.ask("How is pay?", "alice")
    after = [r["run"] for r in busy.runs.newest(tenant, None, 50) if r["principal"] == "user:bob"]
    assert after == before
    assert busy.ask("How many days is xylophone leave?", "bob").status.value == "answered"
    busy.verify()
    folder = busy.parts.folder
    busy.close()
    raw = bytes_of(folder)
    assert b"alice" not in raw
    assert b"narwhalroom" not in raw


def test_an_erased_person_may_be_imported_again(busy: affidavit.Workspace, tmp_path: Path) -> None:
    erase(busy, PERSON)
    busy.import_people(tmp_path / "people.jsonl")
    assert busy.ask("How many days is xylophone leave?", "alice").status.value == "answered"
    busy.verify()
    assert erase(busy, PERSON)["runs"] == 1
    busy.verify()


def test_an_erased_run_says_so(busy: affidavit.Workspace) -> None:
    tenant = busy.parts.tenant("")
    run = busy.ask("How is pay, is it monthly?", "bob").run
    report = erase(busy, Target("run", run))
    busy.verify()
    story = busy.runs.show(tenant, run, None, audit=True)
    assert story["question"] is None
    assert json.loads(json.dumps(story["given"])) == {"erased": True}
    assert all(step["erased"] for step in story["steps"])
    (told,) = busy.keeping.erasures(tenant)
    assert (told["by"], told["reason"], told["events"]) == (BY, WHY, report["events"])
    with pytest.raises(AffidavitError):
        busy.runs.show(tenant, run, "user:bob")
    with pytest.raises(UnknownNameError):
        erase(busy, Target("run", run))


def test_proofs_work_after_an_erasure(busy: affidavit.Workspace) -> None:
    """The root over the headers is the one that the last checkpoint signs, and old roots are still its beginnings."""
    sizes: dict[int, str] = dict(busy.parts.database.each("SELECT size, note FROM checkpoints"))
    erase(busy, PERSON)
    frontier = Frontier()
    roots = {}
    for leaf, *_ in busy.parts.database.all("SELECT leaf FROM events ORDER BY position"):
        frontier.append(leaf)
        roots[frontier.size] = frontier.root()
    assert busy.verify()["root"] == frontier.root().hex()
    assert set(sizes) <= set(roots)


def test_a_dry_run_changes_nothing(busy: affidavit.Workspace) -> None:
    head, before = busy.parts.log.head(), bodies(busy)
    planned = erase(busy, DOCUMENT, dry_run=True)
    assert (busy.parts.log.head(), bodies(busy)) == (head, before)
    done = erase(busy, DOCUMENT)
    same = ("events", "contents", "documents", "runs", "remains")
    assert {k: planned[k] for k in same} == {k: done[k] for k in same}


def test_who_may_erase(busy: affidavit.Workspace) -> None:
    tenant = busy.parts.tenant("")
    for by in ("bob", "user:nobody", "operator:", "group:staff", ""):
        with pytest.raises(AccessDeniedError):
            busy.erasing.erase(tenant, DOCUMENT, by, WHY)
    busy.people.grant(tenant, "group:staff", "audit:erase")
    busy.erasing.erase(tenant, DOCUMENT, "bob", WHY)
    assert busy.keeping.erasures(tenant)[0]["by"] == "user:bob"
    with pytest.raises(UsageError):
        busy.erasing.erase(tenant, PERSON, BY, "  ")


@pytest.mark.parametrize("kind", ["run", "person", "document"])
def test_a_hold_forbids_whatever_would_touch_it(busy: affidavit.Workspace, kind: str) -> None:
    tenant = busy.parts.tenant("")
    run = busy.ask("How many days is xylophone leave?", "alice").run
    targets = {"run": Target("run", run), "person": PERSON, "document": DOCUMENT}
    held = targets[kind]
    number = busy.keeping.hold(tenant, kind, held.subject, BY, "case 4711", held.source)["id"]
    for target in targets.values():  # each of the three touches the run
        with pytest.raises(HeldError, match="case 4711"):
            erase(busy, target)
    busy.verify()
    busy.keeping.release(tenant, number, BY, "closed")
    for target in targets.values():
        try:
            erase(busy, target)
        except UnknownNameError:
            assert target.cause == "run"
    busy.verify()
    assert busy.keeping.holds(tenant) == []
    assert len(busy.keeping.holds(tenant, live=False)) == 1


TAMPERS: dict[str, tuple[str, str]] = {
    "another body taken": (
        "UPDATE bodies SET salt = x'', data = x'', size = 0, codec = 2 WHERE id = (SELECT max(body) FROM events "
        "WHERE kind = 'run.started')",
        "gone without an erasure",
    ),
    "a body that must stay taken": (
        "UPDATE bodies SET salt = x'', data = x'', size = 0, codec = 2 WHERE id = (SELECT body FROM events "
        "WHERE kind = 'source.changed')",
        "gone without an erasure",
    ),
    "a text taken": (
        "UPDATE bodies SET salt = x'', data = x'', size = 0, codec = 2 WHERE id = (SELECT max(text_body) FROM revisions)",
        "gone without an erasure",
    ),
    "the erasure's own body taken": (
        "UPDATE bodies SET salt = x'', data = x'', size = 0, codec = 2 WHERE id = (SELECT body FROM events "
        "WHERE kind = 'body.erased')",
        "gone without an erasure",
    ),
    "a row about the erased": (
        f"INSERT INTO memberships (tenant, grp, member, since, until) VALUES (1, 'group:staff', 'user:alice', 5, {2**62})",
        "no event accounts for",
    ),
    "a grant in the erased one's place": (
        f"INSERT INTO grants (tenant, action, principal, since, until) VALUES (1, 'audit:read', 'user:bob', 5, {2**62})",
        "no event accounts for",
    ),
    "a rule for the erased document": (
        f"INSERT INTO governance (document, rule, owner, classification, rank, fresh_days, deprecated, since, until) "
        f"SELECT id, 1, '', '', 100, 0, 0, 5, {2**62} FROM documents WHERE name = ''",
        "no event set",
    ),
    "text in the erased document": (
        "UPDATE revisions SET title = 'x' WHERE title = ''",
        "is not empty",
    ),
    "a chunk of the erased document": ("UPDATE chunks SET stop = 9 WHERE digest = ''", "is not empty"),
    "a chunk less": (
        "DELETE FROM chunks WHERE id = (SELECT min(id) FROM chunks WHERE digest = '')",
        "is not empty",
    ),
    "the erased document named": ("UPDATE documents SET name = 'x' WHERE name = ''", "not the one"),
    "the erased document alive": (f"UPDATE documents SET until = {2**62} WHERE name = ''", "not the one"),
    "a stamp kept": ("UPDATE documents SET stamp = 'x' WHERE name = ''", "stamp"),
    "let in by hand": ("DELETE FROM barred", "may not come back"),
    "kept out by hand": (f"INSERT INTO barred VALUES (1, 'x', 5, {2**62})", "may not come back"),
    "a hold released by hand": ("DELETE FROM holds", "holds"),
    "a hold changed": ("UPDATE holds SET subject = 'x'", "holds"),
    "retention by hand": ("INSERT INTO meta VALUES ('retention', '{}')", "retention"),
    "redaction by hand": ("INSERT INTO meta VALUES ('redaction', '[]')", "redaction"),
    "the index not told": ("DELETE FROM meta WHERE key = 'erased'", "erased"),
}


@pytest.fixture
def erased(busy: affidavit.Workspace) -> affidavit.Workspace:
    erase(busy, PERSON)
    erase(busy, DOCUMENT)
    busy.keeping.hold(busy.parts.tenant(""), "person", "user:bob", BY, "case 4711")
    busy.verify()
    return busy


@pytest.mark.parametrize("name", TAMPERS)
def test_an_erasure_hides_nothing(erased: affidavit.Workspace, name: str) -> None:
    statement, finding = TAMPERS[name]
    assert erased.parts.database.changed(statement) > 0
    with pytest.raises(LogDamagedError, match=finding):
        erased.verify()


def _signed(ws: affidavit.Workspace, cause: str, positions: list[list[int]], count: int) -> None:
    """An erasure event that whoever holds the key wrote."""
    body: Json = {"by": "x", "reason": "x", "positions": positions}
    facts: dict[str, int | str] = {"cause": cause, "events": count, "contents": 0}
    ws.parts.log.write(lambda tx: tx.append(Event(EventKind.BODY_ERASED, 1, facts=facts, body=body)))


def _take(db: Database, kind: str) -> int:
    position, body = db.all(
        "SELECT position, body FROM events WHERE kind = ? ORDER BY position DESC", (kind,)
    )[0]
    db.run("UPDATE bodies SET salt = x'', data = x'', size = 0, codec = 2 WHERE id = ?", (body,))
    return int(position)


def test_an_erasure_takes_only_what_its_cause_allows(busy: affidavit.Workspace) -> None:
    at = _take(busy.parts.database, "membership.changed")
    _signed(busy, "retention", [[at, at]], 1)
    with pytest.raises(LogDamagedError, match="not its to take"):
        busy.verify()


def test_an_erasure_names_what_is_there_still(busy: affidavit.Workspace) -> None:
    at = busy.parts.database.value("SELECT max(position) FROM events WHERE kind = 'answer.released'")
    _signed(busy, "run", [[at, at]], 1)
    with pytest.raises(LogDamagedError, match="not its to take"):
        busy.verify()


def test_a_document_erased_in_part_is_found(busy: affidavit.Workspace) -> None:
    at = _take(busy.parts.database, "document.indexed")
    _signed(busy, "document", [[at, at]], 1)
    with pytest.raises(LogDamagedError, match="in part"):
        busy.verify()


@pytest.mark.parametrize(
    ("positions", "count"), [([[3, 2]], 0), ([[0, 10**6]], 1), ([["a", 1]], 1), ([[-1, 0]], 2)]
)
def test_nonsense_is_a_finding(busy: affidavit.Workspace, positions: list[list[int]], count: int) -> None:
    _signed(busy, "run", positions, count)
    with pytest.raises(LogDamagedError):
        busy.verify()


def test_another_process_forgets_too(busy: affidavit.Workspace) -> None:
    """A process that had the index open before the erasure finds nothing of it afterwards."""
    code = (
        "import sys, affidavit\n"
        "with affidavit.open(sys.argv[1]) as ws:\n"
        "    print(len(ws.search('quokkadays', 'bob').hits), flush=True)\n"
        "    sys.stdin.readline()\n"
        "    print(len(ws.search('quokkadays', 'bob').hits), len(ws.search('walrusmoney', 'bob').hits), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(busy.parts.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
        erase(busy, DOCUMENT)
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "0 1\n"
    busy.verify()


@pytest.mark.parametrize("target", [PERSON, DOCUMENT], ids=["person", "document"])
def test_two_erasures_at_once_do_not_count_twice(
    busy: affidavit.Workspace, monkeypatch: pytest.MonkeyPatch, target: Target
) -> None:
    """Another process erases, and asks, between the plan and the transaction."""
    write = busy.parts.log.write
    with affidavit.open(busy.parts.folder) as other:

        def meanwhile(change: Callable[[Transaction], object]) -> object:
            monkeypatch.setattr(busy.parts.log, "write", write)
            other.ask("How many days is xylophone leave?", "alice")
            mine = [
                r
                for r in other.runs.newest(other.parts.tenant(""), None, 99)
                if r["principal"] == "user:alice"
            ]
            erase(other, Target("run", mine[-1]["run"]))
            return write(change)

        monkeypatch.setattr(busy.parts.log, "write", meanwhile)
        erase(busy, target)
    busy.verify()
    assert ("user:alice" if target is PERSON else "quokkaday") not in bodies(busy)


def test_neighbours_are_ranges() -> None:
    assert ranges([5, 1, 2, 3, 9]) == [[1, 3], [5, 5], [9, 9]]
    assert ranges([]) == []
