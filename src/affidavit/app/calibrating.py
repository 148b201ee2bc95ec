"""Refits the verdict "enough to answer" on a workspace's own judged questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from affidavit.ask.asker import Question
from affidavit.ask.effects import Scores, embed_question, score_sentences
from affidavit.ask.evidence import gather
from affidavit.ask.retrieve import choose_passages
from affidavit.domain.release import Release
from affidavit.evals.fitting import Example, Fitted, fit
from affidavit.evals.judged import Judged
from affidavit.runs.recorder import Run

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace


@dataclass(frozen=True)
class Calibrated:
    """``release``: the serving release's content with the model in it. ``kind``: which of its calibrations that is."""

    release: Mapping[str, Any]
    kind: str
    fitted: Fitted
    examples: int


class CalibrationDesk:
    """Each judged question is weighed twice: as it is, and as if the documents that answer were not there.

    No answer is made and nothing is given but the model, so nothing goes on the log.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def calibrate(
        self,
        judged: Judged,
        user: str,
        tenant: str = "",
        progress: Callable[[], None] = lambda: None,
        refuse: float | None = None,
    ) -> Calibrated:
        """Fit on half of the questions, judge on the other half. ``user`` asks where a question does not say who does.
        ``refuse``: the share to be refused of what cannot be answered; None balances both kinds of mistakes.

        Raises UsageError for too few questions.
        """
        ws = self._workspace
        release = ws.parts.release()
        kind = "keyword_only" if ws.parts.retriever.serving()[0] is None else "dense"
        names = list((release.dense if kind == "dense" else release.keyword_only).weights)
        examples: list[Example] = []
        for asked in judged.only_judged().questions:
            right = {d for d, grade in judged.documents[asked.id].items() if grade > 0}
            question = ws.question(asked.text, asked.who or user, tenant)
            without = self._documents(question.tenant, right)
            for left_out in (frozenset[int](), without):
                found = weigh(ws, question, release, left_out)
                examples.append(Example(asked.id, found, not left_out))
            progress()
        fitted = fit(examples, names, refuse)
        content = json.loads(json.dumps(release.content))
        content["suffice"][kind] = fitted.content()
        return Calibrated(content, kind, fitted, len(examples))

    def _documents(self, tenant: int, names: Set[str]) -> frozenset[int]:
        with self._workspace.parts.database.read():
            return frozenset(
                id for id, _, name in self._workspace.parts.catalog.documents(tenant) if name in names
            )


def weigh(
    ws: Workspace, question: Question, release: Release, without: Set[int] = frozenset()
) -> dict[str, float]:
    """The features that ``ask`` would weigh, up to and without the verdict, as if the documents ``without`` were not there."""
    retriever = ws.parts.retriever
    run = Run("", question.tenant, "ask", release.digest)  # never written
    with ws.parts.database.read():
        reader = ws.parts.scopes.resolve(question.tenant, question.principal, None, question.filter)
        scope = replace(reader.scope, instead=tuple((d, False) for d in sorted(without)))
        embedder, fingerprint = retriever.serving()
        asked = embed_question(run, embedder, fingerprint, question.text, settings=release.retrieval)
        found = retriever.search(scope, asked, release.retrieval)
    checked = retriever.recheck(replace(reader, scope=scope), found.ranked[: 4 * release.retrieval.k])
    passages = choose_passages(found, checked.passages, release.retrieval)

    def score(sentences: Sequence[str]) -> Scores | None:
        return score_sentences(run, embedder, asked, sentences, release.answering.same)

    return dict(gather(asked.text, found, passages, score, release).features)
