"""Two people and the same request: of what one may not read nothing is told, in words, sizes, logs, counts or steps.

How long something takes is a matter of the machine; what decides it is not. So the steps are counted here: which statements the
database is asked, in which order, and how many events are written. `bench/timing_class.py` looks at the clock.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.served_world import LEAVE, PAY, Served, begun

from affidavit.app.settings import LogSettings
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.http.logs import Metrics, RequestLog
from affidavit.store.database import Database
from affidavit.testing.clock import FixedClock

HIDDEN, ABSENT = "pay/salaries.md", "pay/sealeries.md"[: len("pay/salaries.md")]
MORE = {
    "pay/bonus.md": "# Leave and annual leave\n\nThe annual leave of the director is 90 days a year, for annual leave."
}
_OF_THE_BODY = ("content-length", "etag")
"""Headers that say of the body, ids and times in it included, what is looked at by itself."""
_ASKED = ("all", "one", "each", "run", "changed", "many")


@dataclass
class Told:
    """All that one request lets be seen, here and in what the server says of itself; ids, times and positions are like any."""

    status: int
    headers: list[tuple[str, str]]
    body: str
    size: int
    log: str
    metrics: str
    statements: list[str]
    events: int


class Observer:
    """Asks a server and notes everything."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._said = io.StringIO()
        self._metrics = Metrics()
        log = RequestLog(LogSettings(), self._said)
        self.client = TestClient(make_app(served.ws, log=log, metrics=self._metrics))

    def ask(self, who: str, method: str, path: str, **more: Any) -> Told:
        """The same request was made before: what is read once only is read."""
        self.client.request(method, path, headers=self._served.header(who), **more)
        begins, head = len(self._said.getvalue()), self._served.ws.parts.log.head()
        before = _counts(self._metrics, self._served)
        with watched() as statements:
            answer = self.client.request(method, path, headers=self._served.header(who), **more)
        after = _counts(self._metrics, self._served)
        return Told(
            answer.status_code,
            sorted((k, _plain(v)) for k, v in answer.headers.items() if k not in _OF_THE_BODY),
            _plain(answer.text),
            len(_plain(answer.text)),
            re.sub(r'"(at|ms)": [^,]+', "", _plain(self._said.getvalue()[begins:])),
            "\n".join(line.rpartition(" ")[0] for line in sorted(set(after) - set(before))),
            statements,
            self._served.ws.parts.log.head() - head,
        )


def _plain(text: str) -> str:
    """``text`` with ids that are new each time, and positions, made equal."""
    text = re.sub(r"run-[a-z2-7]{16}", "RUN", text)
    text = re.sub(r'"(position|indexed_at|modified|at)":\s*("[^"]*"|\d+)', r'"\1":0', text)
    text = re.sub(r'"(timings|cost)":\s*\{[^}]*\}', r'"\1":{}', text)
    return text.replace(ABSENT, "DOCUMENT").replace(HIDDEN, "DOCUMENT")


def _counts(metrics: Metrics, served: Served) -> list[str]:
    """Which counts Prometheus is told, without how long things took."""
    lines = metrics.text(served.tenant.id).decode().splitlines()
    return [line for line in lines if not re.search(r"_seconds_(bucket|sum)|_created|^#", line)]


@contextmanager
def watched() -> Iterator[list[str]]:
    """Every statement that the database is asked meanwhile, in order."""
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in _ASKED:
            real = getattr(Database, name)

            def asked(self: Database, sql: str, *more: Any, of: Any = real) -> Any:
                seen.append(re.sub(r"\s+", " ", sql))
                return of(self, sql, *more)

            patch.setattr(Database, name, asked)
        yield seen


@pytest.fixture
def served(tmp_path: Path, clock: FixedClock) -> Iterator[Served]:
    with begun(tmp_path, clock).ws as ws:
        yield _with_keys(ws)


def _with_keys(ws: Any) -> Served:
    served = Served(ws, ws.parts.tenant("acme"))
    for name in ("alice", "bob"):
        served.keys[name] = served.key(name)
    return served


@pytest.mark.parametrize("path", ["/v1/document", "/v1/document/access"])
def test_a_document_that_one_may_not_read_is_as_one_that_is_not_there(served: Served, path: str) -> None:
    observer = Observer(served)

    def ask(who: str, name: str) -> Told:
        whose = {"person": f"user:{who}"} if path.endswith("access") else {}
        return observer.ask(who, "GET", path, params={"source": "docs", "document": name, **whose})

    hidden, absent = ask("alice", HIDDEN), ask("alice", ABSENT)
    assert hidden.status == 404
    assert hidden == absent
    assert ask("bob", HIDDEN).status == 200


REQUESTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/v1/ask", {"json": {"question": LEAVE}}),
    ("POST", "/v1/ask", {"json": {"question": PAY}}),
    ("POST", "/v1/search", {"json": {"question": LEAVE}}),
    ("POST", "/v1/search", {"json": {"question": PAY}}),
    ("GET", "/v1/documents", {}),
    ("GET", "/v1/me", {}),
    ("GET", "/v1/runs", {}),
    ("GET", "/v1/document", {"params": {"source": "docs", "document": "pay/bonus.md"}}),
)


@pytest.mark.parametrize(("method", "path", "more"), REQUESTS, ids=lambda value: str(value)[-30:])
def test_more_documents_that_one_may_not_read_change_nothing(
    tmp_path: Path, clock: FixedClock, method: str, path: str, more: dict[str, Any]
) -> None:
    seen = []
    for name, files in (("without", {}), ("with", MORE)):
        (tmp_path / name).mkdir()
        with begun(tmp_path / name, clock, files).ws as ws:
            seen.append(Observer(_with_keys(ws)).ask("alice", method, path, **more))
    for field in vars(seen[0]):
        assert getattr(seen[0], field) == getattr(seen[1], field), field


def test_the_same_question_by_two_people(served: Served) -> None:
    observer = Observer(served)
    alices, bobs = (observer.ask(who, "POST", "/v1/ask", json={"question": PAY}) for who in ("alice", "bob"))
    assert "90,000" in bobs.body
    for text in (alices.body, str(alices.headers), alices.log, bobs.log, alices.metrics, bobs.metrics):
        assert "90,000" not in text
        assert "salar" not in text.replace(PAY, "")
        assert "pay/" not in text
    assert re.sub(r'"status": \d+', "", alices.log) == re.sub(r'"status": \d+', "", bobs.log)


def test_what_is_watched_is_seen(served: Served) -> None:
    """A test of the test: one statement more is a difference."""
    observer = Observer(served)
    first = observer.ask("alice", "GET", "/v1/document", params={"source": "docs", "document": "hr/leave.md"})
    second = observer.ask("alice", "GET", "/v1/document", params={"source": "docs", "document": HIDDEN})
    assert (first.status, second.status) == (200, 404)
    assert first.statements != second.statements
    assert first.log != ""
    assert "document" in first.metrics
