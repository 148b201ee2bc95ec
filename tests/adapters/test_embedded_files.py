"""The embedded index's files: whatever happens to them, answers stay right. Damage, kill -9, full disks, two processes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affidavit.adapters.embedded import EmbeddedIndex, files
from affidavit.adapters.embedded.arrays import term_digest
from affidavit.domain.canonical import canonical, sha256
from affidavit.domain.errors import DiskFullError, WorkspaceError
from affidavit.domain.records import FOREVER, Scope, tie_break
from affidavit.ports.index import AccessRow, ChunkRow, Query, SearchResult
from affidavit.testing.index_conformance import MemoryFeed, World, agrees, grown, same

QUERY = Query(
    "invoice ERR-4032 gamma policy", (np.arange(8) / np.linalg.norm(np.arange(8))).astype(np.float32)
)


def world_of(steps: int, seed: int = 3) -> World:
    world = World()
    for step in grown(seed, steps):
        world.take(step)
    return world


def scope_of(feed: MemoryFeed, tenant: int = 0) -> Scope:
    rules = frozenset(range(3))
    return Scope(tenant, rules, rules, feed.head(), feed.head())


def ask(index: EmbeddedIndex, feed: MemoryFeed) -> SearchResult:
    """Every visible chunk, checked against the reference."""
    found = index.search(feed, scope_of(feed), QUERY, 1000)
    agrees(found, feed, scope_of(feed), QUERY, 1000)
    return found


@pytest.fixture
def feed() -> MemoryFeed:
    return world_of(40).feed


@pytest.fixture
def folder(tmp_path: Path, feed: MemoryFeed) -> Path:
    """An index in two segments."""
    folder = tmp_path / "index"
    index = EmbeddedIndex(folder)
    index.persist(feed.at(feed.head() - 2))
    index.persist(feed)
    return folder


def one(folder: Path, kind: str) -> Path:
    """The largest file of ``kind``."""
    return max(folder.glob(f"{kind}*"), key=lambda p: p.stat().st_size)


# -- damage


def remove(path: Path) -> None:
    path.unlink()


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 64)


def garble(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("in it")


def clear(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def nest(path: Path) -> None:
    path.write_bytes(b"[" * 100_000)


def flip(at: float) -> Callable[[Path], None]:
    """Change one bit at this share of the file."""

    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[min(int(len(data) * at), len(data) - 1)] ^= 4
        path.write_bytes(data)

    change.__name__ = f"flip_{at}"
    return change


DAMAGES = [
    remove,
    halve,
    empty,
    lengthen,
    garble,
    clear,
    nest,
    make_directory,
    flip(0),
    flip(0.01),
    flip(0.5),
    flip(1),
]


@pytest.mark.parametrize("kind", ["manifest", "rows", "vectors", "facts"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_damage_is_repaired(
    folder: Path, feed: MemoryFeed, kind: str, damage: Callable[[Path], None]
) -> None:
    wanted = ask(EmbeddedIndex(folder), feed)
    damage(one(folder, kind))
    index = EmbeddedIndex(folder)
    assert index.status().rows in (0, len(feed.rows))
    same(ask(index, feed), wanted)
    lazily = kind == "vectors" and damage.__name__.startswith("flip_")
    gone = kind == "manifest" and damage is remove
    if not lazily and not gone:
        assert index.status().rebuilt
    index.persist(feed)
    index = EmbeddedIndex(folder)
    same(ask(index, feed), wanted)
    assert lazily or index.status().rebuilt == ""


def test_every_changed_vector_is_noticed(tmp_path: Path) -> None:
    """Even the lowest bit of a number, which no error bound would show."""
    feed = world_of(12).feed
    rows = [replace(r, vector=np.full(8, 8**-0.5, np.float32)) for r in feed.rows]
    feed = MemoryFeed(rows, [AccessRow(d, 1, 0, FOREVER) for d in range(10)])
    EmbeddedIndex(tmp_path).persist(feed)
    path = one(tmp_path, "vectors")
    sound = path.read_bytes()
    visible = len(ask(EmbeddedIndex(tmp_path), feed).candidates)
    begin = len(sound) - len(rows) * 8 * 4
    noticed = 0
    for row in range(len(rows)):
        data = bytearray(sound)
        data[begin + row * 32] ^= 1
        path.write_bytes(data)
        index = EmbeddedIndex(tmp_path)
        ask(index, feed)
        noticed += bool(index.status().rebuilt)
    assert noticed == visible > 3


@pytest.mark.parametrize(
    ("key", "value"), [("format", 99), ("analyzer", "other"), ("segments", 7), ("facts", {})]
)
def test_a_manifest_of_another_version_is_not_read(
    folder: Path, feed: MemoryFeed, key: str, value: object
) -> None:
    path = folder / files.MANIFEST
    body = json.loads(path.read_bytes())["body"]
    body[key] = value
    path.write_bytes(canonical({"body": body, "checksum": sha256(canonical(body))}))
    index = EmbeddedIndex(folder)
    ask(index, feed)
    assert index.status().rebuilt


def test_a_file_of_another_segment_is_noticed(folder: Path, feed: MemoryFeed) -> None:
    """Right name and size, but not the content."""
    path = one(folder, "rows")
    data = bytearray(path.read_bytes())
    data[-200:-100] = bytes(100)
    path.write_bytes(data)
    index = EmbeddedIndex(folder)
    ask(index, feed)
    assert "checksum" in index.status().rebuilt


def test_a_folder_that_is_a_file_is_left_alone(tmp_path: Path, feed: MemoryFeed) -> None:
    path = tmp_path / "index"
    path.write_text("mine")
    index = EmbeddedIndex(path)
    ask(index, feed)
    with pytest.raises(WorkspaceError, match="cannot be written"):
        index.persist(feed)
    assert path.read_text() == "mine"
    ask(index, feed)


def test_foreign_files_stay(folder: Path, feed: MemoryFeed) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "rows-00000000-1.affidx").write_bytes(b"left over")
    (folder / "vectors.tmp").write_bytes(b"left over")
    feed.allow(3, 2)
    EmbeddedIndex(folder).persist(feed)
    names = {p.name for p in folder.iterdir()}
    assert "notes.txt" in names
    assert not names & {"rows-00000000-1.affidx", "vectors.tmp"}


def test_no_word_is_in_the_files(folder: Path) -> None:
    together = b"".join(p.read_bytes() for p in folder.iterdir())
    assert b"invoic" not in together
    assert term_digest("invoic")[0].to_bytes(8, "little") in together


# -- writing


def test_opening_reads_what_was_written_without_the_feed(folder: Path, feed: MemoryFeed) -> None:
    """Nothing is analysed or embedded again: the feed is asked for its last position only."""
    index = EmbeddedIndex(folder)
    counting = Counting(feed)
    index.search(counting, scope_of(feed), QUERY, 5)
    assert counting.given <= 3
    feed.allow(3, 2)
    index.persist(counting)
    assert counting.given <= 6


class Counting(MemoryFeed):
    """Counts the chunks it gives."""

    def __init__(self, feed: MemoryFeed) -> None:
        super().__init__()
        self.feed, self.given = feed, 0

    @property
    def fingerprint(self) -> str:
        return self.feed.fingerprint

    def head(self) -> int:
        return self.feed.head()

    def chunks(self, after: int, upto: int) -> Iterator[ChunkRow]:
        for row in self.feed.chunks(after, upto):
            self.given += 1
            yield row

    def ended(self, after: int, upto: int) -> Iterator[tuple[int, int]]:
        return self.feed.ended(after, upto)

    def access(self, after: int, upto: int) -> Iterator[AccessRow]:
        return self.feed.access(after, upto)


def test_files_stay_few_and_whole(tmp_path: Path) -> None:
    feed = world_of(70, seed=8).feed
    index = EmbeddedIndex(tmp_path)
    counting = Counting(feed)
    for position in range(feed.head() + 1):
        counting.feed = feed.at(position)
        index.persist(counting)
        status = index.status()
        assert status.segments <= 8
        assert status.position == position
    ask(index, feed)
    ask(EmbeddedIndex(tmp_path), feed)
    on_disk = sum(p.stat().st_size for p in tmp_path.glob("*.affidx"))
    assert on_disk == index.status().bytes
    assert index.status().rows == len(feed.rows)
    # Each chunk is given once to be indexed, and once more when the next position is checked against the last.
    assert counting.given <= 4 * len(feed.rows)


def test_persisting_nothing_new_writes_nothing(folder: Path, feed: MemoryFeed) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name != "lock"}
    for index in (EmbeddedIndex(folder), EmbeddedIndex(folder)):
        index.persist(feed)
    assert before == {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name != "lock"}


def test_another_embedder_replaces_the_files(folder: Path, feed: MemoryFeed) -> None:
    old = {p.name for p in folder.glob("vectors*")}
    turned = [replace(r, vector=None if r.vector is None else -r.vector) for r in feed.rows]
    other = MemoryFeed(turned, feed.access_rows, "other")
    index = EmbeddedIndex(folder)
    index.persist(other)
    assert "embedder" in index.status().rebuilt
    assert not old & {p.name for p in folder.iterdir()}
    ask(EmbeddedIndex(folder), other)


@pytest.mark.parametrize("failing", range(6))
def test_a_full_disk_leaves_the_old_files(
    folder: Path, feed: MemoryFeed, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th time something is made durable, the disk is full."""
    before = {p.name for p in folder.iterdir()}
    changed = MemoryFeed(feed.rows, feed.access_rows)
    world = World(changed, first=5000)
    for step in grown(9, 12):
        world.take(step)
    real, calls = os.fsync, [0]

    def fsync(handle: int) -> None:
        calls[0] += 1
        if calls[0] == failing + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    index = EmbeddedIndex(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(DiskFullError):
            index.persist(changed)
    assert not list(folder.glob("*.tmp"))
    assert failing == 5 or before <= {p.name for p in folder.iterdir()}
    ask(index, changed)
    ask(EmbeddedIndex(folder), changed)
    index.persist(changed)
    again = EmbeddedIndex(folder)
    ask(again, changed)
    assert (again.status().rebuilt, again.status().position) == ("", changed.head())


def test_a_real_full_device_is_called_that(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFullError),
        files.writing(tmp_path),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


# -- other processes


def in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process; its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the parent only sees the exit status
        os._exit(1)


def test_killed_while_persisting(tmp_path: Path) -> None:
    """The folder opens without damage after each of 15 kills, and answers like the reference."""
    chance = random.Random(4)
    feed = world_of(60, seed=21).feed
    stages = [feed.at(p) for p in range(feed.head() + 1)]
    killed = 0
    for round_ in range(15):
        if round_ % 5 == 0:
            shutil.rmtree(tmp_path / "index", ignore_errors=True)

        def work() -> None:
            index = EmbeddedIndex(tmp_path / "index")
            begin = max(0, index.status().position)
            for stage in stages[begin:]:
                index.persist(stage)
            time.sleep(60)

        child = in_child(work)
        time.sleep(chance.uniform(0.002, 0.15))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        index = EmbeddedIndex(tmp_path / "index")
        ask(index, feed)
        assert index.status().rebuilt == ""
    assert killed == 15


def test_two_processes_persist_at_once(tmp_path: Path) -> None:
    feed = world_of(40, seed=5).feed
    stages = [feed.at(p) for p in range(feed.head() + 1)]

    def work() -> None:
        index = EmbeddedIndex(tmp_path)
        for stage in stages:
            index.persist(stage)
            ask(index, stage)

    children = [in_child(work) for _ in range(3)]
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    index = EmbeddedIndex(tmp_path)
    ask(index, feed)
    assert index.status().rebuilt == ""
    assert index.status().segments <= 8


def test_who_cannot_have_the_lock_does_not_write(tmp_path: Path, feed: MemoryFeed) -> None:
    index = EmbeddedIndex(tmp_path)
    with (tmp_path / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        index.persist(feed)
        assert [p.name for p in tmp_path.iterdir()] == ["lock"]
        ask(index, feed)
    index.persist(feed)
    assert (tmp_path / files.MANIFEST).exists()


def test_a_reader_takes_over_what_a_writer_persisted(tmp_path: Path, feed: MemoryFeed) -> None:
    """So that its memory does not grow, and texts are not analysed twice."""
    middle = feed.at(feed.head() // 2)
    reader, writer = EmbeddedIndex(tmp_path), EmbeddedIndex(tmp_path)
    ask(reader, middle)
    writer.persist(feed)
    counting = Counting(feed)
    reader.search(counting, scope_of(feed), QUERY, 3)
    assert counting.given <= 8
    assert reader.status().bytes == writer.status().bytes
    ask(reader, feed)


def test_a_reader_keeps_what_a_writer_deletes(folder: Path, feed: MemoryFeed) -> None:
    reader = EmbeddedIndex(folder)
    wanted = ask(reader, feed)
    shutil.rmtree(folder)
    same(ask(reader, feed), wanted)
    reader.persist(feed)
    index = EmbeddedIndex(folder)
    same(ask(index, feed), wanted)
    assert index.status().rebuilt == ""


def test_an_erased_catalog_is_not_remembered(folder: Path) -> None:
    index = EmbeddedIndex(folder)
    nothing = MemoryFeed()
    scope = Scope(0, frozenset(range(3)), frozenset(range(3)), 1000, 1000)
    assert index.search(nothing, scope, QUERY, 5).candidates == ()
    assert index.status().rebuilt


def test_many_rows_stream_through_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several builders, several blocks of postings, several files: the same answer."""
    monkeypatch.setattr("affidavit.adapters.embedded.build.MOST_ROWS", 40)
    monkeypatch.setattr("affidavit.adapters.embedded.state.SMALL", 20)
    monkeypatch.setattr("affidavit.adapters.embedded.merge._POSTINGS_AT_ONCE", 50)
    monkeypatch.setattr("affidavit.adapters.embedded.merge._ROWS_AT_ONCE", 16)
    rng = np.random.default_rng(2)
    words = ("invoice", "gamma", "policy", "x", "y")
    rows = [
        ChunkRow(c, c // 2, c % 3, tie_break(str(c)), c, FOREVER, " ".join(rng.choice(words, 5)), None)
        for c in range(300)
    ]
    feed = MemoryFeed(rows, [AccessRow(d, d % 3, 0, FOREVER) for d in range(150)])
    index = EmbeddedIndex(tmp_path)
    wanted = ask(index, feed)
    index.persist(feed)
    same(ask(index, feed), wanted)
    same(ask(EmbeddedIndex(tmp_path), feed), wanted)
    assert index.status().segments == 1
