"""Whatever is done to a bundle or a population, verify_affidavit.py notices: by anyone, and mostly even by the key's holder."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.offline.made import (
    DAY,
    Made,
    denied_run,
    edited,
    lines_of,
    make,
    parsed,
    paths,
    sealed,
    sealed_lines,
)

from affidavit.app.proofs import encoded
from affidavit.domain.canonical import canonical, sha256
from affidavit.offline.verify_affidavit import BUNDLE, Bundle, Key, Population, Refused, render_page
from affidavit.testing.clock import START

SEEDS = st.integers(0, 2**32)


@dataclass
class Evidence:
    """One workspace's evidence, made once."""

    made: Made
    key: Key
    auditor: dict[str, Any]
    asker: dict[str, Any]
    whole: bytes
    tenants: bytes


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    folder = tmp_path_factory.mktemp("evidence")
    made = make(folder)
    with made.ws as ws:
        acme = ws.parts.tenant("acme")
        size = int(made.kept.split("\n")[1])
        auditor = ws.exports.bundle(acme, made.run, None, audit=True, since=[size])
        asker = ws.exports.bundle(acme, made.run, "user:alice")
        times = START + DAY, START + 3 * DAY
        ws.exports.population(folder / "whole", *times, None, None)
        ws.exports.population(folder / "acme", *times, acme, "user:dave")
        key = Key(ws.proofs.key())
        yield Evidence(
            made, key, auditor, asker, (folder / "whole").read_bytes(), (folder / "acme").read_bytes()
        )


def refused(data: bytes, key: Key | None) -> bool:
    try:
        Bundle(data, key)
    except Refused:
        return True
    return False


def population_refused(data: bytes, key: Key | None) -> bool:
    try:
        Population(io.BytesIO(data), key)
    except Refused:
        return True
    return False


def test_untouched_they_hold(evidence: Evidence) -> None:
    for value in (evidence.auditor, evidence.asker):
        assert not refused(canonical(value), None)
        assert not refused(sealed(evidence.made, value), evidence.key)
    for data in (evidence.whole, evidence.tenants):
        assert not population_refused(data, None)
        assert not population_refused(sealed_lines(evidence.made, lines_of(data)), evidence.key)


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_flipped_bits_and_lost_bytes(evidence: Evidence, seed: int) -> None:
    choice = random.Random(seed)
    for data, check in (
        (canonical(choice.choice([evidence.auditor, evidence.asker])), refused),
        (choice.choice([evidence.whole, evidence.tenants]), population_refused),
    ):
        at = choice.randrange(len(data))
        changed = bytearray(data)
        changed[at] ^= 1 << choice.randrange(8)
        end = at + choice.randrange(1, 9)
        for wrong in (bytes(changed), data[:at], data[:at] + data[end:], data[:end] + data[at:], data + b" "):
            assert check(wrong, None), at


@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_edits_by_anyone(evidence: Evidence, seed: int) -> None:
    """Semantic edits of every field, written again in canonical form."""
    choice = random.Random(seed)
    value = choice.choice([evidence.auditor, evidence.asker])
    wrong = edited(value, choice.choice(paths(value)), choice)
    assert wrong == value or refused(canonical(wrong), None)


@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_edits_by_the_holder_of_the_key(evidence: Evidence, seed: int) -> None:
    """They can seal anew. What is in the tree they still cannot change; they can only withhold, and that the file says."""
    choice = random.Random(seed)
    value = choice.choice([evidence.auditor, evidence.asker])
    ways = [p for p in paths(value) if p[0] not in ("seal", "page", "consistency") and p != ("events",)]
    path = choice.choice([p for p in ways if not (len(p) == 1 and p[0] == "events")])
    wrong = edited(value, path, choice)
    if wrong == value:
        return
    try:
        data = sealed(evidence.made, wrong)
    except (ValueError, TypeError, KeyError, AttributeError):  # no page can be made of it
        data = canonical({**wrong, "seal": value["seal"]})
    assert refused(data, None), path


def test_events_left_out_moved_or_doubled_by_the_holder_of_the_key(evidence: Evidence) -> None:
    events = evidence.auditor["events"]
    last = len(events) - 1
    for n, event in enumerate(events):
        wrongs = [[*events[:n], event, *events[n:]]]
        if n < last:  # without its end a run is an unfinished one, which the report says
            wrongs.append(events[:n] + events[n + 1 :])
            wrongs.append([*events[:n], events[n + 1], event, *events[n + 2 :]])
        for wrong in wrongs:
            answered = parsed(event["header"].encode())["kind"] == "answer.released"
            if not (answered and len(wrong) < len(events)):
                assert refused(sealed(evidence.made, {**evidence.auditor, "events": wrong}), None), n
    unfinished = Bundle(sealed(evidence.made, {**evidence.auditor, "events": events[:-1]}))
    assert any("its end is not on record" in line for line in unfinished.not_proved())
    without = [e for e in events[:-1] if '"step":4' not in e["header"]]
    assert len(without) == last - 1
    assert refused(sealed(evidence.made, {**evidence.auditor, "events": without}), None)


