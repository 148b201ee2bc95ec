"""Parties outside: what a sending, a witness's answer and a comparison cost on a log of ``EVENTS`` events.

``python -m bench.outside [EVENTS]`` prints a table; nothing but this machine's disk and loopback is used.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any

import affidavit
from affidavit.app.compare import Comparer
from affidavit.app.config import EmbedderSpec
from affidavit.app.sinks import settings_of
from affidavit.app.witness import Witness, create
from affidavit.domain.clock import SystemClock, SystemRandomness
from affidavit.domain.events import Event, EventKind
from affidavit.entrypoints.witness_server import WitnessServer
from affidavit.events.prove import Tree
from bench.measure import fsync_once, say, spread, timed

EVENTS = 200_000
_BATCH, _TIMES = 2_000, 100
_EVENT = Event(EventKind.RUN_STARTED, run="run-x", facts={"journey": "bench", "release": "r"}, body={"n": 1})


def main(events: int = EVENTS) -> dict[str, Any]:
    """All of it, as a table and as a dictionary."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"outside: a log of {events} events")
        with affidavit.init(folder / "ws", EmbedderSpec("none")) as ws:
            for _ in range(0, events, _BATCH):
                ws.parts.log.write(lambda tx: [tx.append(_EVENT) for _ in range(_BATCH)])
            found = {"events": events, "fsync_ms": fsync_once(folder), **_measured(ws, folder)}
    for key, value in found.items():
        print(f"{key:28} {value}")
    return found


def _measured(ws: affidavit.Workspace, folder: Path) -> dict[str, Any]:
    create(folder / "witness", "bench", SystemRandomness())
    witness = Witness(folder / "witness", SystemClock())
    witness.add_log(ws.parts.signer.verifier())
    server = WitnessServer(("127.0.0.1", 0), witness, lambda line: None)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        ws.outside.add("w", "witness", settings_of("witness", url, key=witness.cosigner.vkey()))
        ws.outside.add("f", "file", settings_of("file", str(folder / "kept")))
        sent = []
        for _ in range(_TIMES):
            ws.parts.log.write(lambda tx: tx.append(_EVENT))
            sent.append(timed(ws.outside.send))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    size = ws.parts.log.head() + 1
    olds = [random.Random(n).randrange(1, size) for n in range(_TIMES)]
    with ws.parts.database.read():
        proofs = [timed(partial(Tree(ws.parts.database).consistency, old, size)) for old in olds]
    comparer = Comparer(ws.parts)
    compared = timed(lambda: comparer.compare(comparer.everything(ws.outside)))
    return {
        "consistency_proof": spread(proofs),
        "send_to_witness_and_file": spread(sent),
        "compare_s": round(compared / 1e3, 2),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS)
