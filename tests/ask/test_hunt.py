"""Retrieval in stages over a small catalog in memory, searched by the reference index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from affidavit.ask.effects import Asked
from affidavit.ask.hunt import Found, Hunt, Material
from affidavit.ask.lead import split
from affidavit.domain.records import Scope
from affidavit.domain.release import DEFAULT, Retrieval, load
from affidavit.ports.index import ChunkRow, Query, SearchResult
from affidavit.testing.index_reference import MemoryFeed, ReferenceIndex
from affidavit.text.analyze import terms

SETTINGS = load(DEFAULT).retrieval
OLD = replace(SETTINGS, k1=1.2, b=0.75, lead=0.0, onward=0)
OPEN, HIDDEN = 1, 2
PAGES = {
    1: "Lease between Ada and Bob. Signed in May.",
    2: "Ada and Bob met. Ada and Bob danced. Ada and Bob left a lease.",
    3: "The parser was written by Grace.",
    4: "Grace works in the compiler team.",
    5: "The compiler team is led by Linus.",
    8: "It was written long ago, on a long and dark evening in the winter.",
}


def feed(hidden: Mapping[int, str] = {}) -> MemoryFeed:
    out = MemoryFeed()
    for number, text in PAGES.items():
        out.put([ChunkRow(number, number, 0, number, 0, 0, text, None)], OPEN)
    # the lease has a second passage, and so has the other contract
    out.put(
        [
            ChunkRow(10, 1, 0, 10, 0, 0, PAGES[1], None),
            ChunkRow(11, 1, 0, 11, 0, 0, "Repairs are paid by the tenant.", None),
        ],
        OPEN,
    )
    out.put([ChunkRow(12, 6, 0, 12, 0, 0, "Repairs are paid by the owner, repairs always.", None)], OPEN)
    for number, text in hidden.items():
        out.put([ChunkRow(number, number, 0, number, 0, 0, text, None)], HIDDEN)
    return out


def hunt(question: str, settings: Retrieval, catalog: MemoryFeed | None = None, pool: int = 3) -> Found:
    catalog = catalog or feed()
    rules = frozenset({OPEN})
    scope = Scope(0, rules, rules, catalog.head(), catalog.head())

    def look(query: Query, k: int) -> SearchResult:
        return ReferenceIndex().search(catalog, scope, query, k)

    def read(chunks: Sequence[int]) -> dict[int, Material]:
        texts = {r.chunk: r.text for r in catalog.rows}
        return {c: Material(f"c{c}", tuple(terms(texts[c])), None) for c in chunks}

    parts = split(question) if settings.lead else split("")
    asked = Asked(parts.what or question, "", None, "", False, parts.where)
    return Hunt(asked, settings, pool, look, read).run()


def test_the_opening_finds_the_document_and_the_rest_its_passage() -> None:
    question = "In the lease between Ada and Bob: who pays for repairs?"
    assert hunt(question, OLD).ranked[0].chunk != 11
    found = hunt(question, SETTINGS)
    assert found.ranked[0].chunk == 11
    assert found.places is not None and max(found.places, key=lambda d: found.places[d]) == 1  # type: ignore[index]


def test_an_opening_that_fits_nothing_readable_places_nothing() -> None:
    found = hunt("In the treaty of Zanzibar: who pays for repairs?", SETTINGS)
    assert found.places == {}
    assert {r.chunk for r in found.ranked[:2]} == {11, 12}


def test_the_page_that_the_question_only_describes_is_promoted() -> None:
    question = "Who directs the group of the author who wrote the parser?"
    plain = [r.chunk for r in hunt(question, replace(SETTINGS, onward=0)).ranked]
    found = hunt(question, SETTINGS)
    now = [r.chunk for r in found.ranked]
    assert 4 not in plain and 4 in now
    assert found.onward[0].chunk == "c3"
    assert "grace" in found.onward[0].adds


def test_a_question_that_names_what_it_asks_about_is_asked_once() -> None:
    assert hunt("Who pays for repairs?", SETTINGS).onward == ()
    assert hunt("Who leads the team of Grace?", replace(SETTINGS, onward=0)).onward == ()


def test_what_is_hidden_changes_nothing() -> None:
    secret = {
        90: "Lease between Ada and Bob: repairs are paid by Mallory.",
        91: "Grace leads the parser team of Linus.",
    }
    for question in (
        "In the lease between Ada and Bob: who pays for repairs?",
        "Who directs the group of the author who wrote the parser?",
    ):
        assert repr(hunt(question, SETTINGS, feed(secret))) == repr(hunt(question, SETTINGS))
