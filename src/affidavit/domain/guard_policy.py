"""The ``guard`` section of a release: which guards look at what, and which findings lead to which verdict.

```json
{"longest": 2000,
 "question": [{"guard": "core", "verdicts": {"secret": "refuse", "orders": "flag"}}],
 "passage":  [{"guard": "core", "verdicts": {"orders": "redact"}, "from": "0.8"}],
 "answer":   [{"guard": "core", "verdicts": {"secret": "redact", "image": "redact", "link-data": "redact"}, "hosts":
 ["acme.example"]},
              {"guard": "moderation", "otherwise": "refuse", "timeout_ms": 800}]}
```

Without ``question``, ``passage`` and ``answer`` no configured guard runs, and what always holds stays as it is: a
question's length and
characters, and sentences that hold orders, secrets or images are not quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from affidavit.domain.guard_core import KINDS, NAME
from affidavit.domain.guards import Stage, Verdict
from affidavit.domain.redact import Rule, declared

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_KIND = re.compile(r"[A-Za-z0-9][\w /.-]{0,63}\Z")
_HOST = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}\Z")
_KEYS = frozenset("guard verdicts from otherwise failure timeout_ms hosts patterns".split())
_MOST_STEPS, _MOST_PATTERNS, _MOST_HOSTS = 16, 100, 1_000
_LONGEST_WAIT = 60_000


@dataclass(frozen=True)
class GuardStep:
    """One guard at one stage.

    ``verdicts``: what a finding of a kind leads to. ``otherwise``: what one of another kind leads to. ``least``: findings less
    sure than this are only recorded. ``failure``: the verdict if the guard raises, is not there or takes longer than ``timeout``
    seconds. ``hosts`` and ``patterns`` are for ``core``: addresses that are ours, and declared patterns by name.
    """

    guard: str
    verdicts: Mapping[str, Verdict] = field(default_factory=lambda: MappingProxyType({}))
    otherwise: Verdict = Verdict.REFUSE
    least: Decimal = Decimal("0.5")
    failure: Verdict = Verdict.REFUSE
    timeout: float = 1.0
    hosts: frozenset[str] = frozenset()
    patterns: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class GuardPolicy:
    """The steps of each stage, in their order."""

    stages: Mapping[Stage, tuple[GuardStep, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def steps(self, stage: Stage) -> tuple[GuardStep, ...]:
        """Those of ``stage``."""
        return self.stages.get(stage, ())


def parse(section: Mapping[str, Any]) -> GuardPolicy:
    """The policy in a release's ``guard`` section. Raises ValueError, TypeError or UsageError for anything not understood."""
    _only(section, {"longest", *(s.value for s in Stage)}, "guard")
    stages = {}
    for stage in Stage:
        steps = section.get(stage.value, [])
        if not isinstance(steps, list) or len(steps) > _MOST_STEPS:
            raise ValueError(f"guard.{stage.value} is a list of at most {_MOST_STEPS} steps")
        if steps:
            stages[stage] = tuple(_step(s, f"guard.{stage.value}[{n}]") for n, s in enumerate(steps))
    return GuardPolicy(MappingProxyType(stages))


def _only(content: object, known: set[str] | frozenset[str], where: str) -> None:
    if not isinstance(content, Mapping):
        raise TypeError(f"{where} is a table")
    unknown = set(content) - set(known)
    if unknown:
        raise ValueError(f"{where}: not understood: {sorted(map(str, unknown))}")


def _step(content: Mapping[str, Any], where: str) -> GuardStep:
    _only(content, _KEYS, where)
    name = content.get("guard")
    if not isinstance(name, str) or not _NAME.match(name):
        raise ValueError(f"{where}.guard is a name in small letters, digits and dashes")
    patterns = _patterns(content.get("patterns", {}), where)
    step = GuardStep(
        name,
        _verdicts(content.get("verdicts", {}), where),
        _verdict(content.get("otherwise", Verdict.REFUSE.value), f"{where}.otherwise"),
        _share(content.get("from", "0.5"), f"{where}.from"),
        _verdict(content.get("failure", Verdict.REFUSE.value), f"{where}.failure"),
        _milliseconds(content.get("timeout_ms", 1_000), f"{where}.timeout_ms") / 1_000,
        _hosts(content.get("hosts", []), where),
        patterns,
    )
    if name == NAME:
        _core(step, "otherwise" in content, where)
    elif step.hosts or step.patterns:
        raise ValueError(f"{where}: hosts and patterns are for the guard {NAME!r}")
    return step


def _core(step: GuardStep, otherwise: bool, where: str) -> None:
    names = {rule.name for rule in step.patterns}
    unknown = set(step.verdicts) - KINDS - names
    if unknown:
        raise ValueError(f"{where}.verdicts: {NAME} has no kinds {sorted(unknown)}; it has {sorted(KINDS)}")
    if names & KINDS:
        raise ValueError(f"{where}.patterns: {sorted(names & KINDS)} are kinds of {NAME} already")
    if names - set(step.verdicts):
        raise ValueError(f"{where}.patterns: no verdict for {sorted(names - set(step.verdicts))}")
    if not step.verdicts or otherwise:
        raise ValueError(f"{where}: {NAME} looks for the kinds that have a verdict, and for no other")


def _verdict(value: object, where: str) -> Verdict:
    if value not in tuple(v.value for v in Verdict):
        raise ValueError(f"{where}: {value!r} is not one of {', '.join(v.value for v in Verdict)}")
    return Verdict(value)


def _verdicts(content: Mapping[str, Any], where: str) -> Mapping[str, Verdict]:
    if not isinstance(content, Mapping) or not all(isinstance(k, str) and _KIND.match(k) for k in content):
        raise ValueError(f"{where}.verdicts is a table from kinds to verdicts")
    return MappingProxyType({k: _verdict(v, f"{where}.verdicts.{k}") for k, v in content.items()})


def _share(value: object, where: str) -> Decimal:
    if not isinstance(value, str) or not re.fullmatch(r"0(?:\.\d{1,4})?|1(?:\.0{1,4})?", value):
        raise ValueError(f"{where} is decimal text from 0 to 1")
    return Decimal(value)


def _milliseconds(value: object, where: str) -> int:
    if type(value) is not int or not 1 <= value <= _LONGEST_WAIT:
        raise ValueError(f"{where} is a number of milliseconds from 1 to {_LONGEST_WAIT}")
    return value


def _hosts(content: object, where: str) -> frozenset[str]:
    if not isinstance(content, list) or len(content) > _MOST_HOSTS:
        raise ValueError(f"{where}.hosts is a list of at most {_MOST_HOSTS} names")
    if not all(isinstance(h, str) and _HOST.match(h) for h in content):
        raise ValueError(f"{where}.hosts: write each as in acme.example, small letters, without https://")
    return frozenset(content)


def _patterns(content: object, where: str) -> tuple[Rule, ...]:
    if not isinstance(content, Mapping) or len(content) > _MOST_PATTERNS:
        raise ValueError(f"{where}.patterns is a table of at most {_MOST_PATTERNS} names")
    if not all(isinstance(k, str) and _NAME.match(k) and isinstance(v, str) for k, v in content.items()):
        raise ValueError(f"{where}.patterns: a name in small letters and a pattern each")
    return tuple(declared(name, pattern) for name, pattern in sorted(content.items()))
