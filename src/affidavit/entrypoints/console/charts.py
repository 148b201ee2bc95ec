"""Charts: SVG made here, without a script and without a style attribute, each with its numbers as a table beside it.

Colours come from classes (``s1`` … ``s6``, ``good``, ``wait``, ``bad``), so that they follow light and dark. Text in a chart
is escaped and made visible like everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from affidavit.entrypoints.console.filters import duration, number
from affidavit.entrypoints.console.visible import visible

Form = Callable[[float], str]
Scale = Callable[[float], float]
_WIDTH, _HEIGHT = 480, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 30
_SERIES = 6
_LEAST = 1e-9


@dataclass(frozen=True)
class Series:
    """A line: one value for each label of the axis, None where there is none."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Span:
    """Something that took time: ``start`` and ``length`` in one unit, ``tone`` a class or "", ``href`` where it leads."""

    name: str
    start: float
    length: float
    tone: str = ""
    href: str = ""


def plain(value: float) -> str:
    """A number as it is."""
    return number(value, 0 if value == int(value) else 2)


def percent(value: float) -> str:
    """A share from 0 to 1."""
    return f"{value * 100:.4g} %"


def line(
    labels: Sequence[str],
    series: Sequence[Series],
    title: str,
    form: Form = plain,
    *,
    low: float | None = 0.0,
    target: float | None = None,
    links: Sequence[str] = (),
) -> Markup:
    """Lines over ``labels``. ``low`` None lets the axis begin at the least value; ``target`` is a level to be kept; ``links`` are
    where each label leads."""
    known = [v for s in series for v in s.values if v is not None]
    if not known or not labels:
        return _nothing(title)
    ends = [*known, *([] if target is None else [target])]
    bottom, top, steps = _axis(min(ends) if low is None else min(low, *ends), max(ends))
    x = _scale(0, max(len(labels) - 1, 1), _LEFT, _WIDTH - _RIGHT)
    y = _scale(bottom, top, _HEIGHT - _BOTTOM, _TOP)
    drawn = [_grid(steps, y, form)]
    if target is not None:
        drawn.append(
            Markup('<line class="target" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
                _LEFT, _WIDTH - _RIGHT, y=_n(y(target))
            )
        )
    drawn += [_path(s, i, x, y) for i, s in enumerate(series)]
    drawn.append(_below(labels, x))
    drawn += _hovered(labels, series, x, form, links)
    rows = [
        (_linked(visible(label), href), *(_or_none(s.values[i], form) for s in series))
        for i, (label, href) in enumerate(zip(labels, links or [""] * len(labels), strict=True))
    ]
    said = f"{', '.join(s.name for s in series)}; from {labels[0]} to {labels[-1]}"
    more = _legend([s.name for s in series]) if len(series) > 1 else Markup("")
    return _figure(
        title, said, drawn, _HEIGHT, ("", *(s.name for s in series)), rows, more, leads=bool(links)
    )


def _hovered(
    labels: Sequence[str], series: Sequence[Series], x: Scale, form: Form, links: Sequence[str]
) -> list[Markup]:
    """A column over each label that says its values to whoever points at it, and leads to what is behind them."""
    wide = (x(1) - x(0)) if len(labels) > 1 else _WIDTH - _LEFT - _RIGHT
    out = []
    for i, label in enumerate(labels):
        told = [f"{s.name} {form(v)}" for s in series if (v := s.values[i]) is not None]
        if not told:
            continue
        said = visible(f"{label}: {', '.join(told)}")
        left = max(x(i) - wide / 2, _LEFT)
        column = Markup(
            '<rect class="hover" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
        ).format(
            _n(left), _TOP, _n(min(x(i) + wide / 2, _WIDTH - _RIGHT) - left), _HEIGHT - _BOTTOM - _TOP, said
        )
        # by keyboard the same is reached in the table below
        lead = Markup('<a href="{}" tabindex="-1" aria-label="{}">{}</a>')
        out.append(lead.format(links[i], said, column) if links else column)
    return out


