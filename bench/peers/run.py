"""``python -m bench.peers.run PEER FOLDER [QUESTIONS]``: one peer over one corpus, as JSON on stdout."""

from __future__ import annotations

import importlib.metadata
import json
import resource
import sqlite3
import sys
import time
from pathlib import Path

from bench.peers.frameworks import haystack, langchain, llamaindex
from bench.peers.handed import Handed
from bench.peers.keyword import bm25s, fts5
from bench.peers.lance import lancedb

PEERS = {
    "langchain-core": langchain,
    "llama-index-core": llamaindex,
    "haystack-ai": haystack,
    "lancedb": lancedb,
    "bm25s": bm25s,
    "fts5": fts5,
}


def main() -> None:
    peer, folder, most = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    handed = Handed(folder, most)
    begin = time.perf_counter()
    results = PEERS[peer](handed)
    version = sqlite3.sqlite_version if peer == "fts5" else importlib.metadata.version(peer)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    seconds = round(time.perf_counter() - begin, 1)
    json.dump(
        {"peer": peer, "version": version, "peak_mb": peak, "seconds": seconds, "results": results},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
