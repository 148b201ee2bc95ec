"""MCP servers, over stdio or streamable HTTP, through the official SDK: which tools they offer, and calling one.

Each call is a session of its own, in which the tools are listed once more: one that is no longer what was accepted is not called.
A server gets nothing from us but arguments: no files, no models, no questions to a person.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from affidavit.adapters.guarded import ForbiddenAddressError, Lookup, async_client, look_up
from affidavit.domain.canonical import Json
from affidavit.domain.errors import ToolError, UsageError
from affidavit.domain.foreign import (
    MOST_TOOLS,
    Found,
    Narrower,
    described,
    exactly,
    pin_of,
    plain,
    sent,
    word,
)

_MOST_PAGES = 20
_LISTING = 30.0
_LONGEST_RESULT = 200_000
_TEXT: Mapping[str, Json] = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "left_out": {"type": "integer"}},
    "required": ["text", "left_out"],
    "additionalProperties": False,
}
"""What a tool without a schema of its results returns: its texts, and how many images and the like were left out."""


def found_at(
    place: Mapping[str, Any], secrets: Mapping[str, str], lookup: Lookup = look_up
) -> tuple[list[Found], list[tuple[str, str]]]:
    """(the tools of the server at ``place``, [(what cannot be one, why)]). Raises UsageError if it cannot be asked."""

    async def ask(session: Any) -> list[Any]:
        return await _listed(session)

    try:
        listed = _run(place, secrets, _LISTING, lookup, ask)
    except ToolError as error:
        raise UsageError(error.message, error.hint) from error
    tools: list[Found] = []
    left_out: list[tuple[str, str]] = []
    for one in listed:
        try:
            tools.append(_found(one))
        except UsageError as error:
            left_out.append((plain(one.name, 80), error.message))
    return tools, left_out


def call(
    place: Mapping[str, Any],
    plan: Mapping[str, Any],
    pin: str,
    schema: Mapping[str, Any],
    arguments: Mapping[str, Json],
    seconds: float,
    secrets: Mapping[str, str],
    lookup: Lookup = look_up,
) -> Json:
    """What the server's tool returns. Raises ToolError; ``happened`` is False while the tool was not called yet."""

    begun = False

    async def ask(session: Any) -> Any:
        nonlocal begun
        there = next((one for one in await _listed(session) if one.name == plan["tool"]), None)
        if there is None or _pin(there) != pin:
            raise ToolError(
                f"the server {'changed' if there else 'no longer has'} the tool {plan['tool']}: it is not what was accepted",
                "look at it again: affidavit tool import check",
            )
        begun = True
        return await session.call_tool(plan["tool"], sent(schema, arguments))

    try:
        answer = _run(place, secrets, seconds, lookup, ask)
    except ToolError as error:
        # until it was called nothing can have happened; from then on nobody can say
        happened = None if begun else False
        raise ToolError(error.message, error.hint, happened=happened, retryable=error.retryable) from error
    said = "\n".join(one.text for one in answer.content if one.type == "text")
    if answer.is_error:
        # a server that says so may have done half of it
        raise ToolError(f"the server's tool failed: {plain(said, 300)}", happened=None)
    if plan["structured"]:
        structured: Json = exactly(answer.structured_content)
        return structured
    if len(said) > _LONGEST_RESULT:
        raise ToolError(f"the server returned more than {_LONGEST_RESULT} characters", happened=None)
    return {"text": said, "left_out": sum(one.type != "text" for one in answer.content)}


def _found(one: Any) -> Found:
    name = word(one.name)
    if not name or len(one.name) > 128:
        raise UsageError("nothing in its name is a name")
    parameters = Narrower(one.input_schema, arguments=True).narrowed(one.input_schema)
    if parameters.get("type", "object") != "object":
        raise UsageError("its arguments are no object")
    result: Mapping[str, Json] = _TEXT
    if one.output_schema is not None:
        result = Narrower(one.output_schema, arguments=False).narrowed(one.output_schema)
    text, odd = described(one.description or "")
    return Found(
        word=name,
        description=text or plain(one.title, 200) or name,
        parameters={"properties": {}, **parameters, "type": "object", "additionalProperties": False},
        result=result,
        plan={"tool": one.name, "structured": one.output_schema is not None},
        pin=_pin(one),
        claims=_claims(one.annotations),
        odd=odd,
    )


