"""The console's pages over a workspace with many runs: what a page costs the server.

``python -m bench.console``: a workspace of 200 documents and 100,000 runs of 50 people over 90 days: answers, refusals, searches.
Sixty were really asked, the others are copies of those under names and ids of their own, one in fifty whole and the rest
shortened to beginning, retrieval, answer and end. Each page is asked for in the same process, without a network, by an
administrator, who sees everybody's runs, and by a person who has three.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from affidavit.app.config import EmbedderSpec
from affidavit.app.people import Entry
from affidavit.app.workspace import Workspace, init
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.events import Event, EventKind
from affidavit.entrypoints.http.application import make_app
from affidavit.events.log import Transaction
from affidavit.events.read import Recorded
from affidavit.runs.recorder import new_run_id
from affidavit.store.people import Tenant
from bench import report_server
from bench.measure import percentile, say, timed_result

RUNS, DOCUMENTS, PEOPLE, TIMES = 100_000, 200, 50, 20
ANSWERED, REFUSED, SEARCHED = 40, 10, 10
_DAYS, _DAY = 90, 86_400 * MICROSECONDS
_HERE = "https://console.test"
_SHORT = (EventKind.RUN_STARTED, EventKind.ANSWER_RELEASED, EventKind.RUN_FINISHED)
_AT_ONCE = 1000


class Past:
    """A clock that lags ``behind`` by so many microseconds."""

    behind = _DAYS * _DAY

    def now(self) -> int:
        return time.time_ns() // 1000 - self.behind


def workspace(folder: Path, runs: int) -> Workspace:
    """The workspace, with ``runs`` runs."""
    clock = Past()
    ws = init(folder / "ws", EmbedderSpec("none"), clock)
    people = [Entry(f"user:p{n:02}", frozenset({"group:staff"}), {}) for n in range(PEOPLE)]
    rare = Entry("user:rare", frozenset({"group:staff"}), {})
    ws.load_people([*people, rare, Entry("user:admin", frozenset({"group:staff"}), {})])
    docs = folder / "docs"
    docs.mkdir()
    (docs / "access.toml").write_text('allow = ["group:staff"]')
    for n in range(DOCUMENTS):
        text = "\n\n".join(f"Rule {n}.{m} of topic{n}: the limit is {n + m} euros a day." for m in range(30))
        (docs / f"rules-{n:03}.md").write_text(f"# Rules of topic{n}\n\n{text}\n")
    ws.add_source("folder", docs, "handbook")
    ws.sync()
    tenant = ws.parts.tenant("")
    ws.people.grant(tenant, "user:admin", "role:admin")
    say("asking")
    asked = [ws.ask(f"What is the limit of topic{n}?", f"p{n % PEOPLE:02}").run for n in range(ANSWERED)]
    asked += [ws.ask(f"Who won the race of year {n}?", f"p{n:02}").run for n in range(REFUSED)]
    asked += [ws.search(f"limit of topic{n}", f"p{n:02}").run for n in range(SEARCHED)]
    _multiply(ws, tenant, asked, runs - len(asked) - 3, clock)
    ws.sync()  # what nobody has looked after for ninety days may not be read
    for n in range(3):
        ws.ask(f"What is the limit of topic{n}?", "rare")
    return ws


def _multiply(ws: Workspace, tenant: Tenant, asked: Sequence[str], runs: int, clock: Past) -> None:
    """``runs`` more runs like ``asked``, up to now by ``clock``."""
    parts = ws.parts
    with parts.database.read():
        stories = [[(e, parts.events.body(e)) for e in parts.events.of_run(run)] for run in asked]
    say(f"{runs} runs more")
    for first in range(0, runs, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, runs))
        clock.behind = _DAYS * _DAY * (runs - numbers[-1] - 1) // runs

        def write(tx: Transaction, numbers: Sequence[int] = numbers) -> None:
            for number in numbers:
                for event in _copy(tenant, new_run_id(parts.randomness), number, stories):
                    tx.append(event)

        parts.log.write(write)


def _copy(
    tenant: Tenant, run: str, number: int, stories: Sequence[Sequence[tuple[Recorded, dict[str, Any]]]]
) -> Iterator[Event]:
    whole = number % 50 == 0
    for event, body in stories[number % len(stories)]:
        if event.kind is EventKind.RUN_STARTED:
            said = {
                **body,
                "principal": f"user:p{number % PEOPLE:02}",
                "question": f"{body['question']} ({number})",
            }
            yield Event(event.kind, tenant.id, run, event.facts, said)
        elif whole or event.kind in _SHORT or event.facts.get("name") == "retrieve":
            yield Event(event.kind, tenant.id, run, event.facts, body)


def browser(ws: Workspace, app: Any, name: str) -> TestClient:
    """A browser of ``name``, signed in."""
    _, token = ws.credentials.begin_session(ws.parts.tenant(""), f"user:{name}", "link", 8)
    return TestClient(app, _HERE, headers={"Origin": _HERE}, cookies={"__Host-affidavit": token})


def pages(client: TestClient) -> dict[str, str]:
    """What is measured: a name and an address each."""
    lines = client.get("/v1/runs", params={"limit": 50, "journey": "ask"}).json()
    run = lines["items"][0]["run"]
    document = "/document?source=handbook&document=rules-007.md"
    return {
        "ask": "/",
        "answer": f"/answers/{run}",
        "runs": "/runs",
        "runs, second page": f"/runs?after={lines['next'] or ''}",
        "runs, of one person": "/runs?principal=user:p07",
        "runs, refused": "/runs?status=refused",
        "runs, failed": "/runs?status=failed",
        "runs, searches": "/runs?journey=search",
        "runs, words that few have": "/runs?text=(77)",
        "runs, words that none has": "/runs?text=nothing-of-the-kind",
        "one run": f"/runs/{run}",
        "documents": "/documents",
        "document": document,
        "verify": f"/verify?run={run}",
    }


def measure(client: TestClient, addresses: dict[str, str]) -> list[dict[str, Any]]:
    """Milliseconds of each page, the first left out. ``cpu_ms`` is what all threads of this process worked, on average: the
    rest of the time it waited, on a busy machine for its turn."""
    lines = []
    for name, address in addresses.items():
        client.get(address)
        before = time.process_time()
        taken = [timed_result(lambda address=address: client.get(address)) for _ in range(TIMES)]  # type: ignore[misc]
        cpu = (time.process_time() - before) * 1e3 / TIMES
        if any(answer.status_code != 200 for _, answer in taken):
            raise RuntimeError(f"{address} is not there: {taken[0][1].status_code}")
        ms = [t for t, _ in taken]
        size = len(taken[0][1].content)
        lines.append(
            {
                "page": name,
                "p50_ms": percentile(ms, 50),
                "p95_ms": percentile(ms, 95),
                "cpu_ms": round(cpu, 1),
                "bytes": size,
            }
        )
    return lines


def main(runs: int = RUNS) -> dict[str, Any]:
    """The figures; printed as tables beside what is promised."""
    with tempfile.TemporaryDirectory() as folder, workspace(Path(folder), runs) as ws:
        app = make_app(ws)
        results: dict[str, Any] = {"runs": ws.parts.database.value("SELECT count(*) FROM runs")}
        say("counting")
        results["counting_s"] = round(timed_result(lambda: _count(ws))[0] / 1000, 1)
        with TestClient(app, _HERE):
            for name in ("admin", "rare"):
                say(f"pages of {name}")
                client = browser(ws, app, name)
                results[name] = measure(client, {**pages(client), **_navigation(client)})
    print(report_server.console(results))
    return results


def _count(ws: Workspace) -> None:
    """Figures and costs up to the log's end, as pages have it done behind them."""
    while ws.figures.catch_up(2_000):
        pass
    ws.money.view.catch_up()


def _navigation(client: TestClient) -> dict[str, str]:
    """The further pages of the navigation."""
    found = client.get("/").text.split("<nav", 1)[1].split("</nav>")[0]
    paths = [part.split('"')[0] for part in found.split('href="')[1:]]
    further = [path for path in paths if path not in ("/", "/runs", "/documents")]
    if "/levels" in further:
        further += [
            "/levels?days=90",
            "/sources/handbook",
            "/why?source=handbook&document=rules-007.md&person=rare",
        ]
    return {path[:32]: path for path in further}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
