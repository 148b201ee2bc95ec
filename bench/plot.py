"""Bars beside each other as an SVG file that stands alone, readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 34, 42
_LEGEND = 22
_COLUMNS = 3
_COLOURS = ("#2563a8", "#8bb8e8", "#b4531a", "#f0b183", "#3d7a3a", "#a6d3a0")


@dataclass(frozen=True)
class Panel:
    """One chart: ``values`` by series and then by group; None where nothing was measured. ``unit`` stands behind the title."""

    title: str
    unit: str
    groups: Sequence[str]
    values: Mapping[str, Sequence[float | None]]


def bars(panels: Sequence[Panel], said: str, columns: int = 2) -> str:
    """The file's text. All panels have the same series; ``said`` is what somebody who cannot see it is told."""
    names = list(panels[0].values)
    legend = _LEGEND * math.ceil(len(names) / _COLUMNS) + 12
    wide, high = _WIDTH * columns, _HEIGHT * math.ceil(len(panels) / columns) + legend
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img" aria-label="{escape(said)}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{wide}" height="{high}" rx="8" fill="#ffffff"/>',
    ]
    for i, name in enumerate(names):
        x, y = 16 + (i % _COLUMNS) * (wide - 16) / _COLUMNS, 10 + (i // _COLUMNS) * _LEGEND
        drawn.append(
            f'<rect x="{x:.0f}" y="{y}" width="12" height="12" rx="2" fill="{_COLOURS[i]}"/>'
            f'<text x="{x + 18:.0f}" y="{y + 11}" fill="#222222">{escape(name)}</text>'
        )
    for i, panel in enumerate(panels):
        at = f"{i % columns * _WIDTH} {i // columns * _HEIGHT + legend}"
        drawn.append(f'<g transform="translate({at})">{"".join(_panel(panel))}</g>')
    return "\n".join([*drawn, "</svg>"]) + "\n"


def _panel(panel: Panel) -> list[str]:
    known = [v for row in panel.values.values() for v in row if v is not None]
    step = _step(max(known, default=1))
    steps = math.ceil(max(known, default=1) / step)
    base, room = _HEIGHT - _BOTTOM, _HEIGHT - _BOTTOM - _TOP
    drawn = [
        f'<text x="{_LEFT}" y="18" font-weight="600" fill="#222222">{escape(panel.title)}'
        f'<tspan font-weight="400" fill="#555555"> {escape(panel.unit)}</tspan></text>'
    ]
    for n in range(steps + 1):
        y = base - room * n / steps
        drawn.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555555">{step * n:g}</text>'
        )
    each = (_WIDTH - _LEFT - _RIGHT) / len(panel.groups)
    wide = each * 0.84 / len(panel.values)
    for g, group in enumerate(panel.groups):
        middle = _LEFT + each * (g + 0.5)
        drawn.append(
            f'<text x="{middle:.1f}" y="{base + 18}" text-anchor="middle" fill="#222222">{escape(group)}</text>'
        )
        for s, (name, row) in enumerate(panel.values.items()):
            value = row[g]
            if value is None:
                continue
            long = room * value / (step * steps)
            x = middle + (s - len(panel.values) / 2) * wide
            drawn.append(
                f'<rect x="{x:.1f}" y="{base - long:.1f}" width="{wide - 1:.1f}" height="{long:.1f}" fill="{_COLOURS[s]}">'
                f"<title>{escape(name)}, {escape(group)}: {value:g} {escape(panel.unit)}</title></rect>"
            )
    return drawn


def _step(highest: float) -> float:
    """A round distance that fits in about four times."""
    raw = max(highest, 1e-9) / 4
    power: float = 10 ** math.floor(math.log10(raw))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
