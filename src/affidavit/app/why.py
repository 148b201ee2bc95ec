"""Why somebody may read a document, or may not: the verdict, the entries of the rule, and how they come to be what they name."""

from __future__ import annotations

from typing import Any

from affidavit.app.wiring import Parts
from affidavit.domain.access import named, principal
from affidavit.domain.errors import AccessDeniedError
from affidavit.policy.scope import decide_read
from affidavit.store.people import Tenant


class WhyDesk:
    """Answers "why can bob see this?"."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def why(self, tenant: Tenant, source: str, document: str, person: str) -> dict[str, Any]:
        """The verdict for ``person`` now. Raises AccessDeniedError for a document that is not there.

        What somebody may not read does not exist for them: whoever calls this has checked that the asker may know more.
        """
        who, parts = principal(named(person)), self._parts
        with parts.database.read():
            head = parts.log.head()
            states = parts.catalog.states(tenant.id, source, document, head)
            if not states:
                raise AccessDeniedError(
                    f"there is no document {document!r} in {source!r}", "names are as the source gives them"
                )
            state = states[0]
            rules = {} if state.rule is None else parts.catalog.rules_by_id([state.rule])
            rule = rules.get(state.rule or 0)
            identity = parts.scopes.identify(tenant.id, who, head)
            verdict = decide_read(identity, rule)
            named_there = set() if rule is None else set().union(*rule.layers, rule.deny)
            paths = [
                path
                for name in sorted(identity.principals & named_there)
                if (path := self._path(tenant.id, who, name, head))
            ]
        return {
            "person": who,
            "known": bool(identity.principals),
            "source": source,
            "document": document,
            "permit": verdict.permit,
            "reason": verdict.reason,
            "rule": None if rule is None else rule.as_json(),
            "through": paths,
        }

    def _path(self, tenant: int, who: str, group: str, head: int) -> list[str]:
        """The shortest way from ``who`` to ``group`` by direct memberships; [] for what everybody is."""
        ways, seen = [[who]], {who}
        while ways:
            longer = []
            for way in ways:
                if way[-1] == group:
                    return way
                for parent in sorted(self._parts.people.groups_of(tenant, way[-1], head) - seen):
                    seen.add(parent)
                    longer.append([*way, parent])
            ways = longer
        return []
