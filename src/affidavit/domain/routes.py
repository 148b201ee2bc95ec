"""Routes: which model does which task, under which conditions and with which exact settings, as part of a release.

    "models": {
      "targets": {
        "small": {"kind": "openai", "model": "qwen3-4b", "version": "q4_k_m", "base_url": "http://127.0.0.1:8080/v1",
                  "local": true, "region": ""}
      },
      "tasks": {
        "answer": {"options": [
          {"target": "small", "temperature": "0", "top_p": "", "seed": 7, "max_tokens": 800,
           "timeout_ms": 8000, "attempts": 2, "when": {"sensitivity": "restricted"}}
        ]}
      }
    }

Numbers that are not whole are decimal text, as everywhere in a release. What is unknown or missing is an error: a route that
is read other than it was meant sends text to where it must not go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from affidavit.domain.canonical import Json, canonical, digest
from affidavit.domain.records import CLASSIFICATIONS

TASKS = ("answer", "rewrite", "classify", "extract", "verify", "summarise", "choose-tool")

INTERNAL = CLASSIFICATIONS.index("internal")
CONFIDENTIAL = CLASSIFICATIONS.index("confidential")
"""From this level on text never goes to a target that is not local."""

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,31}\Z")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,3})(\.[0-9]{1,6})?\Z")
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?\Z", re.ASCII)
_DAY_MS = 86_400_000
_MANY = 1_000_000


@dataclass(frozen=True)
class Target:
    """One model at one place. ``kind`` names the adapter; ``version`` whatever the provider tells versions apart by.

    ``local``: text sent to it never leaves the machine. ``region``: where it is processed, "" unknown. ``concurrency``: calls
    at once, ``per_tenant`` of them for one tenant; ``queue``: calls that may wait for their turn. ``options`` are the adapter's.
    """

    name: str
    kind: str
    model: str
    version: str
    base_url: str
    local: bool
    region: str
    concurrency: int = 8
    per_tenant: int = 4
    queue: int = 64
    options: Mapping[str, Json] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Under which the process shares what it knows about the target: another address or limit is another target."""
        return digest({k: v for k, v in vars(self).items() if k != "name"})


@dataclass(frozen=True)
class Settings:
    """Exactly how a target is asked. "" and None leave a setting to the provider. ``timeout_ms`` is for one attempt, of which
    there are at most ``attempts``."""

    temperature: str
    top_p: str
    seed: int | None
    max_tokens: int
    timeout_ms: int
    attempts: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hedge:
    """A second call beside a slow first one: once it takes longer than the ``percentile`` of what this target took before, and
    than ``least_ms``. ``to``: ``same`` target or the ``next`` option."""

    percentile: int
    least_ms: int
    to: str


@dataclass(frozen=True)
class Conditions:
    """When an option may be taken. ``level``: the most sensitive text it may see, as a place in CLASSIFICATIONS.
    ``characters``: from and to which length of the prompt. ``traits``: words the caller says of the request that must all be
    there, ``unless`` those of which none may. ``room``: micro-units that must be left in the tightest budget, 0 for no such
    demand."""

    level: int
    characters: tuple[int, int] = (0, _MANY * 1000)
    traits: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()
    room: int = 0


@dataclass(frozen=True)
class Option:
    """One line of a task: a ``target`` with ``settings``, or a deterministic ``rule`` (then both are None).
    ``confidence``: what the caller's check must reach, 0 for no such demand."""

    name: str
    conditions: Conditions
    confidence: float
    target: Target | None = None
    settings: Settings | None = None
    hedge: Hedge | None = None


@dataclass(frozen=True)
class Task:
    """``options`` in order. ``regions``: where text may be processed other than locally; empty is anywhere. ``digest`` covers
    the options and every target they name."""

    name: str
    options: tuple[Option, ...]
    regions: frozenset[str]
    digest: str


@dataclass(frozen=True)
class Routes:
    """The tasks for which there are models, and all targets by name."""

    tasks: Mapping[str, Task]
    targets: Mapping[str, Target] = field(default_factory=dict)


