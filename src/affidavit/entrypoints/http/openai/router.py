"""The paths of OpenAI's API: the same questions, the same permissions, the same record, in another form."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from affidavit.app.operations.operation import Caller, Operation, may, perform
from affidavit.app.operations.questions import AskInput
from affidavit.app.operations.table import TABLE
from affidavit.app.operations.texts import EmbedInput
from affidavit.app.usage import Used, used
from affidavit.app.workspace import Workspace
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import AffidavitError
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.idempotency import KEY, REPLAYED, Once
from affidavit.entrypoints.http.openai import requests, streaming
from affidavit.entrypoints.http.openai.answers import Said, completion, response
from affidavit.entrypoints.http.openai.content import Content
from affidavit.entrypoints.http.openai.flow import Flow
from affidavit.entrypoints.http.openai.names import models, resolved
from affidavit.entrypoints.http.openai.parameters import EMBEDDINGS, PREFIX, RequestError
from affidavit.entrypoints.http.openai.problems import answer_of
from affidavit.entrypoints.http.routes import Who
from affidavit.entrypoints.http.streams import Events, Places

_FIRST = 10.0
"""Seconds that the first claim is waited for before the answer begins without one: until then an error is
a status, not an event."""
_LOOKED_BACK = 20
_ABSENT = {
    "/completions": "ask with /v1/chat/completions or /v1/responses",
    "/responses/{id}": "nothing is kept but the record of the run: GET /v1/runs/{run}",
    "/chat/completions/{id}": "nothing is kept but the record of the run: GET /v1/runs/{run}",
    "/moderations": "policy looks at questions and answers by itself",
    "/files": "documents come from sources",
    "/images/generations": "answers are text",
    "/audio/transcriptions": "questions are text",
    "/audio/speech": "answers are text",
}
"""What OpenAI's API has besides, and why it is not here."""

Body = dict[str, Any]


