"""The model plane: what it adds to a call, beside LiteLLM and any-llm; failover; many streams.

``python -m bench.models``: everything over HTTP to ``bench.model_server`` in a process of its own. The peers are installed by
``python -m venv bench/.venv-models && bench/.venv-models/bin/pip install --require-hashes -r bench/requirements-models.lock``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from affidavit.domain.errors import ModelError
from affidavit.domain.routes import Target, load
from affidavit.models.deadline import Deadline
from affidavit.models.exchange import Exchange
from affidavit.models.outcome import Judged, Outcome
from affidavit.models.plane import Plane
from affidavit.ports.model import Cancel, ChatRequest, ChatResult, Delta, Message, ModelInfo, Usage
from affidavit.runs.recorder import Run
from bench.measure import memory, percentile, say, timed

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "bench" / ".venv-models" / "bin" / "python"
FAULTS = ("500", "429", "garbage", "drop", "half", "hang", "drip")
BUDGET = 2.0
ASKED = ChatRequest((Message("user", "What is a walrus?"),), 50, 30.0)


class Endpoint:
    """Implements ``ChatModel`` with a bare HTTP client: whatever is measured above it is the plane's."""

    def __init__(self, base: str, model: str) -> None:
        self._url, self._model = f"{base}/chat/completions", model
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=50)
        self._client = httpx.Client(trust_env=False, limits=limits)
        self.info = ModelInfo("bench", model, "asked", False, True, True, True)

    def _body(self, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        return {
            "model": self._model,
            "messages": messages,
            "max_tokens": 50,
            "temperature": 0,
            "stream": stream,
        }

    def complete(self, request: ChatRequest, cancel: Cancel | None = None) -> ChatResult:
        try:
            answer = self._client.post(
                self._url, json=self._body(request, stream=False), timeout=request.timeout
            )
            if answer.status_code != 200:
                kind = {429: "rate_limit"}.get(answer.status_code, "server")
                raise ModelError(kind, f"status {answer.status_code}")
            said = answer.json()
            choice, used = said["choices"][0], said["usage"]
        except httpx.TimeoutException as error:
            raise ModelError("timeout", "too slow") from error
        except httpx.HTTPError as error:
            raise ModelError("connection", "cut off") from error
        except (ValueError, KeyError) as error:
            raise ModelError("schema", "not what was asked for") from error
        usage = Usage(used["prompt_tokens"], used["completion_tokens"])
        return ChatResult(choice["message"]["content"], (), "stop", usage, said["model"])

    def stream(self, request: ChatRequest, cancel: Cancel | None = None) -> Iterator[Delta]:
        told = []
        body = self._body(request, stream=True)
        with self._client.stream("POST", self._url, json=body, timeout=request.timeout) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    told.append(json.loads(line[6:])["choices"][0]["delta"]["content"])
                    yield Delta(told[-1])
        yield Delta("", ChatResult("".join(told), (), "stop", Usage(), self._model))

    def close(self) -> None:
        self._client.close()


@contextmanager
def server() -> Iterator[int]:
    """The port of a server that runs meanwhile."""
    command = [sys.executable, "-m", "bench.model_server"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None:
            raise RuntimeError("the server has no output")
        yield int(process.stdout.readline())
        process.terminate()


class Field:
    """Planes over one server; the targets' names say how they fail."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._lock = threading.Lock()
        self._made: dict[str, Endpoint] = {}
        self.exchange = Exchange(per_tenant=1000)

    def model(self, target: Target) -> Endpoint:
        with self._lock:
            if target.model not in self._made:
                self._made[target.model] = Endpoint(self._base, target.model)
            return self._made[target.model]

    def plane(self, *models: str, version: str = "") -> Plane:
        """Over ``models`` in order. ``version`` tells planes apart that are to share no breaker."""
        fixed = {"kind": "bench", "version": version, "base_url": self._base, "local": True, "region": ""}
        limits = {"concurrency": 400, "per_tenant": 400, "queue": 400}
        exact = {
            "temperature": "0",
            "top_p": "",
            "seed": 1,
            "max_tokens": 50,
            "timeout_ms": 20_000,
            "attempts": 2,
        }
        targets = {f"t{n}": {**fixed, **limits, "model": m} for n, m in enumerate(models)}
        options = [{"target": name, **exact} for name in targets]
        return Plane(
            load({"targets": targets, "tasks": {"answer": {"options": options}}}), self.model, self.exchange
        )

    def close(self) -> None:
        for made in self._made.values():
            made.close()


def _run(tenant: int = 1) -> Run:
    return Run("run-x", tenant, "ask", "0" * 64)


def overhead(field: Field, calls: int) -> dict[str, Any]:
    """The plane's share of a call: the same model asked with and without it, in turn."""
    say("models: overhead")
    plane, target = field.plane("ok"), Target("t0", "bench", "ok", "", "", True, "")
    model = field.model(target)

    def through() -> Outcome:
        return plane.call(_run(), "answer", ASKED, sensitivity=[], deadline=Deadline.after(30), check=_fine)

    without, with_it = [], []
    for _ in range(calls + 20):
        without.append(timed(lambda: model.complete(ASKED)))
        with_it.append(timed(through))
    p50, all_p50 = percentile(without[20:], 50), percentile(with_it[20:], 50)
    p95, all_p95 = percentile(without[20:], 95), percentile(with_it[20:], 95)
    return {
        "model_p50_ms": p50,
        "plane_p50_ms": all_p50,
        "added_p50_ms": round(all_p50 - p50, 3),
        "added_p95_ms": round(all_p95 - p95, 3),
        "calls": calls,
    }


def _fine(result: ChatResult) -> Judged:
    return Judged(result.text.startswith("A walrus"))


def peers(port: int, calls: int) -> list[dict[str, Any]]:
    """LiteLLM's and any-llm's own overhead."""
    if not PEERS.exists():
        say("models: NO PEERS: bench/.venv-models is absent, see the head of bench/models.py")
        return []
    found = []
    for peer in ("litellm", "any-llm-sdk"):
        say(f"models: {peer}")
        command = [str(PEERS), "-m", "bench.peers.gateways", peer, str(port), str(calls)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            say(f"models: {peer} FAILED: {done.stderr[-2000:]}")
        else:
            found.append(json.loads(done.stdout))
    return found


def failover(field: Field, faults: int) -> dict[str, Any]:
    """Every call meets a fault at its first target; the second answers. No two share a breaker, so every fault is met."""
    say("models: failover")

    def one(n: int) -> tuple[str, Outcome, float]:
        fault = FAULTS[n % len(FAULTS)]
        plane, began = field.plane(fault, "ok", version=str(n)), time.perf_counter()
        outcome = plane.call(
            _run(n % 5), "answer", ASKED, sensitivity=[], deadline=Deadline.after(BUDGET), check=_fine
        )
        return fault, outcome, time.perf_counter() - began

    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(one, range(faults)))
    met = Counter(fault for fault, o, _ in done if any(a.option == "t0" and a.kind for a in o.attempts))
    answered = sum(o.option == "t1" and took <= BUDGET + 0.05 for _, o, took in done)
    return {
        "faults": sum(met.values()),
        "answered_within_budget": answered,
        "budget_s": BUDGET,
        "slowest_s": round(max(took for _, _, took in done), 3),
        "by_fault": dict(sorted(met.items())),
    }


def streams(field: Field, at_once: int) -> dict[str, Any]:
    """So many streams at once in this process."""
    say(f"models: {at_once} streams")
    plane, firsts = field.plane("ok"), []
    before = {t.ident for t in threading.enumerate()}
    most = 0

    def one(n: int) -> bool:
        nonlocal most
        began = time.perf_counter()
        heard: list[str] = []

        def sink(piece: Any) -> bool:
            nonlocal most
            if not heard:
                firsts.append((time.perf_counter() - began) * 1e3)
                most = max(most, threading.active_count())
            heard.append(piece.text)
            return False

        outcome = plane.stream(
            _run(n % 7), "answer", ASKED, sink, sensitivity=[], deadline=Deadline.after(30)
        )
        return outcome.result is not None and outcome.result.text == "".join(heard)

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        whole = sum(pool.map(one, range(at_once)))
    took = time.perf_counter() - began
    left = time.monotonic() + 5
    while (new := {t.ident for t in threading.enumerate()} - before) and time.monotonic() < left:
        time.sleep(0.01)
    return {
        "streams": at_once,
        "whole": whole,
        "seconds": round(took, 2),
        "first_piece_p50_ms": percentile(firsts, 50),
        "first_piece_p95_ms": percentile(firsts, 95),
        "most_threads": most,
        "threads_left_over": len(new),
        **memory(),
    }


def measure(calls: int, faults: int, at_once: int) -> dict[str, Any]:
    """Everything."""
    with server() as port:
        field = Field(f"http://127.0.0.1:{port}/v1")
        try:
            return {
                "overhead": overhead(field, calls),
                "peers": peers(port, calls),
                "failover": failover(field, faults),
                "streams": streams(field, at_once),
            }
        finally:
            field.close()


def table(results: dict[str, Any]) -> str:
    """The figures as Markdown."""
    ours = results["overhead"]
    rows = [
        "| added to a call | p50 ms | over |",
        "|---|---|---|",
        f"| affidavit's plane | {ours['added_p50_ms']} | the same client without it |",
    ]
    for peer in results["peers"]:
        name = f"{peer['peer']} {peer['version']}"
        rows += [
            f"| {name} | {peer['added_to_sdk_ms']} | the openai SDK |",
            f"| {name} | {peer['added_to_bare_ms']} | a bare client |",
        ]
    for part in ("failover", "streams"):
        rows += ["", f"| {part} | |", "|---|---|"]
        rows += [f"| {k.replace('_', ' ')} | {v} |" for k, v in results[part].items()]
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--results", type=Path, help="write the figures here as JSON")
    chosen = parser.parse_args(arguments)
    results = measure(chosen.calls, chosen.faults, chosen.streams)
    print(table(results))
    if chosen.results is not None:
        chosen.results.write_text(json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    main()
