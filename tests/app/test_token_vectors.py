"""Token vectors in a workspace: made once with the vectors, ranked by from then on and never before, gone with what is erased."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.app import reembed as module
from affidavit.app import wiring
from affidavit.app.config import EmbedderSpec
from affidavit.app.erasure import Target
from affidavit.app.replay import ReplayReport
from affidavit.domain.errors import EmbedderError, LogDamagedError
from affidavit.domain.release import DEFAULT
from affidavit.ports.embedder import Embedder, EmbedderInfo, Reading
from affidavit.store.tokenvectors import SETTING
from affidavit.testing.embedder import HashEmbedder

Write = Callable[[dict[str, str | bytes]], Path]
QUESTION = "Which walrus eats herring?"
FILES: dict[str, str | bytes] = {
    "access.toml": 'allow = ["group:staff"]',
    "scattered.md": "# Zoo\n\nA walrus lives here. It has a pool, a rock, a keeper and many visitors. "
    + "Nobody knows what is on sale today. " * 4
    + "The kiosk sells herring and bread. The seal eats.",
    "together.md": "# Zoo\n\nThe zoo has a pool, a rock, a keeper and many visitors, and it is open on Sundays too. "
    + "Nobody knows what is on sale today. " * 4
    + "The walrus eats herring.",
    **{f"other{n}.md": f"# Note {n}\n\nHerring number {n} was sold on Monday." for n in range(6)},
}


class Counting(HashEmbedder):
    """Counts readings; while ``down`` it can do nothing. ``plain``: it gives no token vectors."""

    def __init__(self, dimensions: int = 64, *, plain: bool = False) -> None:
        super().__init__(dimensions)
        self.readings, self.down, self.plain = 0, False, plain

    @property
    def info(self) -> EmbedderInfo:
        return replace(super().info, token_vectors=not self.plain)

    def read(self, texts: Sequence[str]) -> list[Reading]:
        if self.down:
            raise EmbedderError("it is down", "wait")
        self.readings += len(texts)
        return super().read(texts)


def without_late() -> dict[str, Any]:
    content: dict[str, Any] = copy.deepcopy(dict(DEFAULT))
    del content["retrieve"]["late"], content["retrieve"]["late_pool"]
    return content


def with_late() -> dict[str, Any]:
    content: dict[str, Any] = copy.deepcopy(dict(DEFAULT))
    content["retrieve"] |= {"late": "3", "late_pool": 30}
    return content


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Embedder | None]:
    """What each kind of embedder is here: ``openai`` is another one without token vectors."""
    found: dict[str, Embedder | None] = {
        "none": None,
        "minilm": Counting(),
        "openai": Counting(32, plain=True),
    }
    for where in (module, wiring):
        monkeypatch.setattr(where, "make_embedder", lambda spec: found[spec.kind])
    return found


@pytest.fixture
def ws(
    made: dict[str, Embedder | None], tmp_path: Path, write_folder: Write
) -> Iterator[affidavit.Workspace]:
    with affidavit.init(tmp_path / "ws", EmbedderSpec("minilm")) as ws:
        (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
        ws.import_people(tmp_path / "p.jsonl")
        ws.add_source("folder", write_folder(FILES), "docs")
        yield ws


def counting(ws: affidavit.Workspace) -> Counting:
    found = ws.parts.embedder
    assert isinstance(found, Counting)
    return found


def rows(ws: affidavit.Workspace) -> int:
    """How many texts have token vectors."""
    count: int = ws.parts.database.value(
        "SELECT count(*) FROM embeddings e JOIN embedders m ON m.id = e.embedder WHERE m.fingerprint LIKE '%signs%'"
    )
    return count


def diverged(ws: affidavit.Workspace, runs: list[str]) -> list[ReplayReport]:
    """Those of ``runs`` that do not come out as recorded."""
    return [r for r in ws.replays.replay(ws.parts.tenant(""), runs) if not r.identical]


def order(ws: affidavit.Workspace) -> list[tuple[str, float, float | None]]:
    hits = ws.search(QUESTION, "alice").hits
    return [(h.view.name, h.ranked.score, h.ranked.late) for h in hits]


def test_they_are_made_with_the_vectors_and_only_once(ws: affidavit.Workspace) -> None:
    ws.publish(with_late())
    ws.sync()
    chunks = ws.parts.database.value("SELECT count(DISTINCT digest) FROM chunks")
    made = counting(ws)
    assert rows(ws) == chunks == made.readings == made.embedded
    ws.sync()
    assert made.readings == chunks
    found = order(ws)
    assert made.readings == chunks + 1, "a question's vector and token vectors come from one pass"
    assert found[0][0] == "together.md"
    assert all(late is not None for _, _, late in found)
    ws.verify()


def test_a_release_without_them_keeps_none_and_ranks_as_before(ws: affidavit.Workspace) -> None:
    ws.publish(without_late())
    ws.sync()
    before = order(ws)
    assert (rows(ws), counting(ws).readings) == (0, 0)
    assert all(late is None for _, _, late in before)
    ws.publish(with_late())
    assert order(ws) == before, "nothing is there to rank by"
    ws.sync()
    after = order(ws)
    assert [name for name, _, _ in after] != [name for name, _, _ in before]
    ws.publish(without_late())
    assert order(ws) == before
    ws.verify()


def test_questions_asked_before_they_were_there_replay_as_they_were(ws: affidavit.Workspace) -> None:
    ws.publish(without_late())
    ws.sync()
    runs = [ws.ask(QUESTION, "alice").run]
    ws.publish(with_late())
    runs += [ws.ask(QUESTION, "alice").run, ws.search(QUESTION, "alice").run]
    ws.sync()
    runs += [ws.ask(QUESTION, "alice").run, ws.search(QUESTION, "alice").run]
    counting(ws).down = True
    assert diverged(ws, runs) == []


def test_while_the_embedder_is_down_nothing_is_half_done(ws: affidavit.Workspace) -> None:
    ws.publish(without_late())
    ws.sync()
    before = order(ws)
    ws.publish(with_late())
    counting(ws).down = True
    ws.sync()
    assert rows(ws) == 0
    counting(ws).down = False
    assert order(ws) == before
    ws.sync()
    assert order(ws) != before


def test_an_embedder_that_has_none_ranks_without(
    ws: affidavit.Workspace, made: dict[str, Embedder | None]
) -> None:
    ws.publish(with_late())
    ws.sync()
    run = ws.search(QUESTION, "alice").run
    kept = rows(ws)
    ws.use_embedder(EmbedderSpec("openai", "http://localhost", "m"))
    assert all(late is None for _, _, late in order(ws))
    assert rows(ws) == kept
    ws.use_embedder(EmbedderSpec("minilm"))
    assert all(late is not None for _, _, late in order(ws))
    assert diverged(ws, [run]) == []


def test_what_one_may_not_read_moves_no_score(
    made: dict[str, Embedder | None], tmp_path: Path, write_folder: Write
) -> None:
    hidden: dict[str, str | bytes] = {
        "board/access.toml": 'allow = ["group:board"]',
        **{f"board/{n}.md": f"# Zoo {n}\n\nThe walrus eats herring, {n} a day." for n in range(9)},
    }
    seen = []
    for name, files in (("open", FILES), ("both", FILES | hidden)):
        root = write_folder(files)
        with affidavit.init(tmp_path / name, EmbedderSpec("minilm")) as ws:
            (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
            ws.import_people(tmp_path / "p.jsonl")
            ws.publish(with_late())
            ws.add_source("folder", root, "docs")
            ws.sync()
            assert rows(ws) == ws.parts.database.value("SELECT count(DISTINCT digest) FROM chunks")
            seen.append((order(ws), ws.ask(QUESTION, "alice").answer))
    assert len(seen[0][0]) > 1
    assert seen[0] == seen[1]


def test_what_is_erased_leaves_none(ws: affidavit.Workspace) -> None:
    ws.publish(with_late())
    ws.sync()
    before = rows(ws)
    target = Target("document", "together.md", "docs")
    ws.erasing.erase(ws.parts.tenant(""), target, "operator:dpo", "request 17")
    assert rows(ws) == before - 1
    ws.verify()


def test_since_when_they_are_there_is_on_the_log(ws: affidavit.Workspace) -> None:
    ws.publish(with_late())
    ws.sync()
    ws.verify()
    said = ws.parts.catalog.setting(SETTING)
    assert said is not None
    ws.parts.log.write(lambda tx: ws.parts.catalog.set_setting(SETTING, said.replace(": ", ": 1")))
    with pytest.raises(LogDamagedError, match="token vectors"):
        ws.verify()


def test_a_run_without_them_put_under_a_release_with_them_asks_for_them(ws: affidavit.Workspace) -> None:
    ws.publish(with_late())
    ws.sync()
    wanted = [name for name, _, _ in order(ws)]
    late = ws.parts.release().digest
    ws.publish(without_late())
    run = ws.search(QUESTION, "alice").run
    found = ws.replays.what_if(ws.parts.tenant(""), run, [("release", late)])
    hits = found["after"]["retrieved"]
    assert [hit["document"] for hit in hits] == wanted
