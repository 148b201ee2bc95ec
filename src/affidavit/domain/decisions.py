"""A decision: who wants to do what, to what, in which circumstances; and what was decided by which rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from affidavit.domain.canonical import Json


class Verdict(str, Enum):
    """Deny by default: whatever is not permitted is forbidden, and an error while deciding forbids."""

    PERMIT = "permit"
    FORBID = "forbid"
    NEEDS_APPROVAL = "needs_approval"


@dataclass(frozen=True)
class Wish:
    """What is to be decided.

    ``tenant`` is the catalog's number; ``principal`` is who acts (``user:alice``), ``principals`` all that they are at this
    position (themselves, groups, ``anyone``), ``roles`` what they hold in ``tenant`` (``domain/roles.py``). ``action`` is
    ``resource:verb``; ``resource`` what it is done to (a tool by ``name@version``), ``attributes`` what is known of it (for a
    tool its contract without words and schemas).

    ``context`` holds the circumstances: ``arguments``; ``labels``, where each came from (a list of labels for each argument; none
    means nobody vouches); ``approved``, the roles that said yes, and ``approvers``, who they were; ``mode``, ``time``
    (microseconds) and ``person`` (what is known of who acts), which whoever decides looks up itself.
    """

    tenant: int
    principal: str
    principals: frozenset[str]
    roles: frozenset[str]
    action: str
    resource: str
    attributes: Mapping[str, Json] = field(default_factory=dict)
    context: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What was decided, by which rules (their ``@id``), under which policy (its digest).

    ``roles``: who could approve, where that is what is missing. ``errors``: what went wrong while deciding; then the verdict is
    forbid. No rules and forbid: nothing permits it.
    """

    verdict: Verdict
    rules: tuple[str, ...]
    policy: str
    roles: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """As it stands on the log."""
        return {
            "verdict": self.verdict.value,
            "rules": list(self.rules),
            "policy": self.policy,
            "roles": list(self.roles),
            "errors": list(self.errors),
        }
