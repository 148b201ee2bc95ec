"""`audit compare`: what counts as a checkpoint of this log, and which places count as agreeing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.events.test_log import EVENT

import affidavit
from affidavit.app.compare import Comparer, Finding
from affidavit.domain.errors import SinkError, UsageError
from affidavit.events.history import roots
from affidavit.events.merkle import EMPTY_ROOT
from affidavit.events.note import Checkpoint
from affidavit.testing.signed_log import SignedLog


@pytest.fixture
def ours(workspace: affidavit.Workspace) -> SignedLog:
    """Signs as the workspace's log does."""
    key = (workspace.parts.folder / "keys" / "log.key").read_bytes()
    workspace.parts.log.write(lambda tx: [tx.append(EVENT) for _ in range(30)])
    return SignedLog(0, key=key, origin=workspace.parts.signer.origin)


def root(workspace: affidavit.Workspace, size: int) -> bytes:
    return dict(roots(workspace.parts.database, [size]))[size]


def verdict(workspace: affidavit.Workspace, tmp_path: Path, *notes: str) -> Finding:
    (tmp_path / "kept").write_text("\n".join(notes))
    comparer = Comparer(workspace.parts)
    (finding,) = comparer.compare([comparer.place(str(tmp_path / "kept"), workspace.outside)])
    return finding


def test_any_size_the_log_has_had_agrees(
    workspace: affidavit.Workspace, ours: SignedLog, tmp_path: Path
) -> None:
    notes = [ours.signed(Checkpoint(ours.origin, n, root(workspace, n))) for n in (0, 1, 7, 30)]
    finding = verdict(workspace, tmp_path, *notes)
    assert (finding.problem, finding.checkpoints, finding.smallest, finding.largest) == ("", 4, 0, 30)


def test_the_first_that_is_not_is_named(
    workspace: affidavit.Workspace, ours: SignedLog, tmp_path: Path
) -> None:
    good = ours.signed(Checkpoint(ours.origin, 7, root(workspace, 7)))
    other = SignedLog(0, key=b"o" * 32, origin=ours.origin)
    for wrong, told in (
        (ours.signed(Checkpoint(ours.origin, 9, b"x" * 32)), "the log's first 9 events are not"),
        (ours.signed(Checkpoint(ours.origin, 0, b"x" * 32)), "the log's first 0 events are not"),
        (ours.signed(Checkpoint(ours.origin, 999, EMPTY_ROOT)), "has 999 events, the log only 32"),
        (other.signed(Checkpoint(ours.origin, 9, root(workspace, 9))), "of 9 events is not signed with"),
        (good.replace("— affidavit/", "— effidavit/"), "of 7 events is not signed with"),
        (ours.signed(Checkpoint(ours.origin, 9, b"short")), "malformed"),
        (SignedLog().note(7), "of another log, affidavit/test"),
    ):
        later = ours.signed(Checkpoint(ours.origin, 11, b"y" * 32))
        assert told in verdict(workspace, tmp_path, good, wrong, good, later).problem


def test_places_that_say_nothing_do_not_agree(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    comparer = Comparer(workspace.parts)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    for where in ("folder", "empty", "none"):
        (finding,) = comparer.compare([comparer.place(str(tmp_path / where), workspace.outside)])
        assert finding.problem, where
    assert isinstance(finding.error(), SinkError)
    with pytest.raises(UsageError, match="nothing to compare"):
        comparer.compare([])


def test_a_folder_of_files_is_read_whole(
    workspace: affidavit.Workspace, ours: SignedLog, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for size in (3, 5):
        (folder / f"{size}.txt").write_text(ours.signed(Checkpoint(ours.origin, size, root(workspace, size))))
    comparer = Comparer(workspace.parts)
    (finding,) = comparer.compare([comparer.place(str(folder), workspace.outside)])
    assert (finding.problem, finding.checkpoints) == ("", 2)


def test_a_hole_in_the_log_is_no_agreement(
    workspace: affidavit.Workspace, ours: SignedLog, tmp_path: Path
) -> None:
    note = ours.signed(Checkpoint(ours.origin, 9, root(workspace, 9)))
    workspace.parts.database.run("DELETE FROM events WHERE position = 4")
    assert "some are missing" in verdict(workspace, tmp_path, note).problem