def test_what_the_holder_of_the_key_cannot_seal(evidence: Evidence) -> None:
    signer = evidence.made.ws.parts.signer
    again = {name: evidence.auditor[name] for name in evidence.auditor if name != "seal"}
    stranger = again["checkpoint"] + "\u2014 nobody.example AAAAAA==\n"
    for change in (
        {"page": again["page"].replace("20 days", "40 days")},
        {"checkpoint": stranger, "page": render_page({**again, "checkpoint": stranger})},
        {"view": "asker", "page": render_page({**again, "view": "asker"})},
    ):
        value = {**again, **change}
        assert value != again
        value["seal"] = signer.seal(BUNDLE, sha256(canonical(value)))
        assert refused(canonical(value), None), change.keys()


def test_no_decision_can_be_left_out(evidence: Evidence) -> None:
    ws = evidence.made.ws
    value = ws.exports.bundle(ws.parts.tenant("acme"), denied_run(ws, "acme", 2), "user:dave")
    assert not refused(canonical(value), evidence.key)
    decisions = [n for n, e in enumerate(value["events"]) if "decision.made" in e["header"]]
    assert len(decisions) == 2
    for n in decisions:
        fewer = value["events"][:n] + value["events"][n + 1 :]
        assert refused(sealed(evidence.made, {**value, "events": fewer}), None)


def test_parts_of_another_sound_bundle_do_not_fit(evidence: Evidence) -> None:
    made = evidence.made
    other = made.ws.exports.bundle(made.ws.parts.tenant("globex"), _another(made), None, audit=True)
    for name in ("key", "checkpoint", "run", "view", "events", "release", "page", "seal"):
        mixed = {**evidence.asker, name: other[name]}
        assert mixed == evidence.asker or refused(canonical(mixed), None), name


@pytest.mark.parametrize("side", ["first", "stop"])
def test_the_edges_of_a_population_must_be_shown(evidence: Evidence, side: str) -> None:
    """The holder of the key leaves out the event outside, and with it the proof that no run is missing there."""
    ws, lines = evidence.made.ws, lines_of(evidence.whole)
    head, end = parsed(lines[0])["head"], parsed(lines[-2])["end"]
    end["events"] -= 1
    with ws.parts.database.read():
        if side == "first":
            head["first"] += 1
            head["left"] = encoded(ws.proofs.evidence.frontier(head["first"]))
            gone = 1
        else:
            head["stop"] -= 1
            signed = ws.proofs.evidence.head(int(head["checkpoint"].split("\n")[1]))
            head["right"] = encoded(ws.proofs.evidence.growth(head["stop"], signed)[1])
            gone = parsed(lines[0])["head"]["stop"] - parsed(lines[0])["head"]["first"]
    assert b'{"event":' in lines[gone]
    wrong = [canonical({"head": head}) + b"\n", *lines[1:gone], *lines[gone + 1 : -2]]
    wrong += [canonical({"end": end}) + b"\n", lines[-1]]
    data = sealed_lines(evidence.made, wrong)
    with pytest.raises(Refused, match=r"the event (before|after) the interval is missing"):
        Population(io.BytesIO(data))


def _another(made: Made) -> str:
    return str(made.ws.runs.newest(made.ws.parts.tenant("globex"), None, 1)[0]["run"])


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_edits_of_a_population(evidence: Evidence, seed: int) -> None:
    choice = random.Random(seed)
    data = choice.choice([evidence.whole, evidence.tenants])
    lines = lines_of(data)
    at = choice.randrange(len(lines) - 1)
    value = parsed(lines[at])
    path = choice.choice(paths(value))
    wrong = [*lines[:at], canonical(edited(value, path, choice)) + b"\n", *lines[at + 1 :]]
    other = choice.randrange(len(lines) - 1)
    swapped = list(lines)
    swapped[at], swapped[other] = lines[other], lines[at]
    for changed in (wrong, swapped, lines[:at] + lines[at + 1 :], lines[: at + 1] + lines[at:]):
        if changed == lines:
            continue
        assert population_refused(b"".join(changed), None)
        # a wider interval, or a tenant that all events belong to, can be as true as what was asked for
        if path[:2] not in (("head",), ("head", "from"), ("head", "to"), ("head", "tenant")):
            assert population_refused(sealed_lines(evidence.made, changed), None)


@pytest.mark.parametrize("at_end", [False, True])
def test_a_population_of_no_events_does_not_pass_for_one_without_runs(
    evidence: Evidence, at_end: bool
) -> None:
    """Not even the key's holder can say that nothing happened, by leaving out the edges with everything between them."""
    ws, head = evidence.made.ws, parsed(lines_of(evidence.whole)[0])["head"]
    place = int(head["checkpoint"].split("\n")[1]) if at_end else 0
    with ws.parts.database.read():
        left = encoded(ws.proofs.evidence.frontier(place)) if at_end else []
    head |= {"first": place, "stop": place, "left": left, "right": []}
    end: dict[str, Any] = {"days": {}, "runs": 0, "events": 0, "withheld": 0}
    data = sealed_lines(
        evidence.made, [canonical({"head": head}) + b"\n", canonical({"end": end}) + b"\n", b""]
    )
    with pytest.raises(Refused, match="holds no event"):
        Population(io.BytesIO(data))
