"""Every answered request of an embedding endpoint is on the log with its price: of questions, syncs and a change of embedder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.adapters import faulty_endpoint as modes
from affidavit.adapters import openai_embeddings
from affidavit.adapters.faulty_endpoint import FaultyEndpoint, tokens
from affidavit.app.config import EmbedderSpec
from affidavit.app.embedding_costs import MeteredEmbedder

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
Write = Callable[[dict[str, str | bytes]], Path]
BY = "operator:test"
QUESTION = "How many days is walrus leave?"
PRICES = {"price": [{"provider": "openai", "model": "small-embedding", "input": "2", "output": "0"}]}


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyEndpoint]:
    monkeypatch.setattr(openai_embeddings, "_FIRST_WAIT", 0.01)
    with FaultyEndpoint() as running:
        yield running


@pytest.fixture
def ws(workspace: affidavit.Workspace, tmp_path: Path, write_folder: Write) -> affidavit.Workspace:
    (tmp_path / "p.jsonl").write_text('{"id": "alice", "groups": ["staff"]}\n')
    workspace.import_people(tmp_path / "p.jsonl")
    workspace.add_source(
        "folder",
        write_folder(
            {"access.toml": 'allow = ["group:staff"]', "leave.md": "# Leave\n\nWalrus leave is 20 days."}
        ),
        "docs",
    )
    workspace.money.set_prices(PRICES, BY)
    return workspace


def use(ws: affidavit.Workspace, endpoint: FaultyEndpoint) -> None:
    ws.use_embedder(EmbedderSpec("openai", endpoint.url, "small-embedding"))


def embedding(ws: affidavit.Workspace, by: str = "stage") -> dict[str, Any]:
    rows = ws.money.costs(by)["rows"]
    return {row[by]: (row["calls"], row["input"], row["micro"]) for row in rows if row["calls"]}


def test_a_question_pays_for_its_vector(ws: affidavit.Workspace, endpoint: FaultyEndpoint) -> None:
    ws.sync()
    use(ws, endpoint)
    calls, before, _ = embedding(ws)["embedding"]
    answer = ws.ask(QUESTION, "alice")
    used = tokens(QUESTION)
    assert embedding(ws)["embedding"] == (calls + 1, before + used, 2 * (before + used))
    assert embedding(ws, "person")["user:alice"] == (1, used, 2 * used)
    assert embedding(ws, "source")["docs"] == (1, used, 2 * used)
    assert embedding(ws, "task")["embed"][0] == calls + 1
    ws.search(QUESTION, "alice")
    assert embedding(ws)["embedding"][0] == calls + 1  # her question's vector is remembered
    ws.search(f"{QUESTION} And a penguin's?", "alice")
    assert embedding(ws)["embedding"][0] == calls + 2
    (report,) = ws.replays.replay(ws.parts.tenant(""), [answer.run])
    assert report.identical
    assert embedding(ws)["embedding"][0] == calls + 2  # a replay pays nothing
    ws.verify()


def test_a_sync_pays_for_its_source_and_a_new_embedder_for_nobody(
    ws: affidavit.Workspace, endpoint: FaultyEndpoint, tmp_path: Path
) -> None:
    ws.sync()
    use(ws, endpoint)
    moved = embedding(ws, "tenant")
    assert set(moved) == {"all tenants"}
    (tmp_path / "docs" / "more.md").write_text("# More\n\nA penguin has 11 days.\n")
    ws.sync()
    assert embedding(ws, "source")["docs"][0] == 1
    assert set(embedding(ws, "tenant")) == {"all tenants", "main"}
    paid = embedding(ws)
    ws.sync()
    assert embedding(ws) == paid  # nothing new, nothing asked
    assert embedding(ws, "person").keys() == {"nobody"}
    ws.verify()


def test_what_was_embedded_late_is_paid_by_the_sync_that_did_it(
    ws: affidavit.Workspace, endpoint: FaultyEndpoint
) -> None:
    use(ws, endpoint)
    endpoint.mode = modes.FAULT
    ws.sync()
    before = embedding(ws)
    endpoint.mode = modes.WORKS
    ws.sync()
    assert embedding(ws, "source")["docs"][0] >= 1
    assert embedding(ws) != before


def test_an_answer_of_no_use_is_charged_by_estimate_and_nothing_else_is(
    ws: affidavit.Workspace, endpoint: FaultyEndpoint
) -> None:
    ws.sync()
    use(ws, endpoint)
    before = embedding(ws)["embedding"]
    for mode in (modes.FAULT, modes.DROPS):
        endpoint.mode = mode
        ws.ask(QUESTION, "alice")
    assert embedding(ws)["embedding"] == before
    endpoint.mode = modes.RUBBISH
    ws.ask(QUESTION, "alice")
    total = ws.money.costs("stage")["total"]
    assert (total["calls"], total["estimated_calls"]) == (before[0] + 1, 1)


def test_without_a_price_it_is_not_free(ws: affidavit.Workspace, endpoint: FaultyEndpoint) -> None:
    ws.money.set_prices({}, BY)
    ws.sync()
    use(ws, endpoint)
    assert ws.money.costs("stage")["total"]["unpriced_calls"] > 0
    ws.money.set_prices(PRICES, BY)
    assert ws.money.costs("stage")["total"]["unpriced_calls"] == 0


def test_no_budget_waits_for_it(ws: affidavit.Workspace, endpoint: FaultyEndpoint) -> None:
    ws.sync()
    use(ws, endpoint)
    ws.ask(QUESTION, "alice")
    assert ws.budgets.set("workspace", "1", "day", BY)["spent"] == "0.00"
    assert ws.budgets.recount() == 0


def test_a_thread_is_charged_for_its_own_requests_alone(
    ws: affidavit.Workspace, endpoint: FaultyEndpoint
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    use(ws, endpoint)
    embedder = ws.parts.embedder
    assert isinstance(embedder, MeteredEmbedder)

    def work(words: int) -> int:
        embedder.embed(["walrus " * words])
        (said,) = embedder.charges()
        assert not embedder.charges()
        return int(json.loads(json.dumps(said))["input"])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(1, 40))) == [tokens("x " * n) for n in range(1, 40)]
