"""Requests in OpenAI's form, read into what the operation table takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from affidavit.app.operations.questions import LONGEST_QUESTION, AskInput
from affidavit.entrypoints.http.openai.parameters import CHAT, PREFIX, RESPONSES, RequestError

_MOST_MESSAGES = 2_000
_MOST_METADATA = 16
_RESPONSE = "resp_"
_OURS = ("follows", "act", "as_of", "where")
_FREE = {"system": "instructions", "developer": "instructions"}
"""Roles of messages that tell a model what to do: a client's word is no instruction to the system."""


@dataclass(frozen=True)
class Wanted:
    """A question out of a request. ``before``: what the client says was asked before it, for finding that run; ``settled``:
    what was sent and changes nothing here."""

    model: str
    asked: AskInput
    before: str
    stream: bool
    usage: bool
    settled: list[str]
    metadata: Mapping[str, str]


def chat(body: Mapping[str, Any]) -> Wanted:
    """``POST /v1/chat/completions``. Raises RequestError."""
    settled = CHAT.check(body)
    question, before, said = _conversation(body.get("messages"), "messages")
    stream, options = _flag(body, "stream"), body.get("stream_options") or {}
    if not isinstance(options, Mapping) or set(options) - {"include_usage", "include_obfuscation"}:
        raise RequestError(
            "'stream_options' may hold 'include_usage'.", "stream_options", "unsupported_parameter"
        )
    usage, obfuscation = (_flag(options, name) for name in ("include_usage", "include_obfuscation"))
    if options and not stream:
        raise RequestError("'stream_options' goes with 'stream'.", "stream_options", "invalid_value")
    metadata = _metadata(body)
    asked = _asked(question, metadata, metadata.get(f"{PREFIX}follows", ""))
    settled += said + _unknown(metadata)
    if obfuscation:
        settled.append("stream_options.include_obfuscation")
    return Wanted(_model(body), asked, before, stream, usage, settled, metadata)


def response(body: Mapping[str, Any]) -> Wanted:
    """``POST /v1/responses``. Raises RequestError."""
    settled = RESPONSES.check(body)
    given = body.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    question, before, said = _conversation(given, "input")
    metadata = _metadata(body)
    asked = _asked(question, metadata, _previous(body) or metadata.get(f"{PREFIX}follows", ""))
    settled += said + _unknown(metadata)
    return Wanted(_model(body), asked, before, _flag(body, "stream"), True, settled, metadata)


def _previous(body: Mapping[str, Any]) -> str:
    given = body.get("previous_response_id")
    if given is None:
        return ""
    if not isinstance(given, str) or not given.startswith(_RESPONSE):
        raise RequestError(
            "'previous_response_id' is the id of a response of this server: resp_run-….",
            "previous_response_id",
            "previous_response_not_found",
        )
    return given.removeprefix(_RESPONSE)[:64]


def _model(body: Mapping[str, Any]) -> str:
    given = body.get("model")
    if not isinstance(given, str) or not given:
        raise RequestError("You must provide a 'model'.", "model", "missing_required_parameter")
    return given


def _flag(body: Mapping[str, Any], name: str) -> bool:
    given = body.get(name)
    if given is not None and not isinstance(given, bool):
        raise RequestError(f"'{name}' is true or false.", name, "invalid_type")
    return bool(given)


def _conversation(given: Any, where: str) -> tuple[str, str, list[str]]:
    """(the question, the one before it or "", what of the rest changes nothing)."""
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise RequestError(f"'{where}' holds at least one message.", where, "missing_required_parameter")
    if len(given) > _MOST_MESSAGES:
        raise RequestError(
            f"'{where}' holds more than {_MOST_MESSAGES} messages.", where, "array_above_max_length"
        )
    said: set[str] = set()
    asked: list[str] = []
    for number, message in enumerate(given):
        place = f"{where}[{number}]"
        role = message.get("role") if isinstance(message, Mapping) else None
        if role == "user":
            asked.append(_text(message.get("content"), f"{place}.content"))
        elif role == "assistant" and not message.get("tool_calls") and not message.get("function_call"):
            said.add(f"{where}.assistant")
        elif isinstance(role, str) and role in _FREE:
            said.add(f"{where}.{role}")
        else:
            raise RequestError(
                f"{place} is no message of a user, an assistant or the system: what a client's own tools returned is no "
                "evidence here.",
                place,
                "unsupported_parameter",
            )
    last = given[-1]
    if last.get("role") != "user":
        raise RequestError("The last message is the question: a user's.", where, "invalid_value")
    if len(asked) > 1:
        said.add(f"{where}.user")
    return asked[-1], asked[-2] if len(asked) > 1 else "", sorted(said)


def _text(content: Any, where: str) -> str:
    if isinstance(content, str):
        text = content
    elif isinstance(content, Sequence):
        text = "\n".join(_part(part, f"{where}[{n}]") for n, part in enumerate(content))
    else:
        raise RequestError(f"{where} is text.", where, "invalid_type")
    if len(text) > LONGEST_QUESTION:
        raise RequestError(
            f"{where} has {len(text)} characters; a question has at most {LONGEST_QUESTION}.",
            where,
            "string_above_max_length",
        )
    if not text.strip():
        raise RequestError(f"{where} is empty.", where, "empty_string")
    return text


def _part(part: Any, where: str) -> str:
    if (
        not isinstance(part, Mapping)
        or part.get("type") not in ("text", "input_text")
        or not isinstance(part.get("text"), str)
    ):
        raise RequestError(
            f"{where} is no text: images, sound and files cannot be asked with.",
            where,
            "unsupported_parameter",
        )
    text: str = part["text"]
    return text


def _metadata(body: Mapping[str, Any]) -> dict[str, str]:
    given = body.get("metadata")
    if given is None:
        return {}
    if (
        not isinstance(given, Mapping)
        or len(given) > _MOST_METADATA
        or not all(isinstance(k, str) and isinstance(v, str) for k, v in given.items())
    ):
        raise RequestError(
            f"'metadata' is an object of at most {_MOST_METADATA} texts.", "metadata", "invalid_type"
        )
    wrong = sorted(
        name for name in given if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in _OURS
    )
    if wrong:
        raise RequestError(
            f"There is no {wrong[0]}: there are {', '.join(PREFIX + name for name in _OURS)}.",
            f"metadata.{wrong[0]}",
            "unknown_parameter",
        )
    return dict(given)


def _unknown(metadata: Mapping[str, str]) -> list[str]:
    return ["metadata"] if any(not name.startswith(PREFIX) for name in metadata) else []


def _asked(question: str, metadata: Mapping[str, str], follows: str) -> AskInput:
    where = metadata.get(f"{PREFIX}where")
    try:
        return AskInput(
            question=question,
            follows=follows,
            act=metadata.get(f"{PREFIX}act", ""),
            as_of=metadata.get(f"{PREFIX}as_of", ""),
            where=None if not where else json.loads(where),
        )
    except (ValidationError, json.JSONDecodeError, RecursionError) as error:
        name = str(error.errors()[0]["loc"][0]) if isinstance(error, ValidationError) else "where"
        raise RequestError(
            f"metadata.{PREFIX}{name} is not of its form.", f"metadata.{PREFIX}{name}", "invalid_value"
        ) from error
