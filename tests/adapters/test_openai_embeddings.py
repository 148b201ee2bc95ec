"""The OpenAI-compatible embedder against a real HTTP server on loopback that misbehaves in every way we could think of."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from tests.patience import LONG, soon

from affidavit.adapters import openai_embeddings
from affidavit.adapters.minilm import MiniLM, default_location, installed
from affidavit.adapters.openai_embeddings import OpenAIEmbeddings
from affidavit.domain.errors import EmbedderError
from affidavit.ports.embedder import Embedder
from affidavit.testing.embedder_conformance import ORDINARY, EmbedderConformance

KEY = "sk-proj-Secret123"

Reply = tuple[int, dict[str, str], bytes]
Behaviour = Callable[[dict[str, Any]], Reply]


def _vector(text: str, size: int = 8) -> list[float]:
    return np.random.default_rng(list(text.encode("utf-8", "replace"))).normal(size=size).tolist()  # type: ignore[no-any-return]


def _items(texts: list[str], size: int = 8) -> list[dict[str, Any]]:
    return [{"object": "embedding", "index": i, "embedding": _vector(t, size)} for i, t in enumerate(texts)]


def _ok(items: object) -> Reply:
    return 200, {}, json.dumps({"object": "list", "data": items}).encode()


def _good(request: dict[str, Any]) -> Reply:
    return _ok(_items(request["input"], request.get("dimensions", 8)))


class _Server(ThreadingHTTPServer):
    """Answers with the next behaviour; the last one stays. Keeps the requests it saw."""

    daemon_threads = True

    def __init__(self, behaviours: tuple[Behaviour, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviours = list(behaviours)
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    def next(self) -> Behaviour:
        return self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), request))
        status, headers, body = self.server.next()(request)
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        pause = float(headers.get("X-Drip", "0"))
        try:
            for i in range(0, len(body), 64 if pause else len(body)):
                self.wfile.write(body[i : i + 64] if pause else body)
                self.wfile.flush()
                time.sleep(pause)
        except OSError:  # the client gave up
            pass
        self.close_connection = int(headers["Content-Length"]) != len(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def _serving(*behaviours: Behaviour) -> Iterator[_Server]:
    server = _Server(behaviours)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _client(server: _Server, **settings: Any) -> Iterator[OpenAIEmbeddings]:
    made = OpenAIEmbeddings(server.url, "m", **settings)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before another try, which are not really made."""
    made: list[float] = []

    class _Time:
        monotonic = staticmethod(time.monotonic)
        time = staticmethod(time.time)
        sleep = staticmethod(made.append)

    monkeypatch.setattr(openai_embeddings, "time", _Time)
    return made


class _Conforms(EmbedderConformance):
    batch = 4

    @pytest.fixture(autouse=True)
    def _endpoint(self) -> Iterator[None]:
        with _serving(_good) as server:
            self.server, self.made = server, list[OpenAIEmbeddings]()
            yield
            for each in self.made:
                each.close()

    def make(self) -> Embedder:
        self.made.append(OpenAIEmbeddings(self.server.url, "m", batch=self.batch))
        return self.made[-1]


@pytest.mark.network
@pytest.mark.enable_socket
class TestBatches(_Conforms):
    pass


@pytest.mark.network
@pytest.mark.enable_socket
class TestOneByOne(_Conforms):
    batch = 1


@pytest.mark.network
@pytest.mark.enable_socket
class TestGoodAnswers:
    def test_shuffled_answers_are_put_in_order(self) -> None:
        def shuffled(request: dict[str, Any]) -> Reply:
            return _ok(_items(request["input"])[::-1])

        with _serving(shuffled) as server, _client(server, batch=4, api_key=KEY) as client:
            found = client.embed(ORDINARY)
        expected = np.array([_vector(text) for text in ORDINARY])
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert [len(body["input"]) for _, _, body in server.seen] == [4, 2]
        path, headers, body = server.seen[0]
        assert path == "/v1/embeddings"
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert (body["model"], body["encoding_format"], "dimensions" in body) == ("m", "float", False)

    def test_base64_is_read(self) -> None:
        def encoded(request: dict[str, Any]) -> Reply:
            items = _items(request["input"])
            for item in items:
                item["embedding"] = base64.b64encode(np.array(item["embedding"], "<f4").tobytes()).decode()
            return _ok(items)

        with _serving(encoded) as one, _serving(_good) as two, _client(one) as a, _client(two) as b:
            np.testing.assert_allclose(a.embed(["x"]), b.embed(["x"]), atol=1e-6)

    def test_huge_and_tiny_numbers_become_unit_vectors(self) -> None:
        for scale in (1e300, 1e-300):
            behaviour = _with(embedding=[3 * scale, 4 * scale])
            with _serving(behaviour) as server, _client(server) as client:
                np.testing.assert_allclose(client.embed(["x"]), [[0.6, 0.8]], atol=1e-6)

    def test_the_first_answer_tells_the_dimensions(self) -> None:
        with _serving(_good) as server:
            with _client(server) as client:
                client.embed(["x"])
                assert client.info.dimensions == 8
                assert len(server.seen) == 1
                assert not client.info.deterministic
                assert not client.info.token_vectors
            with _client(server, dimensions=4, batch=1) as client:
                assert client.probe() == 4
                assert client.info.deterministic
                assert server.seen[-1][2]["dimensions"] == 4

    def test_fingerprints(self) -> None:
        with _serving(_good) as server:
            settings: dict[str, dict[str, Any]] = {
                "plain": {},
                "key": {"api_key": KEY},
                "short": {"dimensions": 4},
                "asked": {"dimensions": 8},
            }
            found = {}
            for name, own in settings.items():
                with _client(server, **own) as client:
                    found[name] = client.info.fingerprint
            other = OpenAIEmbeddings(server.url + "/embeddings/", "m2")
            same = OpenAIEmbeddings(server.url.replace("/v1", ""), "m")
            assert found["plain"] == found["key"] == found["asked"] == same.info.fingerprint
            assert len({found["plain"], found["short"], other.info.fingerprint}) == 3
            other.close()
            same.close()


