"""CloudEvents 1.0 (JSON, batched or structured) to a webhook, signed as Standard Webhooks 1.0 says.

``identified``: a kill between the receiver's 2xx and the save of our position sends the last batch again. ``id`` is the log's
origin and the position, so ``source`` + ``id`` tell a receiver what it has already. ``sequence`` is the position, in digits
that sort: who receives every tenant can see a gap.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from affidavit.adapters.post import Poster, address
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import FollowerError
from affidavit.ports.follower import Batch, FollowerCapabilities, Ground, Handed, event_id

if TYPE_CHECKING:
    import httpx

SPEC = "1.0"
TYPE_PREFIX = "io.affidavit."
BATCHED = "application/cloudevents-batch+json; charset=utf-8"
STRUCTURED = "application/cloudevents+json; charset=utf-8"
_SHORTEST_SECRET = 24
_BYTES_A_REQUEST = 512 * 2**10
"""Web servers take 1 MiB by default; a single larger event goes alone."""


class WebhookFollower:
    """Posts to ``url``. ``secret`` signs (HMAC-SHA256); "" sends unsigned. ``now`` gives microseconds since 1970 UTC."""

    def __init__(
        self,
        url: str,
        now: Callable[[], int],
        secret: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        structured: bool = False,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if secret and len(secret) < _SHORTEST_SECRET:
            raise FollowerError(
                f"the webhook's secret is shorter than {_SHORTEST_SECRET} characters",
                "make one with: openssl rand -base64 32",
            )
        self._poster = Poster(address(url), headers or {}, timeout, transport)
        self._secret = secret_bytes(secret)
        self._now = now
        self._structured = structured
        self._origin = ""

    @property
    def capabilities(self) -> FollowerCapabilities:
        return FollowerCapabilities("webhook", "identified", 200)

    def begin(self, state: str, ground: Ground) -> None:
        self._origin = ground.origin

    def deliver(self, batch: Batch) -> str:
        if not batch.events:
            return ""
        pending: list[tuple[int, bytes]] = []
        size = 0
        for event in batch.events:
            said = json.dumps(cloud_event(self._origin, event)).encode()
            if pending and (self._structured or size + len(said) > _BYTES_A_REQUEST):
                self._post(pending)
                pending, size = [], 0
            pending.append((event.position, said))
            size += len(said) + 1
        self._post(pending)
        return ""

    def _post(self, events: Sequence[tuple[int, bytes]]) -> None:
        """One request with ``events`` as (position, JSON)."""
        id = f"{event_id(self._origin, events[0][0])}-{events[-1][0]}"
        joined = b",".join(said for _, said in events)
        body = joined if self._structured else b"[" + joined + b"]"
        headers = {"Content-Type": STRUCTURED if self._structured else BATCHED}
        if self._secret:
            stamp = str(self._now() // MICROSECONDS)
            headers |= {
                "webhook-id": id,
                "webhook-timestamp": stamp,
                "webhook-signature": signature(self._secret, id, stamp, body),
            }
        self._poster.post(body, headers)

    def close(self) -> None:
        self._poster.close()


def secret_bytes(secret: str) -> bytes:
    """The key: base64 after ``whsec_``, as Standard Webhooks writes it; anything else is taken as it is."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError as error:
            raise FollowerError(
                "the webhook's secret begins with whsec_ but is not base64", "copy it again"
            ) from error
    return secret.encode()


def signature(secret: bytes, id: str, stamp: str, body: bytes) -> str:
    """``v1,`` and the base64 of HMAC-SHA256 over ``id.stamp.body``."""
    digest = hmac.new(secret, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def cloud_event(origin: str, event: Handed) -> dict[str, Any]:
    """One event of the log as a CloudEvent. ``data.header`` and ``data.leaf`` are what an inclusion proof is about."""
    data: dict[str, Any] = {
        "position": event.position,
        "kind": event.kind,
        "tenant": event.tenant,
        "facts": dict(event.facts),
        "header": event.header.decode(),
        "leaf": event.leaf.hex(),
    }
    if event.words:
        data["words"] = dict(event.words)
    if event.body is not None:
        data["body"] = event.body
    out: dict[str, Any] = {
        "specversion": SPEC,
        "id": event_id(origin, event.position),
        "source": origin,
        "type": TYPE_PREFIX + event.kind,
        "time": rfc3339(event.at),
        "datacontenttype": "application/json",
        "sequence": f"{event.position:016d}",
        "data": data,
    }
    if event.run:
        out["subject"] = event.run
    return out


def rfc3339(microseconds: int) -> str:
    """A time as RFC 3339 in UTC, to the microsecond."""
    whole, rest = divmod(microseconds, MICROSECONDS)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:06d}Z"
