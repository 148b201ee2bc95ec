"""The original is only read; nothing is left behind; reports say what was seen and nothing of what documents say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.app.drills.conftest import ANIMALS

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.drills import taking
from affidavit.app.drills.desk import DrillDesk, Orders
from affidavit.app.drills.page import page
from affidavit.app.drills.promise import Outcome, Promise, Report, Verdict
from affidavit.app.drills.registry import DRILLS
from affidavit.app.workspace import open_with
from affidavit.domain.errors import DiskFullError, UsageError, WorkspaceMissingError

QUICK = [DRILLS[name] for name in ("revoke", "delete", "stale-source", "retrieval-outage")]


def fingerprints(folder: Path) -> dict[str, str]:
    """Every file below ``folder`` with its content and time of change."""
    return {
        str(p.relative_to(folder)): f"{hashlib.sha256(p.read_bytes()).hexdigest()} {p.stat().st_mtime_ns}"
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_the_original_and_its_sources_are_the_same_to_the_byte(place: Path, tmp_path: Path) -> None:
    before = fingerprints(place)
    outcomes = DrillDesk(place / "ws", open_with).run(QUICK, Orders(workdir=tmp_path))
    assert outcomes.ok, outcomes.as_json()
    assert fingerprints(place) == before
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_in_use_is_copied_as_it_stands(place: Path, tmp_path: Path) -> None:
    taking.take_copy(place / "ws", tmp_path / "in-use")
    with affidavit.open(tmp_path / "in-use") as ws:
        ws.ask(
            "How many days of leave has the walrus keeper?", "alice"
        )  # in the WAL, and not in the database file
        head = ws.parts.log.head()
        taking.take_copy(tmp_path / "in-use", tmp_path / "copy")
        with affidavit.open(tmp_path / "copy") as copy:
            assert copy.parts.log.head() == head
            copy.verify()
        assert ws.parts.log.head() == head


def test_a_kept_copy_is_private_and_named(place: Path, tmp_path: Path) -> None:
    (report,) = (
        DrillDesk(place / "ws", open_with)
        .run([DRILLS["revoke"]], Orders(workdir=tmp_path, keep=True))
        .reports
    )
    kept = Path(report.kept_at)
    assert (kept / "ws" / "affidavit.db").is_file()
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_copies_are_never_made_where_a_source_would_find_them(place: Path) -> None:
    desk = DrillDesk(place / "ws", open_with)
    for inside in (place / "docs", place / "docs" / "pay", place / "ws"):
        before = fingerprints(place)
        with pytest.raises(UsageError):
            desk.run(QUICK, Orders(workdir=inside))
        assert fingerprints(place) == before


def test_too_little_room_is_said_before_anything_is_copied(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_ROOM_TO_WORK", 2**60)
    with pytest.raises(DiskFullError) as caught:
        DrillDesk(place / "ws", open_with).run(QUICK, Orders(workdir=tmp_path))
    assert "--workdir" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_workspace_or_empty_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceMissingError):
        DrillDesk(tmp_path / "nowhere", open_with).run(QUICK, Orders(workdir=tmp_path))
    affidavit.init(tmp_path / "ws", EmbedderSpec("none")).close()
    with pytest.raises(UsageError):
        DrillDesk(tmp_path / "ws", open_with).run(QUICK, Orders(workdir=tmp_path))


def test_a_question_of_ones_own_is_asked_and_no_other_text_is_told(place: Path, tmp_path: Path) -> None:
    question = "How many days of leave has the walrus keeper?"
    orders = Orders([(question, "bob", "")], workdir=tmp_path)
    outcomes = DrillDesk(place / "ws", open_with).run(QUICK, orders)
    told = json.dumps(outcomes.as_json()) + page(outcomes, "today")
    assert "leave/walrus.md" in told
    for animal in ANIMALS[1:]:
        assert f"the {animal} register" not in told
        assert f"The {animal} keeper" not in told


def test_the_page_escapes_what_it_is_told() -> None:
    hostile = "<script>alert(1)</script>\u202e"
    report = Report(
        hostile, hostile, [Verdict(Promise("x", hostile), Outcome.BROKEN, hostile, 1.0)], [hostile], [hostile]
    )
    outcomes = type("Outcomes", (), {"reports": [report], "folder": hostile, "seconds": 1.0})()
    text = page(outcomes, hostile)
    assert "<script" not in text
    assert "\u202e" not in text
    assert "1 promises were broken" in text


@pytest.mark.parametrize(
    ("outcomes", "ok"),
    [
        ((), False),
        ((Outcome.UNTRIED,), False),
        ((Outcome.KEPT, Outcome.UNTRIED), True),
        ((Outcome.KEPT, Outcome.BROKEN), False),
    ],
)
def test_a_drill_that_tried_nothing_is_not_green(outcomes: tuple[Outcome, ...], ok: bool) -> None:
    assert Report("x", "y", [Verdict(Promise("p", "t"), o, "") for o in outcomes]).ok is ok
