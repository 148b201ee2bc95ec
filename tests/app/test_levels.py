"""What is promised of sources, how it was kept by a clock that stands still, and breaches: each on the log once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit import Workspace
from affidavit.app.erasure import Target
from affidavit.app.people import Entry
from affidavit.app.workspace import open_with
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import (
    AccessDeniedError,
    LogDamagedError,
    StoppedError,
    UnknownNameError,
    UsageError,
)
from affidavit.domain.events import EventKind
from affidavit.events.follow import Tail
from affidavit.testing.clock import FixedClock

MINUTE = 60 * MICROSECONDS
BY = "operator:dave"
OPEN = 'allow = ["group:staff"]\n'


class Place:
    """A folder source that a test changes at times of its own."""

    def __init__(self, ws: Workspace, root: Path, clock: FixedClock) -> None:
        self.ws, self.root, self.clock = ws, root, clock
        self.tenant = ws.parts.tenant("")

    def write(self, name: str, text: str, minutes_ago: int = 0) -> None:
        path = self.root / name
        path.write_text(text)
        at = (self.clock.at - minutes_ago * MINUTE) * 1000
        os.utime(path, ns=(at, at))

    def wait(self, minutes: int) -> None:
        self.clock.advance(minutes * MINUTE)

    def level(self, name: str) -> dict[str, Any]:
        (found,) = (said for said in self.ws.levels.show(self.tenant) if said["level"] == name)
        return found

    def told(self) -> list[tuple[str, str]]:
        events = self.ws.parts.events.of_kind(EventKind.LEVEL_CHANGED)
        return [
            (str(e.facts["subject"]), str(e.facts["change"]))
            for e in events
            if e.facts["change"] in ("breached", "kept")
        ]


@pytest.fixture
def place(
    workspace: Workspace, write_folder: Callable[[dict[str, str | bytes]], Path], clock: FixedClock
) -> Place:
    root = write_folder({"access.toml": OPEN, "a.md": "# A\n\nThe first note is about tea.\n"})
    workspace.load_people([Entry("user:alice", frozenset({"group:staff"}))])
    workspace.add_source("folder", root, "wiki")
    made = Place(workspace, root, clock)
    made.write("a.md", "# A\n\nThe first note is about tea.\n", minutes_ago=9_999)
    workspace.sync()
    return made


def test_a_delay_counts_from_the_source_s_own_time_or_from_the_last_whole_sync(place: Place) -> None:
    place.ws.levels.set(place.tenant, "freshness", "50", BY, within=30 * 60)
    assert (
        place.level("freshness")["worst_seconds"] == 0
    )  # what was there before the source was added is no change
    place.wait(100)
    place.write("b.md", "# B\n\nThe second note.\n", minutes_ago=20)
    place.write("c.md", "# C\n\nCopied with its old time.\n", minutes_ago=5_000)
    place.ws.sync()
    found = place.level("freshness")
    assert (found["total"], found["good"], found["worst_seconds"]) == (3, 2, 100 * 60)
    assert (found["percent"], found["state"]) == ("66.66", "kept")
    assert found["budget_left_percent"] == 33  # 1 of the 1.5 that may be late


def test_a_time_in_the_future_buys_nothing(place: Place) -> None:
    place.wait(100)
    place.write("b.md", "# B\n\nThe second note.\n", minutes_ago=-500)
    place.ws.sync()
    assert place.level("freshness")["worst_seconds"] == 100 * 60


def test_deletions_and_revocations_count_from_the_last_whole_sync(place: Place) -> None:
    for level in ("deletion", "revocation"):
        place.ws.levels.set(place.tenant, level, "99", BY, within=10 * 60)
    place.wait(5)
    place.write("b.md", "# B\n\nThe second note.\n")
    place.ws.sync()
    place.wait(8)
    (place.root / "b.md").unlink()
    (place.root / "access.toml").write_text('allow = ["group:board"]\n')
    place.ws.sync()
    assert {n: place.level(n)["worst_seconds"] for n in ("deletion", "revocation")} == {
        "deletion": 480,
        "revocation": 480,
    }
    assert place.told() == []
    place.wait(11)
    (place.root / "a.md").unlink()
    place.ws.sync()
    assert (place.level("deletion")["total"], place.level("deletion")["good"]) == (2, 1)
    assert place.told() == [("deletion", "breached")]


def test_a_breach_is_told_once_whoever_looks_and_that_it_is_kept_again_too(
    place: Place, tmp_path: Path, clock: FixedClock
) -> None:
    place.ws.levels.set(place.tenant, "freshness", "99.9", BY, within=60 * 60)
    place.wait(61)  # nobody syncs
    assert place.level("freshness")["overdue"]
    for _ in range(3):
        assert place.ws.status()["levels"][0]["state"] == "breached"
    with open_with(tmp_path / "ws", clock) as other:
        assert other.levels.look() == 0
    assert place.told() == [("freshness", "breached")]
    (event,) = (
        e for e in place.ws.parts.events.of_kind(EventKind.LEVEL_CHANGED) if e.facts["change"] == "breached"
    )
    body = place.ws.parts.events.body(event)
    assert (body["source"], body["overdue"], body["objective"]["percent"]) == ("wiki", True, "99.90")
    place.ws.sync()
    assert place.told() == [("freshness", "breached"), ("freshness", "kept")]
    place.ws.verify()


def test_what_lies_before_the_window_is_forgiven(place: Place) -> None:
    place.ws.levels.set(place.tenant, "freshness", "100", BY, within=60 * 60, days=1)
    place.wait(90)
    place.write("b.md", "# B\n\nThe second note.\n", minutes_ago=80)
    place.ws.sync()
    assert place.level("freshness")["state"] == "breached"
    for _ in range(49):
        place.wait(30)
        place.ws.sync()
    assert (place.level("freshness")["total"], place.level("freshness")["state"]) == (0, "kept")


def test_a_sync_that_was_cut_off_is_no_whole_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.wait(30)
    place.write("b.md", "# B\n\nThe second note.\n")

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("affidavit.ingest.sync.Sync._drained", cut)
        place.ws.sync()
    assert place.level("freshness")["unread_seconds"] == 30 * 60
    assert place.level("freshness")["total"] == 2  # what it did bring counts


def test_permissions_are_what_checks_found(place: Place) -> None:
    place.ws.levels.set(place.tenant, "permissions", "100", BY)
    assert place.level("permissions")["state"] == "unmeasured"
    assert place.ws.quality.check(place.tenant, "wiki", BY)["same"] == 1
    assert place.level("permissions")["state"] == "kept"
    place.write("access.toml", 'allow = ["group:board"]\n')
    found = place.ws.quality.check(place.tenant, "wiki", BY)
    assert (found["same"], found["both"]) == (0, 1)
    place.ws.levels.look()
    assert place.told() == [("permissions", "breached")]
    place.ws.verify()


@pytest.mark.parametrize(
    ("rule", "how"),
    [
        ('allow = ["group:staff"]\ndeny = ["user:erin"]\n', "too_wide"),
        ('allow = ["group:staff", "group:board"]\n', "too_narrow"),
        ('allow = ["group:board"]\n', "both"),
        ("allow = [", "too_wide"),
        (None, "gone"),
    ],
)
def test_a_check_tells_which_way_it_differs_and_changes_nothing(
    rule: str | None, how: str, place: Place
) -> None:
    if rule is None:
        (place.root / "a.md").unlink()
    else:
        place.write("access.toml", rule)
    found = place.ws.quality.check(place.tenant, "wiki", BY)
    assert found["drift"] == [{"document": "a.md", "how": how}]
    assert place.ws.search("tea", "alice").hits


def test_a_source_that_is_stopped_is_not_read_for_a_check_either(place: Place) -> None:
    place.ws.controls.kill(place.tenant, "source:wiki", BY, "tried")
    with pytest.raises(StoppedError):
        place.ws.quality.check(place.tenant, "wiki", BY)


def test_citations_are_those_of_the_answers_given(place: Place) -> None:
    place.ws.levels.set(place.tenant, "citations", "100", BY)
    place.ws.ask("What is the first note about?", "alice")
    found = place.level("citations")
    assert found["source"] is None
    assert (found["total"], found["good"], found["state"]) == (1, 1, "kept")


def test_answers_that_were_erased_are_counted_no_longer(place: Place) -> None:
    run = place.ws.ask("What is the first note about?", "alice").run
    assert place.level("citations")["total"] == 1
    place.ws.erasing.erase(place.tenant, Target("run", run), BY, "she asked for it")
    assert place.level("citations")["total"] == 0


def test_a_promise_for_one_source_goes_before_that_for_each(place: Place) -> None:
    place.ws.levels.set(place.tenant, "freshness", "99", BY, within=60)
    place.ws.levels.set(place.tenant, "freshness", "90", BY, within=3600, source="wiki")
    assert place.level("freshness")["objective"] == {"percent": "90.00", "within_seconds": 3600, "days": 30}
    place.ws.levels.remove(place.tenant, "freshness", BY, "wiki")
    assert place.level("freshness")["objective"]["within_seconds"] == 60
    place.ws.levels.remove(place.tenant, "freshness", BY)
    assert place.level("freshness")["state"] == "open"
    with pytest.raises(UnknownNameError):
        place.ws.levels.remove(place.tenant, "freshness", BY)


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": "speed"},
        {"percent": "101"},
        {"percent": "0"},
        {"percent": "99.999"},
        {"percent": "-1"},
        {"within": 0},
        {"days": 0},
        {"level": "citations"},
    ],
)
def test_what_cannot_be_promised_is_refused(wrong: dict[str, Any], place: Place) -> None:
    fine = {"level": "freshness", "percent": "99", "by": BY, "within": 60}
    with pytest.raises(UsageError):
        place.ws.levels.set(place.tenant, **{**fine, **wrong})


def test_a_person_promises_with_the_grant_alone(place: Place) -> None:
    place.ws.load_people([Entry("user:lena", frozenset(), {})])
    with pytest.raises(AccessDeniedError):
        place.ws.levels.set(place.tenant, "citations", "99", "lena")
    place.ws.people.grant(place.tenant, "user:lena", "level:change")
    assert place.ws.levels.set(place.tenant, "citations", "99", "lena").share == 9_900


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE objectives SET share = 1",
        "DELETE FROM objectives",
        "UPDATE objectives SET until = 9",
        "INSERT INTO objectives SELECT 9, tenant, 'deletion', source, within, share, days, since, until FROM objectives",
    ],
)
def test_a_promise_changed_by_hand_is_found(change: str, place: Place) -> None:
    place.ws.levels.set(place.tenant, "freshness", "99", BY, within=60)
    place.ws.verify()
    place.ws.parts.database.run(change)
    with pytest.raises(LogDamagedError, match="objectives"):
        place.ws.verify()


def test_the_figures_of_a_source(place: Place) -> None:
    place.write(
        "access.toml", f'{OPEN}owner = "group:it"\nfresh_for = "1d"\n[files."d.md"]\ndeprecated = true\n'
    )
    place.write("d.md", "# A\n\nThe first note is about tea.\n")
    place.write("broken.docx", "PK\x03\x04 this is no document")
    place.ws.sync()
    found = place.ws.quality.show(place.tenant, "wiki")
    assert (found["documents"], found["deprecated"], found["owners"]) == (2, 1, {"group:it": 2})
    assert found["currency"]["stale"] == 1
    assert found["currency"]["percent"] == 50
    assert found["duplicates"]["listed"] == [{"document": "d.md", "same_as": "a.md"}]
    assert [f["name"] for f in found["unparsed"]["listed"]] == ["broken.docx"]
    assert found["completeness"]["percent"] == 66


def test_a_breach_is_handed_over_like_any_event(place: Place) -> None:
    place.ws.levels.set(place.tenant, "freshness", "99", BY, within=60)
    place.wait(5)
    assert place.ws.levels.look() == 1
    tail = Tail(place.ws.parts.database, place.ws.parts.bodies, tenant=None, content=False)
    piece = tail.after(place.ws.parts.log.head() - 1, 10)
    assert piece is not None
    assert [(e.kind, e.facts["subject"], e.facts["change"]) for e in piece.events] == [
        ("level.changed", "freshness", "breached")
    ]


def test_looking_never_takes_its_errand_down(place: Place, tmp_path: Path) -> None:
    place.ws.levels.set(place.tenant, "freshness", "99", BY, within=60)
    place.wait(5)
    (tmp_path / "ws" / "keys" / "log.key").rename(tmp_path / "away")
    with affidavit.open(tmp_path / "ws") as broken:
        assert broken.levels.look() == 0
