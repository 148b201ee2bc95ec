"""Redaction before storage: declared rules pass over what runs record; the person still gets their own words back."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from affidavit.ask.falling_short import quoted, words
from affidavit.domain.canonical import Json
from affidavit.domain.errors import ManifestError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.redact import BUILT_IN, Found, Rule, declared, redact
from affidavit.store.catalog import Catalog

REDACTION = "redaction"
"""The setting that holds the declared rules: ``[{"name": …}, {"name": …, "pattern": …}]``."""

_KINDS = frozenset(
    {
        EventKind.RUN_STARTED,
        EventKind.STEP_RECORDED,
        EventKind.DECISION_MADE,
        EventKind.CLAIM_RELEASED,
        EventKind.ANSWER_RELEASED,
        EventKind.RUN_FINISHED,
    }
)
_SAID: Mapping[EventKind, tuple[str, ...]] = {
    EventKind.FEEDBACK_GIVEN: ("reason", "accepted"),
    EventKind.INCIDENT_CHANGED: ("text",),
}
"""What people write about runs, and which parts of it are their words."""
_EXACT = frozenset(
    "principal principals document source revision chunk name position head indexed_at permitted_by release model software "
    "embedder score keyword dense code digest kept then now status reason features probability".split()
)
"""Parts of a body that say who and which, and are what runs are found and erased by: never redacted."""
_TERMS = "terms"
_LEAST_MEETING = 3
_MODEL_STEPS = frozenset({"embed", "score", "guard.found"})
"""Steps that hold numbers made of texts, and unsalted digests of them: what was taken out could be guessed from them."""
_NOTHING: Mapping[str, Json] = {
    "input": {},
    "output": {"vector": None, "degraded": "", "late": False, "unavailable": "redacted"},
}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_MOST_RULES, _MOST_BYTES = 100, 100_000


def read_rules(path: Path) -> list[dict[str, str]]:
    """The rules of a TOML file as they are stored. Raises ManifestError."""
    hint = f'use = ["email"] and [[pattern]] name = "…" pattern = "…"; built in: {", ".join(BUILT_IN)}'
    try:
        with path.open("rb") as file:
            said = tomllib.loads(file.read(_MOST_BYTES).decode("utf-8"))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except ValueError as error:
        raise ManifestError(f"{path}: not TOML: {error}", hint) from error
    use, patterns = said.pop("use", []), said.pop("pattern", [])
    if said or not isinstance(use, list) or not isinstance(patterns, list):
        raise ManifestError(f"{path}: not a list of rules", hint)
    rules: list[dict[str, str]] = []
    for name in use:
        if name not in BUILT_IN:
            raise ManifestError(f"{path}: there is no built-in rule {name!r}", hint)
        rules.append({"name": name})
    for one in patterns:
        if not isinstance(one, dict) or set(one) != {"name", "pattern"}:
            raise ManifestError(f"{path}: a pattern has a name and a pattern", hint)
        if not all(isinstance(v, str) for v in one.values()) or not _NAME.match(one["name"]):
            raise ManifestError(f"{path}: a rule's name is a word of a-z, 0-9 and -", hint)
        rules.append({"name": one["name"], "pattern": one["pattern"]})
    names = [rule["name"] for rule in rules]
    if len(set(names)) != len(names) or len(names) > _MOST_RULES or set(names[len(use) :]) & set(BUILT_IN):
        raise ManifestError(
            f"{path}: each rule has a name of its own, and there are at most {_MOST_RULES}", hint
        )
    try:
        compile_rules(rules)
    except UsageError as error:
        raise ManifestError(f"{path}: {error.message}", error.hint) from error
    return rules


def compile_rules(rules: Sequence[Mapping[str, str]]) -> tuple[Rule, ...]:
    """Rules that can find; built-in ones first, in their own order. Raises UsageError."""
    wanted = {rule["name"] for rule in rules if "pattern" not in rule}
    ours = [rule for name, rule in BUILT_IN.items() if name in wanted]
    theirs = [declared(rule["name"], rule["pattern"]) for rule in rules if "pattern" in rule]
    return (*ours, *theirs)


class Redactor:
    """Passes the events of one transaction. Remembers so long a run's secrets, to know their pieces among its search terms, and
    its question as it is stored."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._texts: dict[str, list[str]] = {}
        self._asked: dict[str, str] = {}

    def event(self, event: Event) -> Event:
        """``event`` as it is stored: with ``redacted`` in its body, rule by rule how often, where something was."""
        if event.kind in _SAID and isinstance(event.body, Mapping):
            return self._words(event, event.body)
        if event.kind not in _KINDS or not isinstance(event.body, Mapping):
            return event
        found = Found()
        known = self._texts.setdefault(event.run, [])
        if event.facts.get("name") in _MODEL_STEPS:
            return event if not known else replace(event, body={**_NOTHING, "redacted": {"model": 1}})
        body = self._value(self._withheld(event.run, event.body, found), found, known)
        known += (_letters(text) for text in found.texts)
        if event.kind is EventKind.RUN_STARTED:
            self._asked[event.run] = str(body.get("question", ""))
        if not found.counts:
            return event
        counts: Json = dict(sorted(found.counts.items()))
        return replace(event, body={**body, "redacted": counts})

    def _withheld(self, run: str, body: Mapping[str, Json], found: Found) -> Mapping[str, Json]:
        """``body`` with a refusal that names only words which the question has as it is stored: others are pieces of secrets."""
        refusal: Any = body.get("refusal")
        if refusal is None or not refusal["missing"]:
            return body
        understood = redact(str(body.get("understood", "")), self._rules, Found())
        known = {*words(self._asked.get(run, "")), *words(understood)}
        named = [str(word) for word in refusal["missing"]]
        message = str(refusal["message"])
        for word in [w for w in named if w not in known]:
            message = message.replace(quoted(word), f"[redacted {_TERMS}]")
            found.counts[_TERMS] = found.counts.get(_TERMS, 0) + 1
        kept: Json = [word for word in named if word in known]
        return {**body, "refusal": {**refusal, "message": message, "missing": kept}}

    def _words(self, event: Event, body: Mapping[str, Json]) -> Event:
        found = Found()
        words = {name: redact(str(body[name]), self._rules, found) for name in _SAID[event.kind]}
        if not found.counts:
            return event
        counts: Json = dict(sorted(found.counts.items()))
        return replace(event, body={**body, **words, "redacted": counts})

    def _value(self, value: Json, found: Found, known: Sequence[str]) -> Any:
        if isinstance(value, str):
            return redact(value, self._rules, found)
        if isinstance(value, Mapping):
            return {
                key: self._terms(item, found, known)
                if key == _TERMS and isinstance(item, Mapping)
                else (item if key in _EXACT else self._value(item, found, known))
                for key, item in value.items()
            }
        if isinstance(value, Sequence):
            return [self._value(item, found, known) for item in value]
        return value

    def _terms(self, terms: Mapping[str, Json], found: Found, known: Sequence[str]) -> dict[str, Json]:
        """Search terms without those that are a piece of what was redacted."""
        kept = {t: n for t, n in terms.items() if not _is_piece(_letters(t), known)}
        if len(kept) < len(terms):
            found.counts[_TERMS] = found.counts.get(_TERMS, 0) + len(terms) - len(kept)
        return kept


def _letters(text: str) -> str:
    """Letters and digits alone: search terms are cut and marked in ways of their own."""
    return "".join(c for c in text.lower() if c.isalnum())


def _is_piece(term: str, known: Sequence[str]) -> bool:
    """Whether ``term`` stands in a secret, or a secret begins at its end or ends at its beginning."""
    return len(term) > 1 and any(term in text or _meet(term, text) or _meet(text, term) for text in known)


def _meet(one: str, other: str) -> bool:
    """Whether at least three letters at the end of ``one`` are the beginning of ``other``."""
    return any(one.endswith(other[:n]) for n in range(_LEAST_MEETING, len(other) + 1))


class Redactions:
    """The redactor that the workspace's setting asks for, compiled once a change."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._compiled: tuple[str, tuple[Rule, ...]] = ("", ())

    def current(self) -> Callable[[Event], Event]:
        """What each event of the transaction at hand passes. Call inside it."""
        text = self._catalog.setting(REDACTION) or ""
        if not text:
            return lambda event: event
        known, rules = self._compiled
        if text != known:
            rules = compile_rules(json.loads(text))
            self._compiled = (text, rules)
        return Redactor(rules).event
