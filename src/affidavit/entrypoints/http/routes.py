"""One route for each operation of the table."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel, create_model

from affidavit.app.operations.operation import Asked, Caller, Method, Operation, Table, perform
from affidavit.app.operations.places import Places
from affidavit.app.operations.versions import only_if, same, tag
from affidavit.app.workspace import Workspace
from affidavit.entrypoints.http import streams
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.idempotency import KEY, REPLAYED, Once, given
from affidavit.entrypoints.http.streams import Follows, Told

VERSION = "v1"
_FIELD = re.compile(r"\{(\w+)\}")

Who = Callable[[Request], Caller]
_KEY = HTTPBearer(
    auto_error=False, scheme_name="key", description="An API key, or a token of your provider's."
)
"""Told of in the schema; who asks is found out by ``Who``."""


class Problem(BaseModel):
    """RFC 9457: what went wrong, and what to do about it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    message: str
    hint: str
    retryable: bool


_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}, "description": said}
    for status, said in (
        (400, "What was asked for cannot be asked."),
        (401, "Nobody is signed in."),
        (403, "You hold no grant for this operation."),
        (404, "It does not exist, or you may not know of it."),
        (409, "It cannot be done as things stand."),
        (410, "It was erased."),
        (412, "It is no longer what you looked at: what If-Match names is another version."),
        (422, "The request is not of the declared form."),
        (429, "You ask too much at once; Retry-After says when to come back."),
        (503, "The server has too much to do; Retry-After says when to come back."),
    )
}
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "It is what If-None-Match names; nothing is sent."}
}
_REQUIRED: dict[int | str, dict[str, Any]] = {
    428: {
        "model": Problem,
        "content": {"application/problem+json": {}},
        "description": "Say with If-Match what you looked at.",
    }
}


class Routes:
    """Builds the routes of a table. ``who`` tells who asks, ``again`` whether they still are who they were, ``admission`` when it
    is their turn; ``once`` does what has a key, ``told`` and ``follows`` answer in parts."""

    def __init__(
        self,
        ws: Workspace,
        who: Who,
        again: Who,
        admission: Admission,
        once: Once,
        told: Told,
        follows: Follows,
    ) -> None:
        self._ws = ws
        self._who = who
        self._again = again
        self._admission = admission
        self._once = once
        self._told = told
        self._follows = follows

    def router(self, table: Table) -> APIRouter:
        """Every operation under /v1."""
        self._table = table
        router = APIRouter(prefix=f"/{VERSION}", dependencies=[Security(_KEY)])
        for operation in table:
            router.add_api_route(
                operation.path,
                self._endpoint(operation),
                methods=[operation.method.value],
                operation_id=operation.name.replace(".", "_"),
                name=operation.name,
                summary=operation.summary,
                description=f"{operation.summary}\n\nNeeds `{operation.action}`.",
                tags=[operation.group],
                status_code=202 if operation.later else 200,
                response_model=operation.gives,
                responses={
                    **_REFUSALS,
                    **(_UNCHANGED if operation.method is Method.READ else {}),
                    **(_REQUIRED if operation.guarded else {}),
                },
            )
        return router

    def _endpoint(self, operation: Operation[Any]) -> Callable[..., Awaitable[Any]]:
        in_path = _FIELD.findall(operation.path)

        async def endpoint(
            request: Request,
            caller: Caller,
            asked: BaseModel | None = None,
            key: str = "",
            match: str | None = None,
            none_match: str = "",
            **path: str,
        ) -> Any:
            taken = operation.takes.model_validate({**(asked.model_dump() if asked else {}), **path})
            # the id of the request is that of its run: one request of this kind makes one at most
            caller = replace(caller, run=request.state.id)
            whose = (caller.tenant.id, caller.principal)
            if streams.wanted(request) and operation.tails:
                return await self._follows.follow(
                    request, whose, taken.after, partial(self._look, request, operation, taken)
                )
            if streams.wanted(request) and operation.parts is not None:
                return await self._told.answer(
                    request,
                    whose,
                    lambda part: given(
                        operation,
                        self._do(request, key, caller, self._in_parts(caller, operation, part), taken, match),
                    ),
                    lambda work: self._admission.run(whose[0], work, whose[1]),
                )
            work = partial(self._do, request, key, caller, operation, taken, match)
            found = await self._admission.run(caller.tenant.id, work, caller.principal)
            self._behind(request, operation, found)
            return _conditional(request, operation, found, none_match)

        endpoint.__signature__ = inspect.Signature(self._parameters(operation, in_path))  # type: ignore[attr-defined]
        return endpoint

    def _do(
        self,
        request: Request,
        key: str,
        caller: Caller,
        operation: Operation[Any],
        taken: Any,
        match: str | None,
    ) -> Any:
        """What is asked for; once, if the request has a key; only to what ``match`` names, if it names something."""

        def work() -> Any:
            condition = None
            if operation.method is not Method.READ:
                condition = only_if(self._ws, caller, self._table, operation, taken, match)
            return perform(self._ws, caller, operation, taken, only_if=condition)

        if not key:
            return work()
        found, replayed = self._once.do(key, caller, operation, taken, work)
        if replayed:
            request.state.headers[REPLAYED] = "true"
        return found

    def _behind(self, request: Request, operation: Operation[Any], found: Any) -> None:
        """Where to look how far what was begun is (RFC 9110, 15.3.3)."""
        if operation.later:
            request.state.headers["Location"] = f"/{VERSION}/works/{found['work']}"

    def _in_parts(
        self, caller: Caller, operation: Operation[Any], part: Callable[[Any], None]
    ) -> Operation[Any]:
        """``operation`` that tells ``part`` its parts, as ``perform`` shows the whole."""
        parts, places = operation.parts, Places(self._ws, caller.tenant)
        if parts is None:
            return operation

        def tell(one: Any) -> None:
            part(places.without(one.as_json()))

        return replace(operation, function=lambda ws, caller, asked: parts(ws, caller, asked, tell))

    def _look(self, request: Request, operation: Operation[Any], taken: Any, after: int) -> Any:
        """What came after ``after``, for whoever the request still proves to be."""
        caller = self._again(request)
        # each look that is put on record is news, and would have everybody who follows look again
        again, request.state.followed = getattr(request.state, "followed", False), True
        asked = taken.model_copy(update={"after": after})
        found = perform(self._ws, caller, operation, asked, again=again)
        return given(operation, found)

    def _parameters(self, operation: Operation[Any], in_path: list[str]) -> list[inspect.Parameter]:
        named = inspect.Parameter.KEYWORD_ONLY
        fields = operation.takes.model_fields
        parameters = [
            inspect.Parameter("request", named, annotation=Request),
            inspect.Parameter("caller", named, annotation=Annotated[Caller, Depends(self._who)]),
        ]
        for name in in_path:
            field = fields[name]
            kind: Any = Annotated[field.annotation, *field.metadata, Path(description=field.description)]
            parameters.append(inspect.Parameter(name, named, annotation=kind))
        if operation.changes:
            said = "A key of your own for this request: sent again with it, it is answered as before and not done again."
            kind = Annotated[str, Header(alias=KEY, max_length=257, description=said)]
            parameters.append(inspect.Parameter("key", named, annotation=kind, default=""))
        parameters.append(_condition(operation))
        rest = _without(operation.takes, in_path)
        if rest.model_fields:
            where = Query() if operation.method is Method.READ else Body(examples=[_rest(operation, in_path)])
            needed = any(field.is_required() for field in rest.model_fields.values())
            default = {} if needed or operation.method is Method.READ else {"default": None}
            kind = Annotated[rest | None if default else rest, where]
            parameters.append(inspect.Parameter("asked", named, annotation=kind, **default))
        return parameters


