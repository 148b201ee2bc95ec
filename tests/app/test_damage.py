"""A damaged or missing index is noticed, rebuilt from the catalog without embedding anything, and said in status."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.testing.embedder import HashEmbedder

Write = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def folder(tmp_path: Path, write_folder: Write) -> Iterator[Path]:
    """A workspace of twenty documents, closed."""
    files: dict[str, str | bytes] = {
        f"{n}.md": f"# Note {n}\n\nWalrus note number{n} about fish." for n in range(20)
    }
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.parts.embedder = ws.parts.retriever.embedder = HashEmbedder()
        (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
        ws.import_people(tmp_path / "p.jsonl")
        ws.add_source("folder", write_folder({"access.toml": 'allow = ["group:staff"]', **files}), "docs")
        ws.sync()
    yield tmp_path / "ws"


def hits(folder: Path, embedder: HashEmbedder) -> tuple[list[tuple[str, float]], str | None]:
    with affidavit.open(folder) as ws:
        ws.parts.embedder = ws.parts.retriever.embedder = embedder
        found = [(h.chunk, h.ranked.score) for h in ws.search("walrus number7 fish", "alice", 20).hits]
        return found, ws.status()["index"]["rebuilt"]


@pytest.mark.parametrize(
    "how", ["bits flipped", "cut short", "manifest is garbage", "folder gone", "one file gone"]
)
def test_the_index_heals_itself(folder: Path, how: str) -> None:
    before, rebuilt = hits(folder, HashEmbedder())
    assert rebuilt is None
    index = folder / "index"
    files = sorted((p for p in index.rglob("*") if p.is_file()), key=lambda p: -p.stat().st_size)
    if how == "bits flipped":
        data = bytearray(files[0].read_bytes())
        data[len(data) // 2 :: 7] = bytes(b ^ 0xFF for b in data[len(data) // 2 :: 7])
        files[0].write_bytes(data)
    elif how == "cut short":
        files[0].write_bytes(files[0].read_bytes()[: files[0].stat().st_size // 2])
    elif how == "manifest is garbage":
        for path in index.rglob("*manifest*"):
            path.write_bytes(b"\x00garbage")
    elif how == "folder gone":
        shutil.rmtree(index)
    else:
        files[0].unlink()
    embedder = HashEmbedder()
    after, rebuilt = hits(folder, embedder)
    assert after == before
    assert embedder.embedded == 1  # the question, and nothing else
    if how != "folder gone":  # nothing is damaged when there is nothing: it is simply made
        assert rebuilt
