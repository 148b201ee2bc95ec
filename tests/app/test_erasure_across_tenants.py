"""Who may erase in one tenant learns nothing of another: the same text elsewhere must not show in what is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.app.erasure import Target
from affidavit.testing.clock import FixedClock, SeededRandomness
from affidavit.testing.embedder import HashEmbedder

TEXT = "# Merger\n\nThe merger with Walrus plc closes in May."


def _reported(folder: Path, *, shared: bool) -> dict[str, Any]:
    """What acme is told when it erases its guess, with another tenant that has the same passage or another one."""
    folder.mkdir()
    with affidavit.init(folder / "ws", EmbedderSpec("none"), FixedClock(), SeededRandomness()) as ws:
        ws.parts.embedder = ws.parts.retriever.embedder = HashEmbedder()
        people = folder / "p.jsonl"
        people.write_text('{"id": "alice", "groups": ["staff"]}\n')
        for tenant, text in (
            ("globex", TEXT if shared else "# Lunch\n\nThere is soup on each day in May."),
            ("acme", TEXT),
        ):
            ws.import_people(people, tenant)
            root = folder / tenant
            root.mkdir()
            (root / "access.toml").write_text('allow = ["group:staff"]')
            (root / "a.md").write_text(text)
            ws.add_source("folder", root, "docs", tenant)
            ws.sync(tenant=tenant)
        acme, target = ws.parts.tenant("acme"), Target("document", "a.md", "docs")
        dry = ws.erasing.erase(acme, target, "operator:dpo", "x", dry_run=True)
        done = ws.erasing.erase(acme, target, "operator:dpo", "x")
        ws.verify()
        return {"dry": dry, "done": done}


def test_the_same_text_in_another_tenant_does_not_show(tmp_path: Path) -> None:
    with_it = _reported(tmp_path / "one", shared=True)
    without = _reported(tmp_path / "two", shared=False)
    assert with_it == without
    assert with_it["done"]["vectors"] == 2, "its vector and its token vectors"


@pytest.mark.parametrize("shared", [True, False])
def test_a_vector_that_another_tenant_needs_stays(tmp_path: Path, shared: bool) -> None:
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        ws.parts.embedder = ws.parts.retriever.embedder = HashEmbedder()
        (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
        for tenant in ("globex", "acme"):
            ws.import_people(tmp_path / "p.jsonl", tenant)
            (tmp_path / tenant).mkdir()
            (tmp_path / tenant / "access.toml").write_text('allow = ["group:staff"]')
            if shared or tenant == "acme":
                (tmp_path / tenant / "a.md").write_text(TEXT)
            ws.add_source("folder", tmp_path / tenant, "docs", tenant)
            ws.sync(tenant=tenant)
        ws.erasing.erase(ws.parts.tenant("acme"), Target("document", "a.md", "docs"), "operator:dpo", "x")
        assert ws.parts.database.value("SELECT count(*) FROM embeddings") == 2 * int(shared)


class _Slow(HashEmbedder):
    """Somebody erases the document while its text is being embedded."""

    meanwhile: Callable[[], object] | None = None

    def embed(self, texts):  # type: ignore[no-untyped-def]
        found = super().embed(texts)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return found


def test_vectors_that_come_after_the_erasure_are_not_kept(tmp_path: Path) -> None:
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
        ws.import_people(tmp_path / "p.jsonl")
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / "access.toml").write_text('allow = ["group:staff"]')
        (tmp_path / "docs" / "a.md").write_text(TEXT)
        (tmp_path / "docs" / "b.md").write_text("# Lunch\n\nThere is soup.")
        ws.add_source("folder", tmp_path / "docs", "docs")
        ws.sync()
        target = Target("document", "a.md", "docs")
        slow = _Slow()
        slow.meanwhile = lambda: ws.erasing.erase(ws.parts.tenant(""), target, "operator:dpo", "x")
        vectors = ws.parts.vectors(slow)
        assert vectors is not None
        vectors.fill(reindex=True)
        assert ws.parts.database.value("SELECT count(*) FROM embeddings") == 2
        ws.verify()
