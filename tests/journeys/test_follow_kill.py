"""kill -9 at any moment of any follower: nothing is lost, and nothing is repeated that the receiver cannot tell."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.trace.v1 import trace_pb2
from prometheus_client.parser import text_string_to_metric_families
from tests.receiver import Receiver, receiving

import affidavit
from affidavit.adapters.otlp import OtlpFollower
from affidavit.adapters.otlp_spans import span_id
from affidavit.app.config import EmbedderSpec
from affidavit.app.follow import Following
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import Transaction
from affidavit.runs.recorder import Run

AFFIDAVIT = Path(sys.executable).with_name("affidavit")
pytestmark = [pytest.mark.network, pytest.mark.enable_socket]

# The command line with small batches and a little sleep at the worst moments, so that a kill falls between any two steps.
# With a number in DIE_AT it kills itself at that one of those moments, wherever the machine's attention is.
SLOW = """
import os, signal, sys, time, random
from affidavit.adapters import cloudevents, ocsf, otlp, prometheus
from affidavit.app import follow
from affidavit.entrypoints.cli import main
from affidavit.ports.follower import FollowerCapabilities
from affidavit.store import followers

def small(found):
    return property(lambda self: FollowerCapabilities(found.fget(self).kind, found.fget(self).hand_over, 7))

for kind in (cloudevents.WebhookFollower, ocsf.OcsfFollower, otlp.OtlpFollower, prometheus.MetricsFollower):
    kind.capabilities = small(kind.capabilities)
save = followers.Followers.save

moments = int(os.environ.get("DIE_AT", "-1"))

def moment():
    global moments
    moments -= 1
    if moments == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(random.uniform(0, 0.01))

def slowly(self, place):
    moment()
    save(self, place)
    moment()

begin = follow.FollowDesk.follow

def told(*arguments):
    print("ready", file=sys.stderr, flush=True)
    return begin(*arguments)

