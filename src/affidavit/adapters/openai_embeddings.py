"""Embeddings from any endpoint that speaks OpenAI's ``/v1/embeddings``, on this machine or elsewhere.

The endpoint is not trusted to be tidy: order, count, size and finiteness of what it sends are checked, and one retry budget is
owned here. Nothing is read from the environment: for a proxy or a private certificate authority hand in a ``transport``.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import threading
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from affidavit.domain.canonical import digest
from affidavit.domain.errors import EmbedderError
from affidavit.ports.embedder import EmbedderInfo, Request

if TYPE_CHECKING:
    import httpx

_TRIES = 3
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 20.0
_LARGEST_ANSWER = 64 * 2**20
_REMEMBERED = 10_000  # requests that nobody asked about
_UNAUTHORISED = (401, 403)
_TOO_MANY = 429
_SERVER_FAULT = 500

_HOST = re.compile(r"[\w.:-]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ASCII_WORD = re.compile(r"[A-Za-z]+|[0-9]+")
_ASCII_MARK = re.compile(r"[!-/:-@\[-`{-~]")
_OTHER = re.compile(r"[^\x00-\x7f\s]")


class OpenAIEmbeddings:
    """Unit vectors of ``model`` at ``base_url`` (``https://host/v1``; ``/v1`` may be left out when there is no path).

    ``dimensions`` asks the endpoint for shorter vectors; without it the first answer tells. ``timeout`` in seconds is for one
    whole request, of which there are at most three. ``batch`` texts go into one request; batching changes the last bits of a
    vector on most servers, so only ``batch=1`` counts as deterministic. ``max_tokens`` is what the model reads; longer texts are
    the endpoint's to cut or refuse. ``width`` is the number of dimensions where it is known from before, so that nothing is
    asked to learn it. ``first_wait``: seconds before the second try, twice that before the third. Redirects are not followed,
    certificates are checked.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str = "",
        dimensions: int | None = None,
        timeout: float = 30.0,
        batch: int = 64,
        transport: httpx.BaseTransport | None = None,
        *,
        max_tokens: int = 512,
        width: int | None = None,
        first_wait: float | None = None,
    ) -> None:
        if not model:
            raise EmbedderError("the embedding endpoint needs a model name", "set the model")
        if batch < 1 or max_tokens < 1 or timeout <= 0 or (dimensions is not None and dimensions < 1):
            raise EmbedderError(
                "batch, max_tokens, timeout and dimensions of an embedding endpoint must be positive"
            )
        # A header with such a character is refused later with a message that shows the key.
        if not api_key.isascii() or any(c.isspace() or not c.isprintable() for c in api_key):
            raise EmbedderError("the API key holds white space or a character no key has", "copy it again")
        self._url, self._place = _endpoint(base_url)
        self._model = model
        self._key = api_key
        self._asked = dimensions
        self._timeout = timeout
        self._batch = batch
        self._transport = transport
        self._max_tokens = max_tokens
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._dimensions = width
        self._first_wait = first_wait
        self._mine = threading.local()

    def __repr__(self) -> str:
        return f"OpenAIEmbeddings({self._url!r}, {self._model!r})"

    @property
    def info(self) -> EmbedderInfo:
        """The first time this asks the endpoint, if nothing was embedded before. Raises EmbedderError."""
        size = self._dimensions or self.probe()
        return EmbedderInfo(
            name=self._model,
            fingerprint=digest({"place": self._place, "model": self._model, "dimensions": size}),
            dimensions=size,
            max_tokens=self._max_tokens,
            deterministic=self._batch == 1,
        )

    def probe(self) -> int:
        """Embed one word; the number of dimensions. Raises EmbedderError when the endpoint does not do its work."""
        return int(self.embed(["affidavit"]).shape[1])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors in order, shape (len(texts), dimensions). An empty text is sent as a space: endpoints refuse it."""
        cleaned = [_SURROGATE.sub("\ufffd", text) or " " for text in texts]
        parts = [self._embed(cleaned[i : i + self._batch]) for i in range(0, len(cleaned), self._batch)]
        return np.concatenate(parts) if parts else np.zeros((0, self.info.dimensions), np.float32)

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Not offered: the protocol has no token vectors. Raises EmbedderError."""
        raise _permanent("an embedding endpoint gives no token vectors", "use the built-in MiniLM for them")

    def count(self, text: str) -> int:
        """An estimate, since the endpoint's tokenizer is not here: meant to be no less than WordPiece's count.

        A short word is 1.3 tokens and a long one a token for four letters, two digits are one, a mark is one, and so is
        every character outside ASCII (right for Chinese, far too many for Greek).
        """
        total = float(len(_ASCII_MARK.findall(text)) + len(_OTHER.findall(text)) + 2)
        for word in _ASCII_WORD.findall(text):
            total += len(word) / 2 + 0.5 if word.isdigit() else max(1.3, len(word) / 4)
        return math.ceil(total)

    def requests(self) -> list[Request]:
        """The answered requests of this thread since it last asked: see ``ports.embedder.Metered``."""
        made: list[Request] = getattr(self._mine, "requests", [])
        self._mine.requests = []
        return made

    def _remember(self, tokens: int, texts: list[str]) -> None:
        made = [*getattr(self._mine, "requests", ()), Request(tokens, sum(map(self.count, texts)))]
        self._mine.requests = made[-_REMEMBERED:]

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        """One request's worth."""
        answer = self._answer(texts)
        self._remember(
            _tokens_said(answer), texts
        )  # also of an answer that turns out to be useless: it is charged
        rows = _vectors(answer, len(texts))
        size = rows.shape[1]
        with self._lock:
            known = self._dimensions or self._asked or size
            if size == known:
                self._dimensions = size
        if size != known:
            raise _permanent(
                f"{self._url} gave vectors of {size} dimensions instead of {known}",
                "the endpoint ignores `dimensions` or has changed its model; check its settings",
            )
        return rows

    def _answer(self, texts: list[str]) -> bytes:
        """The body of the endpoint's answer: one try, and at most two more after a fault that may pass."""
        body: dict[str, object] = {"model": self._model, "input": texts, "encoding_format": "float"}
        if self._asked is not None:
            body["dimensions"] = self._asked
        content = json.dumps(body).encode("ascii")
        wait = _FIRST_WAIT if self._first_wait is None else self._first_wait
        for _ in range(_TRIES - 1):
            try:
                return self._post(content)
            except _PassingError as fault:
                pause = wait if fault.wait is None else fault.wait
                if pause > _LONGEST_WAIT:
                    raise
            time.sleep(pause)
            wait *= 2
        return self._post(content)

    def _post(self, content: bytes) -> bytes:
        """One request. Raises _PassingError for what may pass, EmbedderError for what will not."""
        import httpx  # noqa: PLC0415 - 0.1 s; most commands never ask an endpoint

        deadline = time.monotonic() + self._timeout
        data = bytearray()
        try:
            with self._connected().stream("POST", self._url, content=content) as response:
                for piece in response.iter_bytes():
                    data += piece
                    # httpx limits the time between two pieces, not the whole: an endpoint could drip for ever.
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout("the answer took too long")
                    if len(data) > _LARGEST_ANSWER:
                        raise _permanent(f"the answer of {self._url} is too large", "use smaller batches")
        except httpx.TimeoutException as error:
            raise _PassingError(
                f"{self._url} did not answer within {self._timeout:g} s",
                "see whether it is overloaded, raise the timeout or use smaller batches",
            ) from error
        except httpx.TransportError as error:
            raise _PassingError(
                f"{self._url} cannot be reached: {type(error).__name__}: {self._redacted(str(error))}",
                "check that the endpoint is up, its address, and its certificate",
            ) from error
        except httpx.DecodingError as error:
            raise _permanent(
                f"{self._url} sent a body that cannot be decompressed", "check the proxy"
            ) from error
        if response.status_code != httpx.codes.OK:
            raise self._refused(response, bytes(data))
        return bytes(data)

    def _connected(self) -> httpx.Client:
        import httpx  # noqa: PLC0415 - see _post

        with self._lock:
            if self._client is None:
                headers = {"Content-Type": "application/json"}
                if self._key:
                    headers["Authorization"] = f"Bearer {self._key}"
                self._client = httpx.Client(
                    headers=headers,
                    timeout=self._timeout,
                    follow_redirects=False,
                    trust_env=False,
                    transport=self._transport,
                )
            return self._client

    def _refused(self, response: httpx.Response, data: bytes) -> EmbedderError:
        """What a status other than 200 means."""
        status = response.status_code
        if status in _UNAUTHORISED:  # its words may show part of the key
            return _permanent(f"{self._url} refuses the API key (HTTP {status})", "check the key")
        if response.is_redirect:
            return _permanent(
                f"{self._url} redirects (HTTP {status})", "redirects are not followed: give the final address"
            )
        said = self._redacted(_complaint(data))
        message = f"{self._url} answered HTTP {status}" + (f": {said}" if said else "")
        if status == _TOO_MANY or status >= _SERVER_FAULT:
            wait = _retry_after(response.headers.get("Retry-After", ""))
            later = f"try again in {math.ceil(wait)} s" if wait else "try again later"
            return _PassingError(message, f"the endpoint is overloaded or broken; {later}", wait)
        return _permanent(
            message, f"check the address, that it serves model {self._model!r}, and the text's length"
        )

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


