"""Memory, import time and installed size.

``python -m bench.footprint FOLDER`` is the process whose memory is measured: it opens the synthetic workspace, searches as
every person and prints its memory as JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from affidavit.adapters.minilm.weights import installed
from affidavit.app.config import model_location
from affidavit.app.workspace import open as open_workspace
from bench.corpus import GROUPS, spelled_text
from bench.measure import memory, percentile, say, spread, timed
from bench.ours import Given, serve

_CLI = "affidavit.entrypoints.cli"
_IMPORT = f"import time; b = time.perf_counter(); import {_CLI}; print((time.perf_counter() - b) * 1e3)"
_TIMES = 9


def searching(folder: Path) -> dict[str, Any]:
    """Memory of this process after opening the workspace and searching as everybody."""
    before = memory()
    with open_workspace(folder) as ws:
        serve(ws, Given({}))
        first = timed(lambda: ws.search(spelled_text([500]), "user:half", tenant="tenant01"))
        for n in range(40):
            for name, _ in GROUPS:
                ws.search(spelled_text(range(40 + n, 48 + n)), f"user:{name}", tenant="tenant01")
        status = ws.parts.index.status()
        if status.rebuilt:
            raise RuntimeError(
                f"the index was rebuilt, not opened ({status.rebuilt}): this is not its memory"
            )
        return {
            "chunks": status.rows,
            "first_search_ms": round(first, 1),
            "index_on_disk_mb": status.bytes // 10**6,
            "imported": before,
            "searched": memory(),
        }


def import_time() -> dict[str, Any]:
    """Milliseconds to import the command line's module, and of a whole ``--help``, each in a fresh process.

    The byte code is there, as it is after any installation or first run: the first of each is not counted.
    """
    imports = [float(_output(["-c", _IMPORT])) for _ in range(_TIMES)]
    whole = [timed(lambda: _output(["-m", "affidavit", "--help"])) for _ in range(_TIMES)]
    return {"import": spread(imports[1:]), "help_process_p50_ms": percentile(whole[1:], 50)}


def _output(arguments: list[str]) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout


def size() -> dict[str, Any]:
    """Megabytes on disk of affidavit's dependencies, transitively and without byte code, and of the model's weights."""
    parts = {name: _bytes(name) for name in sorted(_closure("affidavit", frozenset()))}
    largest = sorted(parts, key=lambda n: -parts[n])[:6]
    folder = model_location()
    weights = sum(p.stat().st_size for p in folder.iterdir() if p.is_file()) if installed(folder) else 0
    source = Path(__file__).resolve().parent.parent / "src"
    ours = sum(p.stat().st_size for p in source.rglob("*") if p.is_file() and p.suffix != ".pyc")
    base = sum(parts.values()) + ours
    return {
        "packages": len(parts),
        "base_mb": round(base / 1e6, 1),
        "with_model_mb": round((base + weights) / 1e6, 1),
        "largest_mb": {n: round(parts[n] / 1e6, 1) for n in largest},
    }


def _closure(name: str, seen: frozenset[str]) -> frozenset[str]:
    """Normal names of everything that ``name`` requires on this machine; extras are left out."""
    for other in _requires(name):
        if other not in seen:
            seen = _closure(other, seen | {other})
    return seen


def _requires(name: str) -> Iterator[str]:
    for text in importlib.metadata.requires(name) or ():
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            yield re.sub(r"[-_.]+", "-", needed.name).lower()


def _bytes(name: str) -> int:
    files = importlib.metadata.files(name) or []
    paths = [Path(str(f.locate())) for f in files if not str(f).endswith(".pyc")]
    return sum(p.stat().st_size for p in paths if p.is_file())


def footprint(folder: Path) -> dict[str, Any]:
    """All of it; ``folder`` holds the synthetic workspace, which no other process is writing."""
    say("footprint")
    memory_told = json.loads(_output(["-m", "bench.footprint", str(folder)]))
    return {"memory": memory_told, **import_time(), "size": size()}


if __name__ == "__main__":
    print(json.dumps(searching(Path(sys.argv[1]))))
