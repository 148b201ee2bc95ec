"""What a provider's refusal means: every HTTP status and error body becomes a ModelError of one kind."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from affidavit.domain.errors import ModelError

_LONGEST_SAID = 300
_FAR = 10.0**9
_SPENT = frozenset(("insufficient_quota", "billing_hard_limit_reached", "billing_error"))
_FILTERED = frozenset(("content_filter", "content_policy_violation", "responsibleaipolicyviolation"))
_BAD_KEY = frozenset(("api_key_invalid", "invalid_api_key", "authentication_error", "permission_error"))
_OVERLOADED = frozenset(
    ("overloaded_error", "overloaded", "unavailable", "serviceunavailableexception", "modelnotreadyexception")
)
_LIMITED = frozenset(("rate_limit_error", "rate_limit_exceeded", "throttlingexception", "resource_exhausted"))
_INVALID = frozenset(("invalid_request_error", "not_found_error", "request_too_large", "validationexception"))
# llama.cpp's server, when what the model wrote does not parse as what its chat template promises
_UNPARSED = ("does not match the expected", "failed to parse input at pos")


def refusal(status: int, headers: Mapping[str, str], body: bytes, key: str) -> ModelError:
    """The error that an HTTP answer other than 200 stands for. ``headers`` are found by lower-case name; ``key`` never shows."""
    parsed = _parsed(body)
    words, said = _words(parsed), _said(parsed, key)
    told = f"the provider answered HTTP {status}" + (f": {said}" if said else "")
    kind = _kind(status, words, said)
    if kind == "auth":  # its words may show part of the key
        return ModelError(
            "auth", f"the provider refuses the key (HTTP {status})", "check the key and what it may do"
        )
    if 300 <= status < 400:
        return ModelError("request", told, "redirects are not followed: give the final address")
    return ModelError(kind, told, _HINTS[kind], wait=_wait(headers, parsed))


def reported(error: Any, key: str) -> ModelError:
    """The error that an error object inside an answer of status 200 stands for (a stream's, or a gateway's)."""
    code = error.get("code") if isinstance(error, Mapping) else None
    status = code if type(code) is int and 400 <= code < 600 else 500
    body = json.dumps({"error": error}, default=str).encode()
    found = refusal(status, {}, body, key)
    said = _said({"error": error}, key)
    shown = "" if found.kind == "auth" or not said else f": {said}"
    return ModelError(
        found.kind, f"the provider reported an error in its answer{shown}", found.hint, wait=found.wait
    )


def unreadable(what: str) -> ModelError:
    """The answer is not of the form that the provider's interface promises."""
    return ModelError(
        "schema", f"the provider's answer {what}", "check that the address serves this kind of interface"
    )


def cut(what: str = "the connection was closed before the answer was complete") -> ModelError:
    return ModelError("connection", what, _HINTS["connection"])


_HINTS = {
    "timeout": "try again, allow more time or ask for fewer tokens",
    "connection": "check that the server is up and its address right; then try again",
    "rate_limit": "wait, ask less often, or use another target",
    "overloaded": "try again later or use another target",
    "server": "try again later or use another target",
    "schema": "ask again, or use another target",
    "refused": "the provider's own filter objects to this content",
    "budget": "the provider's account is out of money or quota",
    "auth": "check the key and what it may do",
    "request": "check the model's name, the address and the settings that were sent",
}


def _kind(status: int, words: frozenset[str], said: str) -> str:
    """Words of the provider's own vocabulary go before its status, which gateways are careless with."""
    lowered = said.lower()
    named = (
        ("budget", words & _SPENT),
        ("refused", words & _FILTERED),
        ("auth", words & _BAD_KEY),
        ("rate_limit", words & _LIMITED),
        ("overloaded", words & _OVERLOADED),
        ("request", words & _INVALID and status in (400, 404, 413, 422, 500)),
        ("schema", status == 500 and any(mark in lowered for mark in _UNPARSED)),
    )
    for kind, holds in named:
        if holds:
            return kind
    if status in _STATUSES:
        return _STATUSES[status]
    return "server" if status >= 500 else "request"


_STATUSES = {
    401: "auth",
    403: "auth",
    402: "budget",
    408: "timeout",
    409: "server",
    424: "server",
    425: "overloaded",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error_of(parsed: Any) -> Any:
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if not isinstance(parsed, Mapping):
        return {}
    inner = parsed.get("error", parsed)
    return inner if isinstance(inner, Mapping) else {"message": inner}


def _words(parsed: Any) -> frozenset[str]:
    """The words by which a provider names an error, in lower case."""
    error = _error_of(parsed)
    found = [error.get(name) for name in ("code", "type", "status", "__type")]
    inner = error.get("innererror")
    if isinstance(inner, Mapping):
        found.append(inner.get("code"))
    found += [detail.get("reason") for detail in _details(error)]
    return frozenset(word.lower() for word in found if isinstance(word, str))


def _details(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = error.get("details")
    return [d for d in details if isinstance(d, Mapping)] if isinstance(details, list) else []


def _said(parsed: Any, key: str) -> str:
    """The provider's own message in one short line, without the key."""
    error = _error_of(parsed)
    message = error.get("message", error.get("Message", ""))
    if not isinstance(message, str):
        return ""
    clean = redacted(message, key)
    return "".join(c if c.isprintable() else " " for c in clean).strip()[:_LONGEST_SAID]


def redacted(text: str, key: str) -> str:
    """``text`` without the key, or any of the parts that a key of several parts (``ID:SECRET``) is made of."""
    for part in sorted({key, *key.split(":")}, key=len, reverse=True):
        if len(part) >= 4:
            text = text.replace(part, "***")
    return text


def _wait(headers: Mapping[str, str], parsed: Any) -> float | None:
    """Seconds that the provider asks to wait: ``Retry-After`` (RFC 9110 10.2.3), ``retry-after-ms`` (Azure), or Google's
    RetryInfo (google.rpc.error_details)."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    header = headers.get("retry-after", "")
    seconds = _number(header)
    if seconds is not None:
        return seconds
    for detail in _details(_error_of(parsed)):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1])
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time()) if header else None
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    if not re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text.strip(), re.ASCII):
        return None
    value = float(text)
    return value if math.isfinite(value) and value < _FAR else None
