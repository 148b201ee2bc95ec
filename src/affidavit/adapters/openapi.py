"""OpenAPI 3.0 and 3.1 documents: which tools they describe. Nothing in them is fetched, and where they say
their servers are is not believed: the operator gives the address."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from affidavit.domain.canonical import Json
from affidavit.domain.errors import UsageError
from affidavit.domain.foreign import MOST_TOOLS, Found, Narrower, described, pin_of, plain, word
from affidavit.domain.tools import Effect

LARGEST = 8_000_000
"""Bytes of a document."""
_OF_AN_OBJECT = frozenset({"type", "properties", "required", "additionalProperties", "description"})
_METHODS = ("get", "put", "post", "delete", "patch")
_PLACES = ("path", "query", "header")
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;|\Z)", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
_OURS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "authorization",
        "cookie",
        "content-type",
        "accept",
    }
    | {"accept-encoding", "te", "upgrade", "expect", "proxy-authorization", "forwarded"}
)
_PATH = re.compile(r"/[^?#\s\\]{0,500}\Z")
_ARGUMENT = re.compile(r"[A-Za-z_]\w{0,63}\Z", re.ASCII)


def parse(data: bytes) -> dict[str, Any]:
    """The document in ``data``, JSON or YAML without aliases. Raises UsageError."""
    if len(data) > LARGEST:
        raise UsageError(f"the document has more than {LARGEST} bytes", "import a part of it")
    try:
        text = data.decode("utf-8-sig")
        found = json.loads(text) if text.lstrip().startswith("{") else _yaml(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"the document cannot be read: {plain(str(error), 200)}", "JSON or YAML, in UTF-8"
        ) from error
    version = found.get("openapi") if isinstance(found, dict) else None
    if (
        not isinstance(version, str)
        or not version.startswith(("3.0", "3.1"))
        or not isinstance(found.get("paths"), dict)
    ):
        raise UsageError(
            "this is no OpenAPI 3.0 or 3.1 document", "it begins with `openapi: 3.…` and has `paths`"
        )
    return dict(found)


def _yaml(text: str) -> Any:
    try:
        import yaml  # noqa: PLC0415  # comes with the extra `openapi`
    except ImportError as error:
        raise UsageError(
            "YAML cannot be read here", "pip install 'affidavit[openapi]', or give the document as JSON"
        ) from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc,unused-ignore]  # untyped where its types are not installed
        """Without aliases, which can make a page of text as large as one likes, and without dates."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise ValueError("it has an alias (*name)")
            return super().compose_node(parent, index)

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(text, Loader)  # noqa: S506  # a SafeLoader with less
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def found_in(document: Mapping[str, Any]) -> tuple[list[Found], list[tuple[str, str]]]:
    """(the tools, [(what cannot be one, why)]). Raises UsageError for more than there may be."""
    tools: list[Found] = []
    left_out: list[tuple[str, str]] = []
    for path, method, shared, operation in _operations(document):
        shown = f"{method.upper()} {plain(path, 80)}"
        try:
            tools.append(_tool(document, path, method, shared, operation))
        except UsageError as error:
            left_out.append((shown, error.message))
        if len(tools) + len(left_out) > MOST_TOOLS:
            raise UsageError(f"the document has more than {MOST_TOOLS} operations", "import a part of it")
    return tools, left_out


def auth_in(document: Mapping[str, Any]) -> str:
    """How a key is handed over, if the document says so in one way: ``bearer`` or a header's name; else ``bearer``."""
    schemes = _map(_map(document.get("components")).get("securitySchemes"))
    said = set()
    for scheme in map(_map, schemes.values()):
        name = scheme.get("name")
        if (
            scheme.get("type") == "apiKey"
            and scheme.get("in") == "header"
            and isinstance(name, str)
            and is_header(name)
        ):
            said.add(name)
        elif scheme.get("type") == "http":
            said.add("bearer")
    return said.pop() if len(said) == 1 else "bearer"


def is_header(name: str) -> bool:
    """Whether a key may travel in a header of this name."""
    return bool(_TOKEN.match(name)) and name.lower() not in _OURS


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Any], Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if isinstance(item, Mapping) and isinstance(item.get(method), Mapping):
                yield str(path), method, _list(item.get("parameters")), item[method]


def _tool(
    document: Mapping[str, Any], path: str, method: str, shared: list[Any], operation: Mapping[str, Any]
) -> Found:
    if not _PATH.match(path) or any(part and not part.strip(".") for part in path.split("/")):
        raise UsageError("its path is none")
    name = word(operation.get("operationId") or f"{method}_{path}")
    if not name:
        raise UsageError("nothing in it is a name")
    narrower = Narrower(document, arguments=True)
    properties: dict[str, Json] = {}
    needed: list[Json] = []
    places: list[Json] = []
    for parameter in _parameters(document, shared, _list(operation.get("parameters"))):
        argument, schema, place = _parameter(narrower, parameter, properties)
        properties[argument] = schema
        places.append(place)
        if parameter.get("required") is True or parameter.get("in") == "path":
            needed.append(argument)
    _all_filled(path, places)
    plan: dict[str, Json] = {"method": method.upper(), "path": path, "parameters": places, "body": None}
    body = _resolved(document, operation.get("requestBody"))
    if body:
        schema = narrower.narrowed(_content(body, "its body"))
        plan["body"], more, asked = _body(schema, body.get("required") is True, properties)
        properties.update(more)
        needed += asked
    said, odd = described(operation.get("description") or operation.get("summary") or "")
    return Found(
        word=name,
        description=said or f"{method.upper()} {path}",
        parameters={
            "type": "object",
            "properties": properties,
            "required": needed,
            "additionalProperties": False,
        },
        result=_result(document, operation),
        plan=plan,
        pin=pin_of([path, method, shared, operation, _map(document.get("components"))]),
        effect=Effect.READ if method == "get" else Effect.WRITE,
        claims=f"{method.upper()} {plain(path, 100)}",
        odd=odd,
    )


