"""A small workspace with evidence from it, and the ways to tamper with evidence."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.domain.canonical import canonical, sha256
from affidavit.domain.clock import MICROSECONDS
from affidavit.offline.verify_affidavit import BUNDLE, POPULATION, render_page
from affidavit.runs.recorder import Run
from affidavit.testing.clock import FixedClock, SeededRandomness

DAY = 86_400 * MICROSECONDS
QUESTION = "How many days is walrus leave?"
DENIED = {
    "principal": "user:alice",
    "document": "secret.md",
    "source": "docs",
    "reason": "not in any of: group:board",
}


@dataclass
class Made:
    """A workspace in which alice asked, something was denied to her, and another tenant was busy too."""

    ws: affidavit.Workspace
    clock: FixedClock
    run: str
    kept: str
    """A checkpoint from before, kept elsewhere."""


def make(folder: Path) -> Made:
    """Tenants acme (alice, erin, dave the auditor) and globex; runs on three days."""
    clock = FixedClock()
    ws = affidavit.init(folder / "ws", EmbedderSpec("none"), clock, SeededRandomness())
    people = folder / "p.jsonl"
    people.write_text(
        '{"id": "alice", "groups": ["staff"]}\n{"id": "erin"}\n{"id": "dave", "groups": ["auditors"]}\n'
    )
    ws.import_people(people, "acme")
    docs = folder / "docs"
    docs.mkdir()
    (docs / "access.toml").write_text('allow = ["group:staff"]')
    (docs / "leave.md").write_text(
        "# Leave <b>\n\nWalrus leave is 20 days a year, it says in the \u202e handbook."
    )
    ws.add_source("folder", docs, "docs", "acme")
    ws.sync("", "acme")
    ws.people.grant(ws.parts.tenant("acme"), "group:auditors", "audit:read")
    (folder / "g.jsonl").write_text('{"id": "gina"}\n')
    ws.import_people(folder / "g.jsonl", "globex")
    kept = ws.proofs.checkpoint().note
    clock.advance(DAY)
    ws.ask(QUESTION, "gina", "globex")
    answer = ws.ask(QUESTION, "alice", "acme")
    ws.ask(QUESTION, "gina", "globex")
    clock.advance(DAY)
    ws.ask(QUESTION, "erin", "acme")
    clock.advance(DAY)
    ws.ask(QUESTION, "gina", "globex")
    return Made(ws, clock, answer.run, kept)


def denied_run(ws: affidavit.Workspace, tenant: str, denials: int) -> str:
    """A run of alice's that was denied so many documents, as the recorder writes it."""
    run = Run(
        f"run-{denials:016}".replace("0", "a"), ws.parts.tenant(tenant).id, "ask", ws.parts.release().digest
    )
    run.start({"principal": "user:alice", "question": QUESTION, "position": 3})
    run.step("recheck", {}, {})
    for _ in range(denials):
        run.decide("document:read", "forbid", DENIED)
    run.step("generate", {}, {})
    run.finish("refused", {"timings": {}})
    ws.parts.log.write(run.flush)
    return run.id


def sealed(made: Made, value: dict[str, Any]) -> bytes:
    """The bundle with page and seal made anew, as only the holder of the log's key can."""
    value = {name: value[name] for name in value if name not in ("seal", "page")}
    value["page"] = render_page(value)
    value["seal"] = made.ws.parts.signer.seal(BUNDLE, sha256(canonical(value)))
    return canonical(value)


def sealed_lines(made: Made, lines: list[bytes]) -> bytes:
    """A population with its seal made anew."""
    data = b"".join(lines[:-1])
    return data + canonical({"seal": made.ws.parts.signer.seal(POPULATION, sha256(data))}) + b"\n"


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside ``value``."""
    found = [at] if at else []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += paths(inner, (*at, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found += paths(inner, (*at, number))
    return found


def edited(value: Any, path: tuple[Any, ...], choice: random.Random) -> Any:
    """A copy of ``value`` in which what ``path`` leads to was tampered with in some way."""
    value = copy.deepcopy(value)
    holder = value
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = choice.choice(_ways(holder[path[-1]]))(holder[path[-1]], choice)
    return value


Way = Callable[[Any, random.Random], Any]


def _ways(value: Any) -> list[Way]:
    if isinstance(value, bool) or value is None:
        return [lambda v, c: 0, lambda v, c: {"salt": 32 * "0", "data": "{}"}]
    if isinstance(value, int):
        return [lambda v, c: v + 1, lambda v, c: -v - 1, lambda v, c: str(v), lambda v, c: v + 2**40]
    if isinstance(value, str):
        return [
            _letter,
            lambda v, c: v + " ",
            lambda v, c: v[:-1],
            lambda v, c: "",
            lambda v, c: v[::-1],
            _number,
        ]
    if isinstance(value, list):
        return [_dropped, _doubled, _swapped, lambda v, c: [], lambda v, c: [*v, "x"]]
    return [lambda v, c: {**v, "more": 1}, _without, lambda v, c: []]


def _letter(text: str, choice: random.Random) -> str:
    at = choice.randrange(len(text)) if text else 0
    return text[:at] + choice.choice("Aa0z+\n\u2014") + text[at + 1 :]


def _number(text: str, choice: random.Random) -> str:
    """Another number somewhere inside: what a forger of an answer or an amount would write."""
    digits = [n for n, c in enumerate(text) if c.isdecimal()]
    if not digits:
        return text + "1"
    at = choice.choice(digits)
    return text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]


def _dropped(value: list[Any], choice: random.Random) -> list[Any]:
    at = choice.randrange(len(value)) if value else 0
    return value[:at] + value[at + 1 :]


def _doubled(value: list[Any], choice: random.Random) -> list[Any]:
    at = choice.randrange(len(value)) if value else 0
    return value[: at + 1] + value[at:]


def _swapped(value: list[Any], choice: random.Random) -> list[Any]:
    value = list(value)
    if len(value) > 1:
        one, other = choice.sample(range(len(value)), 2)
        value[one], value[other] = value[other], value[one]
    return value


def _without(value: dict[str, Any], choice: random.Random) -> dict[str, Any]:
    gone = choice.choice(sorted(value)) if value else ""
    return {name: value[name] for name in value if name != gone}


def lines_of(data: bytes) -> list[bytes]:
    """The lines of a population, each with its end."""
    return data.splitlines(keepends=True)


def parsed(data: bytes) -> Any:
    """JSON."""
    return json.loads(data)