def load(content: Any) -> Routes:
    """Routes from the ``models`` of a release. Raises ValueError, naming the place, for anything that is not exactly right."""
    table = _table(content, "models", {"targets", "tasks"})
    targets = {name: _target(name, value) for name, value in _named(table["targets"], "targets").items()}
    tasks = {
        name: _task(name, value, targets, table) for name, value in _named(table["tasks"], "tasks").items()
    }
    return Routes(tasks, targets)


# -- parts


def _target(name: str, value: Any) -> Target:
    where = f"targets.{name}"
    must = {"kind", "model", "version", "base_url", "local", "region"}
    t = _table(value, where, must, {"concurrency", "per_tenant", "queue", "options"})
    options = t.get("options", {})
    if not isinstance(options, Mapping):
        raise _wrong(where, "options is not a table")
    canonical(options)
    whole = Target(
        name,
        _name(t["kind"], f"{where}.kind"),
        _text(t["model"], f"{where}.model", least=1),
        _text(t["version"], f"{where}.version"),
        _text(t["base_url"], f"{where}.base_url"),
        _flag(t["local"], f"{where}.local"),
        _text(t["region"], f"{where}.region"),
        _whole(t.get("concurrency", 8), f"{where}.concurrency", 1, 10_000),
        _whole(t.get("per_tenant", 4), f"{where}.per_tenant", 1, 10_000),
        _whole(t.get("queue", 64), f"{where}.queue", 0, 100_000),
        options,
    )
    if "@" in whole.base_url:
        raise _wrong(f"{where}.base_url", "holds a user or password; a release is no place for secrets")
    return whole


def _task(name: str, value: Any, targets: Mapping[str, Target], content: Mapping[str, Any]) -> Task:
    where = f"tasks.{name}"
    if name not in TASKS:
        raise _wrong(where, f"there is no such task; there are {', '.join(TASKS)}")
    t = _table(value, where, {"options"}, {"regions"})
    listed = _list(t["options"], f"{where}.options")
    options = tuple(_option(v, f"{where}.options[{n}]", targets) for n, v in enumerate(listed))
    if not options:
        raise _wrong(where, "has no options")
    models = [o.target is not None for o in options]
    if models != sorted(models):
        raise _wrong(where, "a rule comes after a model; rules decide first")
    used = {o.target.name: content["targets"][o.target.name] for o in options if o.target is not None}
    regions = frozenset(_text(r, f"{where}.regions", least=1) for r in _list(t.get("regions", ()), where))
    return Task(name, options, regions, digest({"task": name, "content": value, "targets": used}))


_EXACT = {"target", "temperature", "top_p", "seed", "max_tokens", "timeout_ms", "attempts"}


def _option(value: Any, where: str, targets: Mapping[str, Target]) -> Option:
    if isinstance(value, Mapping) and "rule" in value:
        t = _table(value, where, {"rule"}, {"when", "confidence"})
        conditions = _conditions(t.get("when", {}), f"{where}.when", local=True)
        return Option(_name(t["rule"], where), conditions, _confidence(t, where))
    t = _table(value, where, _EXACT, {"when", "confidence", "hedge", "stop"})
    target = targets.get(t["target"]) if isinstance(t["target"], str) else None
    if target is None:
        raise _wrong(where, f"there is no target {t['target']!r}")
    return Option(
        target.name,
        _conditions(t.get("when", {}), f"{where}.when", local=target.local),
        _confidence(t, where),
        target,
        _settings(t, where),
        _hedge(t["hedge"], f"{where}.hedge") if "hedge" in t else None,
    )


