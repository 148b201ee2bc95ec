"""Errors in OpenAI's shape, on OpenAI's paths."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

from affidavit.domain.errors import AffidavitError, OverloadedError
from affidavit.entrypoints.http.openai.parameters import RequestError
from affidavit.entrypoints.http.problems import status_of

_KINDS = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}
_CODES = {"unauthenticated": "invalid_api_key", "overloaded": "rate_limit_exceeded"}


def error_of(error: RequestError | AffidavitError) -> tuple[int, dict[str, Any]]:
    """(HTTP status, the inner object). ``hint`` is ours: what to do about it."""
    if isinstance(error, RequestError):
        return error.status, {
            "message": error.message,
            "type": "invalid_request_error",
            "param": error.param,
            "code": error.code,
        }
    status = status_of(error)
    kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return status.value, {
        "message": f"{error.message}. {error.hint}".rstrip(". "),
        "type": kind,
        "param": None,
        "code": _CODES.get(error.code, error.code),
        "hint": error.hint,
        "retryable": error.retryable,
    }


def answer_of(error: RequestError | AffidavitError) -> JSONResponse:
    """The whole answer."""
    status, body = error_of(error)
    headers = {}
    if isinstance(error, OverloadedError):
        headers["Retry-After"] = str(error.after)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="affidavit"'
    return JSONResponse({"error": body}, status, headers=headers)
