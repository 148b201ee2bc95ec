"""Text of others as a person sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from affidavit.entrypoints.console.filters import duration, number, short, tone, when, who
from affidavit.entrypoints.console.visible import said, shown, visible


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("a\x00b", "a␀b"),
        ("del\x7f", "del␡"),
        ("\u202egnp.exe", "⟨U+202E⟩gnp.exe"),
        ("tag\U000e0041", "tag⟨U+E0041⟩"),
        ("half\ud800", "half⟨U+D800⟩"),
        ("two\nlines\tand tab", "two\nlines\tand tab"),
        ("שלום", "שלום"),
        ("👩\u200d👧", "👩\u200d👧"),
    ],
)
def test_nothing_stays_invisible(text: str, seen: str) -> None:
    assert visible(text) == seen


@given(st.text())
def test_what_is_shown_can_be_sent_and_gives_no_orders(text: str) -> None:
    seen = visible(text)
    seen.encode()
    assert not set(seen) & set("\x00\x1b\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
    assert visible(seen) == seen


def test_a_message_may_show_code_and_nothing_else() -> None:
    assert said("try `a<b`, not <b>") == Markup("try <code>a&lt;b</code>, not &lt;b&gt;")
    assert shown(Markup("<b>\x00")) == "<b>\x00"
    assert shown(3) == 3


def test_figures_read_well() -> None:
    assert [duration(v).replace("\u202f", " ") for v in (640, 12_300, 480_000, 4_200_000, 200_000_000)] == [
        "640 µs",
        "12.3 ms",
        "480 ms",
        "4.20 s",
        "3 min 20 s",
    ]
    assert number(1234567).replace("\u202f", " ") == "1 234 567"
    assert tone("answered") == "good"
    assert tone("whatever") == "plain"
    assert short("a  b\nc " + "x" * 200, 8) == "a b c x…"


def test_times_and_names_are_marked_up_and_escaped() -> None:
    assert 'datetime="2026-11-21T10:00:00+00:00"' in when("2026-11-21T10:00:00Z")
    assert when("<b>") == "&lt;b&gt;"
    assert "never" in when(None)
    assert "&lt;i&gt;" in who("user:<i>")
