"""The measurements as tables and as files: ``bench/results/results.json`` and ``results.md``. Nothing of this machine's paths."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

from bench import report_models, report_server
from bench.tables import pairs, table

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, Any]:
    """What it was measured on."""
    cpu = next(
        (s.split(":", 1)[1].strip() for s in _lines("/proc/cpuinfo") if s.startswith("model name")), "unknown"
    )
    load = round(os.getloadavg()[0], 1)
    return {
        "cpu": cpu,
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "load_at_start": load,
    }


SECTIONS = (
    *("search", "governed", "replay", "revocation", "ingest", "footprint", "quality", "log"),
    *report_models.SECTIONS,
    *report_server.SECTIONS,
)
"""What results are filed under, one a suite."""


def code() -> str:
    """A digest of affidavit's source: a run whose code changed meanwhile is not one run."""
    whole = hashlib.sha256()
    for file in sorted((RESULTS.parent.parent / "src").rglob("*.py")):
        whole.update(file.read_bytes())
    return whole.hexdigest()[:16]


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.is_file() else []


def others(folder: Path, suites: set[str]) -> dict[str, Any]:
    """What ``folder`` holds of suites that are not measured now, and by which code: a page of every suite, honestly dated."""
    file = folder / "results.json"
    if not file.is_file():
        return {}
    before: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    known = [name for name in SECTIONS if name in before and name not in suites]
    dated = {**dict.fromkeys(known, before["code"]), **before.get("older", {})}
    return {
        **{name: before[name] for name in known},
        "older": {name: code for name, code in dated.items() if name in known},
        "seconds": {name: took for name, took in before.get("seconds", {}).items() if name in known},
    }


def last_took(folder: Path = RESULTS) -> str:
    """How long each suite took when it was last measured, for whoever is about to run one."""
    file = folder / "results.json"
    took = json.loads(file.read_text(encoding="utf-8")).get("seconds", {}) if file.is_file() else {}
    each = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in took.items())
    return f"When last measured they took: {each}." if each else ""


def _took(results: dict[str, Any]) -> str:
    """What the suites took. Two of them share a workspace, which is counted by itself."""
    rows = [(name, f"{seconds:.0f}") for name, seconds in results.get("seconds", {}).items()]
    return "## How long the suites took\n\n" + table(("suite", "seconds"), rows) if rows else ""


