"""Two browsers, two people, the same question: different answers, and no trace of the other's documents anywhere.

Whatever only one of them may read (names of sources, folders, files and groups, titles, texts) holds a word that is written
nowhere else. Everything that the other's browser is sent is kept and looked through for it: pages, answers of the API, streams,
errors, downloads, headers, what the browser stores; and what the server says of its work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import APIResponse, Browser, Page, Response, expect
from tests.browsed import BONUS, Organisation
from tests.browsing import Site, ask, site_of
from tests.browsing import chromium as chromium
from tests.browsing import site as site

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]
MARKS = {"alice": "zelmat", "bob": "qorvex"}
"""The word that is in everything of theirs, and nowhere else."""
OTHER = {"alice": "bob", "bob": "alice"}
SHARES = {"alice": "7 percent", "bob": "15 percent"}
CHANGING = re.compile(
    r"run-[a-z2-7]{16}|data-token=\"[^\"]*\"|name=\"csrf\" value=\"[^\"]*\"|\d{4}-\d\d-\d\d[T ][\d:.]+(\+00:00|Z)?"
)
"""What differs between two answers to the same."""


def shelf(mark: str, share: str) -> dict[str, str | bytes]:
    """Documents of one person, each with their mark."""
    return {
        f"{mark}-files/access.toml": f'allow = ["group:{mark}-team"]',
        f"{mark}-files/{mark}-bonus.md": (
            f"# Bonus of the {mark} managers\n\nThe bonus of managers is {share} of the salary, says {mark}.\n"
        ),
        f"{mark}-files/{mark}-plan.md": f"# Plan {mark}\n\nManagers of {mark} meet on Mondays.\n",
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Site]:
    """One source for each of them, and one for both."""
    who = Organisation(
        sources={
            "handbook": {
                "access.toml": 'allow = ["group:staff"]',
                "leave.md": "# Annual leave\n\nManagers and all others have 25 days of annual leave.\n",
            },
            **{f"{mark}-vault": shelf(mark, SHARES[name]) for name, mark in MARKS.items()},
        },
        groups={
            **{name: ("staff", f"{mark}-team") for name, mark in MARKS.items()},
            "olga": ("staff",),
        },
        roles={"olga": "operator"},
        history=False,
    )
    with site_of(tmp_path_factory.mktemp("acme"), chromium, who) as site:
        yield site


@dataclass
class Kept:
    """What one browser was sent, by where it came from."""

    name: str
    page: Page
    texts: list[tuple[str, str]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)

    def hear(self, answer: Response) -> None:
        self.texts.append((f"headers of {answer.url}", json.dumps(answer.headers)))

    def read(self, path: str) -> str:
        """Open a page; its source."""
        self.page.goto(path)
        self.texts.append((path, self.page.content()))
        self.texts.append((f"title of {path}", self.page.title()))
        return self.page.content()

    def take(self, path: str, answer: APIResponse) -> str:
        """An answer that was fetched."""
        text = answer.text()
        self.texts.append((f"{path}: {answer.status}", f"{text}\n{json.dumps(answer.headers)}"))
        return text

    def get(self, path: str) -> str:
        return self.take(path, self.page.request.get(path))

    def post(self, path: str, **options: Any) -> str:
        headers = {
            "Origin": self.page.url.rpartition("/")[0],
            "X-CSRF-Token": self.token(),
            **options.pop("headers", {}),
        }
        return self.take(path, self.page.request.post(path, headers=headers, **options))

    def token(self) -> str:
        return self.page.locator("body").get_attribute("data-token") or ""

    def stored(self) -> None:
        """All that the browser keeps of its visit."""
        said = self.page.evaluate("""async () => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie,
            history.state, await indexedDB.databases(), await caches.keys(),
            (await navigator.serviceWorker.getRegistrations()).length])""")
        self.texts.append(("storage", said + json.dumps(self.page.context.storage_state(indexed_db=True))))

    def holding(self, word: str) -> list[str]:
        """Where ``word`` is."""
        return [where for where, text in self.texts if word in text.lower()]


def asked(site: Site, name: str) -> Kept:
    """The same question by the form, by the API, and as a stream."""
    page = site.visitor(name)
    kept = Kept(name, page)
    page.on("response", kept.hear)
    kept.runs.append(ask(page, BONUS))
    kept.texts.append(("answer", page.content()))
    kept.read("/")
    kept.runs.append(json.loads(kept.post("/v1/ask", data={"question": BONUS}))["run"])
    streamed = kept.post("/v1/ask", data={"question": BONUS}, headers={"Accept": "text/event-stream"})
    assert "event: answer" in streamed
    kept.post("/v1/search", data={"question": BONUS})
    kept.post("/search", form={"csrf": kept.token(), "question": BONUS})
    return kept


def walk(site: Site, kept: Kept, most: int = 40) -> None:
    """Every page that can be reached by links from the first one, and every answer of the API that needs no name."""
    todo, done = ["/"], set[str]()
    while todo and len(done) < most:
        path = todo.pop(0)
        if path in done:
            continue
        done.add(path)
        kept.read(path)
        links = kept.page.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        todo += [link.partition("#")[0] for link in links if link.startswith("/")]
    schema = json.loads(kept.get("/v1/openapi.json"))
    for path, methods in schema["paths"].items():
        if "get" in methods and "{" not in path:
            kept.get(path)
    run = kept.runs[0]
    for path in (f"/v1/runs/{run}", f"/v1/runs/{run}/events", f"/runs/{run}", f"/verify?run={run}"):
        kept.get(path)
    kept.read("/")
    kept.post(f"/runs/{run}/bundle", form={"csrf": kept.token()})
    kept.stored()


def prying(kept: Kept, other: Kept) -> None:
    """Ask for the other's runs by name, on every page and route that takes one."""
    schema = json.loads(kept.get("/v1/openapi.json"))
    kept.read("/")
    for run in other.runs:
        for path in ("/answers/{run}", "/runs/{run}", "/runs/{run}/what-if"):
            there = kept.read(path.format(run=run))
            assert "Not Found" in there or "Forbidden" in there, path
        for path in (
            "/answers/{run}/report",
            "/runs/{run}/replay",
            "/runs/{run}/explain",
            "/runs/{run}/bundle",
        ):
            kept.post(path.format(run=run), form={"csrf": kept.token(), "verdict": "right"})
        for path, methods in schema["paths"].items():
            if "{run}" in path:
                for method in methods:
                    answer = kept.page.request.fetch(
                        path.format(run=run),
                        method=method.upper(),
                        headers={"X-CSRF-Token": kept.token(), "Origin": kept.page.url.rpartition("/")[0]},
                    )
                    kept.take(path, answer)
                    assert answer.status >= 400, (method, path)


