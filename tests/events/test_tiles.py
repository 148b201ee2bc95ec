"""The log as files: the layout of c2sp.org/tlog-tiles, read again the way a standard client does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.events.test_merkle import reference

import affidavit
from affidavit.domain.errors import LogDamagedError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from affidavit.events.merkle import leaf_hash
from affidavit.events.note import open_note
from affidavit.events.tiles import tile_path


def grow(ws: affidavit.Workspace, size: int) -> None:
    """Bring the log to ``size`` events."""

    def change(tx: Transaction) -> None:
        while tx.next_position < size:
            tx.append(Event(EventKind.TENANT_CREATED, facts={"subject": tx.next_position}))

    ws.parts.log.write(change)


def client(folder: Path, verifier: str) -> int:
    """Read everything as a client would, from the checkpoint alone; how many events there are."""
    checkpoint = open_note((folder / "checkpoint").read_text(), verifier)
    leaves: list[bytes] = []
    for number in range(-(-checkpoint.size // 256)):
        width = min(256, checkpoint.size - number * 256)
        tile = (folder / tile_path("0", number, width)).read_bytes()
        bundle = (folder / tile_path("entries", number, width)).read_bytes()
        hashes = [tile[i : i + 32] for i in range(0, len(tile), 32)]
        assert len(hashes) == width
        for hash in hashes:
            length = int.from_bytes(bundle[:2], "big")
            assert leaf_hash(bundle[2 : 2 + length]) == hash
            bundle = bundle[2 + length :]
        assert not bundle
        leaves += hashes
    assert reference(leaves) == checkpoint.root
    upper, level = leaves, 1
    while len(upper) >= 256:
        upper = [reference(upper[i : i + 256]) for i in range(0, len(upper) - 255, 256)]
        for number in range(-(-len(upper) // 256)):
            row = upper[number * 256 : (number + 1) * 256]
            assert (folder / tile_path(str(level), number, len(row))).read_bytes() == b"".join(row)
        level += 1
    return checkpoint.size


def test_names() -> None:
    assert tile_path("0", 1234067) == "tile/0/x001/x234/067"
    assert tile_path("entries", 0, 5) == "tile/entries/000.p/5"
    assert tile_path("1", 999) == "tile/1/999"
    assert tile_path("1", 1000) == "tile/1/x001/000"


def test_incremental(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    folder, key = tmp_path / "tiles", workspace.proofs.key()
    for size in (3, 255, 256, 257, 511, 513, 900):
        grow(workspace, size)
        head, written = workspace.proofs.tiles(folder)
        assert client(folder, key) == head.size == size
        assert written <= 9
    assert workspace.proofs.tiles(folder)[1] == 1  # the checkpoint
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    fresh = tmp_path / "fresh"
    workspace.proofs.tiles(fresh)
    wanted = {p.relative_to(fresh).as_posix() for p in fresh.rglob("*") if p.is_file()}
    assert wanted <= files
    assert not any(name.startswith("tile/0/000.p/") for name in files)
    for name in wanted - {"checkpoint"}:
        assert (folder / name).read_bytes() == (fresh / name).read_bytes()


def test_a_writing_that_was_cut_off_is_done_again(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    grow(workspace, 600)
    workspace.proofs.tiles(tmp_path / "t")
    (tmp_path / "t" / "checkpoint").unlink()
    (tmp_path / "t" / "tile" / "0" / "001").write_bytes(b"half")
    workspace.proofs.tiles(tmp_path / "t")
    assert client(tmp_path / "t", workspace.proofs.key()) == 600


def test_a_folder_of_another_history_is_left_alone(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    grow(workspace, 300)
    folder, signer = tmp_path / "t", workspace.parts.signer
    workspace.proofs.tiles(folder)
    kept = (folder / "checkpoint").read_bytes()
    grow(workspace, 400)
    later = workspace.proofs.checkpoint()
    fork = signer.sign(type(later.checkpoint)(signer.origin, 300, hashlib.sha256(b"x").digest()))
    longer = signer.sign(type(later.checkpoint)(signer.origin, 500, later.checkpoint.root))
    for wrong in (fork, longer, "not a note", kept.decode().replace("300", "299")):
        (folder / "checkpoint").write_text(wrong)
        with pytest.raises(LogDamagedError):
            workspace.proofs.tiles(folder)
        assert (folder / "checkpoint").read_text() == wrong
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.md").write_text("mine")
    with pytest.raises(UsageError):
        workspace.proofs.tiles(other)
