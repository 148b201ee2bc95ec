"""What the peers are handed, the questions' loop, and the shape of what they give back."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

K = 10
K1, B = 1.2, 0.75
WARM_UPS = 2
FEWEST = 1
SECONDS_A_CELL = 10.0  # an engine that needs longer is asked fewer questions, and the table says how many


@dataclass(frozen=True)
class Scope:
    """A person's tenant and rules."""

    tenant: int
    rules: list[int]


class Handed:
    """The corpus and the questions, read from a folder."""

    def __init__(self, folder: Path, most: int) -> None:
        self.vectors: NDArray[np.float32] = np.load(folder / "vectors.npy")
        self.tenant: list[int] = np.load(folder / "tenant.npy").tolist()
        self.rule: list[int] = np.load(folder / "rule.npy").tolist()
        with (folder / "texts.jsonl").open() as file:
            self.texts: list[str] = [json.loads(line) for line in file]
        questions = json.loads((folder / "questions.json").read_text())
        self.scopes = [Scope(s["tenant"], s["rules"]) for s in questions["scopes"]]
        self.asked: NDArray[np.float32] = np.load(folder / "asked.npy")[:most]
        self.asked_texts: list[str] = questions["texts"][:most]
        self.folder = folder

    @property
    def rows(self) -> int:
        return len(self.texts)


Ask = Callable[[int, Scope], Sequence[int]]
"""Question number and scope to the ids of the hits, best first."""


def measure(engine: str, kind: str, handed: Handed, ask: Ask) -> list[dict[str, Any]]:
    """One entry a scope: milliseconds and hits of as many questions as fit into the time."""
    out = []
    for at, scope in enumerate(handed.scopes):
        begin = time.perf_counter()
        for n in range(WARM_UPS):
            ask(n, scope)
            if time.perf_counter() - begin > SECONDS_A_CELL / 3:
                break
        ms: list[float] = []
        hits: list[list[int]] = []
        begin = time.perf_counter()
        for n in range(len(handed.asked)):
            started = time.perf_counter()
            found = ask(n, scope)
            ms.append(round((time.perf_counter() - started) * 1e3, 3))
            hits.append([int(h) for h in found][:K])
            if len(ms) >= FEWEST and time.perf_counter() - begin > SECONDS_A_CELL:
                break
        print(
            f"  {engine} {kind} scope {at}: {np.median(ms):.1f} ms, n={len(ms)}", file=sys.stderr, flush=True
        )
        out.append({"engine": engine, "kind": kind, "scope": at, "ms": ms, "hits": hits})
    return out
