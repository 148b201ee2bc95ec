"""Changing the embedder: the old one serves until the new one has everything; vectors are never mixed; any endpoint works."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import affidavit
from affidavit.adapters import openai_embeddings
from affidavit.app import reembed as module
from affidavit.app import wiring
from affidavit.app.config import EmbedderSpec
from affidavit.domain.errors import EmbedderError
from affidavit.ports.embedder import Embedder
from affidavit.testing.embedder import HashEmbedder

Write = Callable[[dict[str, str | bytes]], Path]


class Gated(HashEmbedder):
    """Embeds documents only while the gate is open."""

    def __init__(self) -> None:
        super().__init__(32)
        self.gate = threading.Event()
        self.waiting = threading.Event()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.waiting.set()
        assert self.gate.wait(200)
        return super().embed(texts)


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Gated:
    """``minilm`` is a hash of words, ``openai`` the gated embedder."""
    made: dict[str, Embedder | None] = {"none": None, "minilm": HashEmbedder(), "openai": Gated()}
    for where in (module, wiring):
        monkeypatch.setattr(where, "make_embedder", lambda spec: made[spec.kind])
    found = made["openai"]
    assert isinstance(found, Gated)
    return found


@pytest.fixture
def ws(gated: Gated, tmp_path: Path, write_folder: Write) -> Iterator[affidavit.Workspace]:
    with affidavit.init(tmp_path / "ws", EmbedderSpec("minilm")) as ws:
        (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
        ws.import_people(tmp_path / "p.jsonl")
        files: dict[str, str | bytes] = {
            f"{n}.md": f"# Note {n}\n\nWalrus note {n} about fish." for n in range(6)
        }
        ws.add_source("folder", write_folder({"access.toml": 'allow = ["group:staff"]', **files}), "docs")
        ws.sync()
        yield ws


def dense(ws: affidavit.Workspace) -> list[float | None]:
    return [h.ranked.dense for h in ws.search("walrus fish", "alice").hits]


def test_the_old_one_serves_while_the_new_one_is_made(
    ws: affidavit.Workspace, gated: Gated, tmp_path: Path
) -> None:
    before = dense(ws)
    assert None not in before
    thread = ws.use_embedder(EmbedderSpec("openai", "http://localhost", "m"), background=True)
    assert thread is not None
    assert gated.waiting.wait(200)
    assert dense(ws) == before
    assert ws.status()["embedder_next"] == "openai"
    with affidavit.open(tmp_path / "ws") as other:
        assert dense(other) == before
        gated.gate.set()
        thread.join(200)
        after = dense(ws)
        assert None not in after
        assert after != before
        assert dense(other) == after  # a process that was open all along follows
    assert ws.status()["embedder"] == "openai"
    assert ws.status()["embedder_next"] is None
    made = gated.embedded
    ws.sync()
    assert gated.embedded == made
    ws.verify()


def test_an_interrupted_change_leaves_the_old_one_and_goes_on(
    ws: affidavit.Workspace, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dense(ws)
    gated.gate.set()
    real = HashEmbedder.embed

    def fails(self: HashEmbedder, texts: Sequence[str]) -> NDArray[np.float32]:
        if isinstance(self, Gated):
            raise EmbedderError("the endpoint went away", "try again")
        return real(self, texts)

    monkeypatch.setattr(HashEmbedder, "embed", fails)
    with pytest.raises(EmbedderError):
        ws.use_embedder(EmbedderSpec("openai", "http://localhost", "m"))
    assert dense(ws) == before
    monkeypatch.setattr(HashEmbedder, "embed", real)
    ws.use_embedder(EmbedderSpec("openai", "http://localhost", "m"))
    assert dense(ws) != before
    assert (
        ws.parts.database.value("SELECT count(DISTINCT embedder) FROM embeddings") == 4
    )  # and token vectors


def test_going_back_embeds_nothing_and_none_means_keyword_only(ws: affidavit.Workspace, gated: Gated) -> None:
    gated.gate.set()
    before = dense(ws)
    ws.use_embedder(EmbedderSpec("none"))
    assert set(dense(ws)) == {None}
    assert ws.status()["search"] == "keyword only"
    first = ws.parts.database.value("SELECT count(*) FROM embeddings")
    ws.use_embedder(EmbedderSpec("minilm"))
    assert dense(ws) == before
    assert ws.parts.database.value("SELECT count(*) FROM embeddings") == first


class Endpoint(BaseHTTPRequestHandler):
    """A small /v1/embeddings server whose vectors are hashes of words."""

    embedder = HashEmbedder(16)

    def do_POST(self) -> None:  # the name that http.server calls
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        vectors = self.embedder.embed(texts)
        data = [
            {"object": "embedding", "index": n, "embedding": [float(x) for x in v]}
            for n, v in enumerate(vectors)
        ]
        body = json.dumps({"object": "list", "data": data, "model": asked["model"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.mark.network
@pytest.mark.enable_socket
def test_an_openai_compatible_endpoint_serves_a_workspace(
    workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_embeddings, "_FIRST_WAIT", 0.01)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
        workspace.import_people(tmp_path / "p.jsonl")
        root = write_folder(
            {"access.toml": 'allow = ["group:staff"]', "a.md": "Walrus fish.", "b.md": "Penguin ice."}
        )
        workspace.add_source("folder", root, "docs")
        workspace.sync()
        spec = EmbedderSpec("openai", f"http://127.0.0.1:{server.server_port}/v1", "tiny")
        workspace.use_embedder(spec)
        hits = workspace.search("walrus fish", "alice").hits
        assert [h.view.name for h in hits] == ["a.md", "b.md"]
        assert hits[0].ranked.dense is not None
        assert hits[0].ranked.dense > 0.9
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    for ws in (
        workspace,
        affidavit.open(tmp_path / "ws"),
    ):  # the endpoint is gone: keyword goes on, and says so
        found = ws.search("fish of a walrus", "alice")
        assert found.degraded
        assert [h.view.name for h in found.hits] == ["a.md"]
        assert ws.ask("Where is the walrus fish?", "alice").status.value in ("answered", "refused")
        assert ws.status()["embedder"] == "openai"
        (report,) = ws.sync()
        assert report.unchanged == 2
        ws.close()
    with affidavit.open(tmp_path / "ws") as ws:  # and there is a way back
        ws.use_embedder(EmbedderSpec("none"))
        assert not ws.search("walrus fish", "alice").degraded
