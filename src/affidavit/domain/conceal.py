"""Taking secrets out of what is about to be recorded or shown, in every form in which a tool may hand them back. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 8
"""Characters a secret must have: a shorter one stands in too many texts by chance to be taken out of them."""


_PERCENT = re.compile(r"%[0-9A-F]{2}")


class Secret(str):
    """A secret's text, which does not show itself when a structure that holds it is printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"


def forms(secret: str) -> list[str]:
    """``secret`` as it is, quoted, escaped, in hexadecimal and in Base64 (alone or within a longer text), longest first."""
    data = secret.encode()
    found = {
        secret,
        *(form for quoted in _quoted(secret) for form in (quoted, _PERCENT.sub(_lower, quoted))),
        escape(secret),
        escape(secret, quote=False),
        data.hex(),
        data.hex().upper(),
    }
    for ascii in (True, False):  # also as JSON within JSON
        once = json.dumps(secret, ensure_ascii=ascii)[1:-1]
        found |= {once, json.dumps(once, ensure_ascii=ascii)[1:-1]}
    found.add(repr(str(secret))[1:-1])
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        # the characters that depend on what stands before and after are left out
        inner = whole[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return sorted(found, key=len, reverse=True)


def _quoted(secret: str) -> tuple[str, ...]:
    return quote(secret, safe=""), quote(secret), quote_plus(secret)


def _lower(found: re.Match[str]) -> str:
    return found.group().lower()


class Concealer:
    """Takes the secrets ``values`` (by name) out of values; what stands for one names it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._forms = [
            (form, f"[secret {name}]") for name, secret in sorted(values.items()) for form in forms(secret)
        ]
        self._forms.sort(key=lambda f: -len(f[0]))

    def text(self, text: str) -> str:
        """``text`` without them."""
        for form, instead in self._forms:
            text = text.replace(form, instead)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without them, in its keys neither."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(each) for each in value]
        if type(value) is int:  # a secret of digits that a tool made a number of
            told = self.text(str(value))
            return value if told == str(value) else told
        return value
