"""Answers in pieces, as server-sent events in OpenAI's two forms."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from affidavit.app.usage import Used
from affidavit.domain.answer import GivenClaim
from affidavit.domain.errors import AffidavitError
from affidavit.entrypoints.http.openai.answers import (
    Event,
    Said,
    chat_usage,
    chunk,
    message,
    message_id,
    piece,
    response,
    response_annotation,
    text_part,
    whole,
)
from affidavit.entrypoints.http.openai.flow import Flow
from affidavit.entrypoints.http.openai.problems import error_of

_BEAT = 15.0
"""Seconds after which a comment is sent, so that nothing in between takes the connection for dead."""
_COMMENT = b": still at it\n\n"

Usage = Callable[[str], Awaitable[Used]]


def _data(event: Event) -> bytes:
    return f"data: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


async def _beating(first: asyncio.Future[GivenClaim | None], flow: Flow) -> AsyncIterator[GivenClaim | None]:
    """The claims, the first of which is waited for already; None where only time has passed."""
    waited = first
    while True:
        done, _ = await asyncio.wait({waited}, timeout=_BEAT)
        if not done:
            yield None
            continue
        claim = waited.result()
        if claim is None:
            return
        yield claim
        waited = asyncio.ensure_future(flow.next())


async def chat(
    flow: Flow, first: asyncio.Future[GivenClaim | None], said: Said, usage: Usage, *, tell_usage: bool
) -> AsyncIterator[bytes]:
    """``chat.completion.chunk`` after chunk; with ``tell_usage`` the last says what was used; then ``[DONE]``."""
    given = 0
    begun: Event = {"role": "assistant"}
    # as OpenAI has it: who wants to know what was used finds the field in every piece
    also: Event = {"usage": None} if tell_usage else {}
    try:
        async for claim in _beating(first, flow):
            if claim is None:
                yield _COMMENT
                continue
            given += 1
            said_now = piece(*said.claim(claim.run, claim.claim.as_json()))
            yield _data({**chunk(said, {**begun, **said_now}), **also})
            begun = {}
        try:
            answer = flow.answer()
        except AffidavitError as error:
            yield _data({"error": error_of(error)[1]})
            return
        for more in said.end(answer, given):
            yield _data({**chunk(said, {**begun, **piece(*more)}), **also})
            begun = {}
        if said.refusal:
            shown = {} if said.content.text else {"content": said.refusal}
            yield _data({**chunk(said, {**begun, **shown, "refusal": said.refusal}), **also})
        yield _data({**chunk(said, {}, "stop"), **also, "affidavit": said.ours(answer)})
        if tell_usage:
            told = chunk(said, {})
            yield _data({**told, "choices": [], "usage": chat_usage(await usage(said.run))})
        yield b"data: [DONE]\n\n"
    finally:
        await flow.close()


class _Numbered:
    """Events of a response, counted."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._number = -1

    def event(self, kind: str, **more: Any) -> bytes:
        self._number += 1
        return f"event: {kind}\n".encode() + _data({"type": kind, "sequence_number": self._number, **more})

    def inner(self, kind: str, **more: Any) -> bytes:
        return self.event(kind, item_id=message_id(self._said), output_index=0, content_index=0, **more)


async def responses(
    flow: Flow, first: asyncio.Future[GivenClaim | None], said: Said, usage: Usage
) -> AsyncIterator[bytes]:
    """``response.created`` to ``response.completed``."""
    told, given = _Numbered(said), 0
    try:
        async for claim in _beating(first, flow):
            if claim is None:
                yield _COMMENT
                continue
            before = len(said.content.annotations)
            text, added = said.claim(claim.run, claim.claim.as_json())
            if not given:
                for begin in _begin(told, said, text=True):
                    yield begin
            given += 1
            for event in _added(told, text, added, before):
                yield event
        try:
            answer = flow.answer()
        except AffidavitError as error:
            status, body = error_of(error)
            yield told.event("error", code=body["code"], message=body["message"], param=None, status=status)
            return
        for event in _rest(told, said, answer, given):
            yield event
        used = await usage(said.run)
        yield told.event("response.completed", response=response(said, "completed", answer, used))
    finally:
        await flow.close()


def _begin(told: _Numbered, said: Said, *, text: bool) -> list[bytes]:
    begun = response(said, "in_progress")
    part: Event = {"type": "refusal", "refusal": ""}
    if text:
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    return [
        told.event("response.created", response=begun),
        told.event("response.in_progress", response=begun),
        told.event("response.output_item.added", output_index=0, item=message(said, [], "in_progress")),
        told.inner("response.content_part.added", part=part),
    ]


def _added(told: _Numbered, text: str, annotations: list[Event], before: int) -> list[bytes]:
    return [
        told.inner("response.output_text.delta", delta=text, logprobs=[]),
        *(
            told.inner(
                "response.output_text.annotation.added",
                annotation=response_annotation(one),
                annotation_index=before + n,
            )
            for n, one in enumerate(annotations)
        ),
    ]


def _rest(told: _Numbered, said: Said, answer: dict[str, Any], given: int) -> list[bytes]:
    """All events but the last, once the answer is there."""
    events: list[bytes] = []
    before = len(said.content.annotations)
    for text, added in said.end(answer, given):
        if not given:
            events += _begin(told, said, text=True)
        given += 1
        events += _added(told, text, added, before)
        before = len(said.content.annotations)
    if said.content.text:
        events.append(told.inner("response.output_text.done", text=said.content.text, logprobs=[]))
        events.append(told.inner("response.content_part.done", part=text_part(said)))
    if said.refusal:
        if not given:
            events += _begin(told, said, text=False)
        where = {"item_id": message_id(said), "output_index": 0, "content_index": int(bool(given))}
        part = {"type": "refusal", "refusal": said.refusal}
        if given:
            events.append(told.event("response.content_part.added", **where, part={**part, "refusal": ""}))
        events.append(told.event("response.refusal.delta", **where, delta=said.refusal))
        events.append(told.event("response.refusal.done", **where, refusal=said.refusal))
        events.append(told.event("response.content_part.done", **where, part=part))
    events.append(told.event("response.output_item.done", output_index=0, item=whole(said)))
    return events