class OpenAI:
    """The endpoints over one workspace; ``who``, ``admission`` and ``once`` as in ``Routes``, ``places`` for streams."""

    def __init__(self, ws: Workspace, who: Who, admission: Admission, once: Once, places: Places) -> None:
        self._ws = ws
        self._who = who
        self._admission = admission
        self._once = once
        self._places = places

    def router(self) -> APIRouter:
        """Not in the OpenAPI page: these shapes are documented by whom they come from."""
        router = APIRouter(prefix="/v1", include_in_schema=False)
        for path, endpoint in (
            ("/chat/completions", self.chat),
            ("/responses", self.responses),
            ("/embeddings", self.embeddings),
        ):
            router.add_api_route(path, _told(endpoint), methods=["POST"])
        for path in _ABSENT:
            router.add_api_route(path, _told(self.absent), methods=["GET", "POST", "DELETE"])
        router.add_api_route("/models", _told(self.models), methods=["GET"])
        router.add_api_route("/models/{model}", _told(self.model), methods=["GET"])
        return router

    # -- endpoints

    async def chat(self, request: Request) -> Response:
        """``POST /v1/chat/completions``."""
        caller, wanted, said = await self._begin(request, requests.chat)
        if not wanted.stream:
            answer = await _whole(self._flow(request, caller, wanted), said)
            return JSONResponse(completion(said, answer, await self._used(caller, said.run)))
        return await self._streamed(
            request, caller, wanted, said, partial(streaming.chat, tell_usage=wanted.usage)
        )

    async def responses(self, request: Request) -> Response:
        """``POST /v1/responses``."""
        caller, wanted, said = await self._begin(request, requests.response)
        if not wanted.stream:
            answer = await _whole(self._flow(request, caller, wanted), said)
            return JSONResponse(response(said, "completed", answer, await self._used(caller, said.run)))
        return await self._streamed(request, caller, wanted, said, streaming.responses)

    async def embeddings(self, request: Request) -> Response:
        """``POST /v1/embeddings``: reads no document."""
        caller = await self._caller(request)
        body = await _body(request)
        EMBEDDINGS.check(body)
        encoding, asked = _embedding(body, self._ws)
        operation = TABLE["texts.embed"]
        made = await self._run(caller, lambda: self._do(request, caller, operation, asked))
        data = [
            {"object": "embedding", "index": n, "embedding": _encoded(vector, encoding)}
            for n, vector in enumerate(made["vectors"])
        ]
        usage = {"prompt_tokens": made["tokens"], "total_tokens": made["tokens"]}
        told = {"run": made["run"]}
        return JSONResponse(
            {"object": "list", "data": data, "model": made["embedder"], "usage": usage, "affidavit": told}
        )

    async def models(self, request: Request) -> Response:
        """``GET /v1/models``."""
        caller = await self._caller(request)
        found = await self._run(caller, lambda: models(self._ws, caller))
        return JSONResponse({"object": "list", "data": found})

    async def model(self, request: Request) -> Response:
        """``GET /v1/models/{model}``."""
        caller = await self._caller(request)
        wanted = request.path_params["model"]
        found = await self._run(caller, lambda: models(self._ws, caller))
        one = next((m for m in found if m["id"] == wanted), None)
        if one is None:
            raise RequestError(f"The model '{wanted[:80]}' does not exist.", "model", "model_not_found", 404)
        return JSONResponse(one)

    async def absent(self, request: Request) -> Response:
        """What there is not, said in the form that a client of OpenAI's understands."""
        await self._caller(request)
        path = request.scope["route"].path.removeprefix("/v1")
        raise RequestError(f"There is no /v1{path} here: {_ABSENT[path]}.", None, "unsupported_endpoint", 404)

    # -- parts

    async def _begin(
        self, request: Request, read: Callable[[Mapping[str, Any]], requests.Wanted]
    ) -> tuple[Caller, requests.Wanted, Said]:
        caller = await self._caller(request)
        wanted = read(await _body(request))
        model, follows = await self._run(caller, lambda: self._meant(caller, wanted))
        if follows and not wanted.asked.follows:
            settled = [name for name in wanted.settled if not name.endswith(".user")]
            asked = wanted.asked.model_copy(update={"follows": follows})
            wanted = replace(wanted, asked=asked, settled=settled)
        created = self._ws.parts.clock.now() // MICROSECONDS
        content = Content(caller.tenant.name)
        return caller, wanted, Said(model, created, wanted.settled, content, wanted.metadata)

    def _meant(self, caller: Caller, wanted: requests.Wanted) -> tuple[str, str]:
        """(the release's name, the run that the question goes on from: the caller's newest in which was asked what the client
        says was asked before)."""
        model = resolved(self._ws.parts.release(), wanted.model)
        if not wanted.before or wanted.asked.act or f"{PREFIX}follows" in wanted.metadata:
            return model, ""
        operation = TABLE["runs.list"]
        if not may(self._ws, caller, operation.action):
            return model, ""  # a key for questions alone asks each by itself
        asked = operation.takes.model_validate({"limit": _LOOKED_BACK})
        for line in perform(self._ws, caller, operation, asked)["items"]:
            mine = line.get("principal") in (None, caller.principal)
            if mine and line["journey"] == "ask" and line.get("question") == wanted.before:
                return model, str(line["run"])
        return model, ""

    async def _streamed(
        self,
        request: Request,
        caller: Caller,
        wanted: requests.Wanted,
        said: Said,
        pieces: Callable[[Flow, asyncio.Future[Any], Said, streaming.Usage], AsyncIterator[bytes]],
    ) -> Response:
        """An answer in ``pieces``, in one of the places that the tenant has for streams. Raises OverloadedError."""
        give_back = self._places.take(caller.tenant.id, caller.principal)
        try:
            flow = self._flow(request, caller, wanted)
            first = await _first(flow)
        except BaseException:
            give_back()
            raise
        return Events(pieces(flow, first, said, partial(self._used, caller)), give_back)

    def _flow(self, request: Request, caller: Caller, wanted: requests.Wanted) -> Flow:
        def ask(row: Operation[AskInput]) -> Any:
            return self._do(request, caller, row, wanted.asked)

        return Flow(self._admission, caller.tenant.id, ask, streamed=wanted.stream, person=caller.principal)

    def _do(self, request: Request, caller: Caller, operation: Operation[Any], asked: Any) -> Any:
        """What is asked for; once, if the request has a key for that."""

        def work() -> Any:
            return perform(self._ws, caller, operation, asked)

        key = request.headers.get(KEY, "")
        if not key:
            return work()
        found, replayed = self._once.do(key, caller, operation, asked, work)
        if replayed:
            request.state.headers[REPLAYED] = "true"
        return found

    async def _caller(self, request: Request) -> Caller:
        """Whoever asks; the run of what they ask for has the request's id."""
        return replace(await run_in_threadpool(self._who, request), run=request.state.id)

    async def _run(self, caller: Caller, work: Callable[[], Any]) -> Any:
        return await self._admission.run(caller.tenant.id, work, caller.principal)

    async def _used(self, caller: Caller, run: str) -> Used:
        return await run_in_threadpool(used, self._ws.parts, caller.tenant.id, run)


