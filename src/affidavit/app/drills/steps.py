"""The file of a custom drill: what it may say, checked before anything is done.

::

    name = "contractor-leaves"
    about = "A contractor leaves in the middle of a project."
    tenant = "acme"

    [[step]]
    do = "ask"
    as = "erin"
    question = "When do contractors hand in their timesheets?"
    expect = { status = "answered", cites = "contractors/timesheets.md" }

    [[step]]
    do = "leave"
    who = "erin"
    group = "contractors"

    [[step]]
    do = "ask"
    as = "erin"
    question = "When do contractors hand in their timesheets?"
    expect = { status = "refused" }
    promise = "who left the contractors gets nothing of theirs"
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from affidavit.domain.errors import ManifestError

_COUNTS = ("seen", "unchanged", "added", "changed", "removed", "access_changed", "faults")
_GIVEN = (
    "status",
    "cites",
    "not_cites",
    "contains",
    "not_contains",
    "same_as",
    "within",
    "error",
    "degraded",
)
_LARGEST = 1_000_000

# what each step takes (a ? may be left out), what can be expected of it, and what it does
STEPS: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "ask": ("question as as_of?", _GIVEN, "ask as a person"),
    "search": ("question as", _GIVEN, "search as a person"),
    "join": ("who group", ("error",), "put a person into a group"),
    "leave": ("who group", ("error",), "take a person out of a group"),
    "remove": ("who", ("error",), "remove a person"),
    "import": ("file", ("error",), "import people from a file beside the drill's"),
    "write-file": ("source file text", (), "write a file of a source"),
    "change-file": ("source file old new", (), "replace a text in a file of a source"),
    "delete-file": ("source file", (), "delete a file of a source"),
    "vanish": ("source", (), "take the whole folder of a source away"),
    "restore": ("source", (), "put it back"),
    "sync": ("source", (*_COUNTS, "error", "within"), "sync a source"),
    "damage-index": (
        "how?",
        (),
        "remove the index (the default), or `flip`, `cut`, `zero`, `insert` or `scramble` its files",
    ),
    "clock": ("days", (), "set the clock forward (or back) by days"),
    "verify": ("", ("error",), "check log and catalog"),
}
_ANY_STEP = ("do", "id", "expect", "promise", "tenant")
_TOP = ("name", "about", "tenant", "step")
_NUMBERS = ("days", "within", "as_of", *_COUNTS)


@dataclass(frozen=True)
class Step:
    """One step. ``expect`` may be empty; ``promise`` is what the report calls the expectation."""

    number: int
    do: str
    id: str
    tenant: str
    values: Mapping[str, Any]
    expect: Mapping[str, Any]
    promise: str

    @property
    def key(self) -> str:
        """Names its promise."""
        return f"step-{self.number}"


@dataclass(frozen=True)
class Script:
    """A custom drill as written."""

    name: str
    about: str
    steps: tuple[Step, ...]
    folder: Path


def read_script(path: Path, tenant: str = "") -> Script:
    """The drill in ``path``; ``tenant`` is for steps that name none. Raises ManifestError with the step's number."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    if len(data) > _LARGEST:
        raise ManifestError(f"{path} is larger than {_LARGEST} bytes", "split it into several drills")
    try:
        value = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ManifestError(
            f"{path}: {error}", "it must be TOML; `affidavit drill run --help` shows one"
        ) from error
    _known(value, _TOP, f"{path}")
    tables = value.get("step")
    if not isinstance(tables, list) or not tables:
        _wrong(f"{path}", "there are no steps", "write [[step]] tables")
    name, about = value.get("name", path.stem), value.get("about", "")
    if not all(isinstance(v, str) for v in (name, about, value.get("tenant", ""))):
        _wrong(f"{path}", "name, about and tenant are texts", 'for example name = "contractor-leaves"')
    steps = tuple(
        _step(n, table, value.get("tenant", tenant), f"{path}, step {n}") for n, table in enumerate(tables, 1)
    )
    _references(steps, path)
    if not any(s.expect for s in steps):
        _wrong(
            f"{path}", "no step expects anything, so the drill could not fail", "add expect = { … } to a step"
        )
    return Script(name, about or f"as {path.name} says", steps, path.absolute().parent)


def _step(number: int, table: object, tenant: str, where: str) -> Step:
    if not isinstance(table, dict):
        _wrong(where, "a step is a table", "write [[step]]")
    do = table.get("do")
    if not isinstance(do, str) or do not in STEPS:
        _unknown(where, "step", str(do), STEPS)
    takes, expects, _ = STEPS[do]
    names = {name.rstrip("?"): name.endswith("?") for name in takes.split()}
    _known(table, (*_ANY_STEP, *names), where)
    expect = table.get("expect", {})
    if not isinstance(expect, dict):
        _wrong(where, "expect is a table", 'for example expect = { status = "refused" }')
    _known(expect, expects, f"{where}, expect")
    values = {name: table[name] for name in names if name in table}
    for name, optional in names.items():
        if name not in values and not optional:
            _wrong(where, f"{do} needs {name!r}", f"{do} takes: {takes}")
    _typed({**values, **expect}, where)
    texts = {name: table.get(name, "") for name in ("id", "promise", "tenant")}
    _typed(texts, where)
    told = texts["promise"] or f"{do}: " + ", ".join(f"{k} {v}" for k, v in expect.items())
    return Step(number, do, texts["id"], texts["tenant"] or tenant, values, expect, told)


def _typed(values: Mapping[str, object], where: str) -> None:
    for name, value in values.items():
        if name == "degraded":
            fits = isinstance(value, bool)
        elif name in _NUMBERS:
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        elif name in ("cites", "not_cites", "contains", "not_contains"):
            fits = isinstance(value, str) or (
                isinstance(value, list) and all(isinstance(v, str) for v in value)
            )
        else:
            fits = isinstance(value, str)
        if not fits:
            _wrong(
                where, f"{name} cannot be {value!r}", "texts are in quotes, numbers and true or false are not"
            )


def _references(steps: tuple[Step, ...], path: Path) -> None:
    seen: set[str] = set()
    for step in steps:
        wanted = step.expect.get("same_as")
        if wanted is not None and wanted not in seen:
            _wrong(
                f"{path}, step {step.number}",
                f"no ask or search before it has id {wanted!r}",
                "give one an id",
            )
        if step.id and step.do in ("ask", "search"):
            seen.add(step.id)


def _known(table: Mapping[str, object], allowed: Iterable[str], where: str) -> None:
    names = tuple(allowed)
    for name in table:
        if name not in names:
            _unknown(where, "key", name, names)


def _unknown(where: str, what: str, name: str, known: Iterable[str]) -> NoReturn:
    names = list(known)
    close = difflib.get_close_matches(name, names, 1)
    told = f"did you mean {close[0]!r}? " if close else ""
    _wrong(where, f"there is no {what} {name!r}", f"{told}known are: {', '.join(names) or 'none'}")


def _wrong(where: str, what: str, hint: str) -> NoReturn:
    raise ManifestError(f"{where}: {what}", hint)
