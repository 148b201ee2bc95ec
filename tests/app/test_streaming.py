"""Claims given while the model still writes: each is verified and durable before it is given, and none is taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.app.test_models import Scripted, release, replayed, shown

import affidavit
from affidavit.app.erasure import Target
from affidavit.domain.answer import Answer, GivenClaim
from affidavit.domain.errors import ModelError
from affidavit.domain.events import EventKind
from affidavit.ports.model import Cancel, ChatRequest, ChatResult, Delta, Usage
from affidavit.runs.replay import compare, compare_begun

Write = Callable[[dict[str, str | bytes]], Path]
QUESTION = "How many days is walrus leave, and who grants it?"
DAYS = "Walrus leave is 20 days a year."
GRANTS = "Walrus leave is granted by Carol Jones."
EARLY = "Ask for walrus leave three weeks early."
FILES: dict[str, str | bytes] = {
    "access.toml": 'allow = ["group:staff"]',
    "leave.md": f"# Walrus leave\n\n{DAYS} {GRANTS} {EARLY}",
}
EXACT = {"temperature": "0", "top_p": "", "seed": 7, "max_tokens": 200, "timeout_ms": 5000, "attempts": 1}
GOOD = (
    ("Walrus leave is 20 days a year.", DAYS),
    ("Carol Jones grants walrus leave.", GRANTS),
    (EARLY, EARLY),
)
BAD = ("Walrus leave is 99 days a year.", DAYS)


class Streaming(Scripted):
    """A scripted model that streams ``size`` characters a piece, and fails before the piece after ``fails_at`` characters."""

    def __init__(self, local: bool = True) -> None:
        super().__init__(local)
        self.size = 7
        self.fails_at: int | None = None

    def stream(self, request: ChatRequest, cancel: Cancel | None = None) -> Iterator[Delta]:
        self.asked.append(request)
        text = self.say(request)
        for at in range(0, len(text), self.size):
            if self.fails_at is not None and at >= self.fails_at:
                raise ModelError("connection", "the line was cut")
            yield Delta(text[at : at + self.size])
        if self.fails_at is not None:
            raise ModelError("connection", "the line was cut")
        yield Delta("", ChatResult(text, (), "stop", Usage(10, 5, 0), "scripted-1"))


@pytest.fixture
def models() -> dict[str, Streaming]:
    return {"near": Streaming(True), "far": Streaming(False)}


@pytest.fixture
def ws(
    workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write, models: dict[str, Streaming]
) -> affidavit.Workspace:
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
    workspace.import_people(tmp_path / "p.jsonl")
    workspace.add_source("folder", write_folder(FILES), "docs")
    workspace.sync()
    workspace.parts.models.make = lambda target: models[target.name]
    workspace.publish(release())
    return workspace


def written(request: ChatRequest, claims: Sequence[tuple[str, str]]) -> str:
    passages = shown(request)[:-1]
    out = []
    for text, quote in claims:
        where = next((p["id"] for p in passages if quote in p["text"]), "P1")
        out.append({"text": text, "citations": [{"passage": where, "quote": quote}]})
    return json.dumps({"claims": out})


def saying(*claims: tuple[str, str], then: str = "") -> Callable[[ChatRequest], str]:
    """Says the claims; with ``then`` the list is not closed, and that follows instead."""
    return lambda request: written(request, claims)[: -2 if then else None] + then


def asked(ws: affidavit.Workspace) -> tuple[Answer, list[GivenClaim]]:
    told: list[GivenClaim] = []
    return ws.ask(QUESTION, "alice", on_claim=told.append), told


def kinds(ws: affidavit.Workspace, run: str) -> list[str]:
    return [e.kind.value for e in ws.parts.events.of_run(run)]


def bodies(ws: affidavit.Workspace, run: str, kind: EventKind) -> list[Any]:
    return [ws.parts.events.body(e) for e in ws.parts.events.of_run(run) if e.kind is kind]


def story(ws: affidavit.Workspace, run: str) -> Mapping[str, Any]:
    return ws.runs.show(ws.parts.tenant(""), run, None, audit=True)


def test_each_claim_is_durable_when_it_is_given_and_the_model_still_writes(
    ws: affidavit.Workspace, models: dict[str, Streaming]
) -> None:
    model = models["far"]
    model.say = saying(*GOOD)
    seen: list[tuple[int, int]] = []

    def look(given: GivenClaim) -> None:
        with affidavit.open(ws.parts.folder) as other:
            on_log = bodies(other, given.run, EventKind.CLAIM_RELEASED)
            assert on_log[-1] == given.claim.as_json()
            assert EventKind.RUN_FINISHED.value not in kinds(other, given.run)
            seen.append((given.number, len(on_log)))

    answer = ws.ask(QUESTION, "alice", on_claim=look)
    assert seen == [(1, 1), (2, 2), (3, 3)]
    assert [c.text for c in answer.claims] == [text for text, _ in GOOD]
    assert (answer.model, answer.incomplete) == ("scripted-1", "")
    assert len(model.asked) == 1
    assert kinds(ws, answer.run).count("answer.released") == kinds(ws, answer.run).count("run.finished") == 1
    assert replayed(ws, answer.run)
    assert len(model.asked) == 1
    ws.verify()


def test_a_claim_that_does_not_hold_is_left_out_of_the_stream(
    ws: affidavit.Workspace, models: dict[str, Streaming]
) -> None:
    models["far"].say = saying(GOOD[0], BAD, GOOD[1])
    answer, told = asked(ws)
    assert [t.claim.text for t in told] == [c.text for c in answer.claims] == [GOOD[0][0], GOOD[1][0]]
    faults = [s["output"]["fault"] for s in story(ws, answer.run)["steps"] if s["name"] == "check.claim"]
    assert faults == ["", "number", ""]
    assert replayed(ws, answer.run)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    st.lists(st.sampled_from([*GOOD, BAD, (" ", DAYS), ("Leave.", "not there at all")]), max_size=5),
    st.integers(1, 400),
)
def test_streamed_or_not_the_answer_is_the_same(
    ws: affidavit.Workspace, models: dict[str, Streaming], said: list[tuple[str, str]], size: int
) -> None:
    models["far"].say = saying(*said)
    models["far"].size = size
    whole = ws.ask(QUESTION, "alice")
    answer, told = asked(ws)
    assert answer.given() == whole.given()
    assert [t.claim for t in told] == list(answer.claims)
    assert replayed(ws, answer.run)


@pytest.mark.parametrize(
    ("then", "cut"), [(', {"text": "x"}]}', False), ("]]]", False), (", nonsense", False), ("", True)]
)
def test_what_was_given_stays_when_the_model_breaks_off(
    ws: affidavit.Workspace, models: dict[str, Streaming], then: str, cut: bool
) -> None:
    """Garbage or a broken line after a claim: no other target begins anew, and nothing is said twice."""
    ws.publish(release(answer={"options": [{"target": "far", **EXACT}, {"target": "near", **EXACT}]}))
    models["far"].say = saying(*GOOD[:2], then=then)
    models["near"].say = saying(*GOOD)
    if cut:
        models["far"].fails_at = 10_000
    answer, told = asked(ws)
    assert [t.claim.text for t in told] == [c.text for c in answer.claims] == [t for t, _ in GOOD[:2]]
    assert (answer.status.value, answer.incomplete, answer.model) == ("answered", "model", "far")
    assert models["near"].asked == []
    assert replayed(ws, answer.run)
    assert ws.replays.explain(ws.parts.tenant(""), answer.run)["did"]["given"]["incomplete"] == "model"
    ws.verify()


def test_before_anything_is_given_the_next_target_takes_over(
    ws: affidavit.Workspace, models: dict[str, Streaming]
) -> None:
    ws.publish(release(answer={"options": [{"target": "far", **EXACT}, {"target": "near", **EXACT}]}))
    models["far"].say = saying(BAD, GOOD[0])
    models["far"].fails_at = len(BAD[0]) + 130  # after the first claim, which does not hold
    models["near"].say = saying(*GOOD)
    answer, told = asked(ws)
    assert [t.claim.text for t in told] == [text for text, _ in GOOD]
    assert (answer.incomplete, len(models["near"].asked)) == ("", 1)
    attempts = {s["output"]["attempt"] for s in story(ws, answer.run)["steps"] if s["name"] == "model.claim"}
    assert attempts == {1, 2}
    assert replayed(ws, answer.run)


def test_with_nothing_given_whole_sentences_follow(
    ws: affidavit.Workspace, models: dict[str, Streaming]
) -> None:
    for say in (saying(BAD), saying(then=""), lambda request: "nonsense"):
        models["far"].say = say
        answer, told = asked(ws)
        assert answer.model is None
        assert [t.claim for t in told] == list(answer.claims)
        assert replayed(ws, answer.run)
    models["far"].say = saying()
    refused, told = asked(ws)
    assert refused.refusal is not None and told == []
    assert replayed(ws, refused.run)


def test_a_release_that_can_take_claims_back_gives_them_at_the_end(
    ws: affidavit.Workspace, models: dict[str, Streaming]
) -> None:
    def at_the_end(content: Mapping[str, Any]) -> Answer:
        ws.publish(content)
        early: list[bool] = []
        answer = ws.ask(
            QUESTION,
            "alice",
            on_claim=lambda g: early.append(EventKind.RUN_FINISHED.value not in kinds(ws, g.run)),
        )
        assert not any(early) and len(early) == len(answer.claims)
        assert EventKind.CLAIM_RELEASED.value not in kinds(ws, answer.run)
        assert replayed(ws, answer.run)
        return answer

    models["far"].say = saying(*GOOD)
    assert len(at_the_end(release(whole=True)).claims) == 3
    guard = {"longest": 2000, "answer": [{"guard": "core", "verdicts": {"secret": "refuse"}}]}
    assert len(at_the_end({**release(), "guard": guard}).claims) == 3
    models["far"].say = saying(GOOD[0], BAD)
    assert at_the_end(release(whole=True)).model is None


class LeftError(Exception):
    """Whoever asked has gone."""


@pytest.mark.parametrize("error", [LeftError, KeyboardInterrupt, BrokenPipeError])
def test_whoever_asks_may_leave_and_the_record_says_what_they_had(
    ws: affidavit.Workspace, models: dict[str, Streaming], error: type[BaseException]
) -> None:
    models["far"].say = saying(*GOOD)
    told: list[GivenClaim] = []

    def leave(given: GivenClaim) -> None:
        told.append(given)
        if given.number == 2:
            raise error

    with pytest.raises(error):
        ws.ask(QUESTION, "alice", on_claim=leave)
    run = told[0].run
    (given_,) = bodies(ws, run, EventKind.ANSWER_RELEASED)
    assert (given_["status"], given_["incomplete"]) == ("failed", "interrupted")
    assert given_["claims"] == [t.claim.as_json() for t in told]
    assert story(ws, run)["status"] == "failed"
    assert [s["name"] for s in story(ws, run)["steps"]].count("model.answer") == 1  # what it cost until then
    explained = ws.replays.explain(ws.parts.tenant(""), run)
    assert explained["did"]["interrupted"] and len(explained["did"]["given"]["claims"]) == 2
    before = len(models["far"].asked)
    assert replayed(ws, run)
    assert len(models["far"].asked) == before
    ws.verify()


def test_a_callback_that_fails_at_the_first_extractive_claim_changes_nothing_on_record(
    ws: affidavit.Workspace, models: dict[str, Streaming]
) -> None:
    models["far"].say = lambda request: "nonsense"
    runs: list[str] = []

    def leave(given: GivenClaim) -> None:
        runs.append(given.run)
        raise LeftError

    with pytest.raises(LeftError):
        ws.ask(QUESTION, "alice", on_claim=leave)
    assert story(ws, runs[0])["status"] == "answered"
    assert replayed(ws, runs[0])


def test_what_cannot_be_made_durable_is_not_given(
    ws: affidavit.Workspace, models: dict[str, Streaming], monkeypatch: pytest.MonkeyPatch
) -> None:
    models["far"].say = saying(*GOOD)
    log, written_ = ws.parts.log, ws.parts.log.write
    times: list[int] = []

    def full(change: Any) -> Any:
        times.append(1)
        if len(times) >= 2:
            raise OSError(28, "no space left on device")
        return written_(change)

    told: list[GivenClaim] = []
    with monkeypatch.context() as patch:
        patch.setattr(log, "write", full)
        with pytest.raises(OSError, match="no space"):
            ws.ask(QUESTION, "alice", on_claim=told.append)
    assert len(told) == 1
    shown_ = story(ws, told[0].run)
    assert (shown_["status"], shown_["given"]["incomplete"]) == ("unfinished", "unfinished")
    assert [c["text"] for c in shown_["given"]["claims"]] == [told[0].claim.text]
    assert replayed(ws, told[0].run)
    ws.verify()


def test_an_interrupt_between_a_commit_and_hearing_of_it_writes_nothing_twice(
    ws: affidavit.Workspace, models: dict[str, Streaming], monkeypatch: pytest.MonkeyPatch
) -> None:
    models["far"].say = saying(*GOOD)
    write = ws.parts.log.write
    times: list[int] = []

    def interrupted(change: Any) -> Any:
        done = write(change)
        times.append(1)
        if len(times) == 2:
            raise KeyboardInterrupt
        return done

    told: list[GivenClaim] = []
    with monkeypatch.context() as patch:
        patch.setattr(ws.parts.log, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ws.ask(QUESTION, "alice", on_claim=told.append)
    run = told[0].run
    assert len(told) == 1
    assert kinds(ws, run).count("claim.released") == 2  # on record before it was given, which it then was not
    steps = [s["step"] for s in story(ws, run)["steps"]]
    assert steps == sorted(set(steps))
    assert story(ws, run)["status"] == "failed"
    assert replayed(ws, run)
    ws.verify()


def test_a_changed_record_of_a_stream_diverges(ws: affidavit.Workspace, models: dict[str, Streaming]) -> None:
    """The checks between the parts are worked out again: a claim that was not carried does not replay as one that was."""
    models["far"].say = saying(*GOOD)
    answer, _ = asked(ws)
    desk = ws.replays._replayer
    recorded = desk.recorded(ws.parts.tenant(""), answer.run)
    facts = list(recorded.facts)
    at = next(n for n, f in enumerate(facts) if f.title == "model.claim")
    spoilt = json.loads(json.dumps(facts[at].body).replace("20 days", "99 days"))
    facts[at] = replace(facts[at], body=spoilt)
    other = replace(recorded, facts=tuple(facts))
    rerun = desk.rerun(other, ws.parts.release(), live=False)
    desk.put(rerun, other, other.question(), ws.parts.release(), other.past())
    found = compare(other.facts, rerun.facts())
    assert found is not None and found.name == "check.claim"
    assert compare_begun(other.facts, rerun.facts()) is not None


def test_a_judge_is_asked_claim_by_claim(ws: affidavit.Workspace, models: dict[str, Streaming]) -> None:
    ws.publish(release(verify={"options": [{"target": "near", **EXACT}]}))
    models["far"].say = saying(*GOOD)
    models["near"].say = lambda request: json.dumps(
        {"supported": ["Carol" not in request.messages[-1].content]}
    )
    answer, told = asked(ws)
    assert [t.claim.text for t in told] == [GOOD[0][0], GOOD[2][0]]
    assert len(models["near"].asked) == 3
    assert replayed(ws, answer.run)
    assert len(models["near"].asked) == 3


def test_another_model_streams_in_a_counterfactual(
    ws: affidavit.Workspace, models: dict[str, Streaming]
) -> None:
    models["far"].say = saying(*GOOD)
    models["near"].say = saying(GOOD[1])
    answer, _ = asked(ws)
    head = ws.parts.log.head()
    found = ws.replays.what_if(ws.parts.tenant(""), answer.run, [("model", "near")])
    assert found["after"]["given"]["answer"] == GOOD[1][0]
    assert ws.parts.log.head() == head + 1  # that somebody looked


def test_no_more_claims_than_an_answer_may_have(
    ws: affidavit.Workspace, models: dict[str, Streaming]
) -> None:
    models["far"].say = saying(*[GOOD[0]] * 13)
    answer, told = asked(ws)
    assert len(told) == len(answer.claims) == 12
    assert answer.incomplete == "model"
    assert replayed(ws, answer.run)


def test_half_a_character_is_no_claim(ws: affidavit.Workspace, models: dict[str, Streaming]) -> None:
    models["far"].say = lambda request: '{"claims": [{"text": "\\ud800 leave", "citations": []}]}'
    for on_claim in (None, lambda given: None):
        answer = ws.ask(QUESTION, "alice", on_claim=on_claim)
        assert answer.model is None and answer.claims


def test_erasing_a_run_takes_its_claims_along(ws: affidavit.Workspace, models: dict[str, Streaming]) -> None:
    models["far"].say = saying(*GOOD)
    answer, _ = asked(ws)
    ws.erasing.erase(ws.parts.tenant(""), Target("run", answer.run), "operator:dave", "a test")
    assert all(b == {"erased": True} for b in bodies(ws, answer.run, EventKind.CLAIM_RELEASED))
    ws.verify()