def _rest(operation: Operation[Any], in_path: list[str]) -> dict[str, Any]:
    return {k: v for k, v in operation.example.items() if k not in in_path}


def _without(takes: type[Asked], names: list[str]) -> type[BaseModel]:
    """``takes`` without the fields that travel in the path."""
    if not names:
        return takes
    fields: dict[str, Any] = {k: (f.annotation, f) for k, f in takes.model_fields.items() if k not in names}
    return create_model(takes.__name__, __base__=Asked, __module__=takes.__module__, **fields)


def _condition(operation: Operation[Any]) -> inspect.Parameter:
    """The header by which a request says what it has seen already."""
    named = inspect.Parameter.KEYWORD_ONLY
    if operation.method is Method.READ:
        said = "The ETag of what you have: if it still is that, nothing is sent (304)."
        kind: Any = Annotated[str, Header(alias="If-None-Match", max_length=4096, description=said)]
        return inspect.Parameter("none_match", named, annotation=kind, default="")
    said = f"The ETag that `{operation.guards}` gave: done only as long as it is that (412), or `*`."
    said += " Must be given (428)." if operation.guarded else ""
    header = Header(
        alias="If-Match", max_length=4096, description=said, include_in_schema=bool(operation.guards)
    )
    return inspect.Parameter("match", named, annotation=Annotated[str | None, header], default=None)


def _conditional(request: Request, operation: Operation[Any], found: Any, none_match: str) -> Any:
    """What is read has an ETag, and is not sent again to whoever has it (RFC 9110, 13.1.2)."""
    if operation.method is not Method.READ:
        return found
    now = tag(operation, found)
    headers = {"ETag": now, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
    if none_match and same(none_match, now):
        return Response(status_code=304, headers=headers)
    request.state.headers.update(headers)
    return found
