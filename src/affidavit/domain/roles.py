"""Roles: what people are trusted with in a tenant, and what each of them may do besides reading.

A role is granted like an action, as ``role:NAME``, to a person or a group.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "role:"
ROLES = ("reader", "operator", "approver", "auditor", "admin")
"""``reader`` calls tools that read, ``operator`` those that write too, ``approver`` says yes or no to others' calls."""

ACTIONS = (
    "audit:read",
    "audit:replay",
    "audit:erase",
    "answer:review",
    "incident:manage",
    "mode:change",
    "kill:change",
    "secret:change",
)
"""What may be granted alone."""

INCLUDED: Mapping[str, frozenset[str]] = {
    "reader": frozenset(),
    "operator": frozenset({"kill:change"}),
    "approver": frozenset({"answer:review"}),
    "auditor": frozenset({"audit:read", "audit:replay"}),
    "admin": frozenset(ACTIONS),
}
"""What each role may do without a further grant. Who stops something needs less than who starts it again would like, so
operators may: a tool stopped for nothing is cheaper than one stopped too late."""

GRANTABLE = (*ACTIONS, *(PREFIX + role for role in ROLES))


def granting(action: str) -> tuple[str, ...]:
    """The grants of which one is enough for ``action``: itself, or a role that includes it."""
    return (action, *(PREFIX + role for role in ROLES if action in INCLUDED[role]))
