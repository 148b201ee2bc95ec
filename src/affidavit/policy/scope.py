"""Who may read what: ``scope`` lists it, ``decide`` checks one. Pure, and they must agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from affidavit.domain.access import ANYONE, AccessRule, Verdict


@dataclass(frozen=True)
class Identity:
    """A known principal with everything it is at a position: itself, its groups, and ``anyone``."""

    principal: str
    principals: frozenset[str]


def identity(principal: str, closure: Set[str], known: bool) -> Identity:
    """A stranger is nobody: without being known, not even what is open to ``anyone``."""
    return Identity(principal, frozenset(closure) | {ANYONE} if known else frozenset())


def visible_rules(identity: Identity, rules: Iterable[tuple[int, AccessRule]]) -> frozenset[int]:
    """The ids of the rules that let ``identity`` read (list)."""
    mine = identity.principals
    return frozenset(id for id, rule in rules if rule.permits(mine))


def decide_read(identity: Identity, rule: AccessRule | None) -> Verdict:
    """Whether ``identity`` may read what ``rule`` governs (check). No rule is a denial."""
    if rule is None:
        return Verdict(False, "no rule")
    if not identity.principals:
        return Verdict(False, "unknown person")
    return rule.verdict(identity.principals)


class VisibleRules:
    """``visible_rules`` with memory: rules never change once interned, so only new ones are evaluated.

    Not shared between threads without a lock; ``extend`` is given the rules of one tenant in id order.
    """

    def __init__(self) -> None:
        self._rules: dict[int, AccessRule] = {}
        self._seen: dict[frozenset[str], tuple[int, frozenset[int]]] = {}
        self._order: list[int] = []

    @property
    def last(self) -> int:
        """The largest rule id known."""
        return self._order[-1] if self._order else 0

    def extend(self, rules: Mapping[int, AccessRule]) -> None:
        """Learn new rules (ids above ``last``)."""
        for id in sorted(rules):
            self._rules[id] = rules[id]
            self._order.append(id)

    def of(self, identity: Identity) -> frozenset[int]:
        """The ids of all known rules that let ``identity`` read."""
        count, visible = self._seen.get(identity.principals, (0, frozenset()))
        if count < len(self._order):
            fresh = ((id, self._rules[id]) for id in self._order[count:])
            visible = visible | visible_rules(identity, fresh)
            if len(self._seen) > 10_000:
                self._seen.clear()
            self._seen[identity.principals] = (len(self._order), visible)
        return visible
