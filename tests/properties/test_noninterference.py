"""What a person is given is a function of what they may read and of the release, and of nothing else, to the byte.

Two worlds are built whose readable documents are equal and whose hidden ones differ at random. The same comparison made over
FTS5's own ``bm25()`` fails, which shows that it can.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from affidavit import Workspace
from affidavit.domain.canonical import Json
from affidavit.domain.errors import UsageError
from affidavit.domain.release import Calibration
from affidavit.ports.embedder import Embedder
from affidavit.ports.index import Index
from affidavit.testing.embedder import HashEmbedder
from tests.properties.fts5 import Fts5Index
from tests.properties.world import Crowd, Needs, make, opened, write_records

ACME, GLOBEX = "acme", "globex"
GROUPS = ("eng", "finance", "people", "security")
CROWD = Crowd(
    {"user:alice", "user:bob", "user:carol", "user:mallory"},
    {
        "group:eng": {"user:alice"},
        "group:finance": {"user:bob", "group:people"},
        "group:people": {"user:carol"},
        "group:staff": {"group:eng", "group:finance"},
    },
)
PEOPLE = sorted(CROWD.known)
WORDS = tuple(
    "budget travel refund limit approval server outage pension salary merger invoice holiday".split()
)
ANSWER = "The merger budget is seven million and needs approval."
QUESTIONS = (
    "What is the merger budget?",
    "Who approves travel refunds above the limit?",
    "outage server holiday pension",
    "zanzibar",
    "In the notes on travel: what is the limit of a refund?",
    "Who approves the budget of the merger that the invoice names?",
)

Record = dict[str, Any]
SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)


@st.composite
def records(draw: st.DrawFn, name: str) -> Record:
    """A document of a few sentences or of several chunks, over few words, so that documents share many."""
    sentence = st.lists(st.sampled_from(WORDS), min_size=3, max_size=9).map(
        lambda w: "The " + " ".join(w) + "."
    )
    text = " ".join(draw(st.lists(sentence | st.just(ANSWER), min_size=1, max_size=5)))
    if draw(st.integers(0, 4)) == 0:
        text = "\n\n".join(
            f"# Part {n}\n\n{text} Part {n} ends here." for n in range(draw(st.integers(4, 20)))
        )
    layer = st.lists(st.sampled_from((*GROUPS, "staff")), min_size=1, max_size=2, unique=True)
    return {
        "id": name,
        "title": draw(st.sampled_from(("", "Budget", "Zanzibar merger", "Notes on travel"))),
        "text": text,
        "metadata": {
            "acl": draw(st.lists(layer, min_size=1, max_size=2) | st.just([["anyone"]])),
            "deny": draw(st.sampled_from(([], [], [], ["eng"], ["user:carol"]))),
            "media_type": "text/markdown",
            "year": draw(st.integers(2020, 2023)),
            "owner": draw(st.sampled_from(("", "user:olga", "group:payroll"))),
            "deprecated": draw(st.sampled_from((False, False, True))),
        },
    }


def documents(prefix: str, most: int) -> st.SearchStrategy[list[Record]]:
    """Documents whose names sort before and after those of other lists."""
    names = st.lists(st.integers(0, 60), max_size=most, unique=True)
    return names.flatmap(lambda ns: st.tuples(*(records(f"{prefix}{n:02}.md") for n in ns))).map(list)


def readable(record: Record, who: str) -> bool:
    """By the reference."""

    def named(name: str) -> str:
        return name if name == "anyone" or ":" in name else f"group:{name}"

    about = record["metadata"]
    layers = frozenset(frozenset(map(named, layer)) for layer in about["acl"])
    return Needs(layers, frozenset(map(named, about["deny"]))).met_by(CROWD.is_all_of(who))


def opened_to(record: Record, who: str) -> Record:
    """``record``, or if ``who`` may not read it the same for anyone."""
    if readable(record, who):
        return record
    return {**record, "metadata": {**record["metadata"], "acl": [["anyone"]], "deny": []}}


@dataclass(frozen=True)
class Hidden:
    """What somebody may not read, over time: after each of ``states`` there is a sync. ``abroad`` is of another tenant;
    ``first``: the first state is there before the readable documents."""

    states: Sequence[Sequence[Record]] = ((),)
    abroad: Sequence[Record] = ()
    first: bool = False


NOTHING_HIDDEN = Hidden()


def hidden_from(who: str) -> st.SearchStrategy[Hidden]:
    state = documents("h", 5).map(lambda rs: [r for r in rs if not readable(r, who)])
    return st.builds(
        Hidden, st.lists(state, min_size=1, max_size=3).map(tuple), documents("g", 3), st.booleans()
    )


class Workshop:
    """Builds worlds at one and the same place, since a hit names its location."""

    def __init__(
        self, base: Path, embedder: Embedder | None = None, index: Callable[[], Index] | None = None
    ) -> None:
        self._base = base
        self._embedder = embedder
        self._index = index
        base.mkdir()
        for tenant in (ACME, GLOBEX):
            write_records(self._file(tenant), [])
        sources = {tenant: ("jsonl", self._file(tenant)) for tenant in (ACME, GLOBEX)}
        make(base / "template", {ACME: CROWD, GLOBEX: CROWD}, sources)

    def _file(self, tenant: str) -> Path:
        return self._base / f"{tenant}.jsonl"

    def build(self, shared: list[Record], hidden: Hidden = NOTHING_HIDDEN) -> Workspace:
        """A world in which ``shared`` and the last of the hidden states can be found."""
        shutil.rmtree(self._base / "ws", ignore_errors=True)
        shutil.copytree(self._base / "template", self._base / "ws")
        index = None if self._index is None else self._index()
        workspace = opened(self._base / "ws", self._embedder, index, CHOOSY)
        self.write(workspace, hidden.states[0] if hidden.first else shared)
        for state in hidden.states:
            self.write(workspace, [*state, *shared])
        self.write(workspace, hidden.abroad, GLOBEX)
        return workspace

    def write(self, workspace: Workspace, records: Sequence[Record], tenant: str = ACME) -> None:
        """Make ``records`` all that there is in a tenant."""
        write_records(self._file(tenant), records)
        workspace.sync(tenant=tenant)


def outlook(workspace: Workspace, who: str) -> str:
    """Everything that ``who`` is given, down to the last bit of every score."""
    out: list[Any] = []
    looks: tuple[tuple[int, bool, Json], ...] = ((200, True, None), (2, False, None), (3, True, _RECENT))
    for question in QUESTIONS:
        for k, chunks, where in looks:
            hits = workspace.search(question, who, k, ACME, where=where, chunks=chunks)
            given = hits.as_json()
            del given["run"], given["position"]
            scores = [(h.ranked.score, h.ranked.keyword, h.ranked.dense) for h in hits.hits]
            out += [given, repr(scores)]
        answer = workspace.ask(question, who, ACME)
        out += [answer.given(), _story(workspace, answer.run, who)]
    return json.dumps(out, indent=1)


# Features of every kind count, and about half of the questions are refused.
CHOOSY = Calibration(
    -2.0, {"sentence_coverage": 1.5, "keyword": 1.0, "maxsim": 1.0, "dense_gap": 0.5, "fused_gap": 0.2}, 0.5
)
_RECENT: Json = {"range": ["year", 2021, 2022]}


def _story(workspace: Workspace, run: str, who: str) -> dict[str, Any]:
    """The run as the asker may look it up later."""
    story = workspace.runs.show(workspace.parts.tenant(ACME), run, who)
    return {k: v for k, v in story.items() if k not in ("run", "position")}


@pytest.mark.parametrize("dense", [False, True], ids=["keyword", "dense"])
@pytest.mark.parametrize("who", PEOPLE)
def test_what_is_hidden_changes_nothing(who: str, dense: bool, tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "world", HashEmbedder() if dense else None)

    @settings(SETTINGS, max_examples=6)
    @given(documents("m", 7), hidden_from(who), hidden_from(who))
    def check(shared: list[Record], one: Hidden, other: Hidden) -> None:
        shared = [opened_to(r, who) for r in shared]
        with workshop.build(shared, one) as workspace:
            first = outlook(workspace, who)
        with workshop.build(shared, other) as workspace:
            assert outlook(workspace, who) == first

    check()


@pytest.mark.parametrize("dense", [False, True], ids=["keyword", "dense"])
def test_changing_what_is_hidden_changes_nothing(dense: bool, tmp_path: Path) -> None:
    """Within one workspace: each person's view stays as it is while what they may not read comes, changes and goes."""
    workshop = Workshop(tmp_path / "world", HashEmbedder() if dense else None)

    @settings(SETTINGS, max_examples=8)
    @given(documents("m", 7), st.sampled_from(PEOPLE), st.data())
    def check(records: list[Record], who: str, data: st.DataObject) -> None:
        with workshop.build(records) as workspace:
            before = outlook(workspace, who)
            mine = [r for r in records if readable(r, who)]
            for state in data.draw(hidden_from(who)).states:
                workshop.write(workspace, [*state, *mine])
                assert outlook(workspace, who) == before
            workshop.write(workspace, data.draw(documents("g", 4)), GLOBEX)
            assert outlook(workspace, who) == before

    check()