def _settings(t: Mapping[str, Any], where: str) -> Settings:
    seed = t["seed"]
    return Settings(
        _decimal(t["temperature"], f"{where}.temperature", 2),
        _decimal(t["top_p"], f"{where}.top_p", 1),
        None if seed is None else _whole(seed, f"{where}.seed", 0, 2**31 - 1),
        _whole(t["max_tokens"], f"{where}.max_tokens", 1, _MANY),
        _whole(t["timeout_ms"], f"{where}.timeout_ms", 1, _DAY_MS),
        _whole(t["attempts"], f"{where}.attempts", 1, 10),
        tuple(_text(s, f"{where}.stop", least=1) for s in _list(t.get("stop", ()), f"{where}.stop")),
    )


def _hedge(value: Any, where: str) -> Hedge:
    t = _table(value, where, {"percentile", "least_ms", "to"})
    if t["to"] not in ("same", "next"):
        raise _wrong(where, 'to is "same" or "next"')
    return Hedge(
        _whole(t["percentile"], f"{where}.percentile", 50, 99),
        _whole(t["least_ms"], f"{where}.least_ms", 1, _DAY_MS),
        t["to"],
    )


def _conditions(value: Any, where: str, *, local: bool) -> Conditions:
    known = {"sensitivity", "characters_from", "characters_to", "traits", "unless", "room"}
    t = _table(value, where, set(), known)
    word = t.get("sensitivity", CLASSIFICATIONS[-1] if local else CLASSIFICATIONS[INTERNAL])
    if word not in CLASSIFICATIONS:
        raise _wrong(where, f"sensitivity is one of {', '.join(CLASSIFICATIONS)}")
    level = CLASSIFICATIONS.index(word)
    if level >= CONFIDENTIAL and not local:
        raise _wrong(where, f"{word} text never goes to a target that is not local")
    longest = Conditions(level).characters[1]
    first = _whole(t.get("characters_from", 0), f"{where}.characters_from", 0, longest)
    last = _whole(t.get("characters_to", longest), f"{where}.characters_to", first, longest)
    traits, unless = (
        frozenset(_name(w, f"{where}.{k}") for w in _list(t.get(k, ()), f"{where}.{k}"))
        for k in ("traits", "unless")
    )
    return Conditions(level, (first, last), traits, unless, _money(t.get("room", ""), f"{where}.room"))


# -- leaves


def _wrong(where: str, what: str) -> ValueError:
    return ValueError(f"{where}: {what}")


def _table(value: Any, where: str, must: Set[str], may: Set[str] = frozenset()) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, "is not a table")
    missing, unknown = must - set(value), set(value) - must - may
    if missing or unknown:
        told = [
            f"{w} {', '.join(sorted(map(str, s)))}"
            for w, s in (("lacks", missing), ("knows no", unknown))
            if s
        ]
        raise _wrong(where, "; ".join(told))
    return value


def _named(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, "is not a table")
    for name in value:
        _name(name, where)
    return value


def _list(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(where, "is not a list")
    return value


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _NAME.match(value):
        raise _wrong(where, f"{value!r} is no name: a small letter, then up to 31 of a-z 0-9 _ . -")
    return value


def _text(value: Any, where: str, least: int = 0) -> str:
    if not isinstance(value, str) or not least <= len(value) <= 2000 or not value.isprintable():
        raise _wrong(where, "is not a line of text")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, "is not true or false")
    return value


def _whole(value: Any, where: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise _wrong(where, f"is not a whole number from {least} to {most}")
    return value


def _decimal(value: Any, where: str, most: int) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or not _DECIMAL.match(value) or float(value) > most:
        raise _wrong(where, f'is not decimal text from "0" to "{most}", or ""')
    return value


def _money(value: Any, where: str) -> int:
    """Decimal text as micro-units; "" is 0."""
    if value == "":
        return 0
    if not isinstance(value, str) or not _AMOUNT.match(value):
        raise _wrong(where, 'is not an amount as decimal text with at most six places, like "0.50"')
    whole, _, places = value.partition(".")
    return int(whole) * 1_000_000 + int(places.ljust(6, "0"))


def _confidence(t: Mapping[str, Any], where: str) -> float:
    return float(_decimal(t.get("confidence", ""), f"{where}.confidence", 1) or 0)
