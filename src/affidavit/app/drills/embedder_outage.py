"""What makes vectors is out of order: questions are answered by keyword, in time, and it is said."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from affidavit.adapters import faulty_endpoint as endpoint_modes
from affidavit.adapters.faulty_endpoint import FaultyEndpoint
from affidavit.adapters.openai_embeddings import OpenAIEmbeddings
from affidavit.app.config import MODELS, EmbedderSpec
from affidavit.app.drills.child import Child
from affidavit.app.drills.lab import Lab, Seen, describe
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.stock import WHERE, Stock, lay_in

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

_MODEL = "drill"
_MOST_CHUNKS = 5_000  # embedded anew by the drill's endpoint; more would take longer than the drill is worth
_TRIES, _FIRST_WAIT, _SLACK = (
    3,
    0.1,
    1.5,
)  # of `adapters/openai_embeddings`: the second wait is twice the first
_WAITS = 3 * _FIRST_WAIT

_MODES = {
    endpoint_modes.FAULT: "the endpoint answers HTTP 500",
    endpoint_modes.DROPS: "the endpoint closes the connection without a word",
    endpoint_modes.RUBBISH: "the endpoint answers rubbish",
    endpoint_modes.INFINITE: "the endpoint answers with infinite numbers",
    endpoint_modes.SHORT: "the endpoint answers with vectors of another size",
    endpoint_modes.HANGS: "the endpoint accepts and never answers",
}


class EmbedderOutage:
    """Implements ``Drill``."""

    name = "embedder-outage"
    breaks = "the embedding model's files are missing; an embedding endpoint is down, broken, lying, or never answers"
    promises = (
        Promise("goes-on", "questions are still answered or refused, by keyword alone"),
        Promise("said", "a search says that it was by keyword alone, and why"),
        Promise("in-time", "nothing takes longer than the endpoint's time limit allows"),
        Promise("permitted", "nobody is given a document they may not read"),
        Promise("sync", "a sync still takes a new document in, reports the fault, and makes up for it later"),
        Promise("comes-back", "when the embedder is back, so are the results from before"),
        Promise("weights", "without the model's files search is by keyword, and status and search say so"),
    )

    def run(self, lab: Lab) -> None:
        with lab.open() as ws:
            status = ws.status()
            kind, chunks = ws.parts.serving.kind, sum(t["chunks"] for t in status["tenants"].values())
        if kind == "minilm" and not status["weights_missing"]:
            self._weights(lab)
        else:
            lab.untried("weights", f"the workspace's embedder is {kind}, or its files are missing already")
        if chunks > _MOST_CHUNKS:
            why = f"{chunks} chunks would have to be embedded anew for the drill's own endpoint; it does up to {_MOST_CHUNKS}"
            for promise in ("goes-on", "said", "in-time", "permitted", "sync", "comes-back"):
                lab.untried(promise, why)
        else:
            self._endpoint(lab)
        with lab.open() as ws:
            lab.sound(ws)

    def _weights(self, lab: Lab) -> None:
        empty = lab.room / "no-models"
        empty.mkdir()
        with Child(lab, {MODELS: str(empty)}) as child:
            child.call("open", folder=str(lab.folder))
            said = child.call("status")
            probe = lab.probes[0]
            seen = child.call("search", tenant=probe.tenant, user=probe.user, question=probe.question)
            asked = child.call("ask", tenant=probe.tenant, user=probe.user, question=probe.question)
        held = bool(seen.get("degraded")) and bool(said.get("weights_missing")) and "run" in asked
        lab.watched(f"the model's files are missing: {asked.get('status') or asked}")
        lab.check("weights", held, f"search says: {seen.get('degraded') or seen}")

    def _endpoint(self, lab: Lab) -> None:
        with FaultyEndpoint() as endpoint, lab.open() as ws:
            stock = lay_in(lab, ws)
            ws.use_embedder(EmbedderSpec("openai", endpoint.url, _MODEL))
            short = OpenAIEmbeddings(
                endpoint.url,
                _MODEL,
                timeout=lab.seams.patience,
                width=endpoint_modes.WIDTH,
                first_wait=_FIRST_WAIT,
            )
            with closing(short):
                ws.parts.embedder = ws.parts.retriever.embedder = short
                working = stock.search(lab, ws, stock.probes[0])
                for mode, what in _MODES.items():
                    endpoint.mode = mode
                    self._asked(lab, ws, stock, what)
                endpoint.mode = endpoint_modes.WORKS
                back = stock.search(lab, ws, stock.probes[0])
                dense = all(hit["dense"] is not None for hit in back.given or ())
                lab.check(
                    "comes-back", back.given == working.given and dense and not back.degraded, f"{back}"
                )
                self._sync(lab, ws, stock, endpoint)
                endpoint.close()
                self._asked(lab, ws, stock, "nobody listens at the endpoint's address")
        lab.note(
            f"The endpoint was given {lab.seams.patience:g} s for each of {_TRIES} tries. The limit that a workspace has is 30 s "
            "for each, so a question may take a minute and a half when an endpoint hangs."
        )

    def _asked(self, lab: Lab, ws: Workspace, stock: Stock, what: str) -> None:
        probe = stock.probes[0]
        with ThreadPoolExecutor(2) as pool:  # waiting for a time limit twice at once
            asking = pool.submit(stock.ask, lab, ws, probe)
            found = stock.search(lab, ws, probe)
            asked = asking.result()
        lab.watched(f"{what}: {asked}")
        limit = _TRIES * lab.seams.patience + _WAITS + _SLACK
        lab.check(
            "goes-on", asked.served and found.served and bool(found.cited), f"{what}: {asked}; search {found}"
        )
        lab.check("said", bool(found.degraded), f"{what}: search says “{found.degraded}”")
        slowest = max(asked.seconds, found.seconds)
        lab.check(
            "in-time", slowest <= limit, f"{what}: {slowest:.1f} s, {limit:.1f} s were allowed", slowest
        )
        # nobody else waits for an endpoint that hangs: what they would be given is seen in the other cases
        outsider = "" if what == _MODES[endpoint_modes.HANGS] else probe.outsider
        wrong = self._wrongly(lab, ws, stock, [asked, found], outsider)
        lab.check("permitted", not wrong, f"{what}: {len(wrong)} documents given wrongly")

    def _wrongly(
        self, lab: Lab, ws: Workspace, stock: Stock, seen: list[Seen], outsider: str
    ) -> frozenset[tuple[str, str]]:
        probe = stock.probes[0]
        wrong = lab.wrongly(ws, probe.tenant, probe.user, seen)
        if outsider:
            others = [stock.search(lab, ws, probe, outsider)]
            wrong |= lab.wrongly(ws, probe.tenant, outsider, others)
        return wrong

    def _sync(self, lab: Lab, ws: Workspace, stock: Stock, endpoint: FaultyEndpoint) -> None:
        probe = stock.probes[0]
        endpoint.mode = endpoint_modes.RUBBISH
        path = stock.file(probe)
        path.write_text(
            path.read_text(encoding="utf-8") + "\n\nA walrus came by.\n", encoding="utf-8", newline=""
        )
        began = time.perf_counter()
        counts = lab.attempt(lambda: stock.sync(ws))
        took = time.perf_counter() - began
        if isinstance(counts, Exception):
            lab.check("sync", False, f"the sync failed: {describe(counts)}", took)
            return
        without = ws.search("walrus", probe.user, 10, probe.tenant, where=WHERE).hits
        endpoint.mode = endpoint_modes.WORKS
        stock.sync(ws)
        later = ws.status()["chunks_without_vector"]
        held = counts["changed"] == 1 and counts["faults"] > 0 and bool(without) and later == 0
        lab.check(
            "sync",
            held,
            f"{counts['faults']} fault told, the text is found; later {later} chunks lack a vector",
            took,
        )
