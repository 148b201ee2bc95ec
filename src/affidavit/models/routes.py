"""Which options of a task may be taken for a request, and why the others may not. Pure: the same request gives the same plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from affidavit.domain.canonical import Json, digest
from affidavit.domain.records import CLASSIFICATIONS
from affidavit.domain.routes import CONFIDENTIAL, INTERNAL, Option, Task
from affidavit.models.outcome import Decision
from affidavit.ports.model import ChatRequest


@dataclass(frozen=True)
class Shape:
    """What the route may know of a request: how sensitive its text is, how long, and what the caller says of it."""

    level: int
    characters: int
    traits: frozenset[str]


def shape(request: ChatRequest, sensitivity: Iterable[str], traits: Iterable[str] = ()) -> Shape:
    """``sensitivity``: the classifications of all text in the prompt; the most sensitive counts. None at all is "internal",
    and a word that is not a classification counts as the most sensitive one."""
    known = {word: n for n, word in enumerate(CLASSIFICATIONS)}
    levels = [known.get(word, len(known) - 1) for word in sensitivity]
    characters = sum(len(m.content) + sum(len(c.arguments) for c in m.calls) for m in request.messages)
    return Shape(max(levels, default=INTERNAL), characters, frozenset(traits))


def plan(task: Task, shape: Shape) -> tuple[list[Option], list[Decision]]:
    """The options that may be taken, in order, and a decision for each that may not."""
    allowed, skipped = [], []
    for option in task.options:
        why = _forbidden(option, task, shape)
        if why:
            skipped.append(Decision(option.name, "skipped", *why))
        else:
            allowed.append(option)
    return allowed, skipped


def _forbidden(option: Option, task: Task, shape: Shape) -> tuple[str, str] | None:
    """(reason, detail), or None when nothing is against it."""
    when, target = option.conditions, option.target
    word = CLASSIFICATIONS[shape.level]
    outside = target is not None and not target.local
    if outside and shape.level >= CONFIDENTIAL:
        return "sensitivity", f"{word} text never leaves the machine"
    if shape.level > when.level:
        return "sensitivity", f"{word} text, and it may see {CLASSIFICATIONS[when.level]} at most"
    if target is not None and outside and task.regions and target.region not in task.regions:
        return "residency", f"it works in {target.region or 'an unknown region'}"
    if not when.characters[0] <= shape.characters <= when.characters[1]:
        return "size", f"{shape.characters} characters"
    if not when.traits <= shape.traits:
        return "rule", f"needs {', '.join(sorted(when.traits - shape.traits))}"
    if when.unless & shape.traits:
        return "rule", f"not with {', '.join(sorted(when.unless & shape.traits))}"
    return None


def step_input(task: Task, request: ChatRequest, shape: Shape) -> dict[str, Json]:
    """What identifies the call in the record: all that decides, and no time. The request's own ``timeout`` is left out, since
    the deadline rules, and so are the settings that the options state."""
    messages: list[Json] = [
        {"role": m.role, "content": m.content, "calls": [vars(c) for c in m.calls], "call": m.call}
        for m in request.messages
    ]
    exact: dict[str, Json] = {
        "messages": messages,
        "max_tokens": request.max_tokens,
        "schema": request.schema,
        "schema_name": request.schema_name,
        "tools": [vars(t) for t in request.tools],
        "stop": list(request.stop),
        "extra": request.extra,
    }
    return {
        "task": task.name,
        "request": digest(exact),
        "route": task.digest,
        "sensitivity": CLASSIFICATIONS[shape.level],
        "traits": sorted(shape.traits),
    }
