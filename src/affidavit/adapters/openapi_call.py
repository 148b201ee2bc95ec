"""Calling an operation of an imported HTTP API. The place that was accepted decides where to, the plan how; arguments only fill
it in."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, TypeAlias, Union
from urllib.parse import quote

from affidavit.adapters.guarded import Lookup, client, look_up
from affidavit.domain.canonical import Json
from affidavit.domain.errors import ToolError
from affidavit.domain.foreign import exactly, plain, sent

_Sent: TypeAlias = Union[str, int, float, bool, None]  # as httpx has it
_PASSING = (425, 429)
"""Said before anything is done (RFC 8470, RFC 6585): trying again is safe."""


def call(
    place: Mapping[str, Any],
    plan: Mapping[str, Any],
    schema: Mapping[str, Any],
    arguments: Mapping[str, Json],
    key: str,
    seconds: float,
    secrets: Mapping[str, str],
    lookup: Lookup = look_up,
) -> Json:
    """What the operation answers. ``schema`` is that of the arguments, ``key`` the idempotency key. Raises ToolError."""
    import httpx  # noqa: PLC0415  # 0.1 s that only calls need

    address, headers, query = _request(place, plan, arguments)
    headers.update(_key(place, secrets))
    if plan.get("key_header"):
        headers[plan["key_header"]] = key
    content = _body(plan, sent(schema, arguments))
    if content is not None:
        headers["Content-Type"] = "application/json"
    try:
        with client(place["private"], seconds, lookup) as asked:
            answer = asked.request(
                plan["method"], address, headers=headers, params=httpx.QueryParams(query), content=content
            )
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ToolError(f"the API cannot be reached: {plain(str(error), 200)}", retryable=True) from error
    except httpx.InvalidURL as error:
        raise ToolError(f"the arguments make no address: {plain(str(error), 200)}") from error
    except httpx.HTTPError as error:
        raise ToolError(
            f"the API gave no answer: {type(error).__name__}", happened=None, retryable=True
        ) from error
    if not answer.is_success:
        raise _refused(answer)
    return _read(answer)


def _request(
    place: Mapping[str, Any], plan: Mapping[str, Any], arguments: Mapping[str, Json]
) -> tuple[str, dict[str, str], list[tuple[str, _Sent]]]:
    """(address, headers, query) with every argument in the place that the plan gives it."""
    path, headers = plan["path"], {"Accept": "application/json"}
    query: list[tuple[str, _Sent]] = []
    for one in plan["parameters"]:
        if one["in"] != "path" and arguments.get(one["argument"]) is None:
            continue
        values = [_text(v, one["argument"]) for v in _listed(arguments.get(one["argument"]))]
        if one["in"] == "query":
            query += [(one["name"], v) for v in (values if one["explode"] else [",".join(values)])]
        elif one["in"] == "header":
            headers[one["name"]] = _header(",".join(values), one["argument"])
        else:
            path = path.replace("{" + one["name"] + "}", _segment(",".join(values), one["argument"]))
    return place["base"] + path, headers, query


def _body(plan: Mapping[str, Any], arguments: Mapping[str, Any]) -> bytes | None:
    """The body that ``arguments`` make, None for none."""
    body = plan["body"]
    if body is None or (body["argument"] and body["argument"] not in arguments):
        return None
    if body["argument"]:
        return json.dumps(arguments[body["argument"]]).encode()
    fields = {name: arguments[name] for name in body["fields"] if name in arguments}
    return json.dumps(fields).encode() if fields or body["required"] else None


def _listed(value: Json) -> list[Json]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _text(value: Json, argument: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    raise ToolError(f"{argument} can be a text, a whole number, or true or false")


def _segment(text: str, argument: str) -> str:
    """One segment of a path: it cannot leave its place. A segment of dots would, even if every other character is quoted."""
    if text.strip(".") == "":
        raise ToolError(f"{argument} cannot be {text!r} in a path")
    return quote(text, safe="")


def _header(text: str, argument: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ToolError(f"{argument} holds a character that no header can")
    return text


def _key(place: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """The header that the credential travels in."""
    if not place["secret"]:
        return {}
    secret = secrets[place["secret"]]
    if not secret.isascii() or not secret.isprintable():
        raise ToolError("the credential holds a character that no header can")
    if place["auth"] == "bearer":
        return {"Authorization": f"Bearer {secret}"}
    if place["auth"] == "basic":
        return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
    return {place["auth"]: secret}


def _refused(answer: Any) -> ToolError:
    """What a status other than 2xx means: 4xx, nothing was done; 408 and 5xx, nobody can say. Its words are cut and cleaned."""
    status = answer.status_code
    said = plain(answer.text, 200)
    words = f"the API answers HTTP {status}{f': {said}' if said else ''}"
    if answer.is_redirect:
        return ToolError(f"the API redirects (HTTP {status}), and redirects are not followed", happened=None)
    if status in (401, 403):
        return ToolError(f"the API refuses our credentials (HTTP {status})", "check --secret and --auth")
    if status in _PASSING:
        return ToolError(words, retryable=True)
    if status >= 500 or status == 408:
        return ToolError(words, happened=None, retryable=True)
    return ToolError(words)


def _read(answer: Any) -> Json:
    """JSON without fractions; text where it is none; null for nothing."""
    data: bytes = answer.content
    if not data.strip():
        return None
    try:
        found: Json = exactly(json.loads(data.decode("utf-8-sig"), parse_float=str, parse_constant=str))
    except (ValueError, RecursionError):
        return plain(data.decode("utf-8", "replace"), 100_000)
    return found
