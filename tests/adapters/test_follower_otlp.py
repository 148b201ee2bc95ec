"""Spans over OTLP/HTTP to a receiver that decodes the wire format, and to a real collector where there is one."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.trace.v1 import trace_pb2
from tests.patience import LONG, soon
from tests.ports import free_port
from tests.receiver import Receiver, receiving

from affidavit.adapters.otlp import OtlpFollower
from affidavit.adapters.otlp_spans import span_id, trace_id
from affidavit.domain.errors import FollowerError
from affidavit.domain.events import EventKind
from affidavit.ports.follower import Batch, Handed, Standing
from affidavit.testing.clock import START
from affidavit.testing.follower_conformance import (
    ORIGIN,
    FollowerConformance,
    MemoryLog,
    Outside,
    handed,
    log_of_runs,
)

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
MINUTE = 60_000_000
RUN = "run-aaaaaaaaaaaaaaaa"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def spans(receiver: Receiver) -> list[trace_pb2.Span]:
    out: list[trace_pb2.Span] = []
    for post in receiver.posts:
        request = wire.ExportTraceServiceRequest()
        request.ParseFromString(post.body)
        out += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    return out


def attributes(of: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in of.attributes}


class OtlpOutside:
    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def follower(self) -> OtlpFollower:
        return OtlpFollower(self.receiver.url)

    def received(self) -> list[str]:
        return [(s.trace_id + s.span_id).hex() for s in spans(self.receiver)]

    def expected(self, events: Sequence[Handed]) -> list[str]:
        out = []
        for end in (e for e in events if e.kind == "run.finished"):
            of_run = [e for e in events if e.run == end.run and e.kind in ("run.started", "step.recorded")]
            out += [(trace_id(ORIGIN, e.run) + span_id(ORIGIN, e.run, e.position)).hex() for e in of_run]
        return out


class TestOtlp(FollowerConformance):
    @pytest.fixture
    def outside(self, receiver: Receiver) -> Outside:
        return OtlpOutside(receiver)


def later(log: MemoryLog, minutes: int) -> Batch:
    return Batch((), log.position, START + minutes * MINUTE, Standing(len(log.events), START))


def test_a_run_is_a_trace(receiver: Receiver) -> None:
    log = MemoryLog(log_of_runs(1))
    log.drive(OtlpFollower(receiver.url), 100)
    root, guard, retrieve = spans(receiver)
    assert receiver.posts[0].path == "/v1/traces"
    assert receiver.posts[0].headers["content-type"] == "application/x-protobuf"
    assert root.name == "invoke_workflow ask"
    assert not root.parent_span_id
    assert {s.trace_id for s in (root, guard, retrieve)} == {root.trace_id}
    assert {guard.parent_span_id, retrieve.parent_span_id} == {root.span_id}
    said = attributes(root)
    assert said["gen_ai.operation.name"] == "invoke_workflow"
    assert said["gen_ai.workflow.name"] == "ask"
    assert said["affidavit.run.status"] == "refused"
    assert said["affidavit.answer.reason"] == "not_enough_evidence"
    assert attributes(retrieve)["gen_ai.operation.name"] == "retrieval"
    assert "gen_ai.operation.name" not in attributes(guard)
    (denial,) = retrieve.events
    assert attributes(denial)["affidavit.decision.effect"] == "forbid"


def test_times_are_those_of_the_record(receiver: Receiver) -> None:
    log = MemoryLog(log_of_runs(1))
    log.drive(OtlpFollower(receiver.url), 100)
    root, guard, retrieve = spans(receiver)
    end = log.events[-1].at
    assert root.end_time_unix_nano == end * 1000
    assert root.start_time_unix_nano == log.events[3].at * 1000  # its start was recorded 5 ms before its end
    assert (guard.start_time_unix_nano, guard.end_time_unix_nano) == ((end - 1000) * 1000, (end - 960) * 1000)
    assert (retrieve.start_time_unix_nano, retrieve.end_time_unix_nano) == ((end - 960) * 1000, end * 1000)


def test_a_lap_is_found_by_the_step_it_is_named_after_and_other_steps_are_moments(receiver: Receiver) -> None:
    names = ("embed", "score", "route", "novel")
    events = [handed(0, EventKind.RUN_STARTED, {"journey": "ask", "release": "r"}, RUN)]
    for number, name in enumerate(names, 1):
        events.append(handed(number, EventKind.STEP_RECORDED, {"step": number, "name": name}, RUN))
    words = {"timings": {"embed_score": 300, "route": 200}}
    events.append(handed(5, EventKind.RUN_FINISHED, {"status": "answered", "steps": 4}, RUN, words))
    MemoryLog(events).drive(OtlpFollower(receiver.url), 100)
    end = events[-1].at
    found = {attributes(s)["affidavit.step.name"]: s for s in spans(receiver)[1:]}
    times = {
        n: (s.start_time_unix_nano // 1000 - end, s.end_time_unix_nano // 1000 - end)
        for n, s in found.items()
    }
    assert times["embed"] == times["score"] == (-500, -200)
    assert times["route"] == (-200, 0)
    assert times["novel"] == (events[4].at - end,) * 2
    assert found["embed"].name == "embeddings affidavit"


def test_a_run_that_never_ended_is_told_as_unfinished(receiver: Receiver) -> None:
    log = MemoryLog(log_of_runs(1)[:-2])
    follower = OtlpFollower(receiver.url, unfinished_after=10 * MINUTE)
    log.drive(follower, 100)
    follower.deliver(later(log, 9))
    assert spans(receiver) == []
    log.state = follower.deliver(later(log, 11))
    root, _guard, _retrieve = spans(receiver)
    assert attributes(root)["affidavit.run.status"] == "unfinished"
    assert root.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    assert follower.deliver(later(log, 12)) == log.state
    assert len(spans(receiver)) == 3
    follower.close()


def test_a_run_told_as_unfinished_that_ends_after_all_repeats_nothing(receiver: Receiver) -> None:
    events = log_of_runs(1)
    log = MemoryLog(events[:-2])
    follower = OtlpFollower(receiver.url, unfinished_after=10 * MINUTE)
    log.drive(follower, 100)
    log.state = follower.deliver(later(log, 11))
    follower.close()
    log.events = [
        *events[:-2],
        handed(7, EventKind.STEP_RECORDED, {"step": 3, "name": "late"}, events[-1].run),
        events[-1],
    ]
    log.drive(OtlpFollower(receiver.url), 100)
    ids = [s.span_id for s in spans(receiver)]
    assert len(ids) == len(set(ids)) == 5
    root, *_, late, end = spans(receiver)
    assert {late.parent_span_id, end.parent_span_id} == {root.span_id}
    assert attributes(end)["affidavit.run.status"] == "refused"


def test_content_is_what_the_body_holds(receiver: Receiver) -> None:
    facts: dict[str, int | str] = {"journey": "ask", "release": "r"}
    hits = {"hits": [{"document": "leave.md", "score": "0.750000"}]}
    long = {"output": "x" * 40_000}
    events = [
        handed(0, EventKind.RUN_STARTED, facts, RUN, body={"principal": "user:alice", "question": "why?"}),
        handed(
            1,
            EventKind.STEP_RECORDED,
            {"step": 1, "name": "retrieve"},
            RUN,
            body={"input": {}, "output": hits},
        ),
        handed(2, EventKind.STEP_RECORDED, {"step": 2, "name": "verify"}, RUN, body=long),
        handed(3, EventKind.ANSWER_RELEASED, {"status": "answered"}, RUN, body={"answer": "because"}),
        handed(4, EventKind.RUN_FINISHED, {"status": "answered", "steps": 2}, RUN),
    ]
    MemoryLog(events).drive(OtlpFollower(receiver.url), 100)
    root, retrieve, verify = (attributes(s) for s in spans(receiver))
    (asked,) = json.loads(root["gen_ai.input.messages"])
    assert asked == {"role": "user", "parts": [{"type": "text", "content": "why?"}]}
    assert json.loads(root["gen_ai.output.messages"])[0]["parts"][0]["content"] == "because"
    assert json.loads(retrieve["gen_ai.retrieval.documents"]) == [{"id": "leave.md", "score": 0.75}]
    assert len(verify["affidavit.step.output"]) < 20_000
    assert verify["affidavit.step.output.cut"]


def test_what_the_collector_rejects_is_counted_and_not_sent_again(receiver: Receiver) -> None:
    answer = wire.ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    receiver.answers.append((200, {}, answer.SerializeToString()))
    log = MemoryLog(log_of_runs(2))
    log.drive(OtlpFollower(receiver.url), 9)
    assert json.loads(log.state)["rejected"] == 2
    assert OtlpOutside(receiver).received() == OtlpOutside(receiver).expected(log.events)


def test_an_answer_in_words_is_an_answer(receiver: Receiver) -> None:
    receiver.body = b'{"ok": true}'
    log = MemoryLog(log_of_runs(2))
    log.drive(OtlpFollower(receiver.url), 9)
    assert OtlpOutside(receiver).received() == OtlpOutside(receiver).expected(log.events)


def test_after_a_failure_the_same_batch_gives_the_same_spans(receiver: Receiver) -> None:
    log = MemoryLog(log_of_runs(2))
    follower = OtlpFollower(receiver.url)
    receiver.answers.append((503, {}, b""))
    with pytest.raises(FollowerError, match="503"):
        log.drive(follower, 100)
    log.state = follower.deliver(log.batch(100))
    assert OtlpOutside(receiver).received() == OtlpOutside(receiver).expected(log.events)
    assert json.loads(log.state)["open"] == {}
    follower.close()


def test_a_run_that_ends_while_the_collector_is_down_is_still_known_to_be_told(receiver: Receiver) -> None:
    events = log_of_runs(1)
    log = MemoryLog(events[:-1])
    follower = OtlpFollower(receiver.url, unfinished_after=10 * MINUTE)
    log.drive(follower, 100)
    receiver.answers.append((503, {}, b""))
    with pytest.raises(FollowerError):
        follower.deliver(later(log, 11))
    log.state = follower.deliver(later(log, 11))
    log.events = events
    receiver.answers.append((503, {}, b""))
    with pytest.raises(FollowerError):
        follower.deliver(log.batch(100))
    follower.deliver(log.batch(100))
    follower.close()
    assert [s.name for s in spans(receiver)] == [
        "invoke_workflow ask",
        "guard",
        "retrieval affidavit",
        "affidavit run ended",
    ]


def test_a_request_is_bounded_by_bytes(receiver: Receiver) -> None:
    events = [handed(0, EventKind.RUN_STARTED, {"journey": "ask", "release": "r"}, RUN)]
    for number in range(1, 401):
        body = {"output": "x" * 16_000}
        events.append(
            handed(number, EventKind.STEP_RECORDED, {"step": number, "name": "page"}, RUN, body=body)
        )
    events.append(handed(401, EventKind.RUN_FINISHED, {"status": "done", "steps": 400}, RUN))
    MemoryLog(events).drive(OtlpFollower(receiver.url), 2000)
    assert len(spans(receiver)) == 401
    assert all(len(post.body) < 3 * 2**20 for post in receiver.posts)


def test_many_spans_are_several_requests_and_many_denials_are_bounded(receiver: Receiver) -> None:
    events = [handed(0, EventKind.RUN_STARTED, {"journey": "sync", "release": "r"}, RUN)]
    for number in range(1, 1101):
        events.append(handed(number, EventKind.STEP_RECORDED, {"step": number, "name": "page"}, RUN))
    for number in range(1101, 1301):
        facts: dict[str, int | str] = {"step": 1, "action": "document:read", "effect": "forbid"}
        events.append(handed(number, EventKind.DECISION_MADE, facts, RUN))
    events.append(handed(1301, EventKind.RUN_FINISHED, {"status": "done", "steps": 1100}, RUN))
    MemoryLog(events).drive(OtlpFollower(receiver.url), 2000)
    found = spans(receiver)
    assert len(found) == 1101
    assert len(receiver.posts) == 3
    assert (len(found[-1].events), found[-1].dropped_events_count) == (100, 100)
    assert found[0].name == "affidavit sync"
    assert "gen_ai.operation.name" not in attributes(found[0])


# -- a real collector between


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), LONG).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture
def collector(receiver: Receiver, tmp_path: Path) -> Iterator[str]:
    """The address of a Rotel collector that passes spans on to ``receiver``; skips where it is not installed."""
    agent = Path(pytest.importorskip("rotel").__file__).with_name("rotel-agent")
    port, grpc = free_port(), free_port()
    options = ["--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"]
    options += [
        "--exporter",
        "otlp",
        "--otlp-exporter-protocol",
        "http",
        "--otlp-exporter-compression",
        "none",
    ]
    options += ["--otlp-exporter-endpoint", receiver.url, "--pid-file", str(tmp_path / "pid")]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([agent, "start", *options], stdout=log, stderr=log) as process,
    ):
        try:
            soon(lambda: listens(port) or process.poll() is not None)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_a_real_collector_takes_everything(collector: str, receiver: Receiver) -> None:
    log = MemoryLog(log_of_runs(40))
    log.drive(OtlpFollower(collector), 50)
    expected = set(OtlpOutside(receiver).expected(log.events))
    soon(lambda: len(OtlpOutside(receiver).received()) >= len(expected))
    assert set(OtlpOutside(receiver).received()) == expected
    assert json.loads(log.state)["rejected"] == 0
    root = next(s for s in spans(receiver) if not s.parent_span_id)
    assert attributes(root)["gen_ai.operation.name"] == "invoke_workflow"
