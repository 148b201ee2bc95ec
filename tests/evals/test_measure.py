"""Measures, their intervals, comparisons, gates and the report."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.domain.errors import ManifestError, UsageError
from affidavit.evals.compared import Evaluation, failed_gates, read_evaluation
from affidavit.evals.measure import compare, interval, per_question
from affidavit.evals.report import page

RIGHT = {"q1": {"a": 1, "b": 1}, "q2": {"c": 2}, "q3": {"d": 0}, "q4": {"e": 1}}


def evaluation(values: dict[str, float], **about: object) -> Evaluation:
    return Evaluation(
        {"level": "document", "judgements": "x", **about},
        {q: f"question {q}" for q in values},
        {"nDCG@10": values},
        {q: ["a"] for q in values},
    )


def test_measures_by_hand() -> None:
    found = {"q1": ["x", "a", "b"], "q2": ["c"], "q3": ["d"], "q9": ["a"]}
    told = per_question(found, RIGHT, ["nDCG@10", "RR@10", "R@1"])
    ideal = 1 + 1 / math.log2(3)
    assert told["nDCG@10"]["q1"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(4)) / ideal)
    assert told["RR@10"] == {"q1": 0.5, "q2": 1.0, "q4": 0.0}
    assert told["R@1"] == {"q1": 0.0, "q2": 1.0, "q4": 0.0}, "q3 has nothing right, q4 found nothing"


def test_the_order_counts_and_not_the_names() -> None:
    right = {"q": {"b": 1}}
    assert per_question({"q": ["z", "b"]}, right, ["RR@10"])["RR@10"]["q"] == 0.5
    assert per_question({"q": ["a", "b"]}, right, ["RR@10"])["RR@10"]["q"] == 0.5


def test_an_unknown_measure() -> None:
    for name in ("nDGC@10", "__import__('os')", ""):
        with pytest.raises(UsageError):
            per_question({"q1": ["a"]}, RIGHT, [name])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_an_interval_holds_its_mean(values: list[float]) -> None:
    told = interval(values)
    assert told.low - 1e-9 <= told.mean <= told.high + 1e-9
    assert told == interval(values), "the same figures each time"


def test_a_comparison_tells_chance_from_change() -> None:
    old = {f"q{n}": (n % 10) / 10 for n in range(100)}
    better = compare({q: min(v + 0.1, 1) for q, v in old.items()}, old)
    assert better.low > 0
    assert better.p < 0.001
    assert not better.worse
    noise = compare({q: v + (0.05 if int(q[1:]) % 2 else -0.05) for q, v in old.items()}, old)
    assert noise.low < 0 < noise.high
    assert noise.p > 0.5
    assert compare({q: v - 0.1 for q, v in old.items()}, old).worse
    same = compare(old, old)
    assert (same.mean, same.p) == (0, 1)
    with pytest.raises(UsageError):
        compare({"other": 1.0}, old)


def test_gates() -> None:
    now = evaluation({"q1": 0.5, "q2": 0.7})
    assert failed_gates(now, ["nDCG@10>=0.6"], None) == []
    assert failed_gates(now, ["nDCG@10 > 0.6"], None) == ["nDCG@10 is 0.6000, not > 0.6"]
    worse = now.against(evaluation({"q1": 0.9, "q2": 1.0}))
    assert len(failed_gates(now, ["no-worse"], worse)) == 1
    assert failed_gates(now, ["no-worse"], now.against(now)) == []
    for gate in ("nDCG@10", "AP>=0.5", "no-worse", "nDCG@10>=x", "nDCG@10=>1"):
        with pytest.raises(UsageError):
            failed_gates(now, [gate], None)
    with pytest.raises(UsageError):
        now.against(evaluation({"q1": 1.0}, judgements="y"))


def test_an_evaluation_is_kept_whole(tmp_path: Path) -> None:
    now = evaluation({"q1": 0.5, "q2": 1 / 3})
    file = tmp_path / "e.json"
    file.write_text(json.dumps(now.as_json()))
    assert read_evaluation(file).as_json() == now.as_json()
    for bad in ("", "[]", "{}", '{"format": "affidavit-evaluation/1"}'):
        file.write_text(bad)
        with pytest.raises(ManifestError):
            read_evaluation(file)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)


def test_the_report_escapes_and_loads_nothing() -> None:
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e'
    now = Evaluation(
        {"level": hostile, "judgements": "x"},
        {"q1": hostile, "q2": "b"},
        {"nDCG@10": {"q1": 0.0, "q2": 1.0}},
        {"q1": [hostile], "q2": []},
    )
    old = Evaluation(now.about, now.questions, {"nDCG@10": {"q1": 0.5, "q2": 0.5}}, now.found)
    text = page(now, now.against(old), old)
    tags = _Tags()
    tags.feed(text)
    assert "\u202e" not in text
    assert not tags.seen & {"script", "img", "link", "iframe"}
    assert "1 better, 1 worse, 0 alike" in text
