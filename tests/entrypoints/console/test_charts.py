"""Charts: well-formed, said in words too, and nothing in them that a page may not hold."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from affidavit.entrypoints.console.charts import (
    Series,
    Span,
    bars,
    gauge,
    histogram,
    laps,
    line,
    sparkline,
    timeline,
)

HOSTILE = '"><script>alert(1)</script>\u202e'
CHARTS = {
    "line": line(
        ["a", HOSTILE, "c"], [Series(HOSTILE, [1, None, 3]), Series("b", [2, 2, 2])], HOSTILE, target=2
    ),
    "bars": bars([(HOSTILE, 3), ("b", 0)], HOSTILE),
    "histogram": histogram([(0, 10, 5), (10, 100, 2)], HOSTILE, marks=[(HOSTILE, 50)]),
    "gauge": gauge(80, 100, HOSTILE),
    "sparkline": sparkline([3, 1, 2], HOSTILE),
    "timeline": timeline([Span(HOSTILE, 0, 5, href="#x"), Span("b", 5, 1, "bad")], HOSTILE),
    "empty": line([], [], HOSTILE) + bars([], "b") + histogram([], "c") + timeline([], "d"),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_well_formed_and_holds_nothing_that_runs(name: str) -> None:
    chart = CHARTS[name]
    assert isinstance(chart, Markup)
    root = ElementTree.fromstring(f"<div>{chart}</div>")
    for element in root.iter():
        assert element.tag != "script"
        assert not any(a == "style" or a.startswith("on") for a in element.attrib)
    assert "\u202e" not in chart


@pytest.mark.parametrize("name", ["line", "bars", "histogram", "timeline"])
def test_every_figure_can_be_read_as_a_table_and_has_a_name(name: str) -> None:
    root = ElementTree.fromstring(CHARTS[name])
    picture = root.find("svg")
    assert picture is not None
    assert picture.attrib["aria-label"]
    assert root.findall(".//tbody/tr")


def test_a_budget_warns_before_it_is_spent() -> None:
    assert 'class="good"' in gauge(10, 100, "x")
    assert 'class="wait"' in gauge(75, 100, "x")
    assert 'class="bad"' in gauge(120, 100, "x")
    assert "120 of 100, 120 %" in gauge(120, 100, "x")


def test_laps_follow_each_other_in_the_order_of_the_steps() -> None:
    taken = {"guard_route": 5, "identify": 2, "retrieve": 10, "tidy": 1}
    assert laps(taken, ["identify", "guard", "route", "retrieve"]) == [
        Span("identify", 0, 2),
        Span("guard, route", 2, 5),
        Span("retrieve", 7, 10),
        Span("tidy", 17, 1),
    ]


@given(st.lists(st.floats(-1e12, 1e12) | st.none(), min_size=1, max_size=50))
def test_every_point_lies_inside_the_picture(values: list[float | None]) -> None:
    drawn = line([str(i) for i in range(len(values))], [Series("a", values)], "any", low=None)
    root = ElementTree.fromstring(drawn)
    for polyline in root.iter("polyline"):
        for point in polyline.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 480
            assert -1 <= y <= 211
            assert math.isfinite(y)