class _PassingError(EmbedderError):
    """A fault that may pass. ``wait``: seconds the endpoint asked for, or None."""

    def __init__(self, message: str, hint: str, wait: float | None = None) -> None:
        super().__init__(message, hint)
        self.wait = wait


def _permanent(message: str, hint: str) -> EmbedderError:
    """An error that trying again does not mend."""
    error = EmbedderError(message, hint)
    error.retryable = False
    return error


def _endpoint(base_url: str) -> tuple[str, str]:
    """The address to post to, and where that is for the fingerprint: host, port if unusual, and path."""
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or not parts.path.isprintable():
        raise _permanent("the embedding endpoint's address is not a web address", "write https://HOST/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise _permanent(
            "the embedding endpoint's address holds a user name, a query or a fragment",
            "write https://HOST/v1 and give the key as the API key",
        )
    path = parts.path.rstrip("/").removesuffix("/embeddings") or "/v1"
    bracketed = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    place = bracketed if port in (None, usual) else f"{bracketed}:{port}"
    return f"{parts.scheme}://{place}{path}/embeddings", place + path


def _retry_after(header: str) -> float | None:
    """Seconds to wait by a Retry-After header, which holds seconds or a date; None when it says nothing sensible."""
    if re.fullmatch(r"\d{1,9}(\.\d+)?", header.strip(), re.ASCII):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _complaint(data: bytes) -> str:
    """The endpoint's own message in one short line, or ""."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", "") if isinstance(error, dict) else error
    if not isinstance(message, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in message).strip()[:200]


def _tokens_said(data: bytes) -> int:
    """The tokens that an answer's body says it used, -1 if it says nothing sensible."""
    try:
        usage = json.loads(data)["usage"]
        said = usage.get("prompt_tokens", usage.get("total_tokens"))
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return -1
    return said if type(said) is int and said >= 0 else -1


