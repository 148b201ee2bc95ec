"""``python -m bench.run [SUITE …]``: measure, print tables, write ``bench/results``.

Suites: search, governed, replay, revocation, ingest, footprint, quality, log, parsing; of the model plane models, adapters, cost,
guards and unsupported; of acting agentdojo, policy and calls; of the server serving, console and soak; all. A figure that falls
short is reported as it is.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from affidavit.app.workspace import Workspace
from bench import (
    adapters,
    agentdojo,
    console,
    cost,
    guards,
    handbook,
    log,
    models,
    outside,
    parsing,
    report,
    serving,
    soak,
    unsupported,
)
from bench.calls import calls
from bench.corpus import ROWS, Corpus, Scope, spelled_text, synthetic
from bench.follow import follow
from bench.footprint import footprint
from bench.governed import governed
from bench.ingest import ingest
from bench.kills import kills
from bench.measure import say
from bench.ours import synthetic_workspace
from bench.policy import policy
from bench.quality import quality
from bench.replay import replayed
from bench.revocation import revocation
from bench.search import Asked, judge, ours, peers
from bench.verify import verify

SUITES = report.SECTIONS
_ON_SYNTHETIC = {"search", "governed", "revocation", "footprint"}
_ON_HANDBOOK = {"search", "governed", "replay", "quality"}


class Bench:
    """One run. Suites share the two workspaces, and results collect in ``results``."""

    def __init__(self, suites: set[str], chosen: argparse.Namespace, folder: Path) -> None:
        self._suites, self._chosen, self._folder = suites, chosen, folder
        self.results: dict[str, Any] = {
            "machine": report.machine(),
            "code": report.code(),
            "chunks": chosen.rows,
            "questions": chosen.questions,
            **report.others(chosen.results, suites),
        }
        self._seconds: Counter[str] = Counter()

    def run(self) -> None:
        """Every chosen suite; what needs the handbook is left out, loudly, without it."""
        data = handbook.present()
        if data and self._suites & _ON_HANDBOOK:
            with self._took("the handbook's workspace"):
                made = handbook.workspace(self._folder / "handbook")
            with made as ws:
                self._handbook(ws)
        if self._suites & _ON_SYNTHETIC:
            self._synthetic()
        self._alone("ingest", lambda: ingest(data))
        self._alone("log", self._log)
        self._alone("models", lambda: models.measure(500, 1000, 200))
        self._alone("adapters", adapters.main)
        self._alone("cost", lambda: cost.main([f"--events={self._chosen.cost_events}"]))
        if data:
            self._alone("guards", guards.main)
            self._alone("unsupported", lambda: unsupported.brief(unsupported.measure(479, 2, 100)))
        if agentdojo.PYTHON.exists():
            self._alone("agentdojo", agentdojo.measure)
        elif "agentdojo" in self._suites:
            say("agentdojo is left out: bench/.venv-agentdojo is absent (make bench makes it)")
        self._alone("policy", policy)
        (self._folder / "calls").mkdir()
        self._alone("calls", lambda: calls(self._folder / "calls"))
        self._alone("parsing", parsing.main)
        self._alone("serving", serving.measure)
        self._alone("console", console.main)
        self._alone("soak", lambda: soak.soak(self._chosen.soak))
        self.results["seconds"] = {**self.results.get("seconds", {}), **self._seconds}
        self.results["code_at_end"] = report.code()

    @contextmanager
    def _took(self, name: str) -> Iterator[None]:
        """Adds how long this takes to what ``name`` took."""
        begin = time.perf_counter()
        yield
        self._seconds[name] += round(time.perf_counter() - begin)

    def _part(self, suite: str, measure: Callable[[], object]) -> None:
        """A part of a suite, if that was chosen."""
        if suite in self._suites:
            with self._took(suite):
                measure()

    def _alone(self, suite: str, measure: Callable[[], Any]) -> None:
        """The whole of a suite, if it was chosen."""
        self._part(suite, lambda: self.results.update({suite: measure()}))

    def _log(self) -> dict[str, Any]:
        folder = self._folder
        (folder / "verify").mkdir()
        (folder / "kills").mkdir()
        return {
            **log.measure(self._chosen.events, folder),
            "verify": verify(self._chosen.events, folder / "verify"),
            "kills": kills(self._chosen.kills, folder / "kills"),
            "follow": follow(),
            "outside": outside.main(),
        }

    def _handbook(self, ws: Workspace) -> None:
        corpus, asked, rows = handbook.corpus(ws, min(self._chosen.questions, 100))
        people = corpus.scopes
        self._part("search", lambda: self._search(ws, corpus, Asked(asked, rows.__getitem__)))
        self._part("governed", lambda: self._governed("handbook", ws, handbook.TENANT, people, asked[:50]))
        self._alone("replay", lambda: replayed(ws, handbook.TENANT, people, asked, self._chosen.runs))
        self._alone("quality", lambda: quality(ws, self._chosen.cases))

    def _synthetic(self) -> None:
        corpus = synthetic(self._chosen.rows, self._chosen.questions)
        asked = [spelled_text(w) for w in corpus.words]
        folder = self._folder / "synthetic"
        with self._took("the synthetic workspace"):
            made = synthetic_workspace(corpus, folder)
        with made as ws:
            self._part("search", lambda: self._search(ws, corpus, Asked(asked, lambda chunk: chunk - 1)))
            self._part(
                "governed", lambda: self._governed("synthetic", ws, "tenant01", corpus.scopes, asked[:100])
            )
            self._alone("revocation", lambda: revocation(ws, corpus))
        self._alone("footprint", lambda: footprint(folder))

    def _governed(
        self, name: str, ws: Workspace, tenant: str, people: Sequence[Scope], asked: Sequence[str]
    ) -> None:
        self.results.setdefault("governed", []).extend(governed(name, ws, tenant, people, asked))

    def _search(self, ws: Workspace, corpus: Corpus, asked: Asked) -> None:
        say(f"search on {corpus.name}: ours")
        measured = ours(ws, corpus, asked)
        found, about = ([], []) if self._chosen.no_peers else self._peers(corpus)
        into = self.results.setdefault("search", {"peers": [], "lines": []})
        into["peers"] += [{"corpus": corpus.name, **a} for a in about]
        into["lines"] += judge(corpus, measured + found)

    def _peers(self, corpus: Corpus) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        with tempfile.TemporaryDirectory() as folder:
            return peers(corpus, Path(folder), self._chosen.peer_questions)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=report.last_took())
    parser.add_argument(
        "suites", nargs="*", default=["all"], metavar="SUITE", help=", ".join((*SUITES, "all"))
    )
    parser.add_argument(
        "--rows", type=int, default=ROWS, help="chunks of the synthetic corpus, in ten thousands"
    )
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--peer-questions", type=int, default=20)
    parser.add_argument("--cases", type=int, default=422, help="access cases")
    parser.add_argument("--runs", type=int, default=1000, help="runs to replay")
    parser.add_argument("--events", type=int, default=log.EVENTS, help="events of the log")
    parser.add_argument("--cost-events", type=int, default=cost.EVENTS, help="events of the log of costs")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument(
        "--soak", type=float, default=60, help="seconds of load on a server that is treated badly"
    )
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    parser.add_argument(
        "--keep", type=Path, help="an empty folder for the workspaces, to look into afterwards"
    )
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.suites) - {*SUITES, "all"}
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    suites = set(SUITES) if "all" in chosen.suites else set(chosen.suites)
    with ExitStack() as stack:
        folder = chosen.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = Bench(suites, chosen, folder)
        bench.run()
        print(report.write(bench.results, chosen.results))
    say("done")


if __name__ == "__main__":
    main()