followers.Followers.save = slowly
follow.FollowDesk.follow = told
main()
"""
RUNS = 120
FEW, MANY = 4, pytest.param(25, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


def fill(workspace: affidavit.Workspace, first: int, count: int) -> None:
    """Runs as an asker records them, several a commit."""

    def write(tx: Transaction) -> None:
        for number in range(first, first + count):
            run = Run(f"run-{number:016d}", 1, "ask", "ab" * 32)
            run.start({"principal": "user:alice", "question": "why?"})
            run.step("guard", {}, {})
            run.step("retrieve", {}, {})
            run.finish("answered", {"timings": {"guard": 10, "retrieve": 20}})
            run.flush(tx)

    workspace.parts.log.write(write)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.ensure_tenant("acme")
        fill(ws, 0, RUNS // 2)
    return tmp_path


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def die_often(
    folder: Path, arguments: list[str], kills: int, between: Callable[[int], None] = lambda n: None
) -> None:
    """Follow, be killed again and again, by itself beside a write of its place or from outside at any moment; more is
    recorded meanwhile. Then catch up for good."""
    chance = random.Random(kills)
    command = ["-w", str(folder / "ws"), "follow", *arguments]
    for n in range(kills):
        # at least this many moments there are: 40 events are new each time, 7 a batch, two moments each
        itself = {"DIE_AT": str(chance.randint(1, 10))} if n % 2 == 0 else {}
        with subprocess.Popen(
            [sys.executable, "-c", SLOW, *command],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **itself},
        ) as process:
            assert process.stderr is not None
            while process.stderr.readline() not in ("ready\n", ""):
                pass
            if not itself:
                time.sleep(chance.uniform(0.02, 0.35))
                process.kill()
            _, said = process.communicate()
            assert process.returncode == -signal.SIGKILL, said
        with affidavit.open(folder / "ws") as ws:
            fill(ws, RUNS // 2 + n * 10, 10)
            between_position = next((e["position"] for e in ws.followers.list()), -1)
        between(between_position)
    done = subprocess.run([AFFIDAVIT, *command, "--once"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def spans_of(receiver: Receiver) -> list[trace_pb2.Span]:
    out: list[trace_pb2.Span] = []
    for post in receiver.posts:
        request = wire.ExportTraceServiceRequest()
        request.ParseFromString(post.body)
        out += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    return out


def recorded(folder: Path) -> tuple[str, list[tuple[int, str, str]]]:
    """(origin, (position, kind, run) of every event)."""
    with affidavit.open(folder / "ws") as ws:
        ws.verify()
        assert [(e["lag"], e["running"]) for e in ws.followers.list()] == [(0, False)]
        rows = ws.parts.database.all("SELECT position, kind, run FROM events ORDER BY position")
        return ws.parts.signer.origin, [tuple(row) for row in rows]


@pytest.mark.parametrize("kills", [FEW, MANY])
def test_ocsf_has_every_event_exactly_once(folder: Path, kills: int) -> None:
    path = folder / "siem.jsonl"
    reached: list[int] = []

    def between(position: int) -> None:
        reached.append(position)
        if len(reached) == 3:
            path.rename(folder / "siem.jsonl.1")  # rotated while it was dead

    die_often(folder, ["ocsf", str(path)], kills, between)
    _, events = recorded(folder)
    text = (folder / "siem.jsonl.1").read_text() + path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["metadata"]["sequence"] for line in lines] == [position for position, _, _ in events]
    assert any(0 < p < len(events) // 2 for p in reached), "no kill fell in between: this test tests nothing"


@pytest.mark.parametrize("kills", [FEW, MANY])
def test_metrics_count_every_event_exactly_once(folder: Path, kills: int) -> None:
    path = folder / "a.prom"
    die_often(folder, ["metrics", "--textfile", str(path)], kills)
    _, events = recorded(folder)
    found = {
        s.labels["kind"]: s.value
        for family in text_string_to_metric_families(path.read_text())
        for s in family.samples
        if s.name == "affidavit_events_total"
    }
    kinds = [kind for _, kind, _ in events]
    assert found == {kind: kinds.count(kind) for kind in set(kinds)}


@pytest.mark.parametrize("kills", [FEW, MANY])
def test_webhooks_lose_nothing_and_repeat_only_known_ids(
    folder: Path, kills: int, receiver: Receiver
) -> None:
    receiver.answers += [(503, {}, b""), (0, {}, b"")]
    die_often(folder, ["webhook", receiver.url], kills)
    origin, events = recorded(folder)
    ids = [event["id"] for post in receiver.posts for event in json.loads(post.body)]
    assert list(dict.fromkeys(ids)) == [f"{origin}:{position}" for position, _, _ in events]
    assert len(ids) > len(events), "nothing was repeated: this test tests nothing"


@pytest.mark.parametrize("kills", [FEW, MANY])
def test_otel_loses_no_span_and_repeats_only_known_ids(folder: Path, kills: int, receiver: Receiver) -> None:
    receiver.answers += [(503, {}, b""), (0, {}, b"")]
    die_often(folder, ["otel", "--endpoint", receiver.url], kills)
    origin, events = recorded(folder)
    spans = spans_of(receiver)
    wanted = [span_id(origin, run, p) for p, kind, run in events if kind in ("run.started", "step.recorded")]
    by_id = {s.span_id: s for s in spans}
    assert list(dict.fromkeys(s.span_id for s in spans)) == wanted
    assert len(spans) > len(wanted), "nothing was repeated: this test tests nothing"
    assert all(s == by_id[s.span_id] for s in spans), "a repeat differs from what it repeats"


def test_a_sync_that_was_killed_is_told_as_unfinished(folder: Path, receiver: Receiver) -> None:
    with affidavit.open(folder / "ws") as ws:
        facts: dict[str, int | str] = {"journey": "sync", "release": "ab" * 32}
        ws.parts.log.write(lambda tx: tx.append(Event(EventKind.RUN_STARTED, 1, "run-left", facts, {})))
        ws.parts.clock.now = lambda: time.time_ns() // 1000 + 61 * 60_000_000  # type: ignore[method-assign]  # an hour later
        ws.followers.follow(OtlpFollower(receiver.url), Following("otel", "here", once=True))
    said = [{a.key: a.value.string_value for a in span.attributes} for span in spans_of(receiver)]
    assert [s["affidavit.run.status"] for s in said if s["affidavit.run"] == "run-left"] == ["unfinished"]
