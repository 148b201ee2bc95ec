"""Operations: questions and searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from pydantic import Field, JsonValue

from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation
from affidavit.app.operations.places import Places
from affidavit.app.workspace import Workspace
from affidavit.ask.giving import OnClaim
from affidavit.ask.searcher import MOST
from affidavit.domain import answer as answers
from affidavit.domain.canonical import Json

LONGEST_QUESTION = 20_000


class Question(Asked):
    question: str = Field(min_length=1, max_length=LONGEST_QUESTION, description="In any words.")
    as_of: str = Field(
        "", max_length=40, description="As things stood at a log position or an ISO 8601 time."
    )
    where: JsonValue = Field(
        None, description='A filter on metadata, for example {"equals": ["source", "wiki"]}.'
    )


class AskInput(Question):
    follows: str = Field(
        "", max_length=64, description="An earlier run of yours that this question goes on from."
    )
    act: str = Field(
        "",
        max_length=64,
        description="Call tools that the release allows for this feature. Empty: only answer.",
    )


class SearchInput(Question):
    k: int = Field(10, ge=1, le=MOST, description="How many hits at most.")
    chunks: bool = Field(True, description="Passages; false: the best passage of each document.")


class Citation(Given):
    source: str
    document: str
    revision: str
    chunk: str
    start: int = Field(description="Offset of the quote into the revision's text, in characters.")
    end: int
    quote: str
    title: str
    location: str
    indexed_at: str
    permitted_by: str = Field(description="The entries of the access rule that let you read it.")
    rank: int
    stale: bool


class Claim(Given):
    text: str
    citations: list[Citation]
    overrules: list[Citation] = Field(default_factory=list)


class Refusal(Given):
    reason: str
    message: str
    next_steps: list[str]


class Answer(Given):
    run: str = Field(description="The record of this question; show it, replay it, export it.")
    position: int
    status: Literal["answered", "refused", "waiting", "failed"]
    answer: str
    claims: list[Claim]
    refusal: Refusal | None = None
    release: str
    model: str | None = None
    understood: str = ""
    incomplete: str = ""
    actions: list[dict[str, JsonValue]] = Field(default_factory=list)
    timings: dict[str, int] = Field(default_factory=dict, description="Microseconds for each step.")
    cost: dict[str, JsonValue] | None = None


class Hit(Given):
    rank: int
    score: float
    keyword: float
    dense: float | None
    source: str
    document: str
    revision: str
    chunk: str
    start: int
    end: int
    title: str
    path: list[str]
    text: str
    location: str
    indexed_at: str
    permitted_by: str


class Hits(Given):
    run: str
    position: int
    query: str
    degraded: str | None
    hits: list[Hit]


def ask(ws: Workspace, caller: Caller, asked: AskInput) -> dict[str, Any]:
    return stream(ws, caller, asked, None)


def stream(ws: Workspace, caller: Caller, asked: AskInput, on_claim: OnClaim | None) -> dict[str, Any]:
    """The answer; ``on_claim`` is told each claim as it becomes durable, without the server's own paths."""
    if on_claim is not None:
        on_claim = _hiding(Places(ws, caller.tenant), on_claim)
    if asked.act:
        return ws.act(
            asked.question, caller.principal, asked.act, caller.tenant.name, caller.run, caller.by
        ).as_json()
    as_of = ws.position(asked.as_of) if asked.as_of else None
    return ws.ask(
        asked.question,
        caller.principal,
        caller.tenant.name,
        as_of,
        cast("Json", asked.where),
        asked.follows,
        on_claim,
        caller.run,
        caller.by,
    ).as_json()


def _hiding(places: Places, on_claim: OnClaim) -> OnClaim:
    def shown(cited: Sequence[answers.Citation]) -> tuple[answers.Citation, ...]:
        return tuple(replace(one, location=places.hidden(one.location)) for one in cited)

    def tell(given: answers.GivenClaim) -> None:
        claim = given.claim
        hidden = replace(claim, citations=shown(claim.citations), overrules=shown(claim.overrules))
        on_claim(replace(given, claim=hidden))

    return tell


def search(ws: Workspace, caller: Caller, asked: SearchInput) -> dict[str, Any]:
    as_of = ws.position(asked.as_of) if asked.as_of else None
    return ws.search(
        asked.question,
        caller.principal,
        asked.k,
        caller.tenant.name,
        as_of,
        cast("Json", asked.where),
        chunks=asked.chunks,
        run=caller.run,
        by=caller.by,
    ).as_json()


QUESTIONS = (
    Operation(
        "questions.ask",
        "question:ask",
        Method.ASK,
        "/ask",
        "Answer a question with citations, or refuse. On the record before it returns.",
        AskInput,
        Answer,
        ask,
        {"question": "How many days of annual leave do I have?"},
        changes=True,
        mcp=True,
        command="ask",
        makes_run=True,
        parts=stream,
    ),
    Operation(
        "questions.search",
        "question:ask",
        Method.ASK,
        "/search",
        "Find the passages that you may read and that fit best.",
        SearchInput,
        Hits,
        search,
        {"question": "annual leave", "k": 5},
        changes=True,
        mcp=True,
        command="search",
        makes_run=True,
    ),
)
