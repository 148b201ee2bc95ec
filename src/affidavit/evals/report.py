"""An evaluation as one HTML page that loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from affidavit.evals.compared import Evaluation
from affidavit.evals.measure import Difference
from affidavit.text.markup import plain

_STYLE = """
:root{--ink:#1b1b1b;--paper:#fff;--line:#ddd;--bar:#3b6ea8;--better:#146c2e;--worse:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#eee;--paper:#161616;--line:#444;--bar:#7fb0e6;--better:#7fd89a;--worse:#ff8a80}}
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:var(--ink);background:var(--paper)}
table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-bottom:1px solid var(--line)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto;max-width:44rem}svg text{fill:var(--ink);font:12px system-ui,sans-serif}
.bar{fill:var(--bar)}.axis{stroke:var(--line)}.range{stroke:var(--ink);stroke-width:1.5}
.better{color:var(--better);fill:var(--better)}.worse{color:var(--worse);fill:var(--worse)}
"""
_SHOWN = 500  # questions in the table: the page stays readable, the saved file has them all
_BINS = 10


def page(
    evaluation: Evaluation, differences: Mapping[str, Difference] | None, baseline: Evaluation | None
) -> str:
    """The whole page. Everything from outside is escaped."""
    first = next(iter(evaluation.values))
    about = ", ".join(f"{plain(k)} {plain(v)}" for k, v in evaluation.about.items())
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>Retrieval, {len(evaluation.questions)} questions</title><style>{_STYLE}</style>",
        f"<h1>Retrieval, {len(evaluation.questions)} questions</h1><p>{about}</p>",
        _means(evaluation, differences),
        f"<h2>{plain(first)} over the questions</h2>",
        _histogram(list(evaluation.values[first].values())),
        "<p>How many questions have which value: a hill at 0 is questions for which nothing right was found.</p>",
    ]
    if baseline is not None and first in baseline.values:
        parts += [f"<h2>{plain(first)}, question by question, against the baseline</h2>"]
        parts += [_changes(evaluation.values[first], baseline.values[first])]
    parts += [_questions(evaluation, baseline, first)]
    return "\n".join(parts) + "\n</html>\n"


def _means(evaluation: Evaluation, differences: Mapping[str, Difference] | None) -> str:
    rows, bars = [], []
    means = evaluation.means()
    for number, (name, mean) in enumerate(means.items()):
        cells = f'<td>{plain(name)}</td><td class="n">{mean.mean:.4f}</td><td class="n">{mean.low:.3f} – {mean.high:.3f}</td>'
        if differences is not None:
            cells += _difference(differences.get(name))
        rows.append(f"<tr>{cells}</tr>")
        top = 26 * number
        bars.append(
            f'<text x="0" y="{top + 15}">{plain(name)}</text>'
            + _rect("bar", 90, top + 4, 500 * mean.mean, 14)
            + _line("range", 90 + 500 * mean.low, 90 + 500 * mean.high, top + 11)
            + f'<text x="{96 + 500 * max(mean.mean, mean.high):.1f}" y="{top + 15}">{mean.mean:.3f}</text>'
        )
    compared = "" if differences is None else '<th class="n">against the baseline</th><th class="n">p</th>'
    return (
        _svg(26 * len(means), "means with 95 % intervals", bars)
        + f'<table><tr><th>Measure</th><th class="n">Mean</th><th class="n">95 %</th>{compared}</tr>{"".join(rows)}</table>'
    )


def _difference(found: Difference | None) -> str:
    if found is None:
        return '<td class="n">not in the baseline</td><td></td>'
    style = "worse" if found.worse else "better" if found.low > 0 else ""
    return (
        f'<td class="n {style}">{found.mean:+.4f} ({found.low:+.3f} to {found.high:+.3f})</td>'
        f'<td class="n">{found.p:.3f}</td>'
    )


def _histogram(values: Sequence[float]) -> str:
    counts = [0] * _BINS
    for value in values:
        counts[min(int(value * _BINS), _BINS - 1)] += 1
    most = max(counts, default=0) or 1
    bars = [
        _rect("bar", 20 + 60 * n, 130 - 110 * count / most, 52, 110 * count / most)
        + f'<text x="{24 + 60 * n}" y="{125 - 110 * count / most:.1f}">{count}</text>'
        f'<text x="{20 + 60 * n}" y="146">{n / _BINS:.1f}–{(n + 1) / _BINS:.1f}</text>'
        for n, count in enumerate(counts)
    ]
    return _svg(150, "questions by value", [*bars, _line("axis", 15, 625, 130)])


def _changes(new: Mapping[str, float], old: Mapping[str, float]) -> str:
    """Every question's difference, worst to best, as one bar each."""
    apart = sorted(new[q] - old[q] for q in new if q in old)
    width = 600 / max(len(apart), 1)
    bars = [
        _rect(
            "better" if d > 0 else "worse", 20 + width * n, 75 - 65 * max(d, 0), max(width, 0.5), 65 * abs(d)
        )
        for n, d in enumerate(apart)
        if d
    ]
    better, worse = sum(d > 0 for d in apart), sum(d < 0 for d in apart)
    said = f"<p>{better} better, {worse} worse, {len(apart) - better - worse} alike.</p>"
    return _svg(150, "differences", [*bars, _line("axis", 15, 625, 75)]) + said


def _svg(height: int, label: str, shapes: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 650 {height}" role="img" aria-label="{label}">{"".join(shapes)}</svg>'


def _rect(style: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{style}" x="{x:.2f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}"></rect>'


def _line(style: str, x1: float, x2: float, y: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _questions(evaluation: Evaluation, baseline: Evaluation | None, first: str) -> str:
    values = evaluation.values[first]
    worst = sorted(values, key=lambda q: (values[q], q))[:_SHOWN]
    old = {} if baseline is None else baseline.values.get(first, {})
    titles = "".join(f'<th class="n">{plain(name)}</th>' for name in evaluation.values)
    rows = []
    for q in worst:
        measured = "".join(f'<td class="n">{by[q]:.3f}</td>' for by in evaluation.values.values())
        was = f'<td class="n">{old[q]:.3f}</td>' if q in old else "<td></td>" if old else ""
        found = "<br>".join(plain(name) for name in evaluation.found.get(q, ())[:3])
        rows.append(f"<tr><td>{plain(evaluation.questions[q])}</td>{measured}{was}<td>{found}</td></tr>")
    before = f'<th class="n">{plain(first)} before</th>' if old else ""
    return (
        f"<h2>The questions, worst first</h2><table><tr><th>Question</th>{titles}{before}<th>Found first</th></tr>"
        f"{''.join(rows)}</table>"
    )
