"""Whom of a task's options may be shown what: the same evidence for each run of options that may see as much.

So a confidential passage is kept from a target that is not local, and no longer keeps the question from it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby

from affidavit.domain.records import CLASSIFICATIONS
from affidavit.domain.routes import CONFIDENTIAL, Option, Task


@dataclass(frozen=True)
class Stretch:
    """Options that follow each other in a task, by place. ``level``: of the text that is there, the most sensitive they may see,
    -1 if they may see none of it."""

    options: frozenset[int]
    level: int


def level_of(word: str) -> int:
    """The place of a classification; none at all counts as ``internal``, an unknown word as the most sensitive."""
    word = word or "internal"
    return CLASSIFICATIONS.index(word) if word in CLASSIFICATIONS else len(CLASSIFICATIONS) - 1


def ceiling(option: Option) -> int:
    """The most sensitive text that ``option`` may ever see."""
    outside = option.target is not None and not option.target.local
    return min(option.conditions.level, CONFIDENTIAL - 1) if outside else option.conditions.level


def stretches(task: Task, levels: Collection[int]) -> list[Stretch]:
    """The options of ``task`` in its order, put together where they may see the same of texts of these ``levels``."""
    seen = [max((v for v in levels if v <= ceiling(o)), default=-1) for o in task.options]
    return [
        Stretch(frozenset(n for n, _ in run), level)
        for level, run in groupby(enumerate(seen), key=lambda pair: pair[1])
    ]
