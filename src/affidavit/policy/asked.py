"""Which circumstances a set of rules asks about: what no rule can see need not be told for each decision. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cedarpy import policies_to_json_str

_CONTEXT = {"Var": "context"}


def asked(text: str) -> frozenset[str] | None:
    """The attributes of ``context`` that the rules in ``text`` name; None if some rule takes it as a whole."""
    found = list(_names(json.loads(policies_to_json_str(text))))
    return None if None in found else frozenset(name for name in found if name is not None)


def _names(node: Any) -> Iterator[str | None]:
    """None stands for the whole of it."""
    if node == _CONTEXT:
        yield None
    elif isinstance(node, list):
        for each in node:
            yield from _names(each)
    elif isinstance(node, dict):
        for operator, inner in node.items():
            if operator in (".", "has") and isinstance(inner, dict) and inner.get("left") == _CONTEXT:
                yield inner["attr"]
            else:
                yield from _names(inner)
