"""Syncing: only what changed is read, renames embed nothing, deletions leave, interruptions resume, faults stop nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.office_files import docx, line, p, pdf

import affidavit
from affidavit.adapters.folder import FolderConnector
from affidavit.app.config import EmbedderSpec
from affidavit.domain.errors import BusyError, EmbedderError, SourceError, UnknownNameError, UsageError
from affidavit.domain.release import Chunking
from affidavit.ports.connector import Content, Item
from affidavit.testing.clock import FixedClock, SeededRandomness
from affidavit.testing.embedder import HashEmbedder

ACCESS = 'allow = ["group:staff"]\n'
Write = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path) -> affidavit.Workspace:
    people = tmp_path / "people.jsonl"
    people.write_text('{"id": "alice", "groups": ["staff"]}\n{"id": "bob", "groups": []}\n')
    workspace.import_people(people)
    return workspace


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of everything that was read."""
    names: list[str] = []
    real = FolderConnector.fetch

    def fetch(self: FolderConnector, item: Item) -> Content:
        names.append(item.name)
        return real(self, item)

    monkeypatch.setattr(FolderConnector, "fetch", fetch)
    return names


def found(ws: affidavit.Workspace, word: str, user: str = "alice") -> list[str]:
    return [h["document"] for h in ws.search(word, user, chunks=False).as_json()["hits"]]


def test_unchanged_files_are_not_read_again(
    ws: affidavit.Workspace, write_folder: Write, fetched: list[str]
) -> None:
    root = write_folder({"access.toml": ACCESS, "a.md": "walrus one", "b.md": "walrus two"})
    ws.add_source("folder", root, "docs")
    ws.sync()
    assert fetched == ["a.md", "b.md"]
    head = ws.parts.catalog.head()
    (report,) = ws.sync()
    assert fetched == ["a.md", "b.md"]
    assert (report.unchanged, report.added, report.changed, report.removed) == (2, 0, 0, 0)
    assert ws.parts.catalog.head() == head
    (root / "a.md").write_text("walrus three")
    (report,) = ws.sync()
    assert fetched == ["a.md", "b.md", "a.md"]
    assert report.changed == 1
    assert found(ws, "three") == ["a.md"]
    assert found(ws, "one") == []


def test_a_touched_file_gets_no_new_revision(ws: affidavit.Workspace, write_folder: Write) -> None:
    root = write_folder({"access.toml": ACCESS, "a.md": "walrus"})
    ws.add_source("folder", root, "docs")
    ws.sync()
    os.utime(root / "a.md", (1, 1))
    (report,) = ws.sync()
    assert (report.unchanged, report.changed) == (1, 0)
    assert ws.parts.database.value("SELECT count(*) FROM revisions") == 1


