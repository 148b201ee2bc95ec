"""Evaluations of retrieval: judged questions asked as a person, measured at documents or passages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affidavit.domain.canonical import digest
from affidavit.domain.errors import UsageError
from affidavit.evals.compared import Evaluation
from affidavit.evals.judged import Judged
from affidavit.evals.measure import DEFAULT_MEASURES, per_question

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

DOCUMENT, CHUNK = "document", "chunk"
LEVELS = (DOCUMENT, CHUNK)


@dataclass(frozen=True)
class Orders:
    """How to evaluate. ``user`` asks where a question does not say who does; ``k``: how many are retrieved for each question."""

    user: str
    level: str = DOCUMENT
    measures: Sequence[str] = DEFAULT_MEASURES
    k: int = 100
    tenant: str = ""


class EvalDesk:
    """Measures the workspace's own retrieval, through the same search as everybody's: every question is on the log."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def retrieval(
        self, judged: Judged, orders: Orders, progress: Callable[[], None] = lambda: None
    ) -> Evaluation:
        """Ask every judged question and measure what is found.

        At the level of passages one is right if it overlaps a span that answers. Raises UsageError where there is nothing to
        measure.
        """
        if orders.level not in LEVELS:
            raise UsageError(f"level {orders.level!r}", f"one of {', '.join(LEVELS)}")
        judged = judged.only_judged()
        if orders.level == CHUNK and not judged.spans:
            raise UsageError("passages are judged by spans, and there are none", "add --spans FILE")
        if not judged.questions:
            raise UsageError("no question has a judgement", "do the ids of questions and judgements agree?")
        ws = self._workspace
        asked = [ws.question(q.text, q.who or orders.user, orders.tenant) for q in judged.questions]
        chunks = orders.level == CHUNK
        hits = ws.search_batch(asked, orders.k, chunks=chunks, progress=progress)
        found = {
            q.id: [h.chunk if chunks else h.view.name for h in one.hits]
            for q, one in zip(judged.questions, hits, strict=True)
        }
        right = dict(self._right_chunks(judged, orders.tenant)) if chunks else judged.documents
        status = ws.status()
        about: dict[str, Any] = {
            "level": orders.level,
            "as": orders.user,
            "release": ws.parts.release().digest,
            "embedder": status["embedder_name"],
            "position": ws.parts.log.head(),
            "judgements": _digest(judged),
        }
        values = per_question(found, right, orders.measures)
        return Evaluation(about, {q.id: q.text for q in judged.questions}, values, found)

    def _right_chunks(self, judged: Judged, tenant: str) -> Iterator[tuple[str, Mapping[str, int]]]:
        """The chunks that overlap a span, of each question."""
        parts = self._workspace.parts
        of = parts.tenant(tenant).id
        names = sorted({name for spans in judged.spans.values() for name, _, _ in spans})
        with parts.database.read():
            chunks = {name: parts.catalog.chunks_of(of, name) for name in names}
        for question, spans in judged.spans.items():
            yield (
                question,
                {
                    chunk: 1
                    for name, start, end in spans
                    for chunk, first, stop in chunks[name]
                    if first < end and start < stop
                },
            )


def _digest(judged: Judged) -> str:
    """What was judged, by content: a baseline is comparable on the same only."""
    return digest(
        [
            [[q.id, q.text, q.who] for q in judged.questions],
            {q: dict(grades) for q, grades in judged.documents.items()},
            {q: [list(span) for span in spans] for q, spans in judged.spans.items()},
        ]
    )
