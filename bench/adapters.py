"""What an adapter adds to a call: the same request to llama.cpp's own server on a tiny model, bare and through the adapter.

Run it with ``python -m bench.adapters``.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from affidavit.app.modelspec import ModelSpec, make_model
from affidavit.ports.model import ChatModel, ChatRequest, Message
from affidavit.testing.scripted_model import Reply
from affidavit.testing.tiny_model import MODEL, TinyServer
from affidavit.testing.wire_openai import ScriptedModel
from bench.measure import percentile, say, timed

_TIMES = 300
_STREAMS = 200
_REQUEST = ChatRequest((Message("user", "Say something."),), 8, 30.0, seed=1)


def overhead() -> dict[str, Any]:
    """Milliseconds of a call, bare over one kept connection and through the adapter, in turn."""
    with tempfile.TemporaryDirectory() as folder, TinyServer(Path(folder)) as server:
        model = make_model(ModelSpec("openai", MODEL, server.url))
        place = urlsplit(server.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port)
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Say something."}],
            "max_tokens": 8,
            "seed": 1,
        }

        def bare() -> None:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            json.loads(connection.getresponse().read())

        ways: dict[str, Callable[[], Any]] = {"bare": bare, "adapter": lambda: model.complete(_REQUEST)}
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(_TIMES):
            for name, call in ways.items():
                spent = timed(call)
                if number >= 10:
                    taken[name].append(spent)
        model.close()
        connection.close()
    found = {f"{name}_p50_ms": percentile(each, 50) for name, each in taken.items()}
    return found | {"added_p50_ms": round(found["adapter_p50_ms"] - found["bare_p50_ms"], 2)}


def streams() -> dict[str, Any]:
    """Two hundred streams at once from one process, each held open for a second; all must end whole."""
    ended: list[str] = []
    with ScriptedModel() as server:
        server.answer_with = lambda prompt: Reply("word " * 20, before=1.0)
        model = make_model(ModelSpec("openai", "m", server.url))
        model.complete(_REQUEST)
        begun = time.perf_counter()
        threads = [threading.Thread(target=_drain, args=(model, ended)) for _ in range(_STREAMS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begun
        model.close()
        return {
            "streams": _STREAMS,
            "ended_whole": len(ended),
            "seconds": round(seconds, 1),
        }


def _drain(model: ChatModel, ended: list[str]) -> None:
    *_, last = model.stream(ChatRequest(_REQUEST.messages, 100, 60.0))
    if last.result is not None and last.result.text == "word " * 20:
        ended.append(last.result.text)


def main() -> dict[str, Any]:
    """Measure both and print them."""
    say("models")
    found = {"overhead": overhead(), "streams": streams()}
    for name, values in found.items():
        print(name, *(f"{key}={value}" for key, value in values.items()))
    return found


if __name__ == "__main__":
    main()
