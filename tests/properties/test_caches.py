"""What comes from memory is what would have been worked out: after any changes, in one process or in two.

Two processes have one workspace open: one remembers, the other keeps nothing. After each change somebody makes, everybody asks
both, twice, and is given the same, to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from affidavit import Workspace
from affidavit.app.erasure import Target
from affidavit.app.people import Entry
from affidavit.ask.caches import Kept, Memory
from affidavit.domain.errors import AffidavitError
from affidavit.domain.events import EventKind
from affidavit.ports.index import Feed
from affidavit.testing.embedder import HashEmbedder
from tests.properties.world import Crowd, make, opened, write_records

ACME = "acme"
PEOPLE = ("user:alice", "user:bob")
GROUPS = ("eng", "finance")
QUESTIONS = ("What is the merger budget?", "travel refund limit")
TEXTS = (
    "The merger budget is seven million and needs approval.",
    "The travel refund limit is ninety.",
    "The merger budget of travel is nine million.",
)
WHERE: dict[str, Any] = {"equals": ["year", 2021]}

Change = tuple[Any, ...]
CHANGES = st.one_of(
    st.tuples(
        st.just("put"), st.integers(0, 3), st.sampled_from(TEXTS), st.sampled_from((*GROUPS, "anyone"))
    ),
    st.tuples(st.just("delete"), st.integers(0, 3)),
    st.tuples(st.just("join"), st.sampled_from(PEOPLE), st.sampled_from(GROUPS)),
    st.tuples(st.just("leave"), st.sampled_from(PEOPLE), st.sampled_from(GROUPS)),
    st.tuples(st.just("nest"), st.sampled_from(GROUPS), st.sampled_from(GROUPS)),
    st.tuples(st.just("remove"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("erase"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("return"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("release"), st.integers(1, 6)),
    st.tuples(st.sampled_from(("kill", "revive"))),
    st.tuples(st.just("embedder"), st.sampled_from((4, 8))),
    st.tuples(st.just("forget"), st.integers(0, 3)),
)


BY = "operator:test"


class World:
    """A workspace, and two ways into it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._file = folder / "docs.jsonl"
        self._records: dict[int, dict[str, Any]] = {}
        self._put(0, TEXTS[0], "eng")
        crowd = Crowd(set(PEOPLE), {"group:eng": {"user:alice"}, "group:finance": {"user:bob"}})
        make(folder / "ws", {ACME: crowd}, {ACME: ("jsonl", self._file)})
        self.remembers = opened(folder / "ws", HashEmbedder())
        self.forgets = opened(folder / "ws", HashEmbedder())
        self.forgets._asker._caches = self.forgets._searcher._caches = None
        self._tenant = self.forgets.parts.tenant(ACME)
        self.forgets.sync("docs", ACME)
        self._earlier = self.forgets.parts.log.head()

    def close(self) -> None:
        self.remembers.close()
        self.forgets.close()

    def change(self, made: Change) -> None:
        """Make one change through the process that keeps nothing; what is impossible just now is left."""
        what, *of = made
        with suppress(AffidavitError):
            getattr(self, f"_{what}")(*of)

    def _put(self, n: int, text: str, group: str) -> None:
        about = {"acl": [group], "year": 2020 + n % 2, "owner": f"user:owner{n}"}
        self._records[n] = {"id": f"{n}.md", "title": f"Note {n}", "text": text, "metadata": about}
        self._sync()

    def _delete(self, n: int) -> None:
        self._records.pop(n, None)
        self._sync()

    def _sync(self) -> None:
        write_records(self._file, self._records.values())
        if hasattr(self, "forgets"):
            self.forgets.sync("docs", ACME)

    def _forget(self, n: int) -> None:
        self._delete(n)
        self.forgets.erasing.erase(self._tenant, Target("document", f"{n}.md", "docs"), BY, "asked")

    def _join(self, who: str, group: str) -> None:
        self.forgets.people.join(self._tenant, who, group)

    def _leave(self, who: str, group: str) -> None:
        self.forgets.people.leave(self._tenant, who, group)

    def _nest(self, inner: str, outer: str) -> None:
        self._join(f"group:{inner}", outer)

    def _remove(self, who: str) -> None:
        self.forgets.people.remove(self._tenant, who)

    def _erase(self, who: str) -> None:
        self.forgets.erasing.erase(self._tenant, Target("person", who), BY, "asked")

    def _return(self, who: str) -> None:
        self.forgets.load_people([Entry(who, frozenset({"group:eng"}))], ACME)

    def _kill(self) -> None:
        self.forgets.controls.kill(self._tenant, "source:docs", BY, "tried")

    def _revive(self) -> None:
        self.forgets.controls.revive(self._tenant, "source:docs", BY, "tried")

    def _release(self, k: int) -> None:
        for one in (self.remembers, self.forgets):
            before = one.parts.release()
            tried = replace(before, retrieval=replace(before.retrieval, k=k, pool=k + 2))
            one.parts.release = lambda tried=tried: tried  # type: ignore[method-assign,misc]

    def _embedder(self, dimensions: int) -> None:
        for one in (self.remembers, self.forgets):
            one.parts.embedder = one.parts.retriever.embedder = HashEmbedder(dimensions)

    def agree(self) -> None:
        """Everybody asks everything of both, now and as of an earlier moment; what is asked twice comes from memory."""
        for who in PEOPLE:
            for text in QUESTIONS:
                for as_of in (None, self._earlier):
                    for where in (None, WHERE) if as_of is None else (None,):
                        wanted = outcome(self.forgets, who, text, as_of, where)
                        for _ in range(2):
                            assert outcome(self.remembers, who, text, as_of, where) == wanted
        self._earlier = (self._earlier + self.forgets.parts.log.head()) // 2