def _parameters(document: Mapping[str, Any], shared: list[Any], own: list[Any]) -> list[Mapping[str, Any]]:
    """An operation's parameters; its own stand for those of the path with the same name and place."""
    found = {}
    for one in (*shared, *own):
        parameter = _resolved(document, one)
        found[str(parameter.get("in")), str(parameter.get("name"))] = parameter
    return list(found.values())


def _parameter(
    narrower: Narrower, parameter: Mapping[str, Any], taken: Mapping[str, Json]
) -> tuple[str, dict[str, Json], dict[str, Json]]:
    """(the argument's name, its schema, where it goes)."""
    name, where = str(parameter.get("name", "")), parameter.get("in")
    if where not in _PLACES or not name or plain(name, 100) != name:
        raise UsageError(
            f"its parameter {plain(name, 40)!r} is in {plain(str(where), 20)!r}, which is not sent"
        )
    if where == "header" and not is_header(name):
        raise UsageError(f"its parameter {plain(name, 40)!r} is a header that is not for others to set")
    argument = re.sub(r"\W+", "_", name, flags=re.ASCII)[:60].strip("_")
    if argument in taken:
        argument = f"{argument}_{where}"
    if argument in taken or not _ARGUMENT.match(argument):
        raise UsageError(f"two of its parameters are called {plain(name, 40)!r}")
    schema = narrower.narrowed(parameter.get("schema", {}))
    if schema.get("type") == "object" or "content" in parameter or "properties" in schema:
        raise UsageError(
            f"its parameter {plain(name, 40)!r} is an object, of which there are too many spellings"
        )
    text = plain(parameter.get("description"))
    if text:
        schema["description"] = text
    explode = parameter.get("explode", where == "query")
    return argument, schema, {"argument": argument, "name": name, "in": where, "explode": explode is True}


def _body(
    schema: Mapping[str, Json], required: bool, taken: Mapping[str, Json]
) -> tuple[dict[str, Json], dict[str, Json], list[str]]:
    """(where a body comes from, its arguments, those that must be given). A plain object's fields are arguments of their own, so
    that rules and roles speak of each; anything else is one argument."""
    fields: Any = schema.get("properties") or {}
    plain_object = set(schema) <= _OF_AN_OBJECT and schema.get("type", "object") == "object"
    if fields and plain_object and all(_ARGUMENT.match(f) and f not in taken for f in fields):
        asked: Any = schema.get("required", ())
        names: list[str] = [f for f in asked if f in fields] if required else []
        return {"argument": "", "fields": list(fields), "required": required}, dict(fields), names
    argument = "body" if "body" not in taken else "body_"
    where: dict[str, Json] = {"argument": argument, "fields": [], "required": required}
    return where, {argument: schema}, [argument] if required else []


def _all_filled(path: str, places: list[Any]) -> None:
    asked = set(re.findall(r"\{([^{}]*)\}", path))
    given = {one["name"] for one in places if one["in"] == "path"}
    if asked != given:
        raise UsageError("the names in its path are not those of its parameters")


def _content(of: Mapping[str, Any], what: str) -> object:
    """The schema of what is JSON. Raises UsageError where nothing is."""
    for media, content in _map(of.get("content")).items():
        if _JSON.match(str(media)):
            return _map(content).get("schema", {})
    raise UsageError(f"{what} is not JSON")


def _result(document: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Json]:
    """What may come back where it went well: that of the one 2xx answer that is described; anything where there are several."""
    answers = [
        _resolved(document, answer)
        for status, answer in _map(operation.get("responses")).items()
        if str(status).upper().startswith("2")
    ]
    if len(answers) != 1 or not _map(answers[0].get("content")):
        return {}
    try:
        return Narrower(document, arguments=False).narrowed(_content(answers[0], "its answer"))
    except UsageError:
        return {}  # text, or what cannot be held against anything: it is a stranger's word either way


def _resolved(document: Mapping[str, Any], one: object) -> Mapping[str, Any]:
    """A parameter, body or answer, behind at most one reference within the document."""
    from_there = _map(one)
    ref = from_there.get("$ref")
    if ref is None:
        return from_there
    parts = ref.split("/") if isinstance(ref, str) else []
    if len(parts) != 4 or parts[:2] != ["#", "components"]:
        raise UsageError(f"it refers to {plain(str(ref), 80)!r}, which is not in it, and nothing is fetched")
    found = _map(_map(_map(document.get("components")).get(parts[2])).get(parts[3]))
    if not found or "$ref" in found:
        raise UsageError(f"it refers to {plain(ref, 80)!r}, which is not there")
    return found


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
