"""Ranking on five sets of judged questions, by one configuration for all: ``python -m bench.sets``.

Each set is synced into a workspace of its own, kept in ``bench/.cache``, and asked by the code of ``affidavit eval retrieval``
under the default release, and under the same without openings, second retrievals, late interaction and BM25's settings ("plain").
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import affidavit
from affidavit.app.evaluation import CHUNK, DOCUMENT, Orders
from affidavit.domain.release import DEFAULT
from affidavit.evals.judged import read_folder
from bench.calibrate import CACHE, DATA
from bench.measure import say

SETS = {
    "sghandbook_masked": (DOCUMENT, CHUNK),
    "cuad60": (CHUNK,),
    "chunkeval": (CHUNK,),
    "multihop": (DOCUMENT,),
    "cranfield": (DOCUMENT,),
}
MEASURES = ("nDCG@10", "R@10")
READER, EVERYONE = "reader", "group:all"


def plain() -> dict[str, Any]:
    """The default release as it ranks with one search a question."""
    content: dict[str, Any] = copy.deepcopy(dict(DEFAULT))
    for name in ("k1", "b", "lead", "onward", "onward_weight", "late", "late_pool"):
        del content["retrieve"][name]
    return content


def _workspace(name: str, base: Path) -> affidavit.Workspace:
    """A synced workspace of the set, every document of which the reader may read."""
    folder = CACHE / f"set-{name}"
    if (folder / "affidavit.db").is_file():
        return affidavit.open(folder)
    CACHE.mkdir(exist_ok=True)
    corpus, people = CACHE / f"set-{name}.jsonl", CACHE / "reader.jsonl"
    with corpus.open("w", encoding="utf-8") as file:
        for line in (base / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
            document = json.loads(line)
            file.write(json.dumps({k: document[k] for k in ("id", "title", "text") if k in document}) + "\n")
    people.write_text(json.dumps({"id": READER, "groups": ["all"]}) + "\n", encoding="utf-8")
    ws = affidavit.init(folder)
    ws.import_people(people)
    ws.add_source("jsonl", corpus, "set", allow=[EVERYONE])
    ws.sync()
    return ws


def measure(names: tuple[str, ...] = tuple(SETS)) -> list[dict[str, Any]]:
    """Per set, level and configuration the means with their 95 % intervals, and the paired difference to plain."""
    rows = []
    for name in names:
        judged = read_folder(DATA / name)
        with _workspace(name, DATA / name) as ws:
            for level in SETS[name]:
                orders = Orders(READER, level, MEASURES)
                found = []
                for told, content in (("plain", plain()), ("default", dict(DEFAULT))):
                    say(f"{name} by {level}, {told}")
                    ws.publish(content)
                    found.append(ws.evaluation.retrieval(judged, orders))
                before, after = found
                for measured, difference in after.against(before).items():
                    rows.append(
                        {
                            "set": name,
                            "level": level,
                            "measure": measured,
                            "questions": len(after.questions),
                            "plain": vars(before.means()[measured]),
                            "default": vars(after.means()[measured]),
                            "difference": vars(difference),
                        }
                    )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """``rows`` as Markdown."""
    lines = ["| set | level | measure | plain | default | difference |", "|---|---|---|---|---|---|"]
    for r in rows:
        cells = [
            f"{r[k]['mean']:.3f} ({r[k]['low']:.3f} to {r[k]['high']:.3f})" for k in ("plain", "default")
        ]
        d = r["difference"]
        cells.append(f"{d['mean']:+.3f} ({d['low']:+.3f} to {d['high']:+.3f})")
        lines.append(f"| {r['set']} | {r['level']} | {r['measure']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> dict[str, Any]:
    """Measure all sets and print the table."""
    if not DATA.is_dir():
        sys.exit("SKIPPED: ../shared/datasets is absent")
    rows = measure()
    sys.stdout.write(table(rows) + "\n")
    return {"sets": rows}


if __name__ == "__main__":
    main()
