"""Parsing: words found of a reference, and speed, beside what one would use instead.

``python -m bench.parsing [FOLDER]``: FOLDER is ``../shared/datasets/parsing`` unless given. A peer is measured if it is installed
in the environment of the peers (``bench/.venv``, or the interpreter named by ``--peer``).
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from affidavit.domain.errors import ParseError
from affidavit.ingest.parse.pool import Pool
from affidavit.ingest.parse.read import parse
from bench.measure import percentile, say

DATA = Path(__file__).resolve().parents[2] / "shared" / "datasets" / "parsing"
ANY = "application/octet-stream"
_SECONDS = 5.0
_PEER = """
import json, sys, time
from markitdown import MarkItDown
converter = MarkItDown()
out = {}
for path in json.load(sys.stdin):
    began = time.perf_counter()
    try:
        text = converter.convert(path).text_content
    except Exception as error:
        text = ""
    out[path] = [text, time.perf_counter() - began]
json.dump(out, sys.stdout)
"""


def words(text: str) -> Counter[str]:
    """Words and how often they occur, whatever their case and their form in Unicode."""
    return Counter(re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower().replace("_", " ")))


def recall(text: str, markdown: str) -> float:
    """The share of the words of a reference in Markdown that ``text`` holds, each as often; 1 for an empty reference.

    Not counted as words: comments, the targets of links, check boxes, commands of formulas, entities.
    """
    plain = re.sub(r"<!--.*?-->", "", markdown, flags=re.DOTALL)
    plain = html.unescape(re.sub(r"\]\([^)\s]*\)", "]", plain))
    plain = re.sub(r"\\[a-z]+", "", re.sub(r"\[[ x]\]", "", plain)).replace("\\", "")
    wanted = words(plain)
    total = wanted.total()
    return (wanted & words(text)).total() / total if total else 1.0


def quality(folder: Path) -> dict[str, Any]:
    """Mean recall by format, the files below 0.97, and what could not be parsed."""
    by_format: dict[str, list[float]] = defaultdict(list)
    below: dict[str, float] = {}
    failed: dict[str, str] = {}
    for row in _rows(folder):
        try:
            text = parse((folder / row["source"]).read_bytes(), ANY, row["source"]).text
        except ParseError as error:
            failed[row["source"]], text = error.message, ""
        if row["groundtruth"]:
            found = recall(text, (folder / row["groundtruth"]).read_text())
            by_format[row["format"]].append(found)
            if found < 0.97:
                below[row["source"]] = round(found, 3)
    every = [share for shares in by_format.values() for share in shares]
    return {
        "mean": round(sum(every) / len(every), 4),
        "formats": {k: [len(v), round(sum(v) / len(v), 4)] for k, v in by_format.items()},
        "below": below,
        "failed": failed,
    }


def pdf_speed(folder: Path) -> dict[str, Any]:
    """Pages a second on one core: the folder's PDF files again and again, in the limited process as in a sync."""
    files = [path.read_bytes() for path in sorted(folder.glob("pdf/*.pdf"))]
    pool = Pool()
    pages, began = 0, time.perf_counter()
    while time.perf_counter() - began < _SECONDS:
        for data in files:
            pages += int(str(pool.parse(data, "application/pdf", "x.pdf").metadata["pages"]))
    taken = time.perf_counter() - began
    pool.close()
    began = time.process_time()
    for data in files:
        parse(data, "application/pdf", "x.pdf")
    processor = time.process_time() - began
    once = sum(int(str(parse(data, "application/pdf", "x.pdf").metadata["pages"])) for data in files)
    return {"pages_a_second": round(pages / taken, 1), "pages_a_processor_second": round(once / processor, 1)}


def overhead() -> dict[str, Any]:
    """What the process of its own costs: its start, and a small file there and here, in milliseconds."""
    data = b"# A heading\n\nSome words of a paragraph.\n" * 20
    pool = Pool()
    began = time.perf_counter()
    pool.parse(data, "text/markdown", "x.md")
    start = time.perf_counter() - began
    there = [_timed(lambda: pool.parse(data, "text/markdown", "x.md")) for _ in range(200)]
    here = [_timed(lambda: parse(data, "text/markdown", "x.md")) for _ in range(200)]
    pool.close()
    return {
        "start_ms": round(start * 1e3),
        "small_file_ms": round(percentile(there, 50), 2),
        "same_in_process_ms": round(percentile(here, 50), 2),
    }


def peer(folder: Path, python: Path) -> dict[str, Any]:
    """The same recall and speed for markitdown, if ``python`` has it."""
    rows = [row for row in _rows(folder) if row["groundtruth"]]
    paths = [str(folder / row["source"]) for row in rows]
    try:
        done = subprocess.run(
            [python, "-c", _PEER], input=json.dumps(paths), capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return {"skipped": f"{python} has no markitdown"}
    out = json.loads(done.stdout)
    by_format: dict[str, list[float]] = defaultdict(list)
    for row, path in zip(rows, paths, strict=True):
        by_format[row["format"]].append(recall(out[path][0], (folder / row["groundtruth"]).read_text()))
    every = [share for shares in by_format.values() for share in shares]
    seconds = sum(out[path][1] for path in paths if path.endswith(".pdf") and "/pdf/" in path)
    return {
        "mean": round(sum(every) / len(every), 4),
        "formats": {k: [len(v), round(sum(v) / len(v), 4)] for k, v in by_format.items()},
        "pdf_seconds_for_the_folder": round(seconds, 2),
    }


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def _timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def main(folder: Path = DATA, python: Path | None = None) -> dict[str, Any]:
    """Measure everything and print it."""
    if not folder.is_dir():
        say(f"parsing: {folder} is absent")
        return {}
    say("parsing")
    interpreter = python or Path(__file__).resolve().parent / ".venv" / "bin" / "python"
    told = {
        "quality": quality(folder),
        "pdf": pdf_speed(folder),
        "process": overhead(),
        "markitdown": peer(folder, interpreter),
    }
    ours, theirs = told["quality"], told["markitdown"]
    print(f"{'format':<10} {'files':>5} {'affidavit':>10} {'markitdown':>11}")
    for name, (files, share) in ours["formats"].items():
        other = theirs.get("formats", {}).get(name, ["", "-"])[1]
        print(f"{name:<10} {files:>5} {share:>10} {other:>11}")
    print(f"{'all':<10} {'':>5} {ours['mean']:>10} {theirs.get('mean', '-'):>11}")
    print(json.dumps({key: told[key] for key in ("pdf", "process")} | {"below": ours["below"]}))
    return told


if __name__ == "__main__":
    arguments = sys.argv[1:]
    chosen = Path(arguments.pop(arguments.index("--peer") + 1)) if "--peer" in arguments else None
    rest = [a for a in arguments if a != "--peer"]
    main(Path(rest[0]) if rest else DATA, chosen)
