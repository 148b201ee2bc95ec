"""What LiteLLM and any-llm add to a call, run by ``bench/.venv-models``'s own Python with every address but loopback refused.

``python -m bench.peers.gateways PEER PORT CALLS`` prints one JSON object. Each round asks three times: a bare ``httpx``
client, the openai SDK that both are built on, and the peer; so that whatever else the machine does falls on all alike.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

MESSAGES = [{"role": "user", "content": "What is a walrus?"}]
_REFUSED: list[str] = []


def deny_network() -> None:
    """From now on only loopback can be reached; who tries anything else is counted."""
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connecting(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            _REFUSED.append(str(address[0]))
            raise OSError("the network is denied")
        connect(self, address)

    def resolving(host: Any, *more: Any, **named: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", "::1", None):
            _REFUSED.append(str(host))
            raise socket.gaierror("the network is denied")
        return resolve(host, *more, **named)

    socket.socket.connect = connecting  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = resolving


def litellm(base: str) -> Callable[[], Any]:
    import litellm as peer  # type: ignore[import-not-found, unused-ignore]

    def ask() -> Any:
        return peer.completion(
            model="openai/ok", messages=MESSAGES, api_base=base, api_key="x", max_tokens=50, temperature=0
        )

    return ask


def any_llm(base: str) -> Callable[[], Any]:
    from any_llm import AnyLLM  # type: ignore[import-not-found, unused-ignore]

    peer = AnyLLM.create("openai", api_key="x", api_base=base)
    return lambda: peer.completion(model="ok", messages=MESSAGES, max_tokens=50, temperature=0)


def bare(base: str) -> Callable[[], Any]:
    import httpx

    client = httpx.Client(trust_env=False)
    body = {"model": "ok", "messages": MESSAGES, "max_tokens": 50, "temperature": 0}

    def ask() -> Any:
        return client.post(f"{base}/chat/completions", json=body).json()["choices"][0]["message"]["content"]

    return ask


def sdk(base: str) -> Callable[[], Any]:
    import openai  # type: ignore[import-not-found, unused-ignore]

    client: Any = openai.OpenAI(api_key="x", base_url=base, max_retries=0)
    return lambda: client.chat.completions.create(
        model="ok",
        messages=MESSAGES,
        max_tokens=50,
        temperature=0,
    )


def main() -> None:
    peer, port, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
    os.environ["NO_PROXY"] = "127.0.0.1"
    deny_network()
    base = f"http://127.0.0.1:{port}/v1"
    began = time.perf_counter()
    asked = {"litellm": litellm, "any-llm-sdk": any_llm}[peer](base)
    importing = time.perf_counter() - began
    ways = {"bare": bare(base), "sdk": sdk(base), "peer": asked}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(calls + 20):
        for name, ask in ways.items():
            begin = time.perf_counter()
            ask()
            taken[name].append((time.perf_counter() - begin) * 1e3)
    p50 = {name: statistics.median(ms[20:]) for name, ms in taken.items()}
    json.dump(
        {
            "peer": peer,
            "version": importlib.metadata.version(peer),
            "import_s": round(importing, 1),
            "packages": sum(1 for _ in importlib.metadata.distributions()),
            "p50_ms": {name: round(value, 3) for name, value in p50.items()},
            "added_to_sdk_ms": round(p50["peer"] - p50["sdk"], 3),
            "added_to_bare_ms": round(p50["peer"] - p50["bare"], 3),
            "refused": sorted(set(_REFUSED)),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
