"""The guards of a release within a question: steps of the run, failing closed, the same in a replay."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.app.test_models import release, replayed, shown, steps
from tests.app.test_streaming import Streaming, saying

import affidavit
from affidavit.app.guarding import GuardShop
from affidavit.domain.answer import Answer
from affidavit.domain.errors import GuardError, ModelError
from affidavit.domain.guards import Finding, Stage
from affidavit.domain.release import DEFAULT
from affidavit.ports.guard import GuardInfo

Write = Callable[[dict[str, str | bytes]], Path]
QUESTION = "How many days is walrus leave?"
WHERE = "How many days a year is walrus leave?"
DAYS = "Walrus leave is 20 days a year."
MAIL = "Walrus leave questions go to carol@acme.example at any time."
FILES: dict[str, str | bytes] = {
    "access.toml": 'allow = ["group:staff"]',
    "leave.md": f"# Walrus leave\n\n{DAYS} {MAIL} Ask early.",
    "wild.md": "# Walrus parties\n\nWalrus leave for a forbidden party is 50 days a year.",
    "secret/access.toml": 'inherit = false\nallow = ["group:board"]',
    "secret/plan.md": "# Walrus leave plan\n\nWalrus leave will be 3 days a year, says the forbidden plan.",
    "board/access.toml": 'inherit = false\nallow = ["group:staff"]\nclassification = "confidential"',
    "board/kraken.md": "# Kraken bonus\n\nEvery kraken bonus pays three coins monthly.",
}


class Objecting:
    """Finds ``word`` wherever it stands; ``broken`` makes it raise. Remembers what it was asked."""

    def __init__(self, word: str, *, local: bool = True, places: bool = False) -> None:
        self.info = GuardInfo("objecting", "1", local, places)
        self.word = word
        self.broken = False
        self.asked: list[tuple[Stage, str]] = []

    def check(self, text: str, stage: Stage, timeout: float) -> Sequence[Finding]:
        self.asked.append((stage, text))
        if self.broken:
            raise GuardError("out of order", "wait")
        at = text.find(self.word)
        where = (at, at + len(self.word)) if self.info.places else (0, 0)
        return [Finding("objecting", "word", *where, "it stands there")] if at >= 0 else []

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write) -> affidavit.Workspace:
    people = '{"id": "alice", "groups": ["staff"]}\n{"id": "bella", "groups": ["staff", "board"]}\n'
    (tmp_path / "p.jsonl").write_text(people)
    workspace.import_people(tmp_path / "p.jsonl")
    workspace.add_source("folder", write_folder(FILES), "docs")
    workspace.sync()
    return workspace


def guarded(base: Mapping[str, Any] = DEFAULT, **stages: list[dict[str, Any]]) -> dict[str, Any]:
    return {**base, "guard": {"longest": 2000, **stages}}


def use(ws: affidavit.Workspace, guard: Objecting, content: Mapping[str, Any]) -> None:
    """Publish ``content`` and ask under it with ``guard`` at hand."""
    ws.parts.guards.add("objecting", guard)
    ws.publish(content)


def core(**verdicts: str) -> dict[str, Any]:
    return {"guard": "core", "verdicts": {k.replace("_", "-"): v for k, v in verdicts.items()}}


def refused(answer: Answer) -> str:
    return "" if answer.refusal is None else answer.refusal.reason


def test_without_guards_there_are_no_steps_of_theirs(ws: affidavit.Workspace) -> None:
    names = steps(ws, ws.ask(QUESTION, "alice").run)
    assert not any(name.startswith("guard.") for name in names)
    assert all("cost" not in step for step in names.values())


def test_a_question_is_refused_redacted_or_only_noted(ws: affidavit.Workspace) -> None:
    text = "How many days is walrus leave, asks dave@acme.example?"
    ws.publish(guarded(question=[core(email="refuse")]))
    answer = ws.ask(text, "alice")
    assert refused(answer) == "guarded_question"
    step = steps(ws, answer.run)["guard.question"]
    assert step["output"]["verdict"] == "refuse"
    assert step["output"]["outcomes"][0]["reason"] == "core: email"
    assert step["cost"] >= 0
    assert "dave@" not in json.dumps(step["output"])
    assert replayed(ws, answer.run)

    ws.publish(guarded(question=[core(email="redact")]))
    answer = ws.ask(text, "alice")
    assert answer.understood == "How many days is walrus leave, asks …?"
    assert DAYS in answer.answer
    assert replayed(ws, answer.run)

    ws.publish(guarded(question=[core(email="flag")]))
    answer = ws.ask(text, "alice")
    assert answer.understood == ""
    assert steps(ws, answer.run)["guard.question"]["output"]["verdict"] == "flag"
    assert replayed(ws, answer.run)
    ws.verify()


def test_a_refused_question_is_not_remembered_in_a_conversation(ws: affidavit.Workspace) -> None:
    ws.publish(guarded(question=[core(email="refuse")]))
    first = ws.ask("What of walrus leave for dave@acme.example?", "alice")
    second = ws.ask("And how many days is it?", "alice", follows=first.run)
    assert "dave@" not in second.understood
    third = ws.ask(QUESTION, "alice")
    fourth = ws.ask("And for carol@acme.example?", "alice", follows=third.run)
    assert refused(fourth) == "guarded_question"
    assert replayed(ws, second.run) and replayed(ws, fourth.run)


def test_a_passage_is_withheld_and_a_sentence_is_left_out(ws: affidavit.Workspace) -> None:
    guard = Objecting("forbidden")
    use(ws, guard, guarded(passage=[{"guard": "objecting", "otherwise": "refuse"}]))
    answer = ws.ask("How many days is walrus leave for a party?", "alice")
    assert "50 days" not in answer.answer
    said = steps(ws, answer.run)["guard.passage"]["output"]["passages"]
    assert sorted(p["verdict"] for p in said) == ["allow", "refuse"]
    (decided,) = ws.replays.explain(ws.parts.tenant(""), answer.run)["decided"]["guards"]
    assert (decided["stage"], decided["verdict"]) == ("passage", "refuse")
    assert decided["reasons"] == ["objecting: word"]
    asked = len(guard.asked)
    assert replayed(ws, answer.run)
    assert len(guard.asked) == asked  # answered from the record

    ws.publish(guarded(passage=[core(email="redact")]))
    answer = ws.ask(WHERE, "alice")
    assert "carol@" not in json.dumps(answer.given())
    assert "guarded" in steps(ws, answer.run)["generate"]["output"]["withheld"]
    assert replayed(ws, answer.run)
    ws.verify()


def test_what_is_taken_out_of_a_passage_no_model_sees(ws: affidavit.Workspace) -> None:
    model = Streaming()
    ws.parts.models.make = lambda target: model
    ws.publish(guarded(release(), passage=[core(email="redact")]))
    model.say = saying((DAYS, DAYS), (MAIL, MAIL))
    answer = ws.ask(WHERE, "alice")
    assert [c.text for c in answer.claims] == [DAYS]
    sent = json.dumps([shown(r) for r in model.asked])
    assert DAYS in sent and "carol@" not in sent and "\ufdd0" not in sent and "fdd0" not in sent
    assert replayed(ws, answer.run)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_claim_is_dropped_and_an_answer_refused(ws: affidavit.Workspace, streamed: bool) -> None:
    model = Streaming()
    ws.parts.models.make = lambda target: model
    model.say = saying((DAYS, DAYS), (MAIL, MAIL))
    told: list[str] = []

    def ask(content: Mapping[str, Any], question: str = WHERE) -> Answer:
        told.clear()
        ws.publish(content)
        answer = ws.ask(
            question,
            "alice",
            on_claim=(lambda g: told.append(g.claim.text)) if streamed else None,
        )
        assert replayed(ws, answer.run)
        return answer

    dropped = ask(guarded(release(), answer=[core(email="redact")]))
    assert [c.text for c in dropped.claims] == [DAYS]
    assert told == ([DAYS] if streamed else [])
    assert refused(ask(guarded(release(), answer=[core(email="refuse")]))) == "guarded_answer"
    assert told == []
    model.say = saying((MAIL, MAIL))
    assert refused(ask(guarded(release(), answer=[core(email="redact")]))) == "guarded_answer"
    extractive = guarded(answer=[core(email="refuse")])  # whole sentences are guarded too
    assert refused(ask(extractive, "Where do walrus leave questions go at any time?")) == "guarded_answer"
    ws.verify()


def test_a_guard_that_fails_or_is_not_there_lets_nothing_through(ws: affidavit.Workspace) -> None:
    guard = Objecting("nothing of the kind")
    for failure in ("missing", "error"):
        for stage, reason in (
            ("question", "guarded_question"),
            ("passage", "not_enough_evidence"),
            ("answer", "guarded_answer"),
        ):
            stages: dict[str, list[dict[str, Any]]] = {stage: [{"guard": "objecting", "otherwise": "flag"}]}
            content = guarded(DEFAULT, **stages)
            if failure == "error":
                guard.broken = True
                use(ws, guard, content)
            else:
                ws.publish(content)
            answer = ws.ask(QUESTION, "alice")
            assert refused(answer) == reason
            assert failure in json.dumps(steps(ws, answer.run)[f"guard.{stage}"]["output"])
            assert replayed(ws, answer.run)
    content = guarded(answer=[{"guard": "objecting", "otherwise": "flag", "failure": "redact"}])
    use(ws, guard, content)
    assert refused(ws.ask(QUESTION, "alice")) == "guarded_answer"
    content = guarded(answer=[{"guard": "objecting", "otherwise": "flag", "failure": "flag"}])
    use(ws, guard, content)
    assert DAYS in ws.ask(QUESTION, "alice").answer


def test_confidential_text_goes_to_no_guard_elsewhere(ws: affidavit.Workspace) -> None:
    guard = Objecting("nothing", local=False)
    step = {"guard": "objecting", "otherwise": "flag"}
    use(ws, guard, guarded(passage=[step]))
    answer = ws.ask("What does every kraken bonus pay monthly?", "alice")
    assert refused(answer) == "not_enough_evidence"
    assert "remote" in json.dumps(steps(ws, answer.run)["guard.passage"]["output"])
    assert not any("kraken" in text for _, text in guard.asked)
    use(ws, guard, guarded(answer=[step]))
    assert refused(ws.ask("What does every kraken bonus pay monthly?", "alice")) == "guarded_answer"
    assert not any("kraken" in text for _, text in guard.asked)
    assert replayed(ws, answer.run)


def test_a_guard_sees_only_what_the_asker_may_read_and_each_passage_alone(ws: affidavit.Workspace) -> None:
    guard = Objecting("forbidden")
    use(ws, guard, guarded(passage=[{"guard": "objecting", "otherwise": "refuse"}]))
    verdicts = {}
    for who in ("alice", "bella"):
        guard.asked.clear()
        run = ws.ask(QUESTION, who).run
        said = steps(ws, run)["guard.passage"]["output"]["passages"]
        verdicts[who] = {p["chunk"]: p["verdict"] for p in said}
        assert any("says the forbidden plan" in text for _, text in guard.asked) == (who == "bella")
    assert verdicts["alice"].items() <= verdicts["bella"].items()
    assert len(verdicts["bella"]) == len(verdicts["alice"]) + 1


def test_a_title_with_something_in_it_takes_the_passage_along(
    ws: affidavit.Workspace, write_folder: Write
) -> None:
    write_folder({"mail.md": "# Write to x@acme.example\n\nOctopus leave is 9 days a year."})
    ws.sync()
    ws.publish(guarded(passage=[core(email="redact")]))
    assert refused(ws.ask("How many days is octopus leave?", "alice")) == "not_enough_evidence"


def test_the_verdict_is_of_the_policy_that_the_release_has(ws: affidavit.Workspace) -> None:
    """What another release would make of the same run: the record's findings are for its own policy."""
    guard = Objecting("walrus")
    use(ws, guard, guarded(question=[{"guard": "objecting", "otherwise": "flag"}]))
    answer = ws.ask(QUESTION, "alice")
    stricter = ws.publish(guarded(question=[{"guard": "objecting", "otherwise": "refuse"}]))
    found = ws.replays.what_if(ws.parts.tenant(""), answer.run, [("release", stricter)])
    assert found["after"]["given"]["refusal"]["reason"] == "guarded_question"


