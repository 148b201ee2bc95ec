"""How vendors' servers count: llama.cpp's and vLLM's ``/tokenize``, Anthropic's ``count_tokens``, Google's ``countTokens``.

https://docs.anthropic.com/en/api/messages-count-tokens, https://ai.google.dev/api/tokens,
https://github.com/ggml-org/llama.cpp/tree/master/tools/server. A "token" is a word, as everywhere in these servers.
"""

from __future__ import annotations

import json
import re
from typing import Any

from affidavit.testing.loopback import Asked

_GOOGLE = re.compile(r"/v1beta/models/[^:/]+:countTokens")


def counted(asked: Asked) -> bytes | None:
    """The answer to a request for a count; None if ``asked`` is none. Raises KeyError, TypeError or ValueError for its form."""
    path = asked.path.split("?")[0]
    if path == "/tokenize":
        tokens = list(range(_words(json.loads(asked.body)["content"])))
        return json.dumps({"tokens": tokens}).encode()
    if path == "/v1/messages/count_tokens":
        body = json.loads(asked.body)
        if set(body) - {"model", "messages", "system", "tools", "output_config"}:
            raise ValueError(f"extra inputs are not permitted: {sorted(body)}")
        return json.dumps({"input_tokens": _words([body.get("system", ""), body["messages"]])}).encode()
    if _GOOGLE.fullmatch(path):
        body = json.loads(asked.body)
        return json.dumps({"totalTokens": _words(body["contents"])}).encode()
    return None


def _words(value: Any) -> int:
    """The words of all text in ``value``."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, list):
        return sum(map(_words, value))
    return sum(_words(v) for k, v in value.items() if k in ("content", "text", "parts"))