def test_who_else_is_where_changes_nothing(tmp_path: Path) -> None:
    """Other people's memberships, and rules nobody uses any more, are not seen either."""
    workshop = Workshop(tmp_path / "world", HashEmbedder())

    @settings(SETTINGS, max_examples=8)
    @given(documents("m", 6), st.lists(st.sampled_from(("user:bob", "user:carol")), max_size=3))
    def check(records: list[Record], movers: list[str]) -> None:
        with workshop.build(records) as workspace:
            before = outlook(workspace, "user:alice")
            for n, who in enumerate(movers):
                (workspace.people.join, workspace.people.leave)[n % 2](
                    workspace.parts.tenant(ACME), who, GROUPS[n]
                )
            assert outlook(workspace, "user:alice") == before

    check()


# -- the same comparison can fail


def test_the_same_comparison_over_bm25_of_fts5_fails(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "fts5", index=Fts5Index)
    who = "user:alice"

    def differs(worlds: tuple[list[Record], Hidden, Hidden]) -> bool:
        shared = [opened_to(r, who) for r in worlds[0]]
        views = []
        for hidden in worlds[1:]:
            with workshop.build(shared, hidden) as workspace:
                views.append(outlook(workspace, who))
        return views[0] != views[1]

    worlds = st.tuples(documents("m", 7), hidden_from(who), hidden_from(who))
    once = settings(SETTINGS, max_examples=30, phases=(Phase.generate,))
    shared, one, other = find(worlds, differs, settings=once)
    assert not differs((shared, one, one))  # it is the hidden documents that made the difference
    with pytest.raises(NoSuchExample):  # our own index makes none of those two worlds
        workshop = Workshop(tmp_path / "world")
        find(st.just((shared, one, other)), differs, settings=once)


