"""A webhook that is posted each checkpoint, signed as Standard Webhooks says (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from affidavit.adapters.guarded import Reach
from affidavit.adapters.sinks.http import check_url, refused, request
from affidavit.domain.errors import SinkError
from affidavit.ports.sink import Delivery

if TYPE_CHECKING:
    import httpx

_PREFIX = "whsec_"


class WebhookSink:
    """Posts ``{"origin", "size", "checkpoint"}`` to ``url``, signed with ``secret``.

    ``webhook-id`` is the same for the same checkpoint, so that a receiver can tell a repetition. Any 2xx is a receipt.
    """

    def __init__(
        self, url: str, secret: str, transport: httpx.BaseTransport | None = None, private: Reach = True
    ) -> None:
        self._url = check_url(url)
        if not secret:
            raise SinkError("the webhook has no secret to sign with", "set its variable or file")
        self._secret = _key(secret)
        self._transport = transport
        self._private = private

    def __repr__(self) -> str:
        return f"WebhookSink({self._url!r})"

    def send(self, delivery: Delivery) -> str:
        value = {"origin": delivery.origin, "size": delivery.size, "checkpoint": delivery.note}
        body = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        id = "cp_" + hashlib.sha256(delivery.note.encode()).hexdigest()[:32]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(delivery.at),
            "webhook-signature": signature(self._secret, id, delivery.at, body),
        }
        answer = request("POST", self._url, body, headers, self._transport, self._private)
        if not 200 <= answer.status < 300:
            raise refused(self._url, answer)
        return ""

    def held(self, origin: str) -> list[str]:
        return []


def _key(secret: str) -> bytes:
    """The bytes to sign with: ``whsec_BASE64`` as Standard Webhooks writes secrets, or any word as it is."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (ValueError, binascii.Error) as error:
        raise SinkError("the webhook's secret is not whsec_ and base64", "copy it again") from error


def signature(secret: bytes, id: str, at: int, body: bytes) -> str:
    """``v1,BASE64(HMAC-SHA256(secret, ID.AT.BODY))``."""
    signed = f"{id}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