def write(results: dict[str, Any], folder: Path = RESULTS) -> str:
    """Write both files; the Markdown is given back."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = markdown(results)
    (folder / "results.md").write_text(text, encoding="utf-8")
    return text


def markdown(results: dict[str, Any]) -> str:
    """All tables."""
    about = results["machine"]
    head = (
        f"# Measurements\n\n{about['cpu']}, {about['processors']} processors, Python {about['python']}; load "
        f"{about['load_at_start']} when it began. `make bench` makes this page; `results.json` holds every figure.\n"
    )
    for name, measured in results.get("older", {}).items():
        head += f"\n`{name}` was not measured anew: its figures are of the code {measured}, the others of {results['code']}.\n"
    if results["code"] != results["code_at_end"]:
        head += "\n**The code changed while this ran: the figures belong to no one version.**\n"
    parts = [head, _targets(results), _search(results), _governed(results), _revocation(results)]
    parts += [_ingest(results), _footprint(results), _quality(results)]
    parts.append(pairs("## The log", results.get("log", {})))
    parts += [*report_models.sections(results), *report_server.sections(results), _took(results)]
    return "\n".join(p for p in parts if p)


# -- one section a suite


def _targets(results: dict[str, Any]) -> str:
    rows = [(what, wanted, got, "yes" if met else "**no**") for what, wanted, got, met in targets(results)]
    return "## Targets\n\n" + table(("what", "wanted", "measured", "met"), rows) if rows else ""


def targets(results: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """(what, wanted, measured, met) of everything that has a target and was measured."""
    out: list[tuple[str, str, str, bool]] = []
    mine = [line for line in results.get("search", {}).get("lines", []) if line["engine"] == "affidavit"]
    if mine:
        recall, hidden = min(m["recall"] for m in mine), sum(m["forbidden"] for m in mine)
        out.append(("search: lowest recall@10", "1.000", f"{recall:.3f}", recall == 1))
        out.append(("search: forbidden hits", "0", str(hidden), hidden == 0))
    for m in mine:
        if "target_ms" in m:
            what = f"dense search p50, {m['corpus']}, {m['scope']}"
            wanted = f"≤ {m['target_ms']:.2f} ms (1 + 2.5 × {m['read_once_ms']:.2f})"
            out.append((what, wanted, f"{m['p50_ms']:.2f} ms", m["p50_ms"] <= m["target_ms"]))
    for g in results.get("governed", []):
        what = f"governance over own retrieval p50, {g['corpus']}, {g['scope']}"
        cost = g["governance_p50_ms"]
        got = f"{cost:.2f} ms, of that fsync {g['fsync_p50_ms']:.2f}"
        out.append((what, "< 5 ms", got, cost < 5))
        own = g["steps_p50_ms"]["record"] - g["fsync_p50_ms"]
        what = f"the record of a question p50 besides fsync, {g['corpus']}, {g['scope']}"
        out.append((what, "< 2 ms", f"{own:.2f} ms", own < 2))
    for r in results.get("revocation", []):
        got = f"{r['apply_p50_ms']:.1f} ms (worst {r['apply_worst_ms']:.1f}), then {r['hits_after']} hits"
        met = r["apply_p50_ms"] < 50 and r["hits_after"] == 0 < r["hits_before"]
        out.append((f"revocation: {r['what']}", "< 50 ms, then 0 hits", got, met))
    out += [*_more_targets(results), *_log_targets(results.get("log"))]
    return [*out, *report_models.targets(results), *report_server.targets(results)]


def _log_targets(found: dict[str, Any] | None) -> list[tuple[str, str, str, bool]]:
    if not found:
        return []
    append, verified, killed = found["append"], found["verify"], found["kills"]
    proof, check = found["prove"]["inclusion"]["p50_ms"], found["bundle"]["check_as_a_process"]["p50_ms"]
    rate, events = append["events_per_second"], f"{append['events']:,} events"
    return [
        ("log: events/s appended in batches, durable", "≥ 10,000", f"{rate:,}", rate >= 10_000),
        (f"log: inclusion proof p50 at {events}", "< 1 ms", f"{proof:.2f} ms", proof < 1),
        (
            f"log: verify {verified['events']:,} events",
            "< 60 s",
            f"{verified['full_s']} s",
            verified["full_s"] < 60,
        ),
        (
            f"log: verify the last {verified['incremental_events']:,} events",
            "< 1 s",
            f"{verified['incremental_s']} s",
            verified["incremental_s"] < 1,
        ),
        ("log: check a bundle offline, Python's start included", "< 100 ms", f"{check:.0f} ms", check < 100),
        (
            f"log: acknowledged and lost in {killed['kills']} kill -9",
            f"0 of {killed['acknowledged']}",
            str(killed["lost"]),
            killed["lost"] == 0 < killed["acknowledged"],
        ),
        (
            "log: whole and verified after each kill",
            str(killed["kills"]),
            str(killed["verified"]),
            killed["verified"] == killed["kills"],
        ),
    ]


def _more_targets(results: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    out: list[tuple[str, str, str, bool]] = []
    ingest = results.get("ingest", {})
    if "overhead" in ingest:
        share = ingest["overhead"]["other_to_embedding"]
        out.append(("ingest: all but embedding, of embedding", "≤ 20 %", f"{share:.1%}", share <= 0.2))
    if "unchanged" in ingest:
        seconds, made = ingest["unchanged"]["no_change_sync_s"], ingest["unchanged"]["embedded_by_rename"]
        out.append(("ingest: sync of 10,000 unchanged files", "< 2 s", f"{seconds:.2f} s", seconds < 2))
        out.append(("ingest: embedded by a rename", "0", str(made), made == 0))
    if "footprint" in results:
        f = results["footprint"]
        peak, import_ms, size = (
            f["memory"]["searched"]["peak_mb"],
            f["import"]["p50_ms"],
            f["size"]["base_mb"],
        )
        what = f"memory for {f['memory']['chunks']:,} chunks (peak, mapped files included)"
        out.append((what, "< 1,000 MB", f"{peak} MB", peak < 1000))
        out.append(("import of the command line", "< 300 ms", f"{import_ms:.0f} ms", import_ms < 300))
        out.append(("installed size of the base", "< 350 MB", f"{size} MB", size < 350))
    if "replay" in results:
        r = results["replay"]
        got = f"{r['times_faster']} times"
        out.append(
            (f"replay of {r['runs']} runs, faster than they ran", "≥ 5 times", got, r["times_faster"] >= 5)
        )
        out.append(("replay: runs that differ", "0", str(r["different"]), r["different"] == 0))
    if "quality" in results:
        score, cases = results["quality"]["ranking"]["affidavit"]["nDCG@10"], results["quality"]["access"]
        out.append(("nDCG@10 on the handbook, documents", "≥ 0.77", f"{score:.3f}", score >= 0.77))
        refused = cases["denied"].get("refused", 0)
        what = "denied people refused in the access cases (else the refusal check has nothing to check)"
        out.append((what, "> 0", str(refused), refused > 0))
        out.append((f"leaks in {cases['cases']} access cases", "0", str(cases["leaks"]), cases["leaks"] == 0))
    return out


_SEARCH = ("engine", "visible", "recall@10", "forbidden hits", "p50 ms", "p95 ms", "questions", "× ours")


def _search(results: dict[str, Any]) -> str:
    found = results.get("search")
    if not found:
        return ""
    out = ["## Filtered search\n"]
    peers = ", ".join(dict.fromkeys(f"{p['peer']} {p.get('version', 'FAILED')}" for p in found["peers"]))
    out.append(
        f"Peers: {peers or 'none installed'}. Fewer questions where an engine needs long. Keyword recall is "
        "against BM25 with the statistics of the visible chunks; in brackets against BM25 with everybody's, which is what the "
        "peers compute and which lets hidden text move visible scores.\n"
    )
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for line in found["lines"]:
        groups.setdefault((line["corpus"], line["kind"], line["scope"]), []).append(line)
    for (corpus, kind, scope), lines in groups.items():
        out.append(f"**{corpus}, {kind}, {scope}**\n\n{table(_SEARCH, map(_search_row, lines))}")
    return "\n".join(out)


def _search_row(line: dict[str, Any]) -> tuple[object, ...]:
    recall = f"{line['recall']:.3f}"
    if "recall_everybodys_statistics" in line:
        recall += f" ({line['recall_everybodys_statistics']:.3f})"
    shown = (
        line["forbidden"],
        f"{line['p50_ms']:.2f}",
        f"{line['p95_ms']:.2f}",
        line["n"],
        line.get("times_ours"),
    )
    return (line["engine"], line["visible"], recall, *shown)


_GOVERNED = (
    "corpus",
    "person sees",
    "whole question",
    "own retrieval",
    "governance",
    "of that fsync",
    "governance of `search`",
    "steps",
    "peers' plain dense retrieval",
)


def _governed(results: dict[str, Any]) -> str:
    if not results.get("governed"):
        return ""
    plain = _peers_plain(results)
    rows = [
        (
            g["corpus"],
            g["scope"],
            f"{g['p50_ms']:.1f}",
            f"{g['plain_retrieval_p50_ms']:.2f}",
            f"{g['governance_p50_ms']:.2f}",
            f"{g['fsync_p50_ms']:.2f}",
            f"{g['search_governance_p50_ms']:.2f}",
            "; ".join(f"{step} {ms:.2f}" for step, ms in g["steps_p50_ms"].items()),
            plain.get((g["corpus"], g["scope"]), ""),
        )
        for g in results["governed"]
    ]
    note = (
        "p50 in milliseconds. Governance is the whole question less retrieval alone and less answering (`suffice` and "
        "`generate_verify`, the extractive answerer).\n"
    )
    return f"## A governed question, end to end and durable\n\n{note}\n{table(_GOVERNED, rows)}"


def _peers_plain(results: dict[str, Any]) -> dict[tuple[str, str], str]:
    out: dict[tuple[str, str], list[str]] = {}
    for line in results.get("search", {}).get("lines", []):
        if line["kind"] == "dense" and line["engine"] != "affidavit":
            place = out.setdefault((line["corpus"], line["scope"]), [])
            place.append(f"{line['engine']} {line['p50_ms']:.1f}")
    return {key: "; ".join(parts) for key, parts in out.items()}


_REVOCATION = (
    "what",
    "chunks",
    "documents",
    "apply_p50_ms",
    "apply_worst_ms",
    "next_question_p50_ms",
    "hits_before",
    "hits_after",
    "n",
)


def _revocation(results: dict[str, Any]) -> str:
    if not results.get("revocation"):
        return ""
    return "## Revocation\n\n" + table(
        _REVOCATION, [[r.get(c) for c in _REVOCATION] for r in results["revocation"]]
    )


def _ingest(results: dict[str, Any]) -> str:
    return pairs("## Ingest", results.get("ingest", {}))


def _footprint(results: dict[str, Any]) -> str:
    return pairs("## Footprint", results.get("footprint", {}))


def _quality(results: dict[str, Any]) -> str:
    return pairs("## Quality on the handbook", results.get("quality", {}))
