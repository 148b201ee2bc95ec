"""A witness on another machine: the asking half of C2SP ``tlog-witness`` (https://c2sp.org/tlog-witness)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from affidavit.adapters.guarded import Reach
from affidavit.adapters.sinks.http import Answer, check_url, refused, request
from affidavit.adapters.sinks.notes import notes_in
from affidavit.domain.errors import SinkError
from affidavit.ports.sink import Delivery

if TYPE_CHECKING:
    import httpx

_OK, _FORBIDDEN, _UNKNOWN, _CONFLICT, _INCONSISTENT = 200, 403, 404, 409, 422
_HOLD_ON = "stop: keep this workspace and the witness as they are, and find out who changed the log"


class WitnessSink:
    """Asks the witness at ``url`` to cosign. What it signed must still be checked with its key: this only carries it."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None, private: Reach = True) -> None:
        self._url = check_url(url).rstrip("/")
        self._transport = transport
        self._private = private

    def send(self, delivery: Delivery) -> str:
        answer = self._submit(delivery, min(delivery.before, delivery.size))
        if answer.status == _CONFLICT:
            answer = self._submit(delivery, self._seen(answer, delivery))
        if answer.status == _OK:
            return answer.text()
        raise self._refused(answer, delivery)

    def held(self, origin: str) -> list[str]:
        """The newest checkpoint that the witness cosigned."""
        url = f"{self._url}/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint"
        answer = request("GET", url, transport=self._transport, private=self._private)
        if answer.status == _UNKNOWN:
            return []
        if answer.status != _OK:
            raise refused(url, answer)
        return notes_in(answer.text())

    def _submit(self, delivery: Delivery, old: int) -> Answer:
        proof = "".join(base64.b64encode(node).decode() + "\n" for node in delivery.prove(old))
        body = f"old {old}\n{proof}\n{delivery.note}".encode()
        url = f"{self._url}/add-checkpoint"
        return request("POST", url, body, transport=self._transport, private=self._private)

    def _seen(self, answer: Answer, delivery: Delivery) -> int:
        """The size that the witness says it has. Raises SinkError if that is more than there is."""
        text = answer.text()
        if not text.endswith("\n") or not text[:-1].isdecimal() or len(text) > 20:
            raise refused(self._url, answer)
        seen = int(text)
        if seen > delivery.size:
            raise SinkError(
                f"the witness {self._url} has seen {seen} events, this log has only {delivery.size}: "
                "it was cut off, or an older copy was put back",
                _HOLD_ON,
                retryable=False,
            )
        return seen

    def _refused(self, answer: Answer, delivery: Delivery) -> SinkError:
        if answer.status == _INCONSISTENT:
            return SinkError(
                f"the witness {self._url} has seen another history: these {delivery.size} events do not continue it",
                _HOLD_ON,
                retryable=False,
            )
        if answer.status == _FORBIDDEN:
            return SinkError(
                f"the witness {self._url} knows this log under another key",
                "if the key file was replaced, restore it; a log never changes its key",
                retryable=False,
            )
        if answer.status == _UNKNOWN:
            return SinkError(
                f"the witness {self._url} does not watch this log",
                "ask whoever runs it to: affidavit witness add-log DIR VKEY, with the key that `audit verify` prints",
            )
        return refused(self._url, answer)
