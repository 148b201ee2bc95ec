"""Proofs from a workspace: any size it has had, and nothing from a log that was tampered with."""

from __future__ import annotations

import pytest
from tests.events.test_tiles import grow

import affidavit
from affidavit.domain.errors import LogDamagedError, UsageError
from affidavit.events.note import open_note
from affidavit.offline.verify_affidavit import Checkpoint, Inclusion, Key, link, read_growth


@pytest.fixture
def ws(workspace: affidavit.Workspace) -> affidavit.Workspace:
    for size in (5, 100, 300, 400, 700):
        grow(workspace, size)
    return workspace


def test_every_size_can_be_proved_and_checked_offline(ws: affidavit.Workspace) -> None:
    key = Key(ws.proofs.key())
    for position in (0, 4, 255, 256, 699):
        for size in (position + 1, 300, 301, 700, None):
            if size is None or size > position:
                proof = ws.proofs.prove(position, size)
                assert Inclusion(proof.text(), key).entry == proof.header
                assert proof.as_json()["position"] == position
    for old, new in ((0, 1), (1, 2), (5, 700), (255, 300), (300, 300), (256, 699), (699, None)):
        told = ws.proofs.consistency(old, new)
        growth = read_growth(told.text(), key)
        assert (growth.old, growth.new.size) == (old, new or 700)
        if old:
            before = Checkpoint(ws.proofs.checkpoint(old).note, key, "the older")
            assert link(before, growth.new, [growth])
            assert told.as_json()["old_root"] == before.root.hex()


def test_what_the_log_has_not_had(ws: affidavit.Workspace) -> None:
    for call in (
        lambda: ws.proofs.prove(700),
        lambda: ws.proofs.prove(10, 10),
        lambda: ws.proofs.prove(0, 701),
        lambda: ws.proofs.consistency(701),
        lambda: ws.proofs.consistency(10, 9),
        lambda: ws.proofs.consistency(-1, 9),
        lambda: ws.proofs.checkpoint(701),
        lambda: ws.proofs.checkpoint(0),
    ):
        with pytest.raises(UsageError):
            call()


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE events SET leaf = zeroblob(32) WHERE position = 3",
        "UPDATE events SET leaf = zeroblob(32) WHERE position = 290",
        "UPDATE tree SET hash = zeroblob(32) WHERE level = 8 AND number = 0",
        "DELETE FROM events WHERE position = 699",
        "DELETE FROM checkpoints",
        "DELETE FROM checkpoints WHERE size = 700",
        "UPDATE checkpoints SET note = replace(note, '700', '699') WHERE size = 700",
    ],
)
def test_nothing_is_proved_or_signed_from_a_log_that_was_tampered_with(
    ws: affidavit.Workspace, tampering: str
) -> None:
    ws.parts.database.run(tampering)
    with pytest.raises(LogDamagedError):
        ws.proofs.prove(3, 301)
    with pytest.raises(LogDamagedError):
        ws.proofs.consistency(3, 301)


def test_an_old_checkpoint_is_the_one_that_was_kept(ws: affidavit.Workspace) -> None:
    kept: dict[int, str] = dict(ws.parts.database.all("SELECT size, note FROM checkpoints"))
    assert len(kept) >= 2
    for size, note in kept.items():
        assert ws.proofs.checkpoint(size).note == note
    assert open_note(ws.proofs.checkpoint(17).note, ws.proofs.key()).size == 17
