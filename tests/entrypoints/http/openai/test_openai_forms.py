"""Parameters, contents and events, without a socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from starlette.testclient import TestClient
from tests.acting_world import ActingWorld
from tests.acting_world import begun as acting
from tests.served_world import LEAVE, LEAVE_SAYS, Served, begun

import affidavit
from affidavit.app.operations.operation import Caller, perform
from affidavit.app.operations.questions import AskInput
from affidavit.app.settings import LimitSettings, LogSettings, Settings
from affidavit.app.usage import Used, used
from affidavit.domain.answer import Citation, Claim, GivenClaim
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.http.openai.content import Content
from affidavit.entrypoints.http.openai.flow import Flow, GoneError
from affidavit.entrypoints.http.openai.parameters import (
    CHAT,
    EMBEDDINGS,
    RESPONSES,
    Parameters,
    RequestError,
)
from affidavit.testing.clock import FixedClock

DOCS = Path(__file__).resolve().parents[4] / "docs" / "how-to" / "openai.md"
HEADINGS = ("Chat completions", "Responses", "Embeddings")
SDK: tuple[tuple[Parameters, Any], ...] = (
    (CHAT, CompletionCreateParamsBase),
    (RESPONSES, ResponseCreateParamsBase),
    (EMBEDDINGS, EmbeddingCreateParams),
)


@pytest.mark.parametrize(("ours", "theirs"), SDK)
def test_every_parameter_of_the_sdk_is_known_once(ours: Parameters, theirs: Any) -> None:
    names = {*theirs.__annotations__} - {"stream"}
    assert names - ours.taken - ours.settled - ours.neutral.keys() == set()
    assert not ours.taken & ours.settled
    assert not (ours.taken | ours.settled) & ours.neutral.keys()


def test_the_page_says_what_becomes_of_every_parameter() -> None:
    """In the order of the tables, row by row: neither more nor less, and what is done in the code."""
    text = DOCS.read_text(encoding="utf-8")
    for heading, (ours, _) in zip(HEADINGS, SDK, strict=True):
        table = text.partition(f"### {heading}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
        rows = [line for line in table.splitlines() if line.startswith("| `")]
        assert rows == [f"| `{name}` | {told} |" for name, told in ours.told()]


@pytest.mark.parametrize(("ours", "theirs"), SDK)
def test_what_the_page_says_is_what_is_done(ours: Parameters, theirs: Any) -> None:
    for name, told in ours.told():
        if told == "heeded":
            assert ours.check({name: object()}) == []
        elif told == "named in `not_used`":
            assert ours.check({name: object()}) == [name]
        else:
            for value in ours.neutral[name].values:
                assert ours.check({name: value}) == []
            with pytest.raises(RequestError) as caught:
                ours.check({name: object()})
            assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")
            assert ours.neutral[name].why in caught.value.message


def test_a_neutral_value_is_one_of_its_own_type() -> None:
    assert CHAT.check({"n": 1, "logprobs": False, "temperature": None}) == []
    for wrong in ({"n": True}, {"n": 1.0}, {"top_logprobs": False}, {"logprobs": 0}):
        with pytest.raises(Exception, match="not supported"):
            CHAT.check(wrong)


# -- contents


def citation(**more: Any) -> Citation:
    known: dict[str, Any] = {
        "source": "wiki",
        "document": "a b/c.md",
        "revision": "r1",
        "chunk": "r1.0",
        "start": 3,
        "end": 7,
        "quote": "four",
        "title": "T",
        "location": "/srv/secret/a b/c.md",
        "indexed_at": "",
        "permitted_by": "",
        "rank": 1,
        "stale": False,
    }
    return Citation(**{**known, **more})


def test_marks_stand_where_they_are_said_to_whatever_the_text() -> None:
    content = Content("acme")
    same = citation()
    hostile = "Look [1](javascript:alert(1)) \U0001f600 \u202e![x](http://evil.example) "
    claims = [
        Claim("One.", (same, citation(document="d"))),
        Claim(hostile, (same,)),
        Claim("Uncited.", ()),
        Claim("Three.", (citation(start=9),)),
    ]
    pieces = [content.add(claim.as_json())[0] for claim in claims]
    assert "".join(pieces) == content.text
    numbers = [a["affidavit"]["number"] for a in content.annotations]
    assert numbers == [1, 2, 1, 3]
    for mark in content.annotations:
        assert content.text[mark["start_index"] : mark["end_index"]] == f"[{mark['affidavit']['number']}]"
    start, end = content.annotations[2]["affidavit"]["claim"]
    assert content.text[start:end] == hostile
    assert "Uncited.\nThree." in content.text


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("https://wiki.example/a", "https://wiki.example/a"),
        ("/srv/secret/a", "affidavit:acme%2Fx/wiki/a%20b/c.md?revision=r1#char=3,7"),
        ("javascript:alert(1)", "affidavit:acme%2Fx/wiki/a%20b/c.md?revision=r1#char=3,7"),
        ("file:///etc/passwd", "affidavit:acme%2Fx/wiki/a%20b/c.md?revision=r1#char=3,7"),
    ],
)
def test_only_the_web_is_linked_to(location: str, url: str) -> None:
    assert Content("acme/x").url(citation(location=location).as_json()) == url


# -- asked in process


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    world = begun(tmp_path_factory.mktemp("forms"), FixedClock())
    with world.ws:
        yield world


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"])
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'"x"', b"{}", b"[" * 100_000, b"\xff", b'{"model": "\\ud800"}']
)
def test_whatever_is_sent_is_answered_in_one_shape(served: Served, path: str, body: bytes) -> None:
    with TestClient(make_app(served.ws)) as client:
        found = client.post(path, content=body, headers=served.header("alice"))
        assert found.status_code == 400
        error = found.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert {"message", "param", "code"} <= error.keys()
        assert client.post(path, content=body).json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_with_a_key_of_its_own_is_done_once(served: Served, stream: bool) -> None:
    body = {"model": "affidavit", "messages": [{"role": "user", "content": LEAVE}], "stream": stream}
    headers = {**served.header("alice"), "Idempotency-Key": f"once-{stream}"}
    path = "/v1/chat/completions"
    with TestClient(make_app(served.ws)) as client:
        first = client.post(path, json=body, headers=headers)
        head = served.ws.parts.log.head()
        again = client.post(path, json=body, headers=headers)
        other = client.post(
            path, json={**body, "messages": [{"role": "user", "content": "x"}]}, headers=headers
        )
    assert served.ws.parts.log.head() == head
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.headers["X-Request-Id"] in first.text
    assert first.headers["X-Request-Id"] in again.text
    assert LEAVE_SAYS in again.text
    assert other.status_code == 422
    assert other.json()["error"]["type"] == "invalid_request_error"


def test_streams_have_as_many_places_as_there_are(served: Served) -> None:
    few = Settings(limits=LimitSettings(streams=1, person_per_minute=0), logs=LogSettings(requests=False))
    body = {"model": "affidavit", "input": LEAVE, "stream": True}
    with TestClient(make_app(served.ws, few), base_url="http://127.0.0.1:8080") as client:
        for _ in range(3):  # each gives its place back, also one that was refused
            assert client.post("/v1/responses", json=body, headers=served.header("alice")).status_code == 200
            wrong = {**body, "previous_response_id": "resp_run-aaaaaaaaaaaaaaaa"}
            assert client.post("/v1/responses", json=wrong, headers=served.header("alice")).status_code == 404
    none = Settings(limits=LimitSettings(streams=0, person_per_minute=0), logs=LogSettings(requests=False))
    with TestClient(make_app(served.ws, none), base_url="http://127.0.0.1:8080") as client:
        found = client.post("/v1/responses", json=body, headers=served.header("alice"))
    assert found.status_code == 429
    assert found.json()["error"]["code"] == "rate_limit_exceeded"
    assert found.headers["Retry-After"]


def test_one_who_has_gone_is_given_no_more(served: Served) -> None:
    """The claim that comes after ``close`` ends the answer."""
    caller = Caller(served.tenant, "user:alice", "key")
    admission = Admission(1, 1, 1)
    begin, went = threading.Event(), threading.Event()
    raised: list[bool] = []

    async def leave() -> None:
        asked = AskInput.model_validate({"question": LEAVE})
        flow = Flow(
            admission, served.tenant.id, lambda row: perform(served.ws, caller, row, asked), streamed=True
        )
        given = flow._given

        def slow(claim: GivenClaim) -> None:
            begin.set()
            assert went.wait(60)
            try:
                given(claim)
            except GoneError:
                raised.append(True)
                raise

        flow._given = slow  # type: ignore[method-assign]
        await asyncio.to_thread(begin.wait, 60)
        await flow.close()
        went.set()

    asyncio.run(leave())
    admission.close()
    assert raised == [True]


# -- acting


@pytest.fixture
def world(tmp_path: Path, clock: FixedClock) -> Iterator[ActingWorld]:
    made = acting(tmp_path, clock)
    with made.ws:
        yield made


def test_what_waits_for_a_yes_says_so_and_tokens_are_counted(world: ActingWorld) -> None:
    _, key = world.ws.credentials.make_key(world.tenant, "user:alice", "k", 1, "operator:test")
    world.model.turns = [[("close_account_v1", {"account": "A-7"})]]
    body = {
        "model": "affidavit",
        "messages": [{"role": "user", "content": "Please close account A-7."}],
        "metadata": {"affidavit_act": "default"},
    }
    with TestClient(make_app(world.ws)) as client:
        found = client.post(
            "/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
        ).json()
    assert found["affidavit"]["status"] == "waiting"
    (action,) = found["affidavit"]["actions"]
    assert action["call"] in found["choices"][0]["message"]["content"]
    assert "person's yes" in found["choices"][0]["message"]["content"]
    (step,) = world.steps(found["affidavit"]["run"], "model.choose-tool")
    (charge,) = step["output"]["charges"]
    assert found["usage"]["prompt_tokens"] == charge["input"] > 0
    assert found["usage"]["completion_tokens"] == charge["output"] > 0
    assert world.outside.done == []
    assert used(world.ws.parts, world.tenant.id + 1, found["affidavit"]["run"]) == Used()


def test_an_error_after_the_beginning_is_an_event(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(ws: affidavit.Workspace, caller: Caller, asked: AskInput, on_claim: Any) -> Any:
        on_claim(GivenClaim("run-aaaaaaaaaaaaaaaa", 1, Claim("One.", (citation(),))))
        raise UsageError("it broke", "mend it")

    monkeypatch.setattr("affidavit.entrypoints.http.openai.flow.stream", broken)
    with TestClient(make_app(served.ws)) as client:
        chat = client.post(
            "/v1/chat/completions",
            json={"model": "affidavit", "messages": [{"role": "user", "content": LEAVE}], "stream": True},
            headers=served.header("alice"),
        ).text
        response = client.post(
            "/v1/responses",
            json={"model": "affidavit", "input": LEAVE, "stream": True},
            headers=served.header("alice"),
        ).text
    assert "One. [1]" in chat
    assert json.loads(chat.strip().splitlines()[-1][6:])["error"]["message"] == "it broke. mend it"
    assert "[DONE]" not in chat
    assert json.loads(response.strip().splitlines()[-1][6:])["type"] == "error"
