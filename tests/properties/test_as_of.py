"""A question about the past sees what was visible then *and* is visible now, in the text of then."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit import Workspace
from affidavit.domain.errors import UnknownNameError, UsageError
from tests.properties.world import COMMON, TENANT, Crowd, Needs, Shown, listed, make, opened, write_records

ALICE, BOB = "user:alice", "user:bob"
USERS = (ALICE, BOB)
GROUPS = ("group:eng", "group:finance")
NAMES = ("a", "b", "c")
SETTINGS = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Document:
    """``life`` tells a document from an earlier one of the same name."""

    life: int
    mark: str
    acl: tuple[str, ...]

    def readable(self, everything: frozenset[str]) -> bool:
        return Needs(frozenset({frozenset(self.acl)})).met_by(everything)


State = dict[str, Document]


class History:
    """A workspace whose states are remembered: (position, documents, people)."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._file = base / "docs.jsonl"
        write_records(self._file, [])
        make(base / "template", {TENANT: Crowd(set(USERS))}, {TENANT: ("jsonl", self._file)})

    def begin(self) -> Workspace:
        shutil.rmtree(self._base / "ws", ignore_errors=True)
        shutil.copytree(self._base / "template", self._base / "ws")
        self.documents: State = {}
        self.crowd = Crowd(set(USERS), {group: set() for group in GROUPS})
        self.past: list[tuple[int, State, Crowd]] = []
        self._count = 0
        self.workspace = opened(self._base / "ws")
        return self.workspace

    def put(self, name: str, *acl: str) -> None:
        """Write a document anew. One that comes back before the next sync was never away."""
        self._count += 1
        synced = self.past[-1][1] if self.past else {}
        there = self.documents.get(name) or synced.get(name)
        life = there.life if there else self._count
        self.documents[name] = Document(life, f"mark{self._count}", acl)

    def share(self, name: str, *acl: str) -> None:
        if name in self.documents:
            self.documents[name] = Document(self.documents[name].life, self.documents[name].mark, acl)

    def join(self, who: str, group: str) -> None:
        self.workspace.people.join(self.workspace.parts.tenant(TENANT), who, group.removeprefix("group:"))
        self.crowd.members[group].add(who)

    def leave(self, who: str, group: str) -> None:
        with suppress(UnknownNameError):  # nobody was ever in it
            self.workspace.people.leave(
                self.workspace.parts.tenant(TENANT), who, group.removeprefix("group:")
            )
        self.crowd.members[group].discard(who)

    def dismiss(self, who: str) -> None:
        self.workspace.people.remove(self.workspace.parts.tenant(TENANT), who)
        self.crowd.known.discard(who)
        for members in self.crowd.members.values():
            members.discard(who)

    def hire(self, who: str) -> None:
        self.crowd.known.add(who)
        self.workspace.load_people(self.crowd.entries(), TENANT)

    def sync(self) -> int:
        """The position that knows all of this."""
        write_records(
            self._file,
            [
                {"id": name, "text": f"The {COMMON} says {d.mark}.", "metadata": {"acl": list(d.acl)}}
                for name, d in self.documents.items()
            ],
        )
        self.workspace.sync(tenant=TENANT)
        head = self.workspace.parts.log.head()
        self.past.append((head, dict(self.documents), self.crowd.copy()))
        return head

    def expected(self, who: str, then: State, crowd: Crowd) -> Shown:
        """By the reference: readable then by who they were then, readable now by who they are now, the same document."""
        before, now = crowd.is_all_of(who), self.crowd.is_all_of(who)
        return {
            (name, d.mark)
            for name, d in then.items()
            if d.readable(before)
            and name in self.documents
            and self.documents[name].life == d.life
            and self.documents[name].readable(now)
        }


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    yield History(tmp_path_factory.mktemp("history"))


