"""A release is named by what it says: every value in it moves the digest."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from affidavit.domain.errors import UsageError
from affidavit.domain.events import FACTS, Event, EventKind
from affidavit.domain.release import DEFAULT, load


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


@pytest.mark.parametrize("path", list(leaves(DEFAULT)), ids=lambda p: ".".join(map(str, p)))
def test_every_setting_is_part_of_the_name(path: tuple[Any, ...]) -> None:
    changed = copy.deepcopy(dict(DEFAULT))
    target = changed
    for key in path[:-1]:
        target = target[key]
    value = target[path[-1]]
    another = value[1:] if isinstance(value, list) else value + 1 if isinstance(value, int) else value + "1"
    target[path[-1]] = another
    if path == ("chunker", "name"):  # unlike the others it names code: what is not there cannot cut
        with pytest.raises(UsageError, match="no such chunker"):
            load(changed)
        return
    assert load(changed).digest != load(DEFAULT).digest


@pytest.mark.parametrize("missing", ["retrieve", "suffice", "answer", "guard", "chunker"])
def test_a_release_that_lacks_a_part_is_refused(missing: str) -> None:
    with pytest.raises(UsageError, match="malformed"):
        load({k: v for k, v in DEFAULT.items() if k != missing})


@pytest.mark.parametrize(
    "change", [{"limit": 3}, {"limit": 10**6}, {"tiny": -1}, {"strategies": ["magic"]}, {"overlap": 3}]
)
def test_a_chunker_that_could_not_cut_is_refused(change: dict[str, Any]) -> None:
    changed = copy.deepcopy(dict(DEFAULT))
    changed["chunker"].update(change)
    with pytest.raises(UsageError, match="chunk"):
        load(changed)


def test_an_unknown_feature_is_refused() -> None:
    changed = copy.deepcopy(dict(DEFAULT))
    changed["suffice"]["dense"]["weights"]["luck"] = "1"
    with pytest.raises(UsageError, match="luck"):
        load(changed)


def test_a_release_that_says_nothing_of_openings_and_second_retrievals_makes_none() -> None:
    old = copy.deepcopy(dict(DEFAULT))
    for name in ("k1", "b", "lead", "onward", "onward_weight"):
        del old["retrieve"][name]
    settings = load(old).retrieval
    assert (settings.k1, settings.b, settings.lead, settings.onward) == (1.2, 0.75, 0, 0)


@pytest.mark.parametrize(
    ("name", "value"), [("k1", "-1"), ("b", "1.1"), ("lead", "-1"), ("onward", 9), ("onward_weight", "-1")]
)
def test_settings_of_retrieval_have_bounds(name: str, value: object) -> None:
    changed = copy.deepcopy(dict(DEFAULT))
    changed["retrieve"][name] = value
    with pytest.raises(UsageError, match="retrieve"):
        load(changed)


def test_event_facts_are_closed_and_typed() -> None:
    assert set(FACTS) == set(EventKind)
    with pytest.raises(ValueError, match="needs the facts"):
        Event(EventKind.TENANT_CREATED)
    with pytest.raises(TypeError, match="subject"):
        Event(EventKind.TENANT_CREATED, facts={"subject": "alice"})
    with pytest.raises(TypeError):
        Event(EventKind.TENANT_CREATED, facts={"subject": True})
