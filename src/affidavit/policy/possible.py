"""What is left of a set of rules when nothing is known of a call but who, which tool, and the circumstances. Pure.

It permits whatever the whole set could permit with some arguments, or after some yes; and perhaps more, never less.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cedarpy import PolicySet, policies_to_json_str

from affidavit.policy.asked import asked
from affidavit.policy.statements import Statement

_KNOWN = frozenset({"mode", "time", "hour", "weekday"})
"""Of the circumstances those that hold before anything is proposed."""


def unconditional(rules: Iterable[Statement]) -> PolicySet:
    """The forbid rules that hold whatever the arguments and whoever says yes; the permit rules, and where one asks about a call
    its head alone."""
    kept: dict[str, Any] = {}
    for rule in rules:
        names = asked(rule.text)
        of_the_call = names is None or bool(names - _KNOWN)
        if rule.effect == "forbid" and (rule.approval or of_the_call):
            continue
        (parsed,) = json.loads(policies_to_json_str(rule.text))["staticPolicies"].values()
        kept[rule.id] = {**parsed, "conditions": []} if of_the_call else parsed
    return PolicySet.from_json_str(json.dumps({"templates": {}, "staticPolicies": kept, "templateLinks": []}))