acls = st.lists(st.sampled_from((*USERS, *GROUPS, "anyone")), max_size=2, unique=True).map(tuple)
names = st.sampled_from(NAMES)
changes = st.one_of(
    st.tuples(st.just("put"), names, acls),
    st.tuples(st.just("share"), names, acls),
    st.tuples(st.just("delete"), names, st.just(())),
    st.tuples(
        st.sampled_from(("join", "leave")),
        st.sampled_from(USERS),
        st.sampled_from(GROUPS).map(lambda g: (g,)),
    ),
    st.tuples(st.just("turn"), st.just(BOB), st.just(())),
)


def apply(history: History, change: tuple[str, str, tuple[str, ...]]) -> None:
    what, whom, rest = change
    match what:
        case "put":
            history.put(whom, *rest)
        case "share":
            history.share(whom, *rest)
        case "delete":
            history.documents.pop(whom, None)
        case "join" | "leave" if whom in history.crowd.known:
            (history.join if what == "join" else history.leave)(whom, *rest)
        case "turn":
            (history.dismiss if whom in history.crowd.known else history.hire)(whom)


@given(st.lists(st.lists(changes, min_size=1, max_size=3), min_size=2, max_size=7))
@settings(SETTINGS, max_examples=30)
def test_then_and_now(history: History, steps: list[list[tuple[str, str, tuple[str, ...]]]]) -> None:
    with history.begin() as workspace:
        history.put("a", "group:eng")
        history.put("b", "anyone")
        history.join(ALICE, "group:eng")
        history.sync()
        for step in steps:
            for change in step:
                apply(history, change)
            history.sync()
        for position, then, crowd in history.past:
            for who in USERS:
                if who in history.crowd.known:
                    assert listed(workspace, who, TENANT, position) == history.expected(who, then, crowd)
                else:
                    with pytest.raises(UnknownNameError):
                        listed(workspace, who, TENANT, position)


def test_an_old_text_is_for_those_who_could_read_it_then(history: History) -> None:
    with history.begin() as workspace:
        history.put("a", "user:bob")
        secret = history.sync()
        history.put("a", "anyone")
        public = history.sync()
        assert listed(workspace, ALICE) == {("a", "mark2")}
        assert listed(workspace, ALICE, as_of=public) == {("a", "mark2")}
        assert listed(workspace, ALICE, as_of=secret) == set()
        assert listed(workspace, BOB, as_of=secret) == {("a", "mark1")}
        assert (
            workspace.ask(f"What does the {COMMON} say?", ALICE, as_of=secret).given()["status"] == "refused"
        )
        answer = workspace.ask(f"What does the {COMMON} say?", BOB, as_of=secret).given()
        assert "mark1" in answer["answer"]
        assert "mark2" not in answer["answer"]


def test_what_was_taken_away_is_gone_from_the_past_too(history: History) -> None:
    with history.begin() as workspace:
        history.put("a", "group:eng")
        history.join(ALICE, "group:eng")
        open_to_alice = history.sync()
        history.leave(ALICE, "group:eng")
        assert listed(workspace, ALICE, as_of=open_to_alice) == set()
        history.join(ALICE, "group:eng")
        assert listed(workspace, ALICE, as_of=open_to_alice) == {("a", "mark1")}
        del history.documents["a"]
        history.sync()
        assert listed(workspace, ALICE, as_of=open_to_alice) == set()


def test_a_newcomer_has_no_past(history: History) -> None:
    with history.begin() as workspace:
        history.put("a", "anyone")
        history.dismiss(BOB)
        before = history.sync()
        history.hire(BOB)
        assert listed(workspace, BOB) == {("a", "mark1")}
        assert listed(workspace, BOB, as_of=before) == set()


def test_the_future_cannot_be_asked_about(history: History) -> None:
    with history.begin() as workspace:
        head = history.sync()
        for position in (head + 1000, -1):
            with pytest.raises(UsageError):
                listed(workspace, ALICE, as_of=position)
