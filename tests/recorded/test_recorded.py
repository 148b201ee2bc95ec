"""Runs that an earlier version recorded replay without divergence: what `make record` wrote, one file a version."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

import affidavit
from affidavit.app.wiring import DATABASE

RECORDINGS = sorted(Path(__file__).parent.glob("*.db.xz"))


def test_there_is_a_recording() -> None:
    assert RECORDINGS


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_every_recorded_run_is_identical(recording: Path, tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(lzma.decompress(recording.read_bytes()))
    with affidavit.open(tmp_path) as ws:
        reports = []
        for name in ("acme", "globex"):
            tenant = ws.parts.tenant(name)
            reports += list(ws.replays.replay(tenant, ws.replays.runs(tenant)))
    assert [r.as_json() for r in reports if not r.identical] == []
    assert {r.journey for r in reports} == {"ask", "search", "sync"}
    assert len(reports) >= 80
