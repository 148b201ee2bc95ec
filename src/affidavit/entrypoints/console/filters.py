"""Numbers, times and words as people read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from affidavit.entrypoints.console.visible import visible

THIN = "\N{NARROW NO-BREAK SPACE}"
_SECOND = 1_000_000
_TONES: Mapping[str, str] = {
    **dict.fromkeys(
        ("answered", "done", "permit", "ok", "identical", "live", "approved", "fresh", "pass", "ready"),
        "good",
    ),
    **dict.fromkeys(
        (
            "waiting",
            "needs-approval",
            "needs_approval",
            "unfinished",
            "stale",
            "read-only",
            "pending",
            "running",
        ),
        "wait",
    ),
    **dict.fromkeys(
        ("refused", "failed", "forbid", "denied", "killed", "unknown", "error", "diverged", "overdue"), "bad"
    ),
}


def number(value: float, digits: int = 0) -> str:
    """1 234 567: a thin space between thousands, so that neither side of the Atlantic misreads it."""
    return f"{value:,.{digits}f}".replace(",", THIN)


def duration(micros: float) -> str:
    """Microseconds in the unit that fits: 640 µs, 12.3 ms, 4.20 s, 3 min 20 s, 5 h, 12 days."""
    if micros < 1000:
        return f"{micros:.0f}{THIN}µs"
    if micros < _SECOND:
        value = micros / 1000
        return f"{value:.1f}{THIN}ms" if value < 100 else f"{value:.0f}{THIN}ms"
    seconds = micros / _SECOND
    if seconds < 60:
        return f"{seconds:.2f}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min" + (f" {rest}{THIN}s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}{THIN}h" + (f" {minutes}{THIN}min" if minutes else "")
    return f"{hours // 24}{THIN}days" + (f" {hours % 24}{THIN}h" if hours % 24 else "")


def when(value: str | int | None) -> Markup:
    """A time as a ``<time>``: from ISO 8601 or microseconds since 1970, in UTC."""
    if value is None or value == "":
        return Markup('<span class="none">never</span>')
    if isinstance(value, int):
        moment = datetime.fromtimestamp(value / _SECOND, UTC)
    else:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return Markup("{}").format(visible(value))
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
    text = f"{moment.day} {moment:%b %Y}, {moment:%H:%M:%S}"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(moment.isoformat(), text, text)


def score(value: object) -> str:
    """What a passage scored, as far as one can tell two apart by eye; the record holds all of it."""
    try:
        return f"{float(str(value)):.2f}"
    except ValueError:
        return "–"


def tone(word: str) -> str:
    """The class of a badge that says ``word``: good, wait, bad, or plain."""
    return _TONES.get(word, "plain")


def pretty(value: Any) -> str:
    """JSON as people read it."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def short(text: str, most: int = 160) -> str:
    """``text`` in one line, cut at ``most`` characters."""
    line = " ".join(text[: most * 4].split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def who(principal: str | None) -> Markup:
    """A principal: its kind is small print, its name is what one reads."""
    if not principal:
        return Markup('<span class="none">nobody</span>')
    kind, colon, name = principal.partition(":")
    if not colon:
        return Markup('<bdi class="who">{}</bdi>').format(visible(principal))
    return Markup('<bdi class="who"><span class="kind">{}:</span>{}</bdi>').format(
        visible(kind), visible(name)
    )


def count(value: int, noun: str) -> str:
    """1 passage, 2 passages."""
    return f"{number(value)} {noun}" if value == 1 else f"{number(value)} {noun}s"


def words(text: str) -> str:
    """``claims_from-model`` as words."""
    return text.replace("_", " ").replace("-", " ")


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "duration": duration,
    "when": when,
    "tone": tone,
    "pretty": pretty,
    "short": short,
    "score": score,
    "who": who,
    "words": words,
    "count": count,
}