# -- denied is like absent

SECRET = {
    "id": "secret.md",
    "title": "Project Zanzibar",
    "text": "# Project Zanzibar\n\nThe zanzibar codeword is heliotrope and its price is seven million.\n",
    "metadata": {"acl": [["security"]], "media_type": "text/markdown"},
}
PLAIN = {
    "id": "plain.md",
    "title": "Travel",
    "text": "# Travel\n\nTravel refunds are paid within thirty days of the invoice.\n",
    "metadata": {"acl": [["staff"]], "media_type": "text/markdown"},
}


@pytest.mark.parametrize("who", PEOPLE)
def test_the_refusal_for_a_hidden_answer_is_that_for_none(who: str, tmp_path: Path) -> None:
    """The name of what is hidden is refused exactly as a name that is nowhere."""
    with Workshop(tmp_path / "world").build([PLAIN, SECRET]) as workspace:
        hidden = workspace.ask("zanzibar heliotrope?", who, ACME).given()
        nowhere = workspace.ask("quagga gamboge?", who, ACME).given()
        assert hidden["status"] == "refused"
        assert hidden["refusal"]["missing"] == ["zanzibar", "heliotrope"]  # the asker's own words
        said = json.dumps(hidden).replace("zanzibar", "quagga").replace("heliotrope", "gamboge")
        assert said == json.dumps(nowhere)


@pytest.mark.parametrize("dense", [False, True], ids=["keyword", "dense"])
@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize(
    "question", ["What is the zanzibar codeword?", "heliotrope", "price of travel refunds"]
)
def test_a_hidden_answer_is_as_no_answer(question: str, who: str, dense: bool, tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "world", HashEmbedder() if dense else None)
    given = []
    for documents in ([PLAIN], [PLAIN, SECRET], [SECRET, PLAIN]):
        with workshop.build(documents) as workspace:
            given.append(json.dumps(workspace.ask(question, who, ACME).given()))
    assert given[1:] == given[:1] * 2
    assert "heliotrope" not in given[0] or "heliotrope" in question  # a refusal names the asker's own words


@pytest.mark.parametrize("stranger", ["user:nobody", "group:none", "user:secret.md"])
def test_a_stranger_is_told_the_same_whatever_there_is(stranger: str, tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "world")
    told = set()
    for documents in ([], [PLAIN, SECRET]):
        with workshop.build(documents) as workspace:
            for ask in (workspace.ask, workspace.search):
                with pytest.raises(UsageError) as error:
                    ask("zanzibar", stranger, tenant=ACME)
                told.add((type(error.value), str(error.value)))
    assert len(told) == 1


def test_a_hidden_document_that_cannot_be_embedded_changes_nothing(tmp_path: Path) -> None:
    """An endpoint may reject one text; that must not take the vectors of others with it."""
    workshop = Workshop(tmp_path / "world", HashEmbedder(refuses="heliotrope"))
    views = []
    for documents in ([PLAIN], [PLAIN, SECRET]):
        with workshop.build(documents) as workspace:
            views.append(outlook(workspace, "user:alice"))
    assert views[0] == views[1]
