"""The server's part of the results: requests a second, what a page costs, and load under which it is treated badly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import serving_report
from bench.tables import pairs, table

SECTIONS = ("serving", "console", "soak")
Target = tuple[str, str, str, bool]
PAGE_MS = 100
"""What a page may take, by the server's own time, on 100,000 runs."""


def sections(results: Mapping[str, Any]) -> list[str]:
    """A section of each suite that was measured."""
    found = []
    if "serving" in results:
        found.append(f"## Served over HTTP\n\n{serving_report.markdown(results['serving'])}")
    if "console" in results:
        found.append(console(results["console"]))
    if "soak" in results:
        found.append(pairs("## A server that is treated badly", results["soak"]))
    return found


def console(found: Mapping[str, Any]) -> str:
    """What each page costs, for an administrator and for somebody with three runs."""
    out = [
        f"## Pages of the console\n\n{found['runs']:,} runs; counting them for the charts, once, takes {found['counting_s']} s. "
        f"A page may take {PAGE_MS} ms.\n"
    ]
    for who in ("admin", "rare"):
        rows = [
            (
                line["page"],
                f"{line['p50_ms']:.1f}",
                f"{line['p95_ms']:.1f}",
                line["cpu_ms"],
                f"{line['bytes'] / 1000:.0f}",
            )
            for line in found[who]
        ]
        out.append(f"**{who}**\n\n{table(('page', 'p50 ms', 'p95 ms', 'CPU ms', 'kB'), rows)}")
    return "\n".join(out)


def targets(results: Mapping[str, Any]) -> list[Target]:
    """(what, wanted, measured, met) of what was measured."""
    out: list[Target] = []
    for line in results.get("serving", {}).get("servers", []):
        if line["ours"]:
            told, named = line["told"], f"served, {line['processes']} process(es)"
            out.append(
                (
                    f"{named}: recall@10 of what may be read",
                    "1.000",
                    f"{told['recall']:.3f}",
                    told["recall"] == 1,
                )
            )
            out.append(
                (f"{named}: told what they may not read", "0", str(told["forbidden"]), told["forbidden"] == 0)
            )
    if "console" in results:
        found = results["console"]
        slowest = max((*found["admin"], *found["rare"]), key=lambda line: line["p50_ms"])
        got = f"{slowest['p50_ms']:.1f} ms ({slowest['page']})"
        what = f"console: slowest page's p50 on {found['runs']:,} runs"
        out.append((what, f"< {PAGE_MS} ms", got, slowest["p50_ms"] < PAGE_MS))
    if "soak" in results:
        found = results["soak"]
        what = f"soak of {found['seconds']:g} s: wrong answers, 5xx without a reason, lost runs"
        out.append((what, "0", str(found["faults_in_all"]), found["faults_in_all"] == 0))
    return out