def bars(items: Sequence[tuple[str, float]], title: str, form: Form = plain, tone: str = "s1") -> Markup:
    """Bars that lie, the longest first as given, each with its value."""
    if not items:
        return _nothing(title)
    top = max((value for _, value in items), default=0) or 1
    left, step = 150, 26
    room = _WIDTH - left - 80
    drawn = []
    for i, (name, value) in enumerate(items):
        middle = i * step + step / 2 + 4
        long = max(room * value / top, 1 if value else 0)
        drawn.append(
            Markup(
                '<text class="axis end" x="{}" y="{}">{}</text>'
                '<rect class="{}" x="{}" y="{}" width="{}" height="16" rx="3"><title>{}: {}</title></rect>'
                '<text class="value" x="{}" y="{}">{}</text>'
            ).format(
                left - 8,
                _n(middle + 4),
                _cut(name, 20),
                tone,
                left,
                _n(middle - 8),
                _n(long),
                visible(name),
                form(value),
                _n(left + long + 8),
                _n(middle + 4),
                form(value),
            )
        )
    rows = [(name, form(value)) for name, value in items]
    return _figure(title, f"{len(items)} bars", drawn, len(items) * step + 8, ("", "value"), rows)


def histogram(
    buckets: Sequence[tuple[float, float, int]],
    title: str,
    form: Form = duration,
    marks: Sequence[tuple[str, float]] = (),
) -> Markup:
    """How often something was between ``low`` and ``high``; ``marks`` are named values, such as a median."""
    if not any(count for _, _, count in buckets):
        return _nothing(title)
    _, top, steps = _axis(0, max(count for _, _, count in buckets))
    y = _scale(0, top, _HEIGHT - _BOTTOM, _TOP)
    x = _scale(0, len(buckets), _LEFT, _WIDTH - _RIGHT)
    wide = max(x(1) - x(0) - 2, 1)
    drawn = [_grid(steps, y, plain)]
    for i, (low, high, count) in enumerate(buckets):
        drawn.append(
            Markup(
                '<rect class="s1" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{} to {}: {}</title></rect>'
            ).format(
                _n(x(i) + 1),
                _n(y(count)),
                _n(wide),
                _n(max(y(0) - y(count), 0)),
                form(low),
                form(high),
                number(count),
            )
        )
    for i, (name, value) in enumerate(marks):
        at = x(_place(buckets, value))
        drawn.append(
            Markup(
                '<line class="mark" x1="{x}" x2="{x}" y1="{}" y2="{}"/><text class="value {}" x="{}" y="{}">{} {}</text>'
            ).format(
                _TOP,
                _HEIGHT - _BOTTOM,
                "end" if at > _WIDTH / 2 else "start",
                _n(at - 4 if at > _WIDTH / 2 else at + 4),
                _TOP + 10 + 15 * i,
                visible(name),
                form(value),
                x=_n(at),
            )
        )
    drawn.append(_below([form(low) for low, _, _ in buckets], x))
    rows = [(f"{form(low)} to {form(high)}", number(count)) for low, high, count in buckets]
    said = "; ".join(f"{name} {form(value)}" for name, value in marks)
    return _figure(title, said, drawn, _HEIGHT, ("between", "how often"), rows)


def gauge(used: float, of: float, title: str, form: Form = plain, said: str = "") -> Markup:
    """How much of a budget is used: calm below three quarters, a warning above, red when it is over. ``said`` beside it, else the
    figures."""
    share = used / of if of else (1.0 if used else 0.0)
    tone = "bad" if share >= 1 else "wait" if share >= 0.75 else "good"
    room = _WIDTH - 2
    drawn = [
        Markup('<rect class="track" x="1" y="1" width="{}" height="14" rx="7"/>').format(room),
        Markup('<rect class="{}" x="1" y="1" width="{}" height="14" rx="7"/>').format(
            tone, _n(room * min(max(share, 0.0), 1.0))
        ),
    ]
    said = said or f"{form(used)} of {form(of)}, {percent(round(share, 4))}"
    svg = _svg(title, said, drawn, 16, "gauge")
    return Markup('<figure class="chart"><figcaption>{} <b>{}</b></figcaption>{}</figure>').format(
        visible(title), said, svg
    )


