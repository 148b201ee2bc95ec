"""Errors on the wire: RFC 9457 problem details, one shape for all."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from affidavit.domain.errors import (
    AccessDeniedError,
    AffidavitError,
    ArgumentsError,
    BusyError,
    DiskFullError,
    ErasedError,
    ForbiddenError,
    InProgressError,
    ModelError,
    NotRepeatableError,
    OverloadedError,
    PreconditionError,
    ProviderError,
    RefusedError,
    SecondPersonError,
    SourceError,
    StoppedError,
    ToolError,
    UnauthenticatedError,
    UnknownNameError,
    UnsupportedError,
    UsageError,
)

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[AffidavitError], HTTPStatus], ...] = (
    (UnauthenticatedError, HTTPStatus.UNAUTHORIZED),
    (ForbiddenError, HTTPStatus.FORBIDDEN),
    (AccessDeniedError, HTTPStatus.NOT_FOUND),
    (UnknownNameError, HTTPStatus.NOT_FOUND),
    (InProgressError, HTTPStatus.CONFLICT),
    (NotRepeatableError, HTTPStatus.CONFLICT),
    (ArgumentsError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UsageError, HTTPStatus.BAD_REQUEST),
    (ErasedError, HTTPStatus.GONE),
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
    (DiskFullError, HTTPStatus.INSUFFICIENT_STORAGE),
    (StoppedError, HTTPStatus.CONFLICT),
    (SecondPersonError, HTTPStatus.CONFLICT),
    (RefusedError, HTTPStatus.CONFLICT),
    (UnsupportedError, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (ToolError, HTTPStatus.BAD_GATEWAY),
    (ModelError, HTTPStatus.BAD_GATEWAY),
    (ProviderError, HTTPStatus.BAD_GATEWAY),
    (SourceError, HTTPStatus.BAD_GATEWAY),
)
"""The first that fits; whatever else happens is 500."""


def status_of(error: AffidavitError) -> HTTPStatus:
    """The HTTP status of ``error``."""
    if isinstance(error, OverloadedError):
        return HTTPStatus.TOO_MANY_REQUESTS if error.by_caller else HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, PreconditionError):
        return HTTPStatus.PRECONDITION_REQUIRED if error.required else HTTPStatus.PRECONDITION_FAILED
    return next((s for kind, s in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(
    request: Request,
    status: HTTPStatus,
    code: str,
    message: str,
    hint: str = "",
    *,
    retryable: bool = False,
    **more: Any,
) -> JSONResponse:
    """An answer in the one shape. ``instance`` is the request's id."""
    body = {
        "type": f"urn:affidavit:error:{code}",
        "title": status.phrase,
        "status": status.value,
        "detail": message,
        "instance": getattr(request.state, "id", ""),
        "code": code,
        "message": message,
        "hint": hint,
        "retryable": retryable,
        **more,
    }
    return JSONResponse(body, status.value, media_type=MEDIA_TYPE)


def of_error(request: Request, error: Exception) -> JSONResponse:
    """An error of ours."""
    if not isinstance(error, AffidavitError):
        raise error
    status = status_of(error)
    answer = problem(request, status, error.code, error.message, error.hint, retryable=error.retryable)
    if isinstance(error, OverloadedError):
        answer.headers["Retry-After"] = str(error.after)
    if status is HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="affidavit"'
    return answer


def of_fault(request: Request) -> JSONResponse:
    """A fault of ours. What it was is in the log of the server, under the request's id."""
    return problem(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "fault",
        "this went wrong, and it is not your request's fault",
        "tell whoever runs this server the instance",
    )


def of_validation(request: Request, error: Exception) -> JSONResponse:
    """A request that is not of the declared form. What was sent is not repeated: it may be somebody's secret."""
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [{"where": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()]
    first = faults[0] if faults else {"where": "", "message": "malformed"}
    return problem(
        request,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "arguments",
        f"{first['where']}: {first['message']}",
        "look at the form it must have: /v1/openapi.json",
        faults=faults,
    )


def of_http(request: Request, error: Exception) -> JSONResponse:
    """No such path, or not with this method."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    answer = problem(request, status, _word(status), str(error.detail))
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


def _word(status: HTTPStatus) -> str:
    return status.name.lower()
