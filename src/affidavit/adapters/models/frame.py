"""What the adapters share: a call's frame, and reading what a provider sent without trusting it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from affidavit.adapters.models import faults
from affidavit.adapters.models.counting import TokenizerFile
from affidavit.adapters.models.wire import Call, Connection, Endpoint
from affidavit.domain.errors import ModelError
from affidavit.ports.model import Cancel, ChatRequest, ChatResult, Delta, ModelInfo

# what an SDK trips over when an answer is not what its vendor promises
MALFORMED = (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError)


class Adapter:
    """A ``ChatModel`` but for the vendor's format: subclasses ask the SDK in ``_complete`` and ``_pieces``."""

    def __init__(self, endpoint: Endpoint, info: ModelInfo, tokenizer: TokenizerFile | None = None) -> None:
        self._wire = Connection(endpoint)
        self._info = info
        self._tokenizer = tokenizer

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._wire.endpoint.base_url!r}, {self._info.name!r})"

    @property
    def _key(self) -> str:
        """Kept in one place, which shows it in no repr."""
        return self._wire.endpoint.key

    @property
    def info(self) -> ModelInfo:
        return self._info

    def complete(self, request: ChatRequest, cancel: Cancel | None = None) -> ChatResult:
        """The whole answer. Raises ModelError."""
        call = Call(request.timeout, cancel)
        complete = False
        try:
            result: ChatResult = self._step(call, lambda: self._complete(request))
            complete = True
            return result
        finally:
            call.close(complete=complete)

    def stream(self, request: ChatRequest, cancel: Cancel | None = None) -> Iterator[Delta]:
        """The answer in pieces, ending with the whole. Raises ModelError, also in the middle. The time limit starts here."""
        return self._streamed(Call(request.timeout, cancel), request)

    def count(self, request: ChatRequest, cancel: Cancel | None = None) -> int:
        """Tokens of the messages: by the tokenizer's file where there is one, else by asking. Raises ModelError."""
        if self._tokenizer is not None:
            return self._tokenizer.count(request.messages)
        call = Call(request.timeout, cancel)
        complete = False
        try:
            found: int = self._step(call, lambda: self._count(request))
            complete = True
        finally:
            call.close(complete=complete)
        return found

    def close(self) -> None:
        """Let go of connections."""
        self._wire.close()

    def _streamed(self, call: Call, request: ChatRequest) -> Iterator[Delta]:
        complete = False
        pieces = self._pieces(request)
        try:
            while (delta := self._step(call, lambda: next(pieces, None))) is not None:
                complete = delta.result is not None
                yield delta
        finally:
            call.close(complete=complete)

    def _step(self, call: Call, work: Any) -> Any:
        """Do ``work`` as part of ``call``; whatever the SDK raises becomes the ModelError it stands for."""
        try:
            with call.active():
                return work()
        except ModelError as error:
            raise call.failed(error) from error.__cause__
        except self._sdk_errors() as error:
            if call.fault is not None:
                raise call.fault from error
            raise self._explained(error) from error
        except MALFORMED as error:
            if call.fault is not None:
                raise call.fault from error
            raise faults.unreadable(f"cannot be read ({type(error).__name__})") from error

    def _complete(self, request: ChatRequest) -> ChatResult:
        raise NotImplementedError

    def _pieces(self, request: ChatRequest) -> Iterator[Delta]:
        raise NotImplementedError

    def _count(self, request: ChatRequest) -> int:
        """By asking the server; adapters that know how say so."""
        raise ModelError("request", f"{self._info.provider} counts no tokens", "name a tokenizer.json")

    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        """The SDK's own exceptions."""
        raise NotImplementedError

    def _explained(self, error: Exception) -> ModelError:
        """What an exception of the SDK stands for that no fault of the connection explains."""
        body = getattr(error, "body", None)
        if body:
            return faults.reported(body, self._key)
        return faults.unreadable(f"cannot be read ({type(error).__name__})")


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """``value`` if it is a JSON object. Raises ModelError (``schema``)."""
    if not isinstance(value, Mapping):
        raise faults.unreadable(f"has no {what}")
    return value


def sequence(value: Any, what: str) -> list[Any]:
    """``value`` if it is a JSON array; None counts as empty. Raises ModelError (``schema``)."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise faults.unreadable(f"has no {what}")
    return value


def text(value: Any, what: str) -> str:
    """``value`` if it is text; None counts as empty. A lone surrogate, which is not Unicode, becomes U+FFFD.
    Raises ModelError (``schema``)."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise faults.unreadable(f"has no {what}")
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def count(value: Any) -> int:
    """A number of tokens, -1 for anything else."""
    return value if type(value) is int and 0 <= value < 2**53 else -1


def tokens(value: Any) -> int:
    """A number of tokens that was asked for. Raises ModelError (``schema``)."""
    found = count(value)
    if found < 0:
        raise faults.unreadable("has no number of tokens")
    return found


def number(value: str, name: str) -> float | None:
    """A setting of a request, None where it is left to the provider. Raises ModelError (``request``)."""
    if not value:
        return None
    try:
        return float(value)
    except ValueError as error:
        raise ModelError(
            "request", f"{name} {value!r} is not a number", "write it as decimal text"
        ) from error


def with_extra(body: dict[str, Any], request: ChatRequest) -> dict[str, Any]:
    """``body`` with the request's further settings. Raises ModelError (``request``) when one would replace a setting."""
    taken = sorted(body.keys() & request.extra.keys())
    if taken:
        raise ModelError(
            "request",
            f"`extra` may not replace {', '.join(taken)}",
            "use the setting of that name; `extra` is for what the port does not know",
        )
    return {**body, **request.extra}


def in_words(schema: Mapping[str, Any]) -> str:
    """The instruction for a model that cannot be held to a schema."""

    return (
        "Answer with one JSON value that is valid against this JSON Schema, and with nothing else:\n"
        + json.dumps(schema, ensure_ascii=False, sort_keys=True)
    )


def is_strict(schema: Any) -> bool:
    """Whether every object names all its properties as required and allows no others, as providers' strict modes want."""
    if isinstance(schema, list):
        return all(is_strict(each) for each in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        if (
            set(schema.get("required", ())) != set(properties)
            or schema.get("additionalProperties") is not False
        ):
            return False
        return all(is_strict(each) for each in properties.values())
    if schema.get("type") == "object":
        return False
    return all(is_strict(each) for each in schema.values())
