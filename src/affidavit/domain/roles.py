"""Roles: what people are trusted with in a tenant, and what each of them may do besides reading.

A role is granted like an action, as ``role:NAME``, to a person or a group.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "role:"
ROLES = ("reader", "operator", "approver", "auditor", "admin")
"""``reader`` calls tools that read, ``operator`` those that write too, ``approver`` says yes or no to others' calls."""

EVERYBODY = frozenset(
    {"question:ask", "run:read", "document:read", "tool:read", "tool:call", "approval:read", "feedback:give"}
)
"""What everybody known in a tenant may do without a grant, over the network too: for themselves, and with what they may read."""

ACTIONS = (
    "access:look",
    "approval:resolve",
    "budget:change",
    "call:resolve",
    "credential:change",
    "drill:run",
    "level:change",
    "money:read",
    "people:change",
    "people:read",
    "policy:read",
    "release:change",
    "source:change",
    "source:read",
    "status:read",
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
    "operator": frozenset(
        {
            "call:resolve",
            "drill:run",
            "kill:change",
            "money:read",
            "source:change",
            "source:read",
            "status:read",
        }
    ),
    "approver": frozenset({"answer:review", "approval:resolve"}),
    "auditor": frozenset(
        {
            "audit:read",
            "audit:replay",
            "money:read",
            "people:read",
            "policy:read",
            "source:read",
            "status:read",
        }
    ),
    "admin": frozenset(ACTIONS),
}
"""What each role may do without a further grant. Who stops something needs less than who starts it again would like, so
operators may: a tool stopped for nothing is cheaper than one stopped too late."""

GRANTABLE = (*ACTIONS, *(PREFIX + role for role in ROLES))


def granting(action: str) -> tuple[str, ...]:
    """The grants of which one is enough for ``action``: itself, or a role that includes it."""
    return (action, *(PREFIX + role for role in ROLES if action in INCLUDED[role]))
