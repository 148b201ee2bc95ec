"""One HTTP POST to where a follower hands the log over: certificates checked, no redirects, faults sorted into those that
may pass and those that will not. Trying again is the driver's business, so that there is one retry budget."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from affidavit.adapters.guarded import transport as guarded
from affidavit.domain.errors import FollowerError

if TYPE_CHECKING:
    import httpx

_LARGEST_ANSWER = 2**20
_PASSING = frozenset((408, 425, 429))
_HOST = re.compile(r"[\w.:-]+", re.ASCII)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """Where to post. ``place`` is scheme, host and port alone: the path and query of a webhook are often its secret."""

    url: str
    place: str
    private: bool
    """Encrypted, or on this machine."""


def address(url: str) -> Address:
    """``url`` checked. Raises FollowerError for anything but a web address without a user name."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or not url.isprintable():
        raise FollowerError("the address is not a web address", "write https://HOST/PATH")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise FollowerError(
            "the address holds a user name or a fragment",
            "give credentials as a header out of the environment: --header-env Authorization=VARIABLE",
        )
    shown = f"[{host}]" if ":" in host else host
    place = f"{parts.scheme}://{shown}" + (f":{port}" if port else "")
    return Address(url, place, parts.scheme == "https" or host in _LOOPBACK)


class Poster:
    """Posts to one address. ``headers`` may hold secrets and are never shown; ``timeout`` in seconds is for a whole request."""

    def __init__(
        self,
        where: Address,
        headers: Mapping[str, str],
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        for name, value in headers.items():
            # a header with such a character is refused later with a message that shows the secret
            if not value.isascii() or not value.isprintable() or not name.isascii():
                raise FollowerError(
                    f"header {name} holds a character that no header can",
                    "check the variable it is taken from",
                )
        self._where = where
        self._headers = dict(headers)
        self._timeout = timeout
        self._transport = transport
        self._client: httpx.Client | None = None

    def __repr__(self) -> str:
        return f"Poster({self._where.place!r})"

    def post(self, content: bytes, headers: Mapping[str, str]) -> bytes:
        """The answer's body, once the other side has said 2xx. Raises FollowerError."""
        import httpx  # noqa: PLC0415  # 0.1 s; most commands post nothing

        place = self._where.place
        deadline = time.monotonic() + self._timeout
        data = bytearray()
        try:
            with self._connected().stream(
                "POST", self._where.url, content=content, headers=dict(headers)
            ) as response:
                for piece in response.iter_bytes():
                    data += piece
                    # httpx limits the time between two pieces, not the whole: a receiver could drip for ever
                    if time.monotonic() > deadline or len(data) > _LARGEST_ANSWER:
                        raise httpx.ReadTimeout("the answer is too long")
        except httpx.TimeoutException as error:
            raise FollowerError(
                f"{place} did not answer within {self._timeout:g} s",
                "see whether it is overloaded",
                retryable=True,
            ) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise FollowerError(
                f"{place} cannot be reached: {type(error).__name__}",
                "check that it is up, its address, and its certificate",
                retryable=True,
            ) from error
        if not response.is_success:
            raise self._refused(response)
        return bytes(data)

    def _connected(self) -> httpx.Client:
        import httpx  # noqa: PLC0415  # see post

        if self._client is None:
            self._client = httpx.Client(
                headers=self._headers,
                timeout=self._timeout,
                follow_redirects=False,
                trust_env=False,
                transport=self._transport or guarded(private=True),
            )
        return self._client

    def _refused(self, response: httpx.Response) -> FollowerError:
        """What a status other than 2xx means. The body is not shown: it may repeat what was sent."""
        status, place = response.status_code, self._where.place
        if status in (401, 403):
            return FollowerError(f"{place} refuses our credentials (HTTP {status})", "check --header-env")
        if response.is_redirect:
            return FollowerError(
                f"{place} redirects (HTTP {status})", "redirects are not followed: give the final address"
            )
        if status in _PASSING or status >= 500:
            wait = retry_after(response.headers.get("Retry-After", ""), time.time())
            hint = "it is overloaded or broken; try again later"
            return FollowerError(f"{place} answered HTTP {status}", hint, retryable=True, wait=wait)
        return FollowerError(
            f"{place} does not take what we send (HTTP {status})", "check the address and what listens there"
        )

    def close(self) -> None:
        """Close the connections; a later post opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def retry_after(header: str, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3), which holds seconds or a date; None if it says nothing
    sensible. ``now``: seconds since 1970 UTC."""
    if re.fullmatch(r"\d{1,9}", header.strip(), re.ASCII):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None
