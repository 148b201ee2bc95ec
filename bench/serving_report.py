"""The figures of ``bench.serving`` as tables and as a plot, in the docs too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.plot import Panel, bars
from bench.tables import table

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "measurements.md"
PLOT = ROOT / "docs" / "images" / "serving.svg"
BEGIN, END = "<!-- made by python -m bench.serving --write -->\n", "<!-- up to here -->\n"
_PLOTTED = ("affidavit", "llama-index + audit file", "haystack + audit file")


def markdown(found: dict[str, Any]) -> str:
    """All tables, and what they were measured on."""
    about = found["machine"]
    head = (
        f"{found['documents']:,} documents, {found['chunks']:,} chunks, 32 people who may each read a quarter of them; "
        f"{found['seconds']:g} s a figure; {about['cpu']}, {about['processors']} processors that server and clients share, load "
        f"{about['load_at_start']} before it began; one append with fsync takes {found['fsync_ms']} ms.\n"
    )
    return "\n".join([head, _speed(found, "search"), _speed(found, "ask"), _told(found)])


def _name(line: dict[str, Any]) -> str:
    return f"{line['name']}, {line['processes']} process{'es' * (line['processes'] > 1)}"


def _speed(found: dict[str, Any], what: str) -> str:
    timed = [line for line in found["servers"] if what in line]
    clients = list(timed[0][what])
    base = timed[0][what]

    def cell(line: dict[str, Any], n: str) -> str:
        one = line[what][n]
        times = "" if line is timed[0] else f" (× {one['a_second'] / base[n]['a_second']:.2f})"
        return f"{one['a_second']:g}{times}; {one['p50_ms']:.0f} / {one['p95_ms']:.0f} / {one['p99_ms']:.0f}"

    rows = [
        (_name(line), *(cell(line, n) for n in clients), f"{line[what][clients[-1]]['cpu_ms']:g}")
        for line in timed
    ]
    heads = ("", *(f"{n} client{'s' * (n != '1')}" for n in clients), "CPU ms")
    note = f"**{what}**: requests a second (times the first line); p50 / p95 / p99 in ms; the server's processor time a request\n"
    return f"{note}\n{table(heads, rows)}"


def _told(found: dict[str, Any]) -> str:
    rows = [
        (
            _name(line),
            line["told"]["answers"],
            f"{line['told']['recall']:.3f}",
            line["told"]["forbidden"],
            f"{line['told']['given_after']} of {line['told']['taken_meanwhile']}",
        )
        for line in found["servers"]
    ]
    heads = (
        "",
        "answers",
        "recall@10",
        "told what they may not read",
        "told after it was taken, having asked before",
    )
    note = "**What eight people are told while one after the other is taken out of a group and put back**\n"
    return f"{note}\n{table(heads, rows)}"


def plot(found: dict[str, Any]) -> str:
    """The peers with an audit file beside affidavit: what does the same work."""
    timed = [line for line in found["servers"] if "search" in line and line["name"] in _PLOTTED]
    clients = list(timed[0]["search"])
    groups = [f"{n} client{'s' * (n != '1')}" for n in clients]
    panels = [
        Panel(
            f"{what}:",
            unit,
            groups,
            {_name(line): [line[what][n][key] for n in clients] for line in timed},
        )
        for what in ("search", "ask")
        for key, unit in (("a_second", "requests a second"), ("p95_ms", "p95, ms"))
    ]
    return bars(
        panels, "Requests a second and p95 of search and ask; the same figures stand in the table below"
    )


def write(found: dict[str, Any], page: Path = PAGE, image: Path = PLOT) -> None:
    """Renew the tables between the two marks of ``page``, and ``image``."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    page.write_text(f"{before}{BEGIN}\n{markdown(found)}\n{END}{after}", encoding="utf-8")
    image.write_text(plot(found), encoding="utf-8")
