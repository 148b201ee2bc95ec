"""What the sinks that speak HTTP share: one request, bounded in time and size, without redirects and without proxies."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from affidavit.adapters.guarded import Reach
from affidavit.adapters.guarded import transport as guarded
from affidavit.domain.errors import SinkError, UsageError

if TYPE_CHECKING:
    import httpx

SECONDS = 30.0
LARGEST_ANSWER = 2**20


@dataclass(frozen=True)
class Answer:
    """Status, content type and body of what came back."""

    status: int
    content_type: str
    body: bytes

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def check_url(url: str) -> str:
    """``url`` if it is a plain web address. One that holds a password is refused: settings are kept, secrets are not.

    Raises UsageError.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, sound = urlsplit(""), False
    if not sound or not url.isprintable() or " " in url:
        raise UsageError(f"{url!r} is not a web address", "write https://HOST/PATH")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise UsageError(
            "the address holds a user name, a query or a fragment, and settings are kept on the log",
            "leave them out; give secrets as the name of a variable or of a file",
        )
    return url


def request(
    method: str,
    url: str,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    transport: httpx.BaseTransport | None = None,
    private: Reach = True,
) -> Answer:
    """One request, to a public address or one that ``private`` lets be reached.

    Raises SinkError when no answer can be had; every status is an answer.
    """
    import httpx  # noqa: PLC0415 - 0.1 s; most commands never ask anybody

    deadline = time.monotonic() + SECONDS
    data = bytearray()
    try:
        with (
            httpx.Client(
                timeout=SECONDS / 3,
                follow_redirects=False,
                trust_env=False,
                transport=transport or guarded(private),
            ) as client,
            client.stream(method, url, content=content, headers=dict(headers or {})) as response,
        ):
            for piece in response.iter_bytes():
                data += piece
                # httpx limits the time between two pieces, not the whole
                if time.monotonic() > deadline or len(data) > LARGEST_ANSWER:
                    raise SinkError(f"the answer of {url} is too long or too slow", "see what answers there")
    except httpx.TimeoutException as error:
        raise SinkError(f"{url} did not answer in time", "see whether it is up; it is tried again") from error
    except (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL) as error:
        raise SinkError(
            f"{url} cannot be reached: {type(error).__name__}: {error}",
            "check that it is up, the address and the certificate; it is tried again",
        ) from error
    return Answer(response.status_code, response.headers.get("Content-Type", ""), bytes(data))


def refused(url: str, answer: Answer) -> SinkError:
    """What a status other than success means to whoever sent."""
    said = "".join(c if c.isprintable() else " " for c in answer.text())[:200].strip()
    hint = "see what it wants; it is tried again"
    if 300 <= answer.status < 400:
        said, hint = "it redirects", "redirects are not followed: give the final address"
    passing = answer.status == 429 or answer.status >= 500
    return SinkError(
        f"{url} answered HTTP {answer.status}" + (f": {said}" if said else ""), hint, retryable=passing
    )