def test_deletions_and_renames(tmp_path: Path, write_folder: Write) -> None:
    embedder = HashEmbedder()
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none"), FixedClock(), SeededRandomness()) as ws:
        ws.parts.embedder = ws.parts.retriever.embedder = embedder
        (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
        ws.import_people(tmp_path / "p.jsonl")
        root = write_folder(
            {"access.toml": ACCESS, "a.md": "walrus one", "sub/b.md": "# Title\n\nwalrus two"}
        )
        ws.add_source("folder", root, "docs")
        (report,) = ws.sync()
        assert report.embedded > 0
        (root / "sub").rename(root / "moved")
        (root / "a.md").rename(root / "z.md")
        (report,) = ws.sync()
        assert (report.embedded, report.added, report.removed) == (0, 2, 2)
        assert sorted(found(ws, "walrus")) == ["moved/b.md", "z.md"]
        (root / "z.md").unlink()
        ws.sync()
        assert found(ws, "walrus") == ["moved/b.md"]
        ws.verify()


def test_an_access_change_reads_and_embeds_nothing(
    ws: affidavit.Workspace, write_folder: Write, fetched: list[str]
) -> None:
    root = write_folder({"access.toml": ACCESS, "a.md": "walrus", "b.md": "walrus"})
    ws.add_source("folder", root, "docs")
    ws.sync()
    del fetched[:]
    (root / "access.toml").write_text('allow = ["user:bob"]\n')
    (report,) = ws.sync()
    assert fetched == []
    assert report.access_changed == 2
    assert found(ws, "walrus") == []
    assert sorted(found(ws, "walrus", "bob")) == ["a.md", "b.md"]


def test_an_interrupted_sync_resumes(
    ws: affidavit.Workspace, write_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, str | bytes] = {f"f{n:03}.md": f"walrus number{n}" for n in range(200)}
    root = write_folder({"access.toml": ACCESS, **files})
    ws.add_source("folder", root, "docs")
    real, count = FolderConnector.fetch, 0

    def fetch(self: FolderConnector, item: Item) -> Content:
        nonlocal count
        count += 1
        if count == 150:
            raise KeyboardInterrupt
        return real(self, item)

    monkeypatch.setattr(FolderConnector, "fetch", fetch)
    with pytest.raises(KeyboardInterrupt):
        ws.sync()
    assert 0 < len(found(ws, "walrus")) <= 10
    before = ws.parts.catalog.counts(1)["documents"]
    assert before == 128  # whole batches, each durable
    (report,) = ws.sync()
    assert report.added == 200 - before
    assert ws.parts.catalog.counts(1)["documents"] == 200
    ws.verify()


def test_faults_are_reported_per_file_and_hide_what_they_concern(
    ws: affidavit.Workspace, write_folder: Write
) -> None:
    root = write_folder({"access.toml": ACCESS, "good.md": "walrus", "bad.md": "walrus soon broken"})
    ws.add_source("folder", root, "docs")
    ws.sync()
    assert sorted(found(ws, "walrus")) == ["bad.md", "good.md"]
    (root / "bad.md").write_bytes(b"walrus \xff\xfe broken")
    (root / "nul.txt").write_bytes(b"wal\0rus")
    with (root / "huge.txt").open("wb") as file:
        file.truncate(200_000_000)
    (root / "link.md").symlink_to("/etc/hostname")
    os.mkfifo(root / "pipe.md")
    (report,) = ws.sync()
    by_name = {f.name: f for f in report.faults}
    assert by_name["bad.md"].code == "parse"
    assert "UTF-8" in by_name["bad.md"].message + by_name["bad.md"].hint
    assert {"nul.txt", "huge.txt", "link.md", "pipe.md"} <= set(by_name)
    assert found(ws, "walrus") == ["good.md"]
    assert all(f.message for f in report.faults)


def test_a_vanished_folder_is_an_error_and_takes_nothing_out(
    ws: affidavit.Workspace, write_folder: Write
) -> None:
    root = write_folder({"access.toml": ACCESS, "a.md": "walrus"})
    ws.add_source("folder", root, "docs")
    ws.sync()
    root.rename(root.with_name("unmounted"))
    with pytest.raises(SourceError):
        ws.sync()
    assert found(ws, "walrus") == ["a.md"]


def test_a_file_that_changes_while_it_is_read_waits_for_the_next_sync(
    ws: affidavit.Workspace, write_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder({"access.toml": ACCESS, "a.md": "walrus"})
    ws.add_source("folder", root, "docs")
    real = FolderConnector.fetch

    def fetch(self: FolderConnector, item: Item) -> Content:
        (root / "access.toml").write_text("allow = []\n")
        return real(self, item)

    monkeypatch.setattr(FolderConnector, "fetch", fetch)
    (report,) = ws.sync()
    assert report.added == 0
    assert [f.code for f in report.faults if f.name == "a.md"] == ["changed"]
    assert found(ws, "walrus") == []


class Moody(HashEmbedder):
    """An endpoint that is down when told so."""

    down = False

    def embed(self, texts: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        if self.down:
            raise EmbedderError("the endpoint is down", "wait")
        return super().embed(texts)  # type: ignore[arg-type]


def test_an_embedder_that_fails_degrades_to_keyword_and_heals(tmp_path: Path, write_folder: Write) -> None:
    embedder = Moody()
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.parts.embedder = ws.parts.retriever.embedder = embedder
        (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
        ws.import_people(tmp_path / "p.jsonl")
        root = write_folder({"access.toml": ACCESS, "a.md": "walrus one"})
        ws.add_source("folder", root, "docs")
        embedder.down = True
        (report,) = ws.sync()
        assert report.added == 1
        assert "embedder" in [f.code for f in report.faults]
        assert ws.status()["chunks_without_vector"] == 1
        result = ws.search("walrus", "alice")
        assert result.degraded
        assert [h.view.name for h in result.hits] == ["a.md"]
        embedder.down = False
        ws.sync()
        assert ws.status()["chunks_without_vector"] == 0
        (hit,) = ws.search("walrus", "alice").hits
        assert hit.ranked.dense is not None
        ws.verify()


def test_two_syncs_of_one_source_do_not_run_at_once(
    ws: affidavit.Workspace, write_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder({"access.toml": ACCESS, "a.md": "walrus"})
    ws.add_source("folder", root, "docs")
    real = FolderConnector.changes

    def changes(self: FolderConnector, cursor: str) -> Iterator[object]:
        with pytest.raises(BusyError, match="being synced by process"):
            ws.sync()
        return real(self, cursor)

    monkeypatch.setattr(FolderConnector, "changes", changes)
    ws.sync()
    assert found(ws, "walrus") == ["a.md"]


def test_removing_a_source_takes_its_documents_out(ws: affidavit.Workspace, write_folder: Write) -> None:
    root = write_folder({"access.toml": ACCESS, "a.md": "walrus"})
    ws.add_source("folder", root, "docs")
    ws.sync()
    assert ws.sources.remove(ws.parts.tenant(""), "docs") == 1
    assert found(ws, "walrus") == []
    ws.verify()
    ws.add_source("folder", root, "docs")
    ws.sync()
    assert found(ws, "walrus") == ["a.md"]


def test_wrong_requests(ws: affidavit.Workspace, tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text("")
    for kind, place, name in (
        ("wiki", tmp_path, "x"),
        ("folder", tmp_path / "none", "x"),
        ("jsonl", tmp_path, "x"),
        ("folder", tmp_path, "a/b"),
        ("folder", tmp_path, " x"),
    ):
        with pytest.raises(UsageError):
            ws.add_source(kind, place, name)
    with pytest.raises(UnknownNameError, match="no source"):
        ws.sync("nothing")
    with pytest.raises(UnknownNameError, match="no tenant"):
        ws.sync("", "nowhere")
    with pytest.raises(UnknownNameError, match="no user:mallory"):
        ws.ask("hello there", "mallory")
    ws.add_source("jsonl", tmp_path / "f.jsonl", "one")
    with pytest.raises(UsageError, match="already"):
        ws.add_source("jsonl", tmp_path / "f.jsonl", "one")


def test_documents_of_every_kind_are_found_and_what_stands_apart_is_not(
    ws: affidavit.Workspace, write_folder: Write
) -> None:
    letter = docx(
        p("the walrus letter") + p("ibex", run="<w:vanish/>"), comments=f"<w:comment>{p('lynx')}</w:comment>"
    )
    root = write_folder(
        {
            "access.toml": ACCESS,
            "letter.docx": letter,
            "paper": pdf([line("the walrus paper", 50, 400)]),
            "mail.eml": b"Subject: s\n\nthe walrus mail\n",
        }
    )
    ws.add_source("folder", root, "docs")
    (report,) = ws.sync()
    assert (report.added, report.faults) == (3, [])
    assert sorted(found(ws, "walrus")) == ["letter.docx", "mail.eml", "paper"]
    assert found(ws, "ibex") == []
    assert found(ws, "lynx") == []


def test_scans_are_reported_and_broken_files_cost_themselves_only(
    ws: affidavit.Workspace, write_folder: Write
) -> None:
    scan = "q 600 0 0 800 0 0 cm /I Do Q"
    root = write_folder(
        {
            "access.toml": ACCESS,
            "scan.pdf": pdf([scan, line("walrus", 50, 400)]),
            "broken.docx": docx(p("x"))[:100],
            "picture": b"\x89PNG\r\n\x1a\n",
            "z.md": "walrus",
        }
    )
    ws.add_source("folder", root, "docs")
    (report,) = ws.sync()
    assert {f.name: (f.code, f.hides) for f in report.faults} == {
        "scan.pdf": ("no_text", False),
        "broken.docx": ("parse", True),
        "picture": ("unsupported", True),
    }
    hits = ws.search("walrus", "alice").as_json()["hits"]
    assert sorted(h["location"].rpartition("/")[2] for h in hits) == ["scan.pdf#page=2", "z.md"]


def test_other_chunk_settings_cut_anew_and_embed_only_what_is_new(
    ws: affidavit.Workspace, write_folder: Write, fetched: list[str]
) -> None:
    long = "\n\n".join(f"Walrus paragraph {n}. " + "It eats the clams of the bay. " * 12 for n in range(6))
    root = write_folder({"access.toml": ACCESS, "long.md": long, "short.md": "a walrus by itself"})
    ws.add_source("folder", root, "docs")
    (first,) = ws.sync()
    before = {
        h["chunk"]: (h["start"], h["end"]) for h in ws.search("walrus", "alice", k=50).as_json()["hits"]
    }
    content = ws.parts.release().content
    ws.publish({**content, "chunker": Chunking(limit=120).content()})
    fetched.clear()
    (report,) = ws.sync()
    assert fetched == ["long.md", "short.md"]
    assert report.changed == 2
    assert report.chunks > first.chunks
    assert report.embedded < report.chunks  # the short page's text has its vector already
    after = {h["chunk"]: (h["start"], h["end"]) for h in ws.search("walrus", "alice", k=50).as_json()["hits"]}
    assert len(after) > len(before)
    assert not set(before) & set(after)  # one id never means two stretches
    fetched.clear()
    (again,) = ws.sync()
    assert fetched == []
    assert again.unchanged == 2
    ws.publish(content)
    (back,) = ws.sync()
    assert back.embedded == 0
    ws.verify()
    runs = [first.run, report.run, again.run, back.run]
    assert [r.divergence for r in ws.replays.replay(ws.parts.tenant(""), runs)] == [None] * 4
