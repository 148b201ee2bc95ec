"""RFC 3161 timestamps: an authority's signed word that some bytes existed at a time.

Through ``rfc3161-client`` (Trail of Bits, Apache-2.0; used by sigstore): the extra ``affidavit[timestamps]``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from affidavit.adapters.guarded import Reach
from affidavit.adapters.sinks.http import check_url, refused, request
from affidavit.domain.errors import SinkError, UsageError

if TYPE_CHECKING:
    import httpx
    from cryptography import x509

_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"


def _library() -> Any:
    try:
        import rfc3161_client  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "timestamps need the library rfc3161-client", "install it: pip install 'affidavit[timestamps]'"
        ) from error
    return rfc3161_client


def read_authorities(pem: bytes) -> list[x509.Certificate]:
    """The root certificates of timestamping authorities in a PEM file. Raises UsageError."""
    from cryptography import x509  # noqa: PLC0415 - 20 ms; only timestamps need it

    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise UsageError(
            "the file of --ca holds no certificate",
            "give the authority's root certificate as PEM (-----BEGIN CERTIFICATE-----)",
        ) from error
    return found


def timestamp(
    url: str,
    data: bytes,
    authorities: list[x509.Certificate],
    transport: httpx.BaseTransport | None = None,
    private: Reach = True,
) -> tuple[bytes, int]:
    """A token over ``data`` from the authority at ``url``, checked: (DER of the reply, seconds since 1970 UTC).

    Raises SinkError when none can be had that ``authorities`` vouch for, UsageError without the library.
    """
    library = _library()
    asked = library.TimestampRequestBuilder().data(data).hash_algorithm(library.HashAlgorithm.SHA256).build()
    answer = request("POST", check_url(url), asked.as_bytes(), {"Content-Type": _QUERY}, transport, private)
    if answer.status != 200:
        raise refused(url, answer)
    at = _checked(
        url,
        answer.body,
        data,
        authorities,
        lambda builder: builder.nonce(asked.nonce) if asked.nonce else builder,
    )
    return answer.body, at


def check_timestamp(party: str, token: bytes, data: bytes, authorities: list[x509.Certificate]) -> int:
    """When ``token`` says that ``data`` existed, in seconds since 1970 UTC. Raises SinkError if it is not good for it."""
    return _checked(party, token, data, authorities, lambda builder: builder)


def _checked(
    party: str,
    token: bytes,
    data: bytes,
    authorities: list[x509.Certificate],
    settle: Callable[[Any], Any],
) -> int:
    library = _library()
    builder = settle(library.VerifierBuilder())
    for root in authorities:
        builder = builder.add_root_certificate(root)
    try:
        reply = library.decode_timestamp_response(token)
        builder.build().verify_message(reply, data)
        at: int = int(reply.tst_info.gen_time.timestamp())
    except (library.VerificationError, ValueError) as error:
        raise SinkError(
            f"the timestamp of {party} does not verify: {error}",
            "check that --ca is the root of that authority; a token over other bytes is no evidence",
            retryable=False,
        ) from error
    return at