def _told(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """``endpoint`` with its errors in OpenAI's shape."""

    async def told(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (RequestError, AffidavitError) as error:
            return answer_of(error)

    return told


async def _body(request: Request) -> Body:
    try:
        body = json.loads(await request.body())
        # half of a surrogate pair can be read and never written
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RequestError("The body is not JSON in UTF-8.", None, "invalid_json") from error
    if not isinstance(body, dict):
        raise RequestError("The body is a JSON object.", None, "invalid_type")
    return body


async def _whole(flow: Flow, said: Said) -> dict[str, Any]:
    try:
        async for _ in flow.claims():
            pass
        answer = flow.answer()
    finally:
        await flow.close()
    for _ in said.end(answer, 0):
        pass
    return answer


async def _first(flow: Flow) -> asyncio.Future[Any]:
    """The first claim, waited for until it is there or has taken too long. Raises what asking raised before any claim."""
    first = asyncio.ensure_future(flow.next())
    try:
        done, _ = await asyncio.wait({first}, timeout=_FIRST)
        if done and first.result() is None:
            flow.answer()
    except BaseException:
        first.cancel()
        await flow.close()
        raise
    return first


def _embedding(body: Mapping[str, Any], ws: Workspace) -> tuple[str, EmbedInput]:
    """(the encoding, the texts)."""
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise RequestError("'encoding_format' is float or base64.", "encoding_format", "invalid_value")
    name = None if ws.parts.embedder is None else ws.parts.embedder.info.name
    if body.get("model") != name and name is not None:
        raise RequestError(
            f"The model '{str(body.get('model'))[:80]}' does not embed here: {name} does.",
            "model",
            "model_not_found",
            404,
        )
    # before anything is embedded, which may cost money
    width = None if ws.parts.embedder is None else ws.parts.embedder.info.dimensions
    wanted = body.get("dimensions")
    if width is not None and wanted is not None and (type(wanted) is not int or wanted != width):
        raise RequestError(f"'dimensions' is {width} here.", "dimensions", "unsupported_parameter")
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, list) and any(not isinstance(text, str) for text in texts):
        raise RequestError(
            "'input' is a text or a list of texts: numbers of another tokenizer mean nothing here.",
            "input",
            "invalid_type",
        )
    try:
        return encoding, EmbedInput.model_validate({"texts": texts})
    except ValidationError as error:
        raise RequestError(f"'input': {error.errors()[0]['msg']}.", "input", "invalid_value") from error


def _encoded(vector: list[float], encoding: str) -> list[float] | str:
    if encoding == "float":
        return vector
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