def sparkline(values: Sequence[float], title: str, form: Form = plain) -> Markup:
    """A small line among words; what it says is its last value."""
    if not values:
        return Markup('<span class="none">–</span>')
    low, high = min(values), max(values)
    x = _scale(0, max(len(values) - 1, 1), 2, 98)
    y = _scale(low, high if high > low else low + 1, 20, 4)
    points = " ".join(f"{_n(x(i))},{_n(y(v))}" for i, v in enumerate(values))
    said = f"from {form(values[0])} to {form(values[-1])}, least {form(low)}, most {form(high)}"
    return Markup(
        '<svg class="spark" viewBox="0 0 100 24" role="img" aria-label="{}: {}"><polyline class="s1" points="{}"/>'
        '<circle class="s1" cx="{}" cy="{}" r="2"/></svg>'
    ).format(visible(title), said, points, _n(x(len(values) - 1)), _n(y(values[-1])))


def timeline(spans: Sequence[Span], title: str, form: Form = duration) -> Markup:
    """What began when and took how long: one row for each span."""
    if not spans:
        return _nothing(title)
    end = max(s.start + s.length for s in spans) or 1.0
    begin = min(s.start for s in spans)
    left, step = 120, 24
    x = _scale(begin, end if end > begin else begin + 1, left, _WIDTH - 76)
    high = len(spans) * step + _BOTTOM
    drawn = [
        Markup('<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{}"/>').format(high - _BOTTOM, x=_n(x(t)))
        for t in (begin, (begin + end) / 2, end)
    ]
    drawn += [
        Markup('<text class="axis middle" x="{}" y="{}">{}</text>').format(
            _n(x(t)), high - 8, form(t - begin)
        )
        for t in (begin, (begin + end) / 2, end)
    ]
    for i, span in enumerate(spans):
        middle = i * step + step / 2
        wide = max(x(span.start + span.length) - x(span.start), 2)
        drawn.append(
            Markup(
                '<g><title>{}: {}</title><text class="axis end" x="{}" y="{}">{}</text>'
                '<rect class="{}" x="{}" y="{}" width="{}" height="12" rx="3"/><text class="value" x="{}" y="{}">{}</text></g>'
            ).format(
                visible(span.name),
                form(span.length),
                left - 10,
                _n(middle + 4),
                _linked(_cut(span.name, 16), span.href),
                span.tone or "s1",
                _n(x(span.start)),
                _n(middle - 6),
                _n(wide),
                _n(x(span.start) + wide + 6),
                _n(middle + 4),
                form(span.length),
            )
        )
    rows = [(s.name, form(s.start - begin), form(s.length)) for s in spans]
    return _figure(
        title, f"{len(spans)} steps, {form(end - begin)}", drawn, high, ("step", "after", "took"), rows
    )


# -- pieces


def _figure(
    title: str,
    said: str,
    drawn: Sequence[Markup],
    height: float,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    more: Markup | str = "",
    *,
    leads: bool = False,
) -> Markup:
    cells = Markup("").join(Markup('<th scope="col">{}</th>').format(visible(h)) for h in head)
    body = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            row[0] if isinstance(row[0], Markup) else visible(row[0]),
            Markup("").join(Markup("<td>{}</td>").format(visible(c)) for c in row[1:]),
        )
        for row in rows
    )
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption>{}{}<details class="numbers"><summary>As a table</summary>'
        "<table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></details></figure>"
    ).format(visible(title), _svg(title, said, drawn, height, leads=leads), more, visible(title), cells, body)


def _svg(
    title: str, said: str, drawn: Sequence[Markup], height: float, kind: str = "", *, leads: bool = False
) -> Markup:
    """A picture; a group of things where some of it ``leads`` elsewhere, which a picture cannot."""
    label = f"{title}: {said}" if said else title
    role = "group" if leads else "img"
    return Markup('<svg class="{}" viewBox="0 0 {} {}" role="{}" aria-label="{}">{}</svg>').format(
        f"plot {kind}".strip(), _WIDTH, _n(height), role, visible(label), Markup("").join(drawn)
    )