def _fails(status: int, **headers: str) -> Behaviour:
    body = json.dumps({"error": {"message": f"no luck with {KEY}\x1b[31m"}}).encode()
    return lambda _: (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.network
@pytest.mark.enable_socket
class TestTryingAgain:
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_passing_fault_passes(self, status: int, waits: list[float]) -> None:
        with _serving(_fails(status), _good) as server, _client(server) as client:
            assert client.embed(["x"]).shape == (1, 8)
        assert waits == [0.5]

    def test_the_budget_is_three_tries(self, waits: list[float]) -> None:
        with _serving(_fails(500)) as server, _client(server, api_key=KEY) as client:
            with pytest.raises(EmbedderError, match=r"HTTP 500: no luck with \*\*\* *\[31m$") as caught:
                client.embed(["x"])
            assert len(server.seen) == 3
        assert waits == [0.5, 1.0]
        assert caught.value.retryable
        assert caught.value.hint

    def test_retry_after_is_honoured_up_to_a_bound(self, waits: list[float]) -> None:
        soon = formatdate(time.time() + 9, usegmt=True)
        asks = [_fails(429, Retry_After="3"), _fails(503, Retry_After=soon), _good]
        with _serving(*asks) as server, _client(server) as client:
            client.embed(["x"])
        assert waits[0] == 3
        assert 5 < waits[1] <= 9
        with _serving(_fails(429, Retry_After="3600"), _good) as server, _client(server) as client:
            with pytest.raises(EmbedderError) as caught:
                client.embed(["x"])
            assert len(server.seen) == 1
        assert "3600 s" in caught.value.hint

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 302, 204])
    def test_a_lasting_fault_is_not_tried_again(self, status: int) -> None:
        elsewhere = _fails(status, Location="http://127.0.0.1:9/elsewhere")
        with _serving(elsewhere) as server, _client(server, api_key=KEY) as client:
            with pytest.raises(EmbedderError, match=str(status)) as caught:
                client.embed(["x"])
            assert len(server.seen) == 1
        assert not caught.value.retryable
        assert caught.value.hint
        assert KEY not in str(caught.value) + caught.value.hint + repr(client)

    def test_a_truncated_body_is_tried_again(self) -> None:
        def truncated(request: dict[str, Any]) -> Reply:
            _, _, body = _good(request)
            return 200, {"Content-Length": str(len(body) + 50)}, body

        with _serving(truncated, _good) as server, _client(server) as client:
            assert client.embed(["x"]).shape == (1, 8)
        with _serving(truncated) as server, _client(server) as client:
            with pytest.raises(EmbedderError, match="cannot be reached"):
                client.embed(["x"])
            assert len(server.seen) == 3

    def test_slow_and_dripping_endpoints_are_left(self) -> None:
        over = threading.Event()

        def slow(request: dict[str, Any]) -> Reply:
            over.wait(LONG)
            return _good(request)

        def dripping(request: dict[str, Any]) -> Reply:
            status, _, body = _good({**request, "dimensions": 100})
            return status, {"X-Drip": "0.05"}, body

        for behaviour in (slow, dripping):
            with _serving(behaviour) as server, _client(server, timeout=0.3) as client:
                with pytest.raises(EmbedderError, match=r"within 0\.3 s"):
                    client.embed(["x"])
                soon(lambda: len(server.seen) == 3)
                over.set()

    def test_nobody_there(self) -> None:
        with _serving(_good) as server:
            pass
        with _client(server) as client, pytest.raises(EmbedderError, match="cannot be reached"):
            client.info  # noqa: B018 - it asks


def _with(**change: object) -> Behaviour:
    return lambda request: _ok([{**item, **change} for item in _items(request["input"])])


