"""Pages: what programs can ask for, read off the schema that ``/v1/openapi.json`` serves, with an example of each to copy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Response

from affidavit.app.operations.operation import Method, Operation
from affidavit.domain.errors import UnknownNameError
from affidavit.entrypoints.console.frame import Console, Nav, Visit
from affidavit.entrypoints.http.routes import VERSION

SCHEMA = f"/{VERSION}/openapi.json"
_NAMED = "#/components/schemas/"
_DEEP = 4
"""Levels of a reply that are shown; deeper ones have pages of their own."""


def add(console: Console) -> None:
    """``/api``: every operation; ``/api/…``: one of them."""
    console.page("/api", everything, Nav("API", "Programs", "question:ask"))
    console.page("/api/{name}", one)


@dataclass(frozen=True)
class Field:
    """A field of a request or of a reply; ``depth`` says how far inside."""

    name: str
    kind: str
    about: str
    required: bool
    depth: int


def everything(visit: Visit) -> Response:
    """Operations by group; those that fit ``q`` alone."""
    wanted = visit.query.get("q", "").strip().casefold()
    groups: dict[str, list[Operation[Any]]] = {}
    for row in visit.console.table:
        if wanted in f"{row.name} {row.path} {row.action} {row.summary}".casefold():
            groups.setdefault(row.group, []).append(row)
    return visit.page("api.html", "API", groups=groups, wanted=wanted, schema=SCHEMA, version=VERSION)


def one(visit: Visit) -> Response:
    """What one operation takes and gives. Raises UnknownNameError."""
    name = visit.path["name"]
    found = next((row for row in visit.console.table if row.name == name), None)
    if found is None:
        raise UnknownNameError(f"there is no operation {name!r}", "the API's page lists all of them")
    document = visit.request.app.openapi()
    told = document["paths"][f"/{VERSION}{found.path}"][found.method.value.casefold()]
    named = document["components"]["schemas"]
    done = "202" if found.later else "200"
    return visit.page(
        "api_one.html",
        found.name,
        row=found,
        version=VERSION,
        takes=[*_parameters(told), *_body(told, named)],
        gives=list(_fields(_content(told["responses"][done]), named)),
        refusals={
            status: said["description"] for status, said in told["responses"].items() if status != done
        },
        example=example(found, str(visit.request.base_url).rstrip("/")),
    )


def example(row: Operation[Any], server: str) -> str:
    """A line for a shell that asks ``row`` with its example."""
    inside = [name for name in row.example if f"{{{name}}}" in row.path]
    path = f"/{VERSION}" + row.path.format(
        **{name: quote(str(row.example[name]), safe="") for name in inside}
    )
    rest = {name: value for name, value in row.example.items() if name not in inside}
    words = ["curl", "-sS"]
    if row.method is Method.READ:
        path += f"?{urlencode(rest)}" if rest else ""
    else:
        words += ["-X", row.method.value] if row.method is not Method.ASK else []
        words += ["--json", json.dumps(rest, ensure_ascii=False)]
    auth = ' -H "Authorization: Bearer $AFFIDAVIT_KEY"'
    return f"{words[0]} {words[1]}{auth} {shlex.join([*words[2:], server + path])}"


def _parameters(told: Mapping[str, Any]) -> Iterator[Field]:
    for given in told.get("parameters", ()):
        about = given.get("description", given["schema"].get("description", ""))
        where = "" if given["in"] == "query" else f" in the {given['in']}"
        yield Field(given["name"], _kind(given["schema"], {}) + where, about, given["required"], 0)


def _body(told: Mapping[str, Any], named: Mapping[str, Any]) -> Iterator[Field]:
    if "requestBody" in told:
        yield from _fields(_content(told["requestBody"]), named)


def _content(part: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = part["content"]["application/json"]["schema"]
    return schema


def _fields(schema: Mapping[str, Any], named: Mapping[str, Any], depth: int = 0) -> Iterator[Field]:
    """The fields of what ``schema`` describes, each before those inside it."""
    whole = _inside(schema, named)
    required = whole.get("required", ())
    for name, part in whole.get("properties", {}).items():
        yield Field(name, _kind(part, named), part.get("description", ""), name in required, depth)
        if depth + 1 < _DEEP:
            yield from _fields(part, named, depth + 1)


def _inside(schema: Mapping[str, Any], named: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that ``schema`` names, lists, or allows besides nothing."""
    if "$ref" in schema:
        found: Mapping[str, Any] = named[schema["$ref"].removeprefix(_NAMED)]
        return found
    if "items" in schema:
        return _inside(schema["items"], named)
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            return _inside(choice, named)
    return schema


def _kind(schema: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    """What values look like, in words: ``integer 1–200``, ``list of text``, ``"ask" or "search"``."""
    if "$ref" in schema:
        return _kind(_inside(schema, named), named) if named else "object"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(choice, named) for choice in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema.get("type", "any JSON")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}), named)}"
    words = {"string": "text", "boolean": "true or false", "number": "number", "null": "null"}
    said = [words.get(kind, kind)]
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        said.append(f"{low}–{high}")
    if schema.get("default") not in (None, "", [], {}):
        said.append(f"({json.dumps(schema['default'])} if left out)")
    return " ".join(said)
