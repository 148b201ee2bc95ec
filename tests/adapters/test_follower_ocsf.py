"""OCSF lines in a file: conformance, the published schema, rotation, and whoever meddles with the file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from affidavit.adapters import ocsf_classes
from affidavit.adapters.ocsf import OcsfFollower
from affidavit.domain.errors import FollowerError
from affidavit.domain.events import FACTS, EventKind
from affidavit.ports.follower import Handed
from affidavit.testing.follower_conformance import (
    ORIGIN,
    FollowerConformance,
    MemoryLog,
    Outside,
    handed,
    log_of_runs,
)

REQUIRED: dict[str, Any] = json.loads((Path(__file__).parent / "ocsf_1_8_0_required.json").read_text())


class OcsfOutside:
    def __init__(self, path: Path) -> None:
        self.path = path

    def follower(self) -> OcsfFollower:
        return OcsfFollower(self.path)

    def received(self) -> list[str]:
        return [json.loads(line)["metadata"]["uid"] for line in self.path.read_text().splitlines()]

    def expected(self, events: Sequence[Handed]) -> list[str]:
        return [f"{ORIGIN}:{e.position}" for e in events]


class TestOcsf(FollowerConformance):
    @pytest.fixture
    def outside(self, tmp_path: Path) -> Outside:
        return OcsfOutside(tmp_path / "siem.jsonl")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "siem.jsonl"


# -- the schema


def faults(value: dict[str, Any], rules: dict[str, Any], place: str) -> list[str]:
    """What ``value`` lacks by the pinned extract of the schema."""
    found = [f"{place} lacks {name}" for name in rules["required"] if name not in value]
    found += [
        f"{place} has {name}, which is not in the schema" for name in value if name not in rules["known"]
    ]
    if rules["at_least_one"] and not set(rules["at_least_one"]) & set(value):
        found.append(f"{place} has none of {rules['at_least_one']}")
    for name, allowed in rules["enums"].items():
        if name in value and value[name] not in allowed:
            found.append(f"{place}.{name} may not be {value[name]}")
    for name, kind in rules["objects"].items():
        if isinstance(value.get(name), dict) and kind in REQUIRED["objects"]:
            found += faults(value[name], REQUIRED["objects"][kind], f"{place}.{name}")
    return found


def every_kind() -> list[Handed]:
    out = []
    for number, kind in enumerate(EventKind):
        for change in ("added", "removed", "changed"):
            facts: dict[str, int | str] = {
                k: (1 if t is int else "word") for k, t in FACTS[kind].items() if k != "change"
            }
            if "change" in FACTS[kind]:
                facts["change"] = change
            out.append(handed(number, kind, facts, "run-aaaaaaaaaaaaaaaa", {"reason": "word"}))
            out.append(handed(number, kind, facts, body={"principal": "user:alice", "question": "why?"}))
    return out


@pytest.mark.parametrize("event", every_kind(), ids=lambda e: e.kind)
def test_every_kind_is_a_record_of_the_published_schema(event: Handed) -> None:
    record = ocsf_classes.record(ORIGIN, event)
    rules = REQUIRED["classes"][str(record["class_uid"])]
    assert faults(record, rules, record["class_name"]) == []
    assert record["type_uid"] == record["class_uid"] * 100 + record["activity_id"]
    assert record["category_uid"] == rules["category_uid"]
    assert record["metadata"]["version"] == REQUIRED["version"]
    assert record["class_name"] == rules["caption"]


def test_the_extract_can_find_a_fault() -> None:
    record = ocsf_classes.record(ORIGIN, handed(1, EventKind.RUN_FINISHED, {"status": "done", "steps": 1}))
    rules = REQUIRED["classes"]["6003"]
    assert faults({k: v for k, v in record.items() if k != "actor"}, rules, "x") == ["x lacks actor"]
    assert faults({**record, "activity_id": 77}, rules, "x") == ["x.activity_id may not be 77"]
    assert faults({**record, "api": {}}, rules, "x") == ["x.api lacks operation"]
    assert faults({**record, "mine": 1}, rules, "x") == ["x has mine, which is not in the schema"]


def test_names_and_texts_leave_only_with_the_body() -> None:
    facts: dict[str, int | str] = {"journey": "ask", "release": "ab"}
    body = {"principal": "user:alice", "question": "Where is the walrus?"}
    without = json.dumps(ocsf_classes.record(ORIGIN, handed(1, EventKind.RUN_STARTED, facts)))
    assert "alice" not in without
    content = ocsf_classes.record(ORIGIN, handed(1, EventKind.RUN_STARTED, facts, body=body))
    assert content["actor"]["user"] == {"name": "user:alice"}
    assert content["unmapped"]["body"] == body


# -- the file


def test_a_half_written_batch_is_cut_off_and_written_again(path: Path) -> None:
    log = MemoryLog(log_of_runs(3))
    log.drive(OcsfFollower(path), 5, batches=2)
    whole = path.read_bytes()
    OcsfFollower(path).begin(log.state, log)
    follower = OcsfFollower(path)
    follower.begin(log.state, log)
    follower.deliver(log.batch(5))
    follower.close()
    longer = path.read_bytes()
    assert len(longer) > len(whole)
    for cut in (len(whole) + 1, len(whole) + 30, len(longer) - 1, len(longer)):
        path.write_bytes(longer[:cut])
        again = OcsfFollower(path)
        again.begin(log.state, log)
        again.close()
        assert path.read_bytes() == whole
    log.drive(OcsfFollower(path), 5)
    assert OcsfOutside(path).received() == OcsfOutside(path).expected(log.events)


def rotated(path: Path, to: str) -> Path:
    return path.rename(path.with_name(to))


@pytest.mark.parametrize("create", [False, True])
def test_rotation_while_running(path: Path, create: bool) -> None:
    log = MemoryLog(log_of_runs(3))
    follower = OcsfFollower(path)
    log.drive(follower, 4, batches=2)
    old = rotated(path, "siem.jsonl.1")
    if create:
        path.touch()
    while (batch := log.batch(4)).events:
        log.state = follower.deliver(batch)
        log.position = batch.through
    both = OcsfOutside(old).received() + OcsfOutside(path).received()
    assert both == OcsfOutside(path).expected(log.events)
    assert len(OcsfOutside(old).received()) == 8
    follower.close()


def test_rotation_after_a_kill_with_a_tail(path: Path) -> None:
    log = MemoryLog(log_of_runs(3))
    log.drive(OcsfFollower(path), 4, batches=2)
    killed = OcsfFollower(path)
    killed.begin(log.state, log)
    killed.deliver(log.batch(4))
    old = rotated(path, "siem.jsonl-20261121")
    log.drive(OcsfFollower(path), 4)
    both = OcsfOutside(old).received() + OcsfOutside(path).received()
    assert both == OcsfOutside(path).expected(log.events)
    killed.close()


def test_copytruncate(path: Path) -> None:
    log = MemoryLog(log_of_runs(3))
    follower = OcsfFollower(path)
    log.drive(follower, 4, batches=2)
    kept = path.read_text()
    os.truncate(path, 0)
    log.state = follower.deliver(batch := log.batch(4))
    log.position = batch.through
    follower.close()
    log.drive(OcsfFollower(path), 4)
    lines = kept.splitlines() + path.read_text().splitlines()
    uids = [json.loads(line)["metadata"]["uid"] for line in lines]
    assert uids == OcsfOutside(path).expected(log.events)


@pytest.mark.parametrize("text", ["something else\n", '{"activity_id": 1', "\x00" * 40])
def test_a_file_of_somebody_else_is_left_alone(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(FollowerError, match="something else"):
        OcsfFollower(path).begin("", MemoryLog([]))
    assert path.read_text() == text


def test_lines_that_are_not_ours_are_not_cut_off(path: Path) -> None:
    log = MemoryLog(log_of_runs(2))
    log.drive(OcsfFollower(path), 100)
    with path.open("a") as file:
        file.write("a note by hand\n")
    before = path.read_bytes()
    with pytest.raises(FollowerError, match="did not write"):
        OcsfFollower(path).begin(log.state, log)
    assert path.read_bytes() == before


def test_a_log_that_was_set_back_is_noticed_and_the_file_kept(path: Path) -> None:
    log = MemoryLog(log_of_runs(3))
    log.drive(OcsfFollower(path), 4, batches=2)
    restored = log.state
    log.drive(OcsfFollower(path), 100)
    before = path.read_bytes()
    other = MemoryLog(log.events[:9])
    with pytest.raises(FollowerError, match="does not have"):
        OcsfFollower(path).begin(restored, other)
    assert path.read_bytes() == before


def test_a_link_is_not_followed(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(FollowerError, match="cannot be written"):
        OcsfFollower(path).begin("", MemoryLog([]))


def test_a_full_disk_leaves_no_half_line() -> None:
    with pytest.raises(FollowerError, match="plain file"):
        OcsfFollower(Path("/dev/full")).begin("", MemoryLog([]))