def test_a_model_of_the_release_can_be_a_guard(ws: affidavit.Workspace) -> None:
    model, judge = Streaming(), Streaming()
    ws.parts.models.make = lambda target: judge if target.name == "near" else model
    model.say = saying((DAYS, DAYS))
    judge.say = lambda request: "safe"
    content = guarded(release(), question=[{"guard": "near", "otherwise": "refuse"}])
    ws.publish(content)
    answer = ws.ask(QUESTION, "alice")
    assert [c.text for c in answer.claims] == [DAYS]
    judge.say = lambda request: "unsafe\nS1"
    other = ws.ask(QUESTION, "alice")
    assert refused(other) == "guarded_question"
    assert steps(ws, other.run)["guard.question"]["output"]["outcomes"][0]["findings"][0]["kind"] == "S1"

    def fails(request: Any) -> str:
        raise ModelError("server", "out of order")

    judge.say = fails
    assert refused(ws.ask(QUESTION, "alice")) == "guarded_question"
    asked = len(judge.asked)
    assert replayed(ws, answer.run) and replayed(ws, other.run)
    assert len(judge.asked) == asked


def test_guards_by_name_close_with_the_workspace() -> None:
    closed: list[str] = []

    class Closing(Objecting):
        def close(self) -> None:
            closed.append(self.word)

    def no_model(target: Any) -> Any:
        raise ModelError("server", "there is none")

    guards = GuardShop(no_model)
    guards.add("a", Closing("a"))
    guards.add("b", Closing("b"))
    guards.add("b", Closing("c"))
    guards.close()
    assert sorted(closed) == ["a", "b", "c"]
