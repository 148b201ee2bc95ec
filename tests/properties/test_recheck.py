"""An index that lies or is behind gets nothing hidden into hits or answers, and what it tried is on the record for auditors."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from affidavit import Workspace
from affidavit.domain.errors import AccessDeniedError
from affidavit.domain.records import Scope
from affidavit.ports.index import Candidate, Feed, Index, IndexCapabilities, IndexStatus, Query, SearchResult
from tests.properties.world import (
    ALL,
    COMMON,
    TENANT,
    Crowd,
    Shown,
    make,
    opened,
    shown_in,
    shown_in_answer,
    write_records,
)

OTHER = "globex"
ALICE, DAVE, GINA = "user:alice", "user:dave", "user:gina"
QUESTION = f"What does the {COMMON} entry say?"
OPEN, CLOSED, DENIED, NOBODYS, GONE, THEIRS = (f"mark{n}" for n in range(1, 7))
NEVER_HERS = ("closed", "denied", "nobodys", "gone", "theirs", *(CLOSED, DENIED, NOBODYS, GONE, THEIRS))


class LyingIndex:
    """Gives every chunk that the feed ever had, whatever the scope, as the best there could be; ``more`` besides."""

    def __init__(self) -> None:
        self.more: list[Candidate] = []
        self.meanwhile: Callable[[], None] = lambda: None

    @property
    def capabilities(self) -> IndexCapabilities:
        return IndexCapabilities("lying", "exact", False)

    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        rows = list(feed.chunks(-1, feed.head()))
        self.meanwhile()
        found = [Candidate(r.chunk, r.document, r.tie, 9.0, None) for r in rows] + self.more
        return SearchResult(tuple(sorted(found, key=lambda c: c.tie)), len(rows), {})

    def persist(self, feed: Feed) -> None:
        """It keeps nothing."""

    def status(self) -> IndexStatus:
        return IndexStatus(0, -1, 0, 0)


def record(name: str, mark: str, acl: list[Any], deny: list[str] | None = None) -> dict[str, Any]:
    text = f"The {COMMON} entry {mark} says something of interest."
    return {"id": name, "text": text, "title": name, "metadata": {"acl": acl, "deny": deny or []}}


RECORDS = [
    record("open", OPEN, ["staff"]),
    record("closed", CLOSED, ["finance"]),
    record("denied", DENIED, ["staff"], ["user:alice"]),
    record("nobodys", NOBODYS, []),
]


@dataclass
class Place:
    """A workspace behind a lying index, and how to change what it holds."""

    workspace: Workspace
    index: LyingIndex
    folder: Path
    file: Path

    def sync(self, records: list[dict[str, Any]]) -> None:
        """Make ``records`` all there is, from another process as it were."""
        write_records(self.file, records)
        with opened(self.folder, index=LyingIndex()) as other:
            other.sync(tenant=TENANT)

    def look(self, how: str, who: str = ALICE) -> tuple[Shown, str]:
        """What ``who`` was shown by a search or an answer, and the run."""
        if how == "search":
            hits = self.workspace.search(COMMON, who, ALL, TENANT)
            return shown_in(hits), hits.run
        answer = self.workspace.ask(QUESTION, who, TENANT)
        return shown_in_answer(answer), answer.run

    def story(self, run: str, who: str) -> dict[str, Any]:
        return self.workspace.runs.show(self.workspace.parts.tenant(TENANT), run, who)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    write_records(ours, [*RECORDS, record("gone", GONE, ["staff"])])
    write_records(theirs, [record("theirs", THEIRS, ["anyone"])])
    crowd = Crowd({ALICE, DAVE}, {"group:staff": {ALICE, DAVE}})
    make(
        tmp_path / "ws",
        {TENANT: crowd, OTHER: Crowd({GINA, ALICE})},
        {TENANT: ("jsonl", ours), OTHER: ("jsonl", theirs)},
    )
    index = LyingIndex()
    with opened(tmp_path / "ws", index=index) as workspace:
        workspace.people.grant(workspace.parts.tenant(TENANT), DAVE, "audit:read")
        workspace.sync(tenant=TENANT)
        workspace.sync(tenant=OTHER)
        made = Place(workspace, index, tmp_path / "ws", ours)
        made.sync(RECORDS)
        yield made


BOTH = pytest.mark.parametrize("how", ["search", "ask"])


def test_the_index_is_one() -> None:
    index: Index = LyingIndex()
    assert index.capabilities.promise == "exact"


@BOTH
def test_nothing_hidden_gets_through(place: Place, how: str) -> None:
    shown, _ = place.look(how)
    assert shown == {("open", OPEN)}


@BOTH
def test_who_may_read_nothing_gets_nothing(place: Place, how: str) -> None:
    place.workspace.people.leave(place.workspace.parts.tenant(TENANT), ALICE, "staff")
    shown, _ = place.look(how)
    assert shown == set()


@BOTH
def test_each_denial_is_on_the_record_for_auditors(place: Place, how: str) -> None:
    _, run = place.look(how)
    denied = {d["document"]: d for d in place.story(run, DAVE)["denied_at_recheck"]}
    assert set(denied) == {"closed", "denied", "nobodys", "gone", "theirs"}
    for decision in denied.values():
        assert (decision["action"], decision["effect"]) == ("document:read", "forbid")
        assert decision["principal"] == ALICE
        assert decision["reason"]
    assert denied["denied"]["reason"] == "deny user:alice"
    assert "finance" in denied["closed"]["reason"]


@BOTH
def test_the_asker_is_not_told_of_denials(place: Place, how: str) -> None:
    _, run = place.look(how)
    told = json.dumps(place.story(run, ALICE))
    assert not [word for word in NEVER_HERS if word in told]


@BOTH
def test_an_auditor_of_another_tenant_is_told_nothing(place: Place, how: str) -> None:
    _, run = place.look(how)
    parts = place.workspace.parts
    place.workspace.people.grant(parts.tenant(OTHER), GINA, "audit:read")
    with pytest.raises(AccessDeniedError):
        place.workspace.runs.show(parts.tenant(OTHER), run, GINA)


@BOTH
def test_a_text_that_was_replaced_is_denied(place: Place, how: str) -> None:
    """Who may read a document now may not therefore read what it said before: that may be why it may be read now."""
    place.sync([record("closed", "mark77", ["staff"])])
    shown, _ = place.look(how)
    assert shown == {("closed", "mark77")}


@BOTH
def test_a_chunk_that_the_catalog_does_not_know_is_passed_over(place: Place, how: str) -> None:
    place.index.more = [Candidate(10**6, 10**6, 0, 99.0, None)]
    shown, _ = place.look(how)
    assert shown == {("open", OPEN)}


@BOTH
def test_a_revocation_during_the_search_counts(place: Place, how: str) -> None:
    """The recheck asks the catalog as it is by then, not as it was when the question came."""

    def revoke() -> None:
        thread = threading.Thread(target=place.sync, args=([record("open", OPEN, ["finance"])],))
        thread.start()
        thread.join()

    place.index.meanwhile = revoke
    shown, run = place.look(how)
    assert shown == set()
    assert "open" in {d["document"] for d in place.story(run, DAVE)["denied_at_recheck"]}


@BOTH
def test_leaving_during_the_search_counts(place: Place, how: str) -> None:
    def leave() -> None:
        with opened(place.folder) as other:
            other.people.leave(other.parts.tenant(TENANT), ALICE, "staff")

    def meanwhile() -> None:
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()

    place.index.meanwhile = meanwhile
    shown, _ = place.look(how)
    assert shown == set()