def _pin(one: Any) -> str:
    """The digest of all that a server says about a tool."""
    return pin_of(one.model_dump(mode="json", by_alias=True, exclude_none=True))


def _claims(annotations: Any) -> str:
    said = annotations.model_dump(exclude_none=True) if annotations is not None else {}
    return plain(", ".join(f"{name}={value}" for name, value in sorted(said.items())), 200)


async def _listed(session: Any) -> list[Any]:
    """Every tool, page by page. Raises ToolError for a list without an end."""
    found: list[Any] = []
    cursor = None
    for _ in range(_MOST_PAGES):
        page = await session.list_tools(cursor=cursor, cache_mode="bypass")
        found += page.tools
        cursor = page.next_cursor
        if len(found) > MOST_TOOLS:
            break
        if not cursor:
            return found
    raise ToolError(f"the server offers more than {MOST_TOOLS} tools, or a list without an end")


# -- sessions


def _run(
    place: Mapping[str, Any],
    secrets: Mapping[str, str],
    seconds: float,
    lookup: Lookup,
    ask: Callable[[Any], Awaitable[Any]],
) -> Any:
    """Ask in a session of its own, within ``seconds``. Raises ToolError, whatever the other side does."""

    async def within() -> Any:
        async with asyncio.timeout(seconds), _session(place, secrets, seconds, lookup) as session:
            return await ask(session)

    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # it logs what servers send, which is ours to judge
    logging.getLogger("client").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(within())
    except TimeoutError as error:
        raise ToolError(
            f"the server did not answer within {seconds:g} s", happened=None, retryable=True
        ) from error
    except ImportError as error:
        raise ToolError(
            f"MCP servers cannot be asked here: {error.name} is missing", "pip install 'affidavit[mcp]'"
        ) from error
    except (
        Exception
    ) as error:  # SDK, transport and server in one: it did not work, and what it did is not known
        raise _fault(error) from error


def _fault(error: BaseException) -> ToolError:
    """One of the faults that come as a group out of an SDK of tasks: ours if there is one."""
    while isinstance(error, BaseExceptionGroup):
        ours = error.split(ToolError)[0]
        error = (ours or error).exceptions[0]
    if isinstance(error, ToolError):
        return error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ForbiddenAddressError):
            return ToolError(str(cause), "see `affidavit tool import --help`")
        cause = cause.__cause__
    return ToolError(
        f"the server cannot be asked: {type(error).__name__}: {plain(str(error), 200)}", happened=None
    )


@asynccontextmanager
async def _session(
    place: Mapping[str, Any], secrets: Mapping[str, str], seconds: float, lookup: Lookup
) -> AsyncIterator[Any]:
    from mcp.client import Client  # noqa: PLC0415  # half a second, and an extra

    async with (
        _transport(place, secrets, seconds, lookup) as transport,
        Client(transport, read_timeout_seconds=seconds, cache=None) as client,
    ):
        # the SDK would run the server's own patterns over its results; ours are held against what was accepted
        client.session.validate_tool_result = _not_here  # type: ignore[method-assign]
        yield client


async def _not_here(name: str, result: Any) -> None:
    """Results are looked at by the gateway."""


@asynccontextmanager
async def _transport(
    place: Mapping[str, Any], secrets: Mapping[str, str], seconds: float, lookup: Lookup
) -> AsyncIterator[Any]:
    """stdio: a process with PATH, HOME and the like of our environment, the credential in a variable; its stderr goes nowhere.
    HTTP: to checked addresses only, the credential as a bearer token."""
    from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: PLC0415  # see above
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415  # see above

    secret = secrets[place["secret"]] if place["secret"] else ""
    if "command" in place:
        command, *arguments = place["command"]
        environment = {place["auth"]: secret} if secret else {}
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123  # a device
            yield stdio_client(
                StdioServerParameters(command=command, args=arguments, env=environment), errlog=nowhere
            )
        return
    if not secret.isascii() or not secret.isprintable():
        raise ToolError(
            "the credential holds a character that no header can"
        )  # which a refusal later would show
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    async with async_client(place["private"], seconds, headers, lookup) as http:
        yield streamable_http_client(place["url"], http_client=http)