def _vectors(data: bytes, wanted: int) -> NDArray[np.float32]:
    """The unit vectors in an answer's body, in the order of the texts. Raises EmbedderError for anything else."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _malformed("is not JSON") from error
    items = body.get("data") if isinstance(body, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _malformed("has no list `data`")
    if len(items) != wanted:
        raise _malformed(f"has {len(items)} vectors for {wanted} texts")
    rows: list[NDArray[np.float64] | None] = [None] * wanted
    for item in items:
        index = item.get("index")
        if type(index) is not int or not 0 <= index < wanted or rows[index] is not None:
            raise _malformed("does not say which vector belongs to which text (`index`)")
        rows[index] = _numbers(item.get("embedding"))
    found = [row for row in rows if row is not None]
    if len({len(row) for row in found}) != 1:
        raise _malformed("has vectors of different sizes")
    return _unit(np.stack(found))


def _numbers(value: object) -> NDArray[np.float64]:
    """A vector as sent: a list of numbers, or base64 of little-endian float32."""
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float64)
        if isinstance(value, list) and all(type(x) in (int, float) for x in value):
            return np.array(value, np.float64)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise _malformed("has a vector that cannot be read") from error
    raise _malformed("has a vector that is not a list of numbers")


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    largest = np.abs(rows).max(axis=1, keepdims=True) if rows.size else np.zeros((1, 1))
    if not np.isfinite(largest).all() or not (largest > 0).all():
        raise _malformed("has a vector that is empty, zero or not finite")
    scaled = rows / largest  # so that squares neither overflow nor vanish
    unit: NDArray[np.float32] = (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _malformed(what: str) -> EmbedderError:
    return _permanent(
        f"the embedding endpoint's answer {what}",
        "check that the address is an OpenAI-compatible embedding endpoint",
    )
