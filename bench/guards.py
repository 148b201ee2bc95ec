"""``python -m bench.guards [PYTHON …]``: what the guards catch, what they take for an attack wrongly, and what they cost.

Recall is over attacks of the half of the payloads on which the model was not fitted (``bench/guards_fit.py``); beside
it, all of them.
A text counts as caught where ``core`` finds an order at a confidence of 0.8 or more. Whoever wrote the features had read
both halves.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from affidavit.ask.guard import output_signals
from affidavit.domain.guard_core import INJECTION, LEAKS, PERSONAL, find
from bench.guards_fit import held_out, rows
from bench.measure import say, timed

SURE = "0.8"
_MILLION = 1_000_000
_HOSTILE = {
    "harmless prose": "The team will meet on Tuesday to plan the next quarter. ",
    "a": "a",
    "ignore all": "ignore all ",
    "<a src=": "<a src=",
    "](<": "](<",
    "data:": "data:",
    "eyJ…": "eyJaaaaaaaa.",
    "4 ": "4 ",
    "please send my": "please send my ",
    "split words": "a\u200b",
    "<!--": "<!--",
}
_KINDS = {"secret": {"secret"}, "personal": set(PERSONAL), "leaks": set(LEAKS), "injection": set(INJECTION)}
_PRESIDIO = """
import json, sys, time
sys.path += json.loads(sys.argv[1])
from affidavit.adapters.guards.presidio import PresidioGuard
from affidavit.domain.guards import Stage
texts = json.load(sys.stdin)
guard = PresidioGuard()
guard.check(texts[0], Stage.PASSAGE, 1)
begun = time.perf_counter()
for text in texts:
    guard.check(text, Stage.PASSAGE, 1)
print((time.perf_counter() - begun) * 1e6 / (sum(map(len, texts)) / 1000))
"""


def ordered(text: str) -> bool:
    """Whether the core is sure enough that ``text`` holds an order."""
    return any(f.confidence >= SURE for f in find(text, {"orders"}))


def by_phrase(text: str) -> bool:
    """Whether the rules that always hold signal orders."""
    return "orders" in output_signals(text)


def share(texts: Iterable[str], caught: Callable[[str], bool]) -> tuple[int, int]:
    """(caught, all)."""
    found = [caught(t) for t in texts]
    return sum(found), len(found)


def recall(name: str) -> dict[str, dict[str, tuple[int, int]]]:
    """By type of attack: of the half that was held out, of all, and of all by the phrases alone."""
    types: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows(name):
        if row["label"] == 1:
            kind = row["type"] + (f" ({row['setting']})" if row.get("setting") else "")
            types[kind].append(row)
            types["all"].append(row)
            if row.get("setting"):
                types[f"all ({row['setting']})"].append(row)
    return {
        kind: {
            "held_out": share((r["text"] for r in found if held_out(r)), ordered),
            "all": share((r["text"] for r in found), ordered),
            "phrases": share((r["text"] for r in found), by_phrase),
        }
        for kind, found in sorted(types.items())
    }


def false_alarms() -> dict[str, dict[str, tuple[int, int]]]:
    """Harmless texts taken for orders: of the half that was held out, and of all."""
    out = {}
    for name in ("hardbenign", "bipia", "injecagent"):
        clean = [r for r in rows(name) if r["label"] == 0]
        held = (r["text"] for r in clean if held_out(r))
        every = [r["text"] for r in clean]
        out[name] = {
            "held_out": share(held, ordered),
            "all": share(every, ordered),
            "phrases": share(every, by_phrase),
        }
    return out


def cost(texts: Sequence[str], pythons: Sequence[str]) -> dict[str, float]:
    """Microseconds for 1,000 characters of real pages, by group of kinds; Presidio beside it by each of ``pythons``."""
    thousands = sum(map(len, texts)) / 1000
    out = {name: timed(partial(_all, texts, kinds)) * 1e3 / thousands for name, kinds in _KINDS.items()}
    out["always (output_signals)"] = timed(lambda: [output_signals(t) for t in texts]) * 1e3 / thousands
    for python in pythons:
        paths = json.dumps([p for p in sys.path if p])
        done = subprocess.run(
            [python, "-c", _PRESIDIO, paths],
            input=json.dumps(list(texts)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            out["Presidio, personal data by pattern"] = float(done.stdout)
    return {name: round(value, 1) for name, value in out.items()}


def _all(texts: Sequence[str], kinds: set[str]) -> None:
    for text in texts:
        find(text, kinds)


def hostile() -> dict[str, dict[str, float]]:
    """Milliseconds of this process for one million characters: what others do meanwhile does not count."""
    out = {}
    for name, part in _HOSTILE.items():
        text = (part * (_MILLION // len(part) + 1))[:_MILLION]
        out[name] = {group: _processor(partial(find, text, kinds)) for group, kinds in _KINDS.items()}
        out[name]["always"] = _processor(partial(output_signals, text))
    return out


def _processor(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return round((time.process_time() - begin) * 1e3, 1)


def main(pythons: Sequence[str] = ()) -> dict[str, Any]:
    """Measure and print. ``pythons``: those that have Presidio."""
    say("recall")
    results: dict[str, Any] = {"recall": {name: recall(name) for name in ("bipia", "injecagent")}}
    say("false alarms")
    results["false_alarms"] = false_alarms()
    say("cost")
    results["microseconds_per_1000_characters"] = cost([r["text"] for r in rows("hardbenign")][:60], pythons)
    results["milliseconds_per_million_characters"] = hostile()
    for name, types in results["recall"].items():
        print(f"\n{name:55} {'held out':>16} {'all':>16} {'by phrase':>16}")
        for kind, row in types.items():
            print(f"  {kind:53} " + " ".join(_percent(*row[c]) for c in ("held_out", "all", "phrases")))
    print("\nfalse alarms")
    for name, row in results["false_alarms"].items():
        print(f"  {name:53} " + " ".join(_percent(*row[c]) for c in ("held_out", "all", "phrases")))
    for title in ("microseconds_per_1000_characters", "milliseconds_per_million_characters"):
        print(f"\n{title}")
        for name, value in results[title].items():
            print(f"  {name:35} {value}")
    return results


def _percent(caught: int, of: int) -> str:
    return f"{caught:5}/{of:<5} {caught / of if of else 0:.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
