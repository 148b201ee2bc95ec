"""Tests of policies: small worlds in a TOML file, and which verdict is expected of which rules.

::

    [[tool]]                              # a stand-in; tools of the workspace can be named too
    name = "mail.send"
    effect = "write"                      # read, write, irreversible
    arguments = { to = "string", body = "string" }      # string, integer, boolean, number
    data = ["body"]                       # arguments that are content; the others say what is done to whom

    [[test]]
    name = "a recipient out of a document waits for an approver"
    who = "user:alice"                    # with groups = […], roles = […], tenant = "…", person = { department = "…" }
    roles = ["operator"]
    tool = "mail.send@1"                  # or action = "audit:read"
    arguments = { to = "bob", body = "hello" }
    from = { to = "document" }            # where an argument came from, if not from the asker
    mode = "live"                         # else read-only; time = 2026-11-20T10:00:00Z, a Friday, if not given
    approved = []                         # the roles that said yes; approvers = ["user:carol"]
    expect = "needs approval"             # permit, forbid
    by = ["untrusted-control"]            # the rules that decide, all of them
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.decisions import Decision, Verdict, Wish
from affidavit.domain.errors import ManifestError, UsageError
from affidavit.domain.labels import ASKER, Label, Origin
from affidavit.domain.roles import ROLES
from affidavit.domain.tools import CALL, Contract, Effect, Idempotency, Role
from affidavit.policy.cedar import Cedar
from affidavit.policy.facts import LIVE, READ_ONLY

SUFFIX = ".test.toml"
_TENANT = 1
_FRIDAY = datetime(2026, 11, 20, 10, tzinfo=UTC)
_TOOL = {"name", "version", "effect", "arguments", "data", "owner", "trusted", "outward", "origin"}
_TEST = {
    *("name", "who", "groups", "roles", "tenant", "person", "tool", "action", "arguments", "from"),
    *("mode", "time", "approved", "approvers", "expect", "by"),
}
_TEACH = "docs/how-to/policies.md shows a file of tests"
_VERDICTS = {v.value.replace("_", " "): v for v in Verdict}


@dataclass(frozen=True)
class PolicyTest:
    """One world and what is expected of it. ``where`` names file and test."""

    where: str
    tenant: str
    wish: Wish
    verdict: Verdict
    by: tuple[str, ...] | None


@dataclass(frozen=True)
class Outcome:
    """One test and what was decided."""

    test: PolicyTest
    decision: Decision

    @property
    def passed(self) -> bool:
        """The verdict is the expected one, by the expected rules, without an error."""
        by = self.test.by
        cited = by is None or sorted(by) == sorted(self.decision.rules)
        return self.decision.verdict is self.test.verdict and cited and not self.decision.errors

    def as_json(self) -> dict[str, Any]:
        return {
            "test": self.test.where,
            "passed": self.passed,
            "expected": {"verdict": self.test.verdict.value, "rules": list(self.test.by or ())},
            "decided": self.decision.as_json(),
        }


@dataclass(frozen=True)
class TestReport:
    """All outcomes, and each rule with (tests it applied in, tests it did not)."""

    outcomes: Sequence[Outcome]
    coverage: Mapping[str, tuple[int, int]]

    @property
    def failed(self) -> list[Outcome]:
        return [o for o in self.outcomes if not o.passed]

    @property
    def uncovered(self) -> list[str]:
        """Rules that no test exercised both ways."""
        return [rule for rule, (applied, not_) in self.coverage.items() if not applied or not not_]

    def as_json(self) -> dict[str, Any]:
        return {
            "tests": len(self.outcomes),
            "failed": [o.as_json() for o in self.failed],
            "rules": len(self.coverage),
            "uncovered": self.uncovered,
        }


def read_tests(files: Mapping[str, str]) -> tuple[list[Contract], list[PolicyTest]]:
    """The stand-ins and tests of every file. Raises ManifestError."""
    contracts: list[Contract] = []
    tests: list[PolicyTest] = []
    for file, text in sorted(files.items()):
        try:
            content = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{file} is not TOML: {error}", _TEACH) from error
        unknown = content.keys() - {"tool", "test"}
        if unknown:
            raise ManifestError(f"{file}: there is no {min(unknown)!r}", _TEACH)
        for number, table in enumerate(content.get("tool", ()), 1):
            contracts.append(_checked(f"{file}, tool {number}", table, _TOOL, _contract))
        for number, table in enumerate(content.get("test", ()), 1):
            where = f"{file}, test {number}"
            tests.append(_checked(where, table, _TEST, lambda t, w=where: _test(w, t)))
    return contracts, tests


def _checked(where: str, table: Any, known: set[str], make: Any) -> Any:
    try:
        unknown = set(table) - known
        if unknown:
            raise ManifestError(
                f"{where}: there is no {min(unknown)!r}", f"one of: {', '.join(sorted(known))}"
            )
        return make(table)
    except KeyError as error:
        raise ManifestError(f"{where} lacks {error}", _TEACH) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ManifestError(f"{where}: {error}", _TEACH) from error
    except UsageError as error:
        raise ManifestError(f"{where}: {error.message}", error.hint or _TEACH) from error


def _contract(table: Mapping[str, Any]) -> Contract:
    properties = {name: {"type": kind} for name, kind in table.get("arguments", {}).items()}
    return Contract(
        table["name"],
        table.get("version", 1),
        "a stand-in",
        {"type": "object", "properties": properties},
        {},
        Effect(table["effect"]),
        Idempotency.BY_KEY,
        dict.fromkeys(table.get("data", ()), Role.DATA),
        owner=table.get("owner", ""),
        outward=table.get("outward", False),
        trusted=table.get("trusted", False),
        origin=table.get("origin", "python"),
    )


def _test(where: str, table: Mapping[str, Any]) -> PolicyTest:
    tenant, who = table.get("tenant", "acme"), table.get("who", "user:alice")
    roles = frozenset(table.get("roles", ()))
    unknown = (roles | set(table.get("approved", ()))) - set(ROLES)
    if unknown:
        raise UsageError(f"there is no role {min(unknown)!r}", f"one of: {', '.join(ROLES)}")
    if table.get("mode", READ_ONLY) not in (READ_ONLY, LIVE):
        raise UsageError("mode is read-only or live")
    if table["expect"] not in _VERDICTS:
        raise UsageError(f"expect is one of: {', '.join(_VERDICTS)}")
    groups = (f"group:{g}" for g in table.get("groups", ()))
    wish = Wish(
        tenant=_TENANT,
        principal=who,
        principals=frozenset({who, "anyone", *groups}),
        roles=roles,
        action=CALL if "tool" in table else table["action"],
        resource=table.get("tool", tenant),
        context=_context(table),
    )
    by = tuple(table["by"]) if "by" in table else None
    name = f"{where} ({table['name']})"
    return PolicyTest(name, tenant, wish, _VERDICTS[table["expect"]], by)


def _context(table: Mapping[str, Any]) -> dict[str, Any]:
    arguments, origins = table.get("arguments", {}), table.get("from", {})
    labels = {name: [_label(origins.get(name, Origin.ASKER.value)).as_json()] for name in arguments}
    time = table.get("time", _FRIDAY)
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise UsageError("time is written with its zone", "2026-11-20T10:00:00Z")
    return {
        "arguments": arguments,
        "labels": labels,
        "mode": table.get("mode", READ_ONLY),
        "time": int(time.timestamp()) * MICROSECONDS,
        "approved": table.get("approved", []),
        "approvers": table.get("approvers", []),
        "person": table.get("person", {}),
    }


def _label(word: str) -> Label:
    """``document`` is not trusted; ``trusted document`` is."""
    trusted, _, origin = word.rpartition(" ")
    return ASKER if origin == "asker" else Label(Origin(origin), "", trusted=trusted == "trusted")


MOST_ASKED = 200_000
"""Rules times tests: each rule is asked about each test, 80 µs a time."""


def run_tests(policy: Cedar, tests: Iterable[PolicyTest]) -> TestReport:
    """Decide each world, and ask each rule whether it applies there. Raises UsageError for too many."""
    tests = list(tests)
    if len(policy.rules) * len(tests) > MOST_ASKED:
        raise UsageError(
            f"{len(policy.rules)} rules and {len(tests)} tests are too many at once",
            "test them in parts: every rule is asked about every test",
        )
    outcomes = [Outcome(test, policy.decide(test.wish, test.tenant)) for test in tests]
    sound = [o.test for o in outcomes if not o.decision.errors]
    coverage: dict[str, tuple[int, int]] = {}
    for rule in policy.rules:
        matches = policy.matcher(rule)
        applied = sum(matches(test.wish, test.tenant) for test in sound)
        coverage[rule.id] = applied, len(sound) - applied
    return TestReport(outcomes, coverage)
