"""HTTP to where an operator's import, sink or follower points, and nowhere else: names are looked up once, every address is
looked at before it is connected to, and it is that address that is connected to. No proxies, no redirects, no answer of more
than a few megabytes."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from affidavit.domain.errors import UsageError

if TYPE_CHECKING:
    import httpx

LARGEST = 4_000_000
"""Bytes of an answer."""
Lookup = Callable[[str, int], Sequence[str]]
Reach = bool | tuple[str, ...]
"""What may be connected to besides public addresses: nothing (False, ()), these networks, or all of this machine's and its
networks'."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
"""RFC 8215: which address is meant is up to the translator."""


class ForbiddenAddressError(OSError):
    """The name leads to an address that may not be connected to."""


def checked_url(url: str, what: str = "the address") -> str:
    """``url`` without a trailing slash. Raises UsageError for all but http(s)://HOST…, without user name, query, fragment."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.query or parts.fragment or not url.isprintable():
        raise UsageError(
            f"{what} is not a web address", "write https://HOST/PATH; credentials: --secret NAME"
        )
    return url.rstrip("/")


def look_up(host: str, port: int) -> list[str]:
    """The addresses of ``host``. Raises OSError."""
    try:
        return list(
            dict.fromkeys(str(a[4][0]) for a in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        )
    except UnicodeError as error:
        raise OSError(f"{host[:80]} is no name of a machine") from error


def allowed(address: str, private: Reach) -> bool:
    """Whether ``address`` may be connected to: a public one, or one that ``private`` lets be reached. Never link-local (where
    clouds keep credentials), multicast, reserved, or nowhere. What stands for another address is as that one is."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return allowed(str(inner), private)
        if found in _LOCAL_NAT64 or (found.is_reserved and not found.is_loopback):
            return False
    if found.is_link_local or found.is_multicast or found.is_unspecified or found == _METADATA:
        return False
    if isinstance(private, bool):
        return found.is_global or (private and (found.is_private or found.is_loopback))
    return found.is_global or any(found in ipaddress.ip_network(network) for network in private)


_METADATA = ipaddress.ip_address("fd00:ec2::254")


def addresses(host: str, port: int, private: Reach, lookup: Lookup = look_up) -> list[str]:
    """Where ``host`` is. Raises ForbiddenAddressError if any of it may not be connected to, OSError if there is none."""
    found = lookup(host, port)
    bad = [one for one in found if not allowed(one, private)]
    if bad or not found:
        word = "--allow-private" if isinstance(private, bool) else "network.allow_private in server.toml"
        hint = "" if private is True else f"; an operator may allow it: {word}"
        raise ForbiddenAddressError(
            f"{host} leads to {bad[0] if bad else 'nowhere'}, which is not public{hint}"
        )
    return list(found)


def _aimed(request: Any, address: str) -> dict[str, Any]:
    """What makes the same request go to ``address``: the certificate and the Host header stay those of the name."""
    return {
        "method": request.method,
        "url": request.url.copy_with(host=address),
        "headers": [
            *((k, v) for k, v in request.headers.items() if k != "accept-encoding"),
            ("accept-encoding", "identity"),
        ],
        "stream": request.stream,
        "extensions": {**request.extensions, "sni_hostname": request.url.host},
    }


def _port(request: Any) -> int:
    return request.url.port or (443 if request.url.scheme == "https" else 80)


def _packed(headers: Any) -> bool:
    """Whether an answer would grow when it is read."""
    return headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")


def client(private: Reach, seconds: float, lookup: Lookup = look_up) -> httpx.Client:
    """A client under these rules. What it raises is httpx's; a forbidden address is a ``ConnectError``."""
    import httpx  # noqa: PLC0415  # 0.1 s that only imports need

    return httpx.Client(
        transport=transport(private, lookup), timeout=seconds, trust_env=False, follow_redirects=False
    )


def transport(private: Reach, lookup: Lookup = look_up) -> httpx.BaseTransport:
    """What connects under these rules, for a client of one's own."""
    import httpx  # noqa: PLC0415  # as above

    class Limited(httpx.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for piece in self._stream:
                size += len(piece)
                if size > LARGEST:
                    raise httpx.ReadError(f"the answer has more than {LARGEST} bytes")
                yield piece

        def close(self) -> None:
            self._stream.close()

    class Transport(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            try:
                found = addresses(request.url.host, _port(request), private, lookup)
            except OSError as error:
                raise httpx.ConnectError(str(error)) from error
            for address in found[:-1]:
                try:
                    return self._ask(request, address)
                except httpx.ConnectError:
                    continue  # nothing was sent: the next of its addresses
            return self._ask(request, found[-1])

        def _ask(self, request: httpx.Request, address: str) -> httpx.Response:
            answer = super().handle_request(httpx.Request(**_aimed(request, address)))
            if _packed(answer.headers):
                answer.close()
                raise httpx.ReadError("the answer is compressed, which nobody asked for")
            return httpx.Response(
                answer.status_code,
                headers=answer.headers,
                stream=Limited(answer.stream),
                extensions=answer.extensions,
            )

    return Transport(trust_env=False)


def async_client(private: Reach, seconds: float, headers: dict[str, str], lookup: Lookup = look_up) -> Any:
    """The same for the MCP SDK, which brings an HTTP client of its own."""
    import anyio.to_thread  # noqa: PLC0415  # as above
    import httpx2  # noqa: PLC0415  # comes with the extra `mcp`

    class Limited(httpx2.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for piece in self._stream:
                size += len(piece)
                if size > LARGEST:
                    raise httpx2.ReadError(f"the answer has more than {LARGEST} bytes")
                yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Transport(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            try:
                found = await anyio.to_thread.run_sync(
                    lambda: addresses(request.url.host, _port(request), private, lookup)
                )
            except OSError as error:
                raise httpx2.ConnectError(str(error)) from error
            for address in found[:-1]:
                try:
                    return await self._ask(request, address)
                except httpx2.ConnectError:
                    continue  # nothing was sent: the next of its addresses
            return await self._ask(request, found[-1])

        async def _ask(self, request: httpx2.Request, address: str) -> httpx2.Response:
            answer = await super().handle_async_request(httpx2.Request(**_aimed(request, address)))
            if _packed(answer.headers):
                await answer.aclose()
                raise httpx2.ReadError("the answer is compressed, which nobody asked for")
            return httpx2.Response(
                answer.status_code,
                headers=answer.headers,
                stream=Limited(answer.stream),
                extensions=answer.extensions,
            )

    return httpx2.AsyncClient(
        transport=Transport(trust_env=False),
        timeout=seconds,
        trust_env=False,
        follow_redirects=False,
        headers=headers,
    )
