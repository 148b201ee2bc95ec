"""Schemas and words of strangers (MCP servers, OpenAPI documents), made small and harmless before anything else sees them.

What comes out refers to nothing: every ``$ref`` is resolved within its own document and written out, one that comes back to
itself ends in "anything". Known keywords stay, all others go. Size and depth are bounded, so that validating costs what it looks
like. Numbers with fractions become texts ("21.5"), since a contract knows exact values only.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import unquote

from affidavit.domain.canonical import Json, digest, sha256
from affidavit.domain.errors import UsageError
from affidavit.domain.tools import Contract, Effect, Idempotency, Role, contract

FRACTION = r"^-?[0-9]{1,9}\.[0-9]{1,6}$"
"""A number with a fraction, as an argument: text of so few digits that no machine rounds it."""
MOST_TOOLS = 200
_MOST_NODES, _DEEPEST = 2_000, 24
_MOST_NAMES, _MOST_VALUES, _LONGEST_NAME, _LONGEST_PATTERN = 200, 500, 100, 500
_LONGEST_TEXT, _LONGEST_DESCRIPTION = 500, 2_000
_WHOLE = (
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
)  # fmt: skip
_BOUNDS = _WHOLE[6:]
_MAPS, _LISTS, _SINGLE = (
    ("properties", "patternProperties"),
    ("allOf", "anyOf", "oneOf", "prefixItems"),
    ("items", "additionalProperties", "propertyNames", "not", "contains"),
)
_POINTS_ELSEWHERE = ("$dynamicRef", "$recursiveRef")
_ORDERS = re.compile(
    r"\b(ignore|disregard|forget)\b.{0,40}\b(instruction|previous|above|prior|rule)|\bdo not (tell|mention|inform|reveal)"
    r"|\b(system|developer) (prompt|message)|<\s*/?\s*(system|important|instructions?)\b"
    r"|\bbefore (using|calling) (this|any|other)"
    r"|\b(password|api.?key|credential|\.ssh|id_rsa|\.env)\b|https?://",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Found:
    """A tool as it was found, cleaned and narrowed. ``plan`` says how it is called, ``pin`` is the digest of what was said about
    it, ``effect`` what is assumed until the operator says otherwise; ``claims`` is what the other side says of itself (nothing is
    decided by that), ``odd`` why a person should look twice."""

    word: str
    description: str
    parameters: Mapping[str, Json]
    result: Mapping[str, Json]
    plan: Mapping[str, Json]
    pin: str
    effect: Effect = Effect.IRREVERSIBLE
    claims: str = ""
    odd: str = ""


@dataclass(frozen=True)
class Offered:
    """A tool that a stranger offers, under the contract that the operator gives it."""

    contract: Contract
    plan: Mapping[str, Json]
    pin: str
    claims: str = ""
    odd: str = ""

    def as_json(self) -> dict[str, Json]:
        return {"contract": self.contract.as_json(), "plan": dict(self.plan), "pin": self.pin}


@dataclass(frozen=True)
class Offer:
    """What was found at ``place`` (kind ``mcp`` or ``openapi``). ``left_out``: what cannot be a tool, and why."""

    name: str
    kind: str
    place: Mapping[str, Json]
    tools: tuple[Offered, ...]
    left_out: tuple[tuple[str, str], ...] = field(default=())

    def as_json(self) -> dict[str, Json]:
        """What is accepted, and its digest made of: everything that decides what a call does."""
        return {
            "name": self.name,
            "kind": self.kind,
            "place": dict(self.place),
            "tools": [one.as_json() for one in self.tools],
        }

    @property
    def digest(self) -> str:
        return digest(self.as_json())


def offer(content: Mapping[str, Any]) -> Offer:
    """An offer from what ``as_json`` gave. Raises UsageError if it is malformed."""
    try:
        tools = tuple(Offered(contract(one["contract"]), one["plan"], one["pin"]) for one in content["tools"])
        return Offer(content["name"], content["kind"], content["place"], tools)
    except (KeyError, TypeError) as error:
        raise UsageError(f"the import is malformed: {error!r}") from error


_SAID = frozenset(
    {
        "effect",
        "idempotency",
        "data",
        "owner",
        "timeout",
        "attempts",
        "rate",
        "undo",
        "outward",
        "trusted",
        "trusts",
        "kinds",
    }
    | {"description", "deprecated", "retired", "key_header", "use"}
)


def under_contract(
    found: Found, name: str, kind: str, secrets: tuple[str, ...], says: Mapping[str, Any]
) -> Offered:
    """``found`` as the tool ``NAME.WORD``, with what the operator ``says`` about it. Raises UsageError for what cannot be so.

    Until the operator says so nothing is known of how it bears being called twice, and all that it returns is a stranger's word.
    """
    key, hint = f"{name}.{found.word}", f"known for a tool: {', '.join(sorted(_SAID))}"
    if set(says) - _SAID:
        raise UsageError(f"{key}: nothing is known of {', '.join(sorted(set(says) - _SAID))}", hint)
    effect = Effect(_one_of(says.get("effect", found.effect.value), Effect, key))
    reads = effect is Effect.READ
    given = says.get("idempotency", "native" if reads else "none")
    idempotency = Idempotency(_one_of(given, Idempotency, key))
    header = says.get("key_header", "")
    if idempotency is Idempotency.CHECK_FIRST or (reads and idempotency is not Idempotency.NATIVE):
        raise UsageError(f"{key} cannot be {idempotency.value}", "native, none, or by_key with a key_header")
    if (idempotency is Idempotency.BY_KEY) != bool(header) or (header and kind != "openapi"):
        raise UsageError(
            f"{key}: by_key goes with key_header, and only HTTP APIs have one",
            'key_header = "Idempotency-Key"',
        )
    if idempotency is Idempotency.NONE and says.get("attempts", 1) != 1:
        raise UsageError(
            f"{key} cannot be tried twice", "leave attempts out, or say how it bears being called twice"
        )
    try:
        made = Contract(
            name=key,
            version=1,
            description=says.get("description", found.description),
            parameters=found.parameters,
            result=found.result,
            effect=effect,
            idempotency=idempotency,
            roles=dict.fromkeys(says.get("data", ()), Role.DATA),
            rate=tuple(says.get("rate", (0, 0))),
            origin=f"{kind}:{name}",
            secrets=secrets,
            outward=says.get("outward", True),
            timeout=says.get("timeout", 30_000),
            **{
                k: says[k]
                for k in ("owner", "attempts", "undo", "trusted", "trusts", "kinds", "deprecated", "retired")
                if k in says
            },
        )
        contract(made.as_json())
        made.digest  # noqa: B018  # raises where it has none
    except (TypeError, ValueError) as error:
        raise UsageError(f"{key}: {error}", hint) from error
    plan = {**found.plan, "key_header": header} if header else found.plan
    return Offered(made, plan, found.pin, found.claims, found.odd)


def _one_of(value: object, kind: type[Enum], key: str) -> str:
    known = [str(member.value) for member in kind]
    if value not in known:
        raise UsageError(f"{key}: {plain(str(value), 40)!r} is none of {', '.join(known)}")
    return str(value)


def pin_of(said: object) -> str:
    """The digest of what somebody said, in JSON with fractions and all. Raises UsageError for what is no JSON."""
    try:
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"what it says is no JSON: {error}"[:200]) from error
    return sha256(text.encode())


def plain(text: object, most: int = _LONGEST_TEXT) -> str:
    """``text`` on one line, without anything invisible, cut to ``most`` characters."""
    if not isinstance(text, str):
        return ""
    shown = " ".join("".join(map(_visible, text[: most * 4])).split())
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _visible(character: str) -> str:
    """``character``, a space for a control character, nothing for what nobody sees (or sees the text around it turned by)."""
    kind = unicodedata.category(character)
    return " " if kind in ("Cc", "Zl", "Zp") else "" if kind in ("Cf", "Co", "Cs", "Cn") else character


def described(text: object) -> tuple[str, str]:
    """(a tool's description, cleaned; why a person should look twice at it, or "")."""
    shown = plain(text, _LONGEST_DESCRIPTION)
    said = text if isinstance(text, str) else ""
    if any(not _visible(c) for c in said):
        return shown, "its description held invisible characters"
    if len(said) > _LONGEST_DESCRIPTION:
        return shown, "its description was cut"
    match = _ORDERS.search(shown)
    return shown, f"its description reads like orders: “{match.group()[:60]}”" if match else ""


def word(text: object) -> str:
    """A tool's name out of a stranger's: ``createTicket`` is ``create_ticket``. "" where nothing is left."""
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", str(text)[:200]) if isinstance(text, str) else ""
    found = re.sub(r"[^a-z0-9]+", "_", parts.lower()).strip("_")
    return re.sub(r"^[^a-z]+", "", found)[:48].rstrip("_")


class Narrower:
    """Narrows the schemas of one document, ``root``. ``arguments``: they are what we send, else what comes back."""

    def __init__(self, root: object, *, arguments: bool) -> None:
        self._root = root
        self._arguments = arguments
        self._left = _MOST_NODES

    def narrowed(self, schema: object) -> dict[str, Json]:
        """``schema``, written out. Raises UsageError for what is too large, too deep, malformed, or points elsewhere."""
        return self._node(schema, (), 0)

    def _node(self, schema: object, above: tuple[str, ...], depth: int) -> dict[str, Json]:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise UsageError(f"its schema has more than {_MOST_NODES} parts, or is deeper than {_DEEPEST}")
        if isinstance(schema, bool):
            return {} if schema else {"not": {}}
        if not isinstance(schema, Mapping):
            raise UsageError("its schema is no object")
        if any(key in schema for key in _POINTS_ELSEWHERE):
            raise UsageError("its schema points to what only a run can know ($dynamicRef)")
        here = self._plain({k: v for k, v in schema.items() if k != "$ref"}, above, depth)
        if "$ref" not in schema:
            return here
        there = self._referred(schema["$ref"], above, depth)
        rest = {k: v for k, v in here.items() if k != "description"}
        if rest:
            return {**here, "allOf": [*_listed(here.get("allOf")), there]}
        return {**there, **here}

    def _referred(self, ref: object, above: tuple[str, ...], depth: int) -> dict[str, Json]:
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise UsageError(
                f"its schema refers to {plain(str(ref), 80)!r}, which is not in it, and nothing is fetched"
            )
        if ref in above:
            return {}  # it comes back to itself: from here on anything
        return self._node(pointed(self._root, ref), (*above, ref), depth + 1)

    def _plain(self, schema: Mapping[Any, Any], above: tuple[str, ...], depth: int) -> dict[str, Json]:
        out: dict[str, Json] = {}
        for key in _SINGLE:
            if key in schema and not (key == "items" and isinstance(schema[key], list)):
                out[key] = False if schema[key] is False else self._node(schema[key], above, depth + 1)
        for key in _LISTS:
            if key in schema:
                out[key] = [self._node(one, above, depth + 1) for one in _few(schema[key], _MOST_NAMES, key)]
        for key in _MAPS:
            if key in schema:
                out[key] = self._named(schema[key], above, depth)
        out.update(self._values(schema))
        if plain(schema.get("description")):
            out["description"] = plain(schema.get("description"))
        return self._exact(self._typed(schema, out))

    def _named(self, named: object, above: tuple[str, ...], depth: int) -> dict[str, Json]:
        if not isinstance(named, Mapping) or len(named) > _MOST_NAMES:
            raise UsageError(f"its schema has an object of more than {_MOST_NAMES} fields, or of none")
        return {_name(name): self._node(one, above, depth + 1) for name, one in named.items()}

    def _values(self, schema: Mapping[Any, Any]) -> dict[str, Json]:
        """The keywords that hold plain values; what is malformed is left out, which never makes it stricter than it was."""
        out: dict[str, Json] = {
            k: schema[k] for k in _WHOLE if type(schema.get(k)) is int and abs(schema[k]) < 2**53
        }
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            if len(pattern) > _LONGEST_PATTERN:
                raise UsageError(f"its schema has a pattern of more than {_LONGEST_PATTERN} characters")
            out["pattern"] = pattern
        if "required" in schema:
            out["required"] = [_name(one) for one in _few(schema["required"], _MOST_NAMES, "required")]
        if schema.get("uniqueItems") is True:
            out["uniqueItems"] = True
        if "enum" in schema:
            out["enum"] = [exactly(one) for one in _few(schema["enum"], _MOST_VALUES, "enum")]
        if "const" in schema:
            out["const"] = exactly(schema["const"])
        return out

    def _typed(self, schema: Mapping[Any, Any], out: dict[str, Json]) -> dict[str, Json]:
        """With its type or types; OpenAPI 3.0 says ``nullable`` and gives bounds as true and false."""
        said = schema.get("type")
        types = (
            [said]
            if isinstance(said, str)
            else [one for one in _few(said or [], 7, "type") if isinstance(one, str)]
        )
        if types and schema.get("nullable") is True:
            types.append("null")
            if "enum" in out:
                out["enum"] = [*_listed(out["enum"]), None]
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if schema.get(exclusive) is True and bound in out:
                out[exclusive] = out.pop(bound)
        if types:
            out["type"] = types[0] if len(types) == 1 else list(dict.fromkeys(types))
        return out

    def _exact(self, out: dict[str, Json]) -> dict[str, Json]:
        """Without fractions: what comes back may be text instead. What we send may too, unless it has bounds, which hold for
        whole numbers only."""
        types = [out["type"]] if isinstance(out.get("type"), str) else _listed(out.get("type"))
        if "number" not in types:
            return out
        if self._arguments and any(bound in out for bound in _BOUNDS):
            instead = ["integer"]
        else:
            instead = ["integer", "string"]
            if self._arguments and "string" not in types:
                out.update({"pattern": FRACTION, "format": "fraction"})
        kept = dict.fromkeys([*(t for t in types if t != "number"), *instead])
        out["type"] = list(kept) if len(kept) > 1 else next(iter(kept))
        return out


def pointed(root: object, ref: str) -> object:
    """What ``#/a/b`` (RFC 6901, in a URI fragment) points to in ``root``. Raises UsageError."""
    found: Any = root
    for part in ref.split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isascii() and name.isdecimal() and int(name[:6]) < len(found):
            found = found[int(name[:6])]
        else:
            raise UsageError(f"its schema refers to {plain(ref, 80)!r}, which is not there")
    return found


def exactly(value: Any) -> Any:
    """JSON without fractions: they become text, as Python prints them. Raises UsageError for what is too deep."""
    try:
        return _exactly(value)
    except RecursionError as error:
        raise UsageError("a value is too deep") from error


def _exactly(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(name): _exactly(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exactly(one) for one in value]
    return value


def sent(schema: Mapping[str, Any], value: Any) -> Any:
    """``value``, which fits the narrowed ``schema``, as it goes out: texts that stand for numbers are numbers again."""
    if isinstance(value, str):
        return float(value) if schema.get("format") == "fraction" and re.match(FRACTION, value) else value
    if isinstance(value, Mapping):
        named, others = schema.get("properties") or {}, schema.get("additionalProperties") or {}
        return {name: sent(named.get(name, others), one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [sent(schema.get("items") or {}, one) for one in value]
    return value


def _name(name: object) -> str:
    if (
        not isinstance(name, str)
        or not name
        or len(name) > _LONGEST_NAME
        or plain(name, _LONGEST_NAME) != name
    ):
        raise UsageError(f"its schema names a field {plain(str(name), 40)!r}, which is no name")
    return name


def _few(values: object, most: int, what: str) -> Sequence[Any]:
    if not isinstance(values, (list, tuple)) or len(values) > most:
        raise UsageError(f"its schema has no list, or more than {most} entries, at {what}")
    return values


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