def outcome(ws: Workspace, who: str, text: str, as_of: int | None, where: Any) -> str:
    """All that somebody is given: an answer and hits, or why not."""
    try:
        answer = ws.ask(text, who, ACME, as_of, where).given()
        hits = ws.search(text, who, 3, ACME, as_of, where).as_json()["hits"]
    except AffidavitError as error:
        return f"{error.code}: {error.message}"
    return json.dumps([{**answer, "release": ""}, hits])


def tried(folder: Path, changes: Sequence[Change]) -> None:
    with closing(World(folder)) as world:
        world.agree()
        for change in changes:
            world.change(change)
            world.agree()


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[], Path]:
    numbers: Iterator[int] = count()
    return lambda: tmp_path / f"world{next(numbers)}"


BACK = [("erase", "user:alice"), ("return", "user:alice")]
STOPPED = [("kill",), ("revive",)]
MOVED = [("put", 1, TEXTS[2], "finance"), ("put", 1, TEXTS[2], "eng"), ("delete", 0)]
JOINED = [("join", "user:bob", "eng"), ("nest", "finance", "eng"), ("leave", "user:bob", "eng")]
NUMBERS = [("embedder", 4), ("put", 2, TEXTS[1], "anyone"), ("release", 1), ("embedder", 8), ("forget", 0)]
SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)


@settings(SETTINGS, max_examples=3)
@example(BACK)
@example(STOPPED)
@example(MOVED)
@example(JOINED)
@example(NUMBERS)
@given(st.lists(CHANGES, min_size=1, max_size=5))
def test_what_is_remembered_is_what_would_be_worked_out(
    folders: Callable[[], Path], changes: list[Change]
) -> None:
    tried(folders(), changes)


@pytest.mark.slow
@settings(SETTINGS, max_examples=80)
@given(st.lists(CHANGES, min_size=1, max_size=8))
def test_what_is_remembered_is_what_would_be_worked_out_at_length(
    folders: Callable[[], Path], changes: list[Change]
) -> None:
    tried(folders(), changes)


# -- that it can fail: each part of a key is needed


def _forgetful(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    if what == "head":
        known = Memory.result

        def result(self: Memory, feed: Any, scope: Any, *rest: Any) -> Any:
            class Still:
                fingerprint = feed.fingerprint

                def head(self) -> int:
                    return 0

            return known(self, cast(Feed, Still()), scope, *rest)

        monkeypatch.setattr(Memory, "result", result)
    else:
        monkeypatch.setattr("affidavit.store.people.People.version", lambda self, position: (0,))


@pytest.mark.parametrize(("what", "changes"), [("head", MOVED), ("people", JOINED), ("people", BACK)])
def test_a_key_that_leaves_something_out_is_noticed(
    what: str, changes: list[Change], folders: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _forgetful(monkeypatch, what)
    with pytest.raises(AssertionError):
        tried(folders(), changes)


# -- the record


def test_the_record_says_what_was_cached_and_replays_identically(folders: Callable[[], Path]) -> None:
    with closing(World(folders())) as world:
        ws = world.remembers
        runs = [ws.ask(QUESTIONS[0], "alice", ACME).run for _ in range(2)]
        runs.append(ws.search(QUESTIONS[0], "alice", 3, ACME).run)
        story = ws.runs.show(world._tenant, runs[1], None, audit=True)
        assert story["cached"] == ["scope", "embed", "retrieve", "score"]
        assert "cached" not in ws.runs.show(world._tenant, runs[1], "user:alice")
        finished = {e.run: ws.parts.events.body(e) for e in ws.parts.events.of_kind(EventKind.RUN_FINISHED)}
        assert [finished[run].get("cached") for run in runs] == [
            None,
            ["scope", "embed", "retrieve", "score"],
            ["scope", "embed", "retrieve"],
        ]


def test_a_run_from_memory_replays_identically_and_from_no_memory(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {"acl": ["anyone"]}
    write_records(tmp_path / "docs.jsonl", [{"id": "one", "text": TEXTS[0], "metadata": about}])
    workspace.load_people([Entry("user:alice", frozenset())])
    workspace.add_source("jsonl", tmp_path / "docs.jsonl", "docs")
    workspace.sync()
    runs = [workspace.ask(QUESTIONS[0], "alice").run for _ in range(2)]
    monkeypatch.setattr(Kept, "get", lambda *_: pytest.fail("a replay works everything out"))
    reports = list(workspace.replays.replay(workspace.parts.tenant(""), runs))
    assert [r.identical for r in reports] == [True, True]


def test_nothing_is_shared_between_people(folders: Callable[[], Path]) -> None:
    with closing(World(folders())) as world:
        ws = world.remembers
        world.change(("put", 0, TEXTS[0], "anyone"))
        ws.ask(QUESTIONS[0], "alice", ACME)
        run = ws.ask(QUESTIONS[0], "bob", ACME).run
        (end,) = (e for e in ws.parts.events.of_run(run) if e.kind is EventKind.RUN_FINISHED)
        assert "cached" not in ws.parts.events.body(end)


# -- bounded


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000)), max_size=60))
def test_it_never_holds_more_than_it_may(puts: list[tuple[int, int]]) -> None:
    kept: Kept[int] = Kept(5000)
    for key, size in puts:
        kept.put(key, size, size)
        assert 0 <= kept.bytes <= 5000
        found = kept.get(key)
        assert found is None or found in {s for k, s in puts if k == key}


def test_what_was_not_used_for_longest_goes_first() -> None:
    kept: Kept[str] = Kept(1300)
    for key in "ab":
        kept.put(key, key, 0)
    kept.get("a")
    kept.put("c", "c", 0)
    assert [kept.get(key) for key in "abc"] == ["a", None, "c"]
