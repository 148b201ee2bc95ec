"""The report as one HTML page that needs nothing else."""

from __future__ import annotations

from affidavit.app.drills.desk import Outcomes
from affidavit.app.drills.promise import Outcome, Report
from affidavit.text.markup import plain

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid #ddd}
.kept{color:#146c2e}.broken{color:#fff;background:#b3261e}.untried{color:#6b5900}
h2{margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem}
details,p.note{color:#444}
@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}td,th{border-color:#444}.kept{color:#7fd89a}
.untried{color:#e0c96a}details,p.note{color:#bbb}}
"""
_CLASS = {Outcome.KEPT: "kept", Outcome.BROKEN: "broken", Outcome.UNTRIED: "untried"}


def page(outcomes: Outcomes, made_at: str) -> str:
    """All reports; ``made_at`` is the time in words. Everything from outside is escaped, and nothing is loaded."""
    broken = [(r.drill, v) for r in outcomes.reports for v in r.verdicts if v.outcome is Outcome.BROKEN]
    kept = sum(v.outcome is Outcome.KEPT for r in outcomes.reports for v in r.verdicts)
    verdict = f"{len(broken)} promises were broken" if broken else f"every promise tried was kept ({kept})"
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>Drills: {plain(verdict)}</title><style>{_STYLE}</style>",
        f"<h1>Drills: {plain(verdict)}</h1>",
        f"<p>{plain(outcomes.folder)}, {plain(made_at)}, {outcomes.seconds:.0f} s. A copy of the workspace was broken; the "
        "workspace itself was only read.</p>",
        *map(_report, outcomes.reports),
    ]
    return "\n".join(parts) + "\n</html>\n"


def _report(report: Report) -> str:
    rows = [
        f'<tr><td class="{_CLASS[v.outcome]}">{v.outcome.value}</td><td>{plain(v.promise.text)}</td><td>{plain(v.saw)}'
        f"{'' if v.seconds is None else f' ({v.seconds:.2f} s)'}</td></tr>"
        for v in report.verdicts
    ]
    watched = "".join(f"<li>{plain(line)}</li>" for line in report.watched)
    notes = "".join(f'<p class="note">{plain(note)}</p>' for note in report.notes)
    return (
        f"<h2>{plain(report.drill)}</h2><p>What was broken: {plain(report.breaks)}. It took {report.seconds:.1f} s.</p>"
        f"<table><tr><th>Verdict</th><th>Promise</th><th>What was seen</th></tr>{''.join(rows)}</table>{notes}"
        f"<details><summary>What was done and given, in order</summary><ol>{watched}</ol></details>"
    )