def test_two_people_ask_the_same_and_neither_sees_a_trace_of_the_other(site: Site) -> None:
    people = {name: asked(site, name) for name in MARKS}
    for name, kept in people.items():
        kept.page.goto(f"/answers/{kept.runs[0]}")
        expect(kept.page.locator(".prose").first).to_contain_text(SHARES[name])
        expect(kept.page.locator("main")).not_to_contain_text(SHARES[OTHER[name]])
    for name, kept in people.items():
        walk(site, kept)
        prying(kept, people[OTHER[name]])
        assert len(kept.texts) > 100
        assert len(kept.holding(MARKS[name])) > 10, "what they may read is there, so a trace would be found"
        assert kept.holding(MARKS[OTHER[name]]) == []
    for name, kept in people.items():
        listed = "".join(text for where, text in kept.texts if where in ("/", "/runs", "/v1/runs: 200"))
        assert kept.runs[0] in listed
        assert not [run for run in people[OTHER[name]].runs if run in listed]


def test_what_is_hidden_answers_as_what_is_not_there(site: Site) -> None:
    """The other's names, asked for one by one, get what names get that nobody ever gave."""
    kept = Kept("alice", site.visitor("alice"))
    hers, made_up = MARKS["bob"], "brimol"
    assert len(hers) == len(made_up)
    kept.read("/")
    for path in (
        "/document?source={0}-vault&document={0}-files/{0}-bonus.md",
        "/chunks?source={0}-vault&document={0}-files/{0}-bonus.md",
        "/why?source={0}-vault&document={0}-files/{0}-bonus.md",
        "/sources/{0}-vault",
        "/documents?source={0}-vault",
        "/documents?prefix={0}",
        "/people/group:{0}-team",
        "/runs?text={0}",
        "/v1/documents?source={0}-vault",
        "/v1/document?source={0}-vault&document={0}-files/{0}-bonus.md",
    ):
        real, none = (CHANGING.sub("", kept.get(path.format(word))) for word in (hers, made_up))
        assert real.replace(hers, made_up) == none, path
        assert "percent" not in real
    for question in ("What does {0} say?", "{0}"):
        answers = [
            json.loads(kept.post("/v1/ask", data={"question": question.format(w)})) for w in (hers, made_up)
        ]
        given = [{k: a[k] for k in ("status", "answer", "claims", "refusal")} for a in answers]
        assert json.dumps(given[0]).replace(hers, made_up) == json.dumps(given[1])


def test_the_server_s_own_words_tell_nothing_of_anybody(site: Site) -> None:
    for name in MARKS:
        kept = asked(site, name)
        kept.get(
            f"/document?source={MARKS[name]}-vault&document={quote(f'{MARKS[name]}-files/{MARKS[name]}-bonus.md')}"
        )
    olga = site.visitor("olga")
    metrics = olga.request.get("/metrics")
    assert metrics.ok
    said = [*site.server.said, site.server.counted(), metrics.text()]
    assert len(site.server.said) > 10
    assert 'route="/v1/ask"' in said[-2]
    for word in (*MARKS.values(), "bonus", "percent", "alice", "user:"):
        assert not [line for line in said if word in line.lower()], word
