"""Routes are read exactly or not at all, and everything in them is part of the release's name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.domain.errors import UsageError
from affidavit.domain.release import DEFAULT, Release, load
from affidavit.domain.routes import TASKS

SMALL = {
    "kind": "openai",
    "model": "qwen3-4b",
    "version": "q4_k_m",
    "base_url": "http://127.0.0.1:8080/v1",
    "local": True,
    "region": "home",
    "concurrency": 4,
    "per_tenant": 2,
    "queue": 10,
    "options": {"api": "chat"},
}
ASKED = {
    "target": "small",
    "temperature": "0.2",
    "top_p": "0.9",
    "seed": 7,
    "max_tokens": 800,
    "timeout_ms": 8000,
    "attempts": 2,
    "stop": ["END"],
    "confidence": "0.7",
    "hedge": {"percentile": 95, "least_ms": 300, "to": "same"},
    "when": {
        "sensitivity": "confidential",
        "characters_from": 1,
        "characters_to": 9000,
        "traits": ["short"],
        "unless": ["numeric"],
    },
}
MODELS: dict[str, Any] = {
    "targets": {"small": SMALL, "large": {**SMALL, "model": "frontier", "local": False}},
    "tasks": {
        "answer": {"regions": ["eu"], "options": [{"rule": "glossary", "confidence": "0.5"}, ASKED]},
        "rewrite": {"options": [{k: v for k, v in {**ASKED, "target": "large"}.items() if k != "when"}]},
    },
}


def release(models: Any) -> dict[str, Any]:
    return {**DEFAULT, "models": models}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def other(path: tuple[Any, ...], value: Any) -> Any:
    """Another valid value for the leaf at ``path``."""
    chosen: dict[Any, Any] = {
        "target": "large" if value == "small" else "small",
        "to": "next",
        "sensitivity": "internal",
        "temperature": "0.3",
        "top_p": "0.8",
        "confidence": "0.6",
    }
    if path[-1] in chosen:
        return chosen[path[-1]]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value + "x"


def changed(path: tuple[Any, ...]) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(json.dumps(MODELS))
    at: Any = whole
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = other(path, at[path[-1]])
    if path[-1] == "target":
        at.pop("when", None)
    if path == ("targets", "small", "local"):
        del whole["tasks"]["answer"]["options"][1]["when"]["sensitivity"]
    return whole


@pytest.mark.parametrize("path", list(leaves(MODELS)), ids=lambda p: ".".join(map(str, p)))
def test_every_part_of_a_route_is_part_of_the_release_s_name(path: tuple[Any, ...]) -> None:
    before, after = load(release(MODELS)), load(release(changed(path)))
    assert before.digest != after.digest
    assert before.models is not None and after.models is not None
    moved = {t for t in before.models.tasks if before.models.tasks[t].digest != after.models.tasks[t].digest}
    if path[0] == "tasks":
        assert moved == {path[1]}
    else:
        assert moved == {{"small": "answer", "large": "rewrite"}[path[1]]}
    if path[0] == "targets":
        assert _key(before, path[1]) != _key(after, path[1])


def _key(loaded: Release, name: str) -> str:
    assert loaded.models is not None
    options = [o for t in loaded.models.tasks.values() for o in t.options]
    return next(o.target.key for o in options if o.target is not None and o.name == name)


def test_a_release_without_models_is_what_it_was() -> None:
    assert load(DEFAULT).digest == "0319aafc6370a1bf7db66444375ece067635aa29c2e1c9a915174aa4c26264e9"
    assert load(DEFAULT).models is None


def test_what_is_read_is_what_was_written() -> None:
    loaded = load(release(MODELS)).models
    assert loaded is not None
    rule, small = loaded.tasks["answer"].options
    assert (rule.name, rule.target, rule.confidence) == ("glossary", None, 0.5)
    assert small.target is not None and small.settings is not None
    assert (small.target.model, small.target.local, small.target.queue) == ("qwen3-4b", True, 10)
    assert (small.settings.temperature, small.settings.seed, small.settings.stop) == ("0.2", 7, ("END",))
    assert (small.conditions.level, small.conditions.characters) == (2, (1, 9000))
    assert loaded.tasks["rewrite"].options[0].conditions.level == 1, "outside, internal text is the most"


def _with(path: str, value: Any) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(json.dumps(MODELS))
    at: Any = whole
    *way, last = (int(p) if p.isdigit() else p for p in path.split("/"))
    for key in way:
        at = at[key]
    if value is KeyError:
        del at[last]
    else:
        at[last] = value
    return whole


ANSWER = "tasks/answer/options/1"


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("targets/small/local", "yes", "true or false"),
        ("targets/small/local", KeyError, "lacks local"),
        ("targets/small/secret", "sk-1", "knows no secret"),
        ("targets/small/base_url", "http://me:pw@h/v1", "secrets"),
        ("targets/small/base_url", "http://h/\x1b[2J", "line of text"),
        ("targets/small/concurrency", 0, "from 1"),
        ("targets/small/options", [], "not a table"),
        ("targets/Small", SMALL, "no name"),
        ("tasks/guess", {"options": []}, "no such task"),
        ("tasks/answer/options", [], "has no options"),
        ("tasks/answer/options", [ASKED, {"rule": "late"}], "rules decide first"),
        ("tasks/answer/region", [], "knows no region"),
        (f"{ANSWER}/target", "medium", "no target 'medium'"),
        (f"{ANSWER}/target", ["small"], "no target"),
        (f"{ANSWER}/temperature", 0.2, "no canonical form"),
        (f"{ANSWER}/temperature", "3", "decimal text"),
        (f"{ANSWER}/temperature", "1e0", "decimal text"),
        (f"{ANSWER}/temperature", "nan", "decimal text"),
        (f"{ANSWER}/seed", True, "whole number"),
        (f"{ANSWER}/seed", KeyError, "lacks seed"),
        (f"{ANSWER}/attempts", 1000, "from 1 to 10"),
        (f"{ANSWER}/when/sensitivity", "secret", "sensitivity is one of"),
        (f"{ANSWER}/when/sensitive", "internal", "knows no sensitive"),
        (f"{ANSWER}/when/characters_to", 0, "from 1"),
        (f"{ANSWER}/when/traits", "short", "not a list"),
        (f"{ANSWER}/hedge/to", "both", "same"),
        (f"{ANSWER}/hedge/percentile", 100, "from 50 to 99"),
        ("tasks/rewrite/options/0/when", {"sensitivity": "confidential"}, "never goes"),
        ("tasks/rewrite/options/0/when", {"sensitivity": "restricted"}, "never goes"),
    ],
)
def test_what_is_not_exactly_right_is_refused(path: str, value: Any, told: str) -> None:
    with pytest.raises(UsageError, match="release is malformed") as refused:
        load(release(_with(path, value)))
    assert told in str(refused.value)


@pytest.mark.parametrize("models", [None, [], "x", {}, {"targets": {}}, {"targets": [], "tasks": {}}])
def test_what_is_no_table_is_refused(models: Any) -> None:
    with pytest.raises(UsageError, match="malformed"):
        load(release(models))


def test_the_tasks_are_the_named_ones() -> None:
    assert set(TASKS) == {"answer", "rewrite", "classify", "extract", "verify", "summarise", "choose-tool"}


def test_the_route_in_the_documentation_is_one() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "routing.md"
    (shown,) = re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    loaded = load({**DEFAULT, **json.loads(f"{{{shown}}}")}).models
    assert loaded is not None
    assert [o.name for o in loaded.tasks["answer"].options] == ["glossary", "small", "frontier"]
