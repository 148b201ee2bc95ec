"""Any moderation endpoint of the OpenAI form: ``POST {base}/moderations``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from affidavit.domain.errors import GuardError
from affidavit.domain.guards import Finding, Stage
from affidavit.ports.guard import GuardInfo

_MOST_BYTES = 1_000_000
_MOST_KINDS = 200


class ModerationGuard:
    """Sends the text to ``base_url``. ``key`` is the secret itself, found by whoever makes this, never stored. ``local``
    says that the
    endpoint is on this machine. Redirects are not followed and proxies of the environment not used."""

    def __init__(self, name: str, base_url: str, model: str, key: str = "", *, local: bool = False) -> None:
        self._name, self._model, self._local = name, model, local
        self._url = f"{base_url.rstrip('/')}/moderations"
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(headers=headers, trust_env=False, follow_redirects=False)

    @property
    def info(self) -> GuardInfo:
        """As data."""
        return GuardInfo(self._name, self._model, self._local, places=False)

    def check(self, text: str, stage: Stage, timeout: float) -> Sequence[Finding]:
        """One finding for each category that is flagged, about the whole text, as sure as the endpoint is."""
        try:
            with self._client.stream(
                "POST", self._url, json={"model": self._model, "input": text}, timeout=timeout
            ) as response:
                raw = b""
                for piece in response.iter_bytes():
                    raw += piece
                    if len(raw) > _MOST_BYTES:
                        raise self._error("it answered too much")
            if response.status_code != 200:
                raise self._error(f"status {response.status_code}")
            return parse(self._name, json.loads(raw))
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            raise self._error(f"{type(error).__name__}") from error
        except (ValueError, RecursionError) as error:
            raise self._error("its answer is not JSON") from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _error(self, what: str) -> GuardError:
        return GuardError(
            f"guard {self._name} did not judge: {what}", f"check {self._url}, the model's name and the key"
        )


def parse(name: str, answer: Any) -> list[Finding]:
    """Findings in the endpoint's answer. Raises GuardError for anything that is not of its form, an empty list of
    results included."""
    results = answer.get("results") if isinstance(answer, Mapping) else None
    if not isinstance(results, list) or not results:
        raise _form(name)
    return [finding for result in results for finding in _of(name, result)]


def _of(name: str, result: Any) -> list[Finding]:
    if not isinstance(result, Mapping) or not isinstance(result.get("flagged"), bool):
        raise _form(name)
    categories, scores = result.get("categories", {}), result.get("category_scores", {})
    if (
        not isinstance(categories, Mapping)
        or not isinstance(scores, Mapping)
        or len(categories) > _MOST_KINDS
    ):
        raise _form(name)
    # null stands for a category that the endpoint does not judge
    if not all(isinstance(k, str) and isinstance(v, (bool, type(None))) for k, v in categories.items()):
        raise _form(name)
    kinds = sorted(k for k, flagged in categories.items() if flagged)
    if result["flagged"] and not kinds:
        kinds = ["flagged"]
    return [Finding(name, kind, 0, 0, "flagged by the endpoint", _sure(scores.get(kind))) for kind in kinds]


def _sure(score: object) -> str:
    """The endpoint's score as a confidence; a flag without a usable score is certain."""
    if (
        isinstance(score, bool)
        or not isinstance(score, (int, float))
        or not math.isfinite(score)
        or not 0 <= score <= 1
    ):
        return "1"
    return f"{max(score, 0.5):.4f}"


def _form(name: str) -> GuardError:
    return GuardError(
        f"guard {name}: the answer is not that of a moderation endpoint",
        "check the base URL: it ends in /v1 with most",
    )