_MALFORMED: dict[str, Behaviour] = {
    "not JSON": lambda _: (200, {}, b"<html>"),
    "deep JSON": lambda _: (200, {}, b"[" * 100_000),
    "no data": lambda _: (200, {}, b'{"error": null}'),
    "a list": lambda _: (200, {}, b"[]"),
    "items of another kind": lambda _: _ok([1, 2]),
    "too few": lambda request: _ok(_items(request["input"])[:-1]),
    "too many": lambda request: _ok(_items([*request["input"], "z"])),
    "the same index twice": _with(index=0),
    "an index out of range": lambda request: _ok(
        [{**i, "index": i["index"] + 1} for i in _items(request["input"])]
    ),
    "no index": _with(index=None),
    "a true index": _with(index=True),
    "NaN": _with(embedding=[float("nan"), 1.0]),
    "infinity": _with(embedding=[float("inf"), 1.0]),
    "beyond float64": _with(embedding=[10**400, 1]),
    "zero": _with(embedding=[0.0, 0.0]),
    "empty": _with(embedding=[]),
    "texts for numbers": _with(embedding=["1.0", "2.0"]),
    "nested": _with(embedding=[[1.0], [2.0]]),
    "null": _with(embedding=None),
    "bad base64": _with(embedding="%%%%"),
    "base64 of the wrong length": _with(embedding=base64.b64encode(b"12345").decode()),
    "sizes differ": lambda request: _ok([*_items(request["input"])[:1], {"index": 1, "embedding": [1.0]}]),
    "bad gzip": lambda _: (200, {"Content-Encoding": "gzip"}, b"not gzip"),
}


@pytest.mark.network
@pytest.mark.enable_socket
@pytest.mark.parametrize("behaviour", _MALFORMED.values(), ids=_MALFORMED.keys())
def test_a_malformed_answer_is_an_error(behaviour: Behaviour) -> None:
    with _serving(behaviour) as server, _client(server) as client:
        with pytest.raises(EmbedderError) as caught:
            client.embed(["x", "y"])
        assert len(server.seen) == 1
    assert not caught.value.retryable
    assert caught.value.hint


@pytest.mark.network
@pytest.mark.enable_socket
def test_dimensions_may_not_change_midway() -> None:
    def longer(request: dict[str, Any]) -> Reply:
        return _ok(_items(request["input"], 9))

    with (
        _serving(_good, longer) as server,
        _client(server, batch=1) as client,
        pytest.raises(EmbedderError, match="9 dimensions instead of 8"),
    ):
        client.embed(["x", "y"])
    with (
        _serving(longer) as server,
        _client(server, dimensions=4) as client,
        pytest.raises(EmbedderError, match="9 dimensions instead of 4"),
    ):
        client.embed(["x"])


@pytest.mark.network
@pytest.mark.enable_socket
def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_embeddings, "_LARGEST_ANSWER", 1000)
    with (
        _serving(lambda _: (200, {}, b" " * 5000)) as server,
        _client(server) as client,
        pytest.raises(EmbedderError, match="too large"),
    ):
        client.embed(["x"])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/v1",
        "ftp://host/v1",
        "https://",
        "https://u:p@host/v1",
        "https://host/v1?key=1",
        "https://host/v1#a",
        "https://ho st/v1",
        "https://host:x/v1",
        "https://[::1/v1",
        "https://host/\x00",
    ],
)
def test_an_unusable_address_is_refused(url: str) -> None:
    with pytest.raises(EmbedderError, match="address") as caught:
        OpenAIEmbeddings(url, "m")
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://API.example.org", "https://api.example.org/v1/embeddings"),
        ("http://host:8080/v1/", "http://host:8080/v1/embeddings"),
        ("https://host:443/openai/v1/embeddings", "https://host/openai/v1/embeddings"),
        ("http://[::1]:80/v1", "http://[::1]/v1/embeddings"),
    ],
)
def test_addresses(url: str, shown: str) -> None:
    assert repr(OpenAIEmbeddings(url, "m", KEY)) == f"OpenAIEmbeddings({shown!r}, 'm')"


@pytest.mark.parametrize(
    "bad",
    [
        {"api_key": "sk-a\nX-Evil: 1"},
        {"api_key": "clé"},
        {"model": ""},
        {"batch": 0},
        {"timeout": 0.0},
        {"dimensions": 0},
    ],
)
def test_unusable_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(EmbedderError) as caught:
        OpenAIEmbeddings("https://host/v1", **{"model": "m", **bad})
    assert "Evil" not in str(caught.value)


def test_token_vectors_are_not_offered() -> None:
    with pytest.raises(EmbedderError):
        OpenAIEmbeddings("https://host", "m").tokens(["x"])


@pytest.mark.model
@pytest.mark.skipif(not installed(default_location()), reason="no MiniLM weights")
@pytest.mark.parametrize(
    "text",
    [
        *ORDINARY,
        "Customers on the enterprise plan may request reimbursement of undisputed charges within thirty days. "
        * 5,
        "5f2b9c0d1e4a77 2024-03-29T12:36:37.665Z https://example.org/a/b?c=d&e=f",
        "契約書は三十日以内に返送してください。" * 9,
        "Internationalization antidisestablishmentarianism",
        "Η πολιτική επιστροφών ισχύει για τριάντα ημέρες",
    ],
)
def test_the_estimate_is_not_below_wordpiece(text: str) -> None:
    real = MiniLM(default_location()).count(text)
    assert 0.95 * real <= OpenAIEmbeddings("https://host", "m").count(text) <= 3 * real + 5
