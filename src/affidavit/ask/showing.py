"""What of the evidence a model is shown: what it may see, as far as the budget goes, the least useful left out first.

Tokens are counted by the target's own tokenizer where it is at hand, else estimated; who counted is on the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit.ask.guard import MASK, output_signals
from affidavit.ask.prompt import Prompt
from affidavit.ask.retrieve import Passage
from affidavit.ask.units import units
from affidavit.domain.canonical import Json, digest
from affidavit.domain.records import CLASSIFICATIONS
from affidavit.domain.release import Writing
from affidavit.domain.routes import Option, Target, Task
from affidavit.models.deadline import Deadline
from affidavit.models.routes import plan, shape
from affidavit.models.stretches import Stretch, level_of, stretches
from affidavit.ports.model import ChatRequest, Message
from affidavit.runs.recorder import Run

_COVERED = re.compile(f"{MASK}+")
COUNT, PROMPT = "count", "prompt"
OWN, ESTIMATE = "own", "estimate"
_COUNTS_WITHIN = 3.0

Estimate = Callable[[str], int]
Own = Callable[[Target, ChatRequest, int], int | None]
"""(target, request, level of its most sensitive text) → tokens by the target's own tokenizer, None where it cannot be had."""


@dataclass(frozen=True)
class Shown:
    """One prompt for the options of a task at the places ``options``. ``passages`` by the name that the model knows them by;
    ``dropped``: (chunk, reason) pairs; ``counted``: by whom, per target, the greatest count being ``tokens``."""

    options: frozenset[int]
    passages: Mapping[str, Passage]
    dropped: tuple[tuple[str, str], ...]
    messages: tuple[Message, ...]
    tokens: int
    counted: Mapping[str, str]

    @property
    def sensitivity(self) -> set[str]:
        """The classifications of what is shown."""
        return {p.view.classification or "internal" for p in self.passages.values()}


