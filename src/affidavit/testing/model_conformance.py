"""What every chat model must do. Subclass in a test module and say how to make one, against a server that obeys
(``testing.scripted_model``) in the vendor's format:

    class TestMine(ModelConformance):
        def server(self) -> ScriptedServer:
            return ScriptedModel(key=KEY)

        def make(self, server: ScriptedServer) -> ChatModel:
            return Mine(server.base, key=KEY)

Tests of what ``info`` does not promise pass without doing anything.
"""
# ruff: noqa: S101 - a test suite asserts

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from affidavit.domain.errors import ModelError
from affidavit.ports.model import (
    Cancel,
    ChatModel,
    ChatRequest,
    ChatResult,
    CountingModel,
    Delta,
    Message,
    ToolCall,
    ToolSpec,
    Usage,
    from_plain,
    plain,
)
from affidavit.testing.scripted_model import Reply, ScriptedServer

KEY = "sk-Conformance-0123456789"
SCHEMA = {
    "type": "object",
    "properties": {
        "claims": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"text": {"type": "string"}, "hit": {"type": "integer"}},
                "required": ["text", "hit"],
                "additionalProperties": False,
            },
        },
        "sure": {"type": "boolean"},
    },
    "required": ["claims", "sure"],
    "additionalProperties": False,
}
TOOL = ToolSpec(
    "look_up",
    "Find a policy.",
    {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
)
STRANGE = 'ünïcødé 🦉 👩‍👩‍👧 é e\u0301 今日は \u2028 \u200b "quoted" \\ {brace} <tag> data: [DONE]'
SOON = 30.0
"""Seconds within which a call that was ended has really ended, on a busy machine."""


def ask(text: str, **more: object) -> ChatRequest:
    """A request of one message."""
    return replace(ChatRequest((Message("user", text),), 1000, 20.0), **more)  # type: ignore[arg-type]


class ModelConformance:
    """The contract of ``ports.model`` as tests."""

    stops = True
    """Whether stop words can be sent."""

    def server(self) -> ScriptedServer:
        """A server, not yet entered, that wants ``KEY``."""
        raise NotImplementedError

    def make(self, server: ScriptedServer) -> ChatModel:
        """A model at ``server``, with ``KEY``."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def running(cls) -> Iterator[tuple[ScriptedServer, ChatModel]]:
        """One server and one model for all tests: what one test did to them must not matter to the next."""
        suite = cls()
        with suite.server() as entered:
            assert isinstance(entered, ScriptedServer)
            made = suite.make(entered)
            yield entered, made
            made.close()

    @pytest.fixture
    def at(self, running: tuple[ScriptedServer, ChatModel]) -> ScriptedServer:
        running[0].reset()
        return running[0]

    @pytest.fixture
    def model(self, at: ScriptedServer, running: tuple[ScriptedServer, ChatModel]) -> ChatModel:
        return running[1]

    def fault(self, model: ChatModel, request: ChatRequest, stream: bool) -> ModelError:
        with pytest.raises(ModelError) as caught:
            whole(model, request) if stream else model.complete(request)
        assert caught.value.message
        assert KEY not in f"{caught.value!r} {caught.value.as_dict()}"
        return caught.value

    # -- answers

    def test_text(self, model: ChatModel, at: ScriptedServer) -> None:
        system = Message("system", "be brief")
        request = replace(ask("say hello there"), messages=(system, Message("user", "say hello there")))
        result = model.complete(request)
        assert (result.text, result.calls, result.finish) == ("hello there", (), "stop")
        assert result.model == model.info.name
        assert at.seen[0].messages == (("system", "be brief"), ("user", "say hello there"))
        assert (at.seen[0].max_tokens, at.seen[0].model) == (1000, model.info.name)

    def test_a_conversation_is_sent_in_order(self, model: ChatModel, at: ScriptedServer) -> None:
        said = (Message("user", "one"), Message("assistant", "two"), Message("user", "say three"))
        assert model.complete(replace(ask(""), messages=said)).text == "three"
        assert [text for _, text in at.seen[0].messages] == ["one", "two", "say three"]
        assert [role for role, _ in at.seen[0].messages][1] == "assistant"

    @pytest.mark.parametrize(
        "text", ["say one two three", "words 300", f"say {STRANGE}", "empty", "call look_up {}"]
    )
    def test_a_stream_ends_with_what_complete_gives(self, model: ChatModel, text: str) -> None:
        request = ask(text, tools=(TOOL,))
        deltas = list(model.stream(request))
        assert all(d.result is None for d in deltas[:-1])
        result = deltas[-1].result
        assert result == model.complete(request)
        assert "".join(d.text for d in deltas) == result.text

    def test_a_stream_comes_as_it_is_written(self, model: ChatModel, at: ScriptedServer) -> None:
        at.script(Reply("first and then the others", pause=0.0004))
        pieces = [d.text for d in model.stream(ask("x")) if d.text]
        assert len(pieces) > 2

    def test_unicode(self, model: ChatModel, at: ScriptedServer) -> None:
        assert model.complete(ask(f"say {STRANGE}")).text == STRANGE
        assert at.seen[0].last == f"say {STRANGE}"

    def test_an_empty_answer(self, model: ChatModel) -> None:
        result = model.complete(ask("empty"))
        assert (result.text, result.finish) == ("", "stop")

    def test_a_huge_answer(self, model: ChatModel) -> None:
        text = " ".join(f"w{n}" for n in range(200_000))
        assert model.complete(ask("words 200000", max_tokens=10**6)).text == text

    def test_an_answer_without_end_is_given_up(self, model: ChatModel, at: ScriptedServer) -> None:
        at.script(Reply(raw=b'{"x": "' + b"y" * (33 * 2**20) + b'"}'))
        assert self.fault(model, ask("x"), False).kind == "schema"

    def test_limit_and_stop(self, model: ChatModel) -> None:
        result = model.complete(ask("words 50", max_tokens=5))
        assert (result.text, result.finish) == ("w0 w1 w2 w3 w4", "length")
        if self.stops:
            result = model.complete(ask("words 50", stop=("w3", "w9")))
            assert (result.text, result.finish) == ("w0 w1 w2 ", "stop")

    def test_settings_arrive_exactly(self, model: ChatModel, at: ScriptedServer) -> None:
        model.complete(ask("say x", temperature="0.2", seed=7))
        model.complete(ask("say x"))
        assert [p.temperature for p in at.seen] == [0.2, None]
        assert [p.seed for p in at.seen] == [7 if model.info.seed else None, None]
        assert self.fault(model, ask("x", temperature="warm"), False).kind == "request"

    def test_the_same_seed_gives_the_same(self, model: ChatModel) -> None:
        if not model.info.seed:
            return
        one, two = model.complete(ask("seed", seed=3)).text, model.complete(ask("seed", seed=3)).text
        assert one == two != model.complete(ask("seed", seed=4)).text

    def test_a_schema(self, model: ChatModel, at: ScriptedServer) -> None:
        for result in (
            model.complete(ask("schema", schema=SCHEMA)),
            whole(model, ask("schema", schema=SCHEMA)),
        ):
            assert json.loads(result.text) == {"claims": [{"text": "text", "hit": 1}], "sure": True}
        assert at.seen[0].schema is not None
        assert set(at.seen[0].schema["properties"]) == {"claims", "sure"}

    def test_usage(self, model: ChatModel, at: ScriptedServer) -> None:
        at.script(Reply("a b", usage=(11, 2)), Reply("a b", usage=(11, 2)), Reply("a b", usage=None))
        for result in (model.complete(ask("x")), whole(model, ask("x"))):
            assert (result.usage.input, result.usage.output) == (11, 2)
        assert model.complete(ask("x")).usage == Usage()

    def test_the_record_gives_the_result_back(self, model: ChatModel) -> None:
        result = model.complete(ask('call look_up {"name": "leave"}', tools=(TOOL,)))
        assert from_plain(json.loads(json.dumps(plain(result)))) == result

    # -- tools

    def test_tools_and_their_answers(self, model: ChatModel, at: ScriptedServer) -> None:
        if not model.info.tools:
            return
        request = ask('call look_up {"name": "ünï"}', tools=(TOOL,))
        result = model.complete(request)
        assert result.finish == "tools"
        (call,) = result.calls
        assert (call.name, json.loads(call.arguments)) == ("look_up", {"name": "ünï"})
        assert at.seen[0].tools == ("look_up",)
        told = (
            *request.messages,
            Message("assistant", "", result.calls),
            Message("tool", "42 days", call=call.id),
        )
        assert model.complete(replace(request, messages=told)).text == "the tool said 42 days"

    def test_two_calls_at_once(self, model: ChatModel, at: ScriptedServer) -> None:
        if not model.info.tools:
            return
        two = (ToolCall("a1", "look_up", '{"name": "x"}'), ToolCall("a2", "look_up", '{"name": "y"}'))
        told = (
            Message("user", "x"),
            Message("assistant", "both", two),
            Message("tool", "first", call="a1"),
            Message("tool", "second", call="a2"),
        )
        assert model.complete(replace(ask("", tools=(TOOL,)), messages=told)).text == "the tool said second"
        assert [t for role, t in at.seen[0].messages if role == "tool"] == ["first", "second"]

    # -- faults

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, "request"),
            (401, "auth"),
            (403, "auth"),
            (404, "request"),
            (429, "rate_limit"),
            (500, "server"),
            (503, "overloaded"),
        ],
    )
    def test_a_status(self, model: ChatModel, status: int, kind: str, stream: bool) -> None:
        error = self.fault(model, ask(f"fail {status}"), stream)
        assert (error.kind, error.wait) == (kind, None)
        assert error.retryable is (kind in ("rate_limit", "server", "overloaded"))

    def test_a_wait(self, model: ChatModel) -> None:
        assert self.fault(model, ask("fail 429 7"), False).wait == 7.0
        assert self.fault(model, ask("fail 503 soon"), True).wait is None

    def test_never_tries_again(self, model: ChatModel, at: ScriptedServer) -> None:
        for text in ("fail 500", "fail 429 0", "fail 503", "cut 3"):
            self.fault(model, ask(text), False)
        assert len(at.seen) == 4

    def test_a_wrong_key(self, model: ChatModel, at: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(at, "key", "another")
        assert self.fault(model, ask("say x"), False).kind == "auth"

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_key_that_the_provider_repeats_is_not_shown(
        self, model: ChatModel, at: ScriptedServer, stream: bool
    ) -> None:
        at.script(*[Reply(status=status, error=f"bad key {KEY}") for status in (400, 500)])
        assert [self.fault(model, ask("x"), stream).kind for _ in range(2)] == ["request", "server"]

    def test_no_server(self) -> None:
        with self.server() as entered:
            assert isinstance(entered, ScriptedServer)
            model = self.make(entered)
        error = self.fault(model, ask("x"), False)
        assert (error.kind, error.retryable) == ("connection", True)
        model.close()

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_cut_answer(self, model: ChatModel, at: ScriptedServer, stream: bool) -> None:
        at.script(Reply("x", silent=True), Reply("one two three " * 50, cut=300))
        assert [self.fault(model, ask("x"), stream).kind for _ in range(2)] == ["connection", "connection"]

    @pytest.mark.parametrize(
        "raw", [b'{"half": ', b"<html>", b"[]", b'"word"', b"{}", b"null", b"[" * 100_000, b"\xff\xfe"]
    )
    def test_a_body_that_is_not_an_answer(self, model: ChatModel, at: ScriptedServer, raw: bytes) -> None:
        at.script(Reply(raw=raw), Reply(raw=raw, headers={"Content-Type": "text/html"}))
        for _ in range(2):
            assert self.fault(model, ask("x"), False).kind == "schema"

    def test_a_late_error(self, model: ChatModel) -> None:
        got: list[Delta] = []
        with pytest.raises(ModelError) as caught:
            got.extend(model.stream(ask("late")))
        assert caught.value.kind in ("server", "overloaded")
        assert all(d.result is None for d in got)

    def test_refused_by_the_provider(self, model: ChatModel) -> None:
        assert model.complete(ask("refuse")).finish == "filtered"

    # -- time

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("text", ["hang", "drip", "slow 30"])
    def test_a_time_limit_is_for_the_whole_call(self, model: ChatModel, text: str, stream: bool) -> None:
        begun = time.monotonic()
        assert self.fault(model, ask(text, timeout=0.4), stream).kind == "timeout"
        assert 0.3 < time.monotonic() - begun < SOON

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("text", ["hang", "drip"])
    def test_cancelling_closes_the_connection(
        self, model: ChatModel, at: ScriptedServer, text: str, stream: bool
    ) -> None:
        cancel = Cancel()

        def soon() -> None:
            until = time.monotonic() + SOON
            while not at.seen and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.1)
            cancel.set()

        threading.Thread(target=soon).start()
        begun = time.monotonic()
        with pytest.raises(ModelError) as caught:
            list(model.stream(ask(text), cancel)) if stream else model.complete(ask(text), cancel)
        assert caught.value.kind == "cancelled"
        assert time.monotonic() - begun < SOON
        await_hang_up(at)

    def test_a_call_cancelled_before_it_began_is_not_made(self, model: ChatModel, at: ScriptedServer) -> None:
        cancel = Cancel()
        cancel.set()
        with pytest.raises(ModelError) as caught:
            model.complete(ask("say x"), cancel)
        assert (caught.value.kind, at.seen) == ("cancelled", [])

    def test_a_stream_that_is_not_read_on_is_closed(self, model: ChatModel, at: ScriptedServer) -> None:
        at.script(Reply("piece after piece " * 400, pause=0.0002))
        stream = model.stream(ask("x"))
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # it is a generator
        await_hang_up(at)

    def test_threads_may_share_one(self, model: ChatModel) -> None:
        def work(number: int) -> tuple[str, str]:
            request = ask(f"say {number} and more words")
            done = whole(model, request) if number % 2 else model.complete(request)
            return done.text, f"{number} and more words"

        with ThreadPoolExecutor(8) as pool:
            assert all(found == wanted for found, wanted in pool.map(work, range(40)))

    def test_what_happened_to_one_call_does_not_reach_the_next(self, model: ChatModel) -> None:
        for text in ("cut 3", "fail 500", "late"):
            self.fault(model, ask(text), True)
            assert model.complete(ask("say fine")).text == "fine"
        assert self.fault(model, ask("hang", timeout=0.2), False).kind == "timeout"
        assert whole(model, ask("say fine")).text == "fine"

    def test_a_count_is_of_the_whole_prompt(self, model: ChatModel, at: ScriptedServer) -> None:
        if not (isinstance(model, CountingModel) and model.info.counts):
            return
        few, many = model.count(ask("one two three")), model.count(ask("one two three " * 50))
        assert 3 <= few < few + 100 <= many
        assert model.count(ask("one two three")) == few
        alone = ask("one two three")
        ruled = replace(alone, messages=(Message("system", "word " * 40), *alone.messages))
        assert model.count(ruled) >= few + 40
        assert model.count(ask(STRANGE)) > 0
        assert not at.seen  # nothing was answered for it

    @pytest.mark.parametrize(
        ("reply", "kinds"),
        [
            (Reply(status=500), {"server"}),
            (Reply(status=401), {"auth"}),
            (Reply(raw=b"{}"), {"schema"}),
            (Reply(raw=b'{"input_tokens": -1, "totalTokens": -1, "tokens": 7}'), {"schema"}),
            (Reply(before=60), {"timeout"}),
        ],
    )
    def test_a_count_that_fails(
        self, model: ChatModel, at: ScriptedServer, reply: Reply, kinds: set[str]
    ) -> None:
        if not (isinstance(model, CountingModel) and model.info.counts):
            return
        at.script(reply)
        with pytest.raises(ModelError) as caught:
            model.count(ask("one two three", timeout=0.3 if reply.before else 20.0))
        assert caught.value.kind in kinds
        assert KEY not in str(caught.value)

    def test_the_key_is_in_no_repr(self, model: ChatModel) -> None:
        model.complete(ask("say x"))
        assert KEY not in repr(model) + repr(vars(model)) + repr(model.info)


def whole(model: ChatModel, request: ChatRequest) -> ChatResult:
    """The result of a stream."""
    *_, last = model.stream(request)
    assert last.result is not None
    return last.result


def await_hang_up(server: ScriptedServer) -> None:
    """Wait until the server has noticed that the client left."""
    until = time.monotonic() + SOON
    while not server.hung_up and time.monotonic() < until:
        time.sleep(0.01)
    assert server.hung_up
