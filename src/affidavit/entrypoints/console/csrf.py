"""Forms that only our own pages can send."""

from __future__ import annotations

import hmac

from fastapi import Request

from affidavit.app.operations.operation import Caller
from affidavit.domain.canonical import canonical
from affidavit.domain.errors import ForbiddenError

FIELD = "csrf"
HEADER = "X-CSRF-Token"
_OURS = ("same-origin", "none")


class Csrf:
    """Tokens bound to whoever looks at the page, by a key that no browser knows."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, request: Request, caller: Caller) -> str:
        """What a form of ours carries."""
        said = canonical([caller.tenant.id, caller.principal, caller.via, caller.by])
        return hmac.digest(self._key, said, "sha256").hex()

    def check(self, request: Request, caller: Caller, token: str) -> None:
        """Raises ForbiddenError unless a page of ours sent this."""
        # https://www.w3.org/TR/fetch-metadata/: browsers say where a request comes from, and pages cannot change it
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in _OURS or not hmac.compare_digest(self.token(request, caller).encode(), token.encode()):
            raise ForbiddenError(
                "this form is not one of ours, or too old", "go back, reload the page and send it again"
            )