class Showing:
    """Prompts for one task of a release."""

    def __init__(
        self, prompt: Prompt, writing: Writing, task: Task, estimate: Estimate, own: Own | None = None
    ) -> None:
        self._prompt, self._writing, self._task = prompt, writing, task
        self._estimate, self._own = estimate, own or (lambda target, request, level: None)

    def each(
        self, run: Run, question: str, passages: Sequence[Passage], deadline: Deadline
    ) -> Iterator[tuple[Shown, Deadline]]:
        """A prompt for each run of options that may see the same, in the release's order, with its share of the time. Each is on
        record before it is handed out, also one from which everything had to be left out: that is not handed out."""
        named = {f"P{n}": p for n, p in enumerate(passages, 1)}
        runs = self._stretches(named)
        left = len(self._task.options)
        for stretch in runs:
            share = deadline.left * len(stretch.options) / max(1, left)
            left -= len(stretch.options)
            within = deadline.within(share) if left else deadline
            shown = self._shown(run, question, named, stretch, within)
            self._record(run, shown)
            if shown.passages:
                yield shown, within

    def _stretches(self, named: Mapping[str, Passage]) -> list[Stretch]:
        levels = {level_of(p.view.classification) for p in named.values()}
        if self._writing.partial:
            return stretches(self._task, levels)
        return [Stretch(frozenset(range(len(self._task.options))), max(levels, default=-1))]

    def _shown(
        self, run: Run, question: str, named: Mapping[str, Passage], stretch: Stretch, deadline: Deadline
    ) -> Shown:
        may = {n: p for n, p in named.items() if level_of(p.view.classification) <= stretch.level}
        withheld = tuple((p.chunk, "sensitivity") for n, p in named.items() if n not in may)
        if not may:
            return Shown(stretch.options, {}, withheld, (), 0, {})
        names, lines = list(may), [passage_line(n, p) for n, p in may.items()]

        def first(count: int) -> tuple[Message, ...]:
            return self._prompt.render(evidence=list(lines[:count]), question=[question])

        options = [o for n, o in enumerate(self._task.options) if n in stretch.options]
        budget = min((self._writing.tokens, *map(_room, options)))
        given: dict[str, Json] = {
            "task": self._task.name,
            "route": self._task.digest,
            "options": sorted(stretch.options),
            "prompt": digest([m.content for m in first(len(names))]),
            "budget": budget,
        }
        said: Any = run.effect(
            COUNT, given, lambda: self._fit(options, first, len(names), stretch.level, budget, deadline)
        )
        kept = said["kept"]
        over = tuple((may[n].chunk, "budget") for n in names[kept:])
        shown = {n: may[n] for n in names[:kept]}
        return Shown(
            stretch.options, shown, withheld + over, first(kept), said["tokens"], dict(said["counted"])
        )

    def _fit(
        self,
        options: Sequence[Option],
        first: Callable[[int], tuple[Message, ...]],
        most: int,
        level: int,
        budget: int,
        deadline: Deadline,
    ) -> dict[str, Any]:
        """The most passages that fit: all of them as a rule, which takes one count; else by halving."""

        def count(passages: int) -> tuple[int, dict[str, str]]:
            return self._count(options, first(passages), level, deadline)

        tokens, counted = count(most)
        if tokens <= budget:
            return {"kept": most, "tokens": tokens, "counted": counted}
        low, high, fitting = 0, most, (0, counted)
        while high - low > 1:
            middle = (low + high) // 2
            tokens, counted = count(middle)
            if tokens <= budget:
                low, fitting = middle, (tokens, counted)
            else:
                high = middle
        return {"kept": low, "tokens": fitting[0], "counted": fitting[1]}

    def _count(
        self, options: Sequence[Option], messages: tuple[Message, ...], level: int, deadline: Deadline
    ) -> tuple[int, dict[str, str]]:
        """The greatest of what the targets count that would be asked: only they may see the text."""
        estimate = sum(self._estimate(m.content) for m in messages)
        seconds = min(_COUNTS_WITHIN, deadline.left / 4)
        request = ChatRequest(messages, 1, max(seconds, 0.001))
        task = Task(self._task.name, tuple(options), self._task.regions, "")
        allowed, _ = plan(task, shape(request, [CLASSIFICATIONS[level]]))
        most, counted = 0, {}
        for target in {o.target.name: o.target for o in allowed if o.target is not None}.values():
            own = self._own(target, request, level)
            counted[target.name] = ESTIMATE if own is None else OWN
            most = max(most, estimate if own is None else own)
        return most or estimate, counted

    def _record(self, run: Run, shown: Shown) -> None:
        run.step(
            PROMPT,
            {"name": self._prompt.name, "version": self._prompt.version, "digest": self._prompt.digest},
            {
                "options": sorted(shown.options),
                "passages": {name: p.chunk for name, p in shown.passages.items()},
                "dropped": [{"chunk": chunk, "reason": reason} for chunk, reason in shown.dropped],
                "tokens": shown.tokens,
                "counted": dict(shown.counted),
            },
        )


def _room(option: Option) -> int:
    """Tokens that a prompt may have, so that the answer still fits in what the target says it can hold."""
    context = option.target.options.get("context", 0) if option.target is not None else 0
    if not isinstance(context, int) or context <= 0 or option.settings is None:
        return _ANY
    return max(0, context - option.settings.max_tokens)


_ANY = 10**9


def passage_line(name: str, passage: Passage) -> dict[str, Json]:
    """A passage as the model sees it: without sentences that read as orders or hold a secret."""
    view, text = passage.view, passage.text
    for unit in reversed(units(0, passage)):
        if output_signals(unit.quote):
            text = f"{text[: unit.start - view.start]}…{text[unit.end - view.start :]}"
    shown = _COVERED.sub("…", text)
    return {"id": name, "title": view.title, "headings": list(view.path), "rank": view.rank, "text": shown}