def _nothing(title: str) -> Markup:
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption><p class="none">Nothing to draw yet.</p></figure>'
    ).format(visible(title))


def _grid(steps: Sequence[float], y: Scale, form: Form) -> Markup:
    """Lines across, each with its value; two that would read the same are not both drawn."""
    told = {form(s): s for s in reversed(steps)}
    steps = sorted(told.values())
    return Markup("").join(
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/><text class="axis end" x="{}" y="{}">{}</text>'
        ).format(_LEFT, _WIDTH - _RIGHT, _LEFT - 8, _n(y(s) + 4), form(s), y=_n(y(s)))
        for s in steps
    )


def _below(labels: Sequence[str], x: Scale) -> Markup:
    """As many labels below the axis as fit."""
    most = max((_WIDTH - _LEFT) // (8 * max(map(len, labels)) + 16), 2)
    every = max(math.ceil(len(labels) / most), 1)
    return Markup("").join(
        Markup('<text class="axis {}" x="{}" y="{}">{}</text>').format(
            "end" if i and i == len(labels) - 1 else "middle",
            _n(x(i)),
            _HEIGHT - 8,
            visible(label),
        )
        for i, label in enumerate(labels)
        if i % every == 0
    )


def _path(series: Series, at: int, x: Scale, y: Scale) -> Markup:
    """A line that is interrupted where values are missing; a value alone between gaps is a point."""
    tone = f"s{at % _SERIES + 1}"
    parts: list[list[str]] = [[]]
    for i, value in enumerate(series.values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append(f"{_n(x(i))},{_n(y(value))}")
    lines = Markup("").join(
        Markup('<polyline class="{}" points="{}"/>').format(tone, " ".join(p)) for p in parts if len(p) > 1
    )
    dots = Markup("").join(
        Markup('<circle class="{}" cx="{}" cy="{}" r="3"/>').format(tone, *p[0].split(","))
        for p in parts
        if len(p) == 1
    )
    return lines + dots


def _legend(names: Sequence[str]) -> Markup:
    return Markup('<ul class="legend">{}</ul>').format(
        Markup("").join(
            Markup('<li class="s{}">{}</li>').format(i % _SERIES + 1, visible(n)) for i, n in enumerate(names)
        )
    )


def _linked(text: str, href: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(href, text) if href else Markup("{}").format(text)


def _scale(low: float, high: float, to_low: float, to_high: float) -> Scale:
    per = (to_high - to_low) / (high - low)
    return lambda value: to_low + (value - low) * per


def _axis(low: float, high: float) -> tuple[float, float, list[float]]:
    """Round ends and four or five round steps between them."""
    size = max(abs(low), abs(high))
    if high - low <= max(size * _LEAST, _LEAST):  # no more than the rounding of the numbers themselves
        high = low + max(abs(low), 1.0)
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    steps = [round(i * step, 12) for i in range(first, last + 1)]
    return steps[0], steps[-1], steps


def _place(buckets: Sequence[tuple[float, float, int]], value: float) -> float:
    """Where ``value`` lies, counted in buckets: they need not be of one width."""
    for i, (low, high, _) in enumerate(buckets):
        if value <= high:
            return i + (max(value - low, 0) / (high - low) if high > low else 0)
    return len(buckets)


def _or_none(value: float | None, form: Form) -> str:
    return "–" if value is None else form(value)


def _cut(text: str, most: int) -> str:
    shown = visible(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def laps(timings: Mapping[str, int], steps: Sequence[str]) -> list[Span]:
    """What a run took in microseconds, laid end to end in the order of its ``steps``: a lap is named after its steps, with _
    between them."""

    def place(lap: str) -> int:
        return next((i for i, step in enumerate(steps) if step in lap.split("_")), len(steps))

    spans, at = [], 0.0
    for lap in sorted(timings, key=place):
        spans.append(Span(lap.replace("_", ", "), at, timings[lap]))
        at += timings[lap]
    return spans
