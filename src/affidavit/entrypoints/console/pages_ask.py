"""Pages: ask a question, read the answer."""

from __future__ import annotations

from fastapi import Response

from affidavit.entrypoints.console.frame import THEME, THEMES, Console, Nav, Visit, local

_YEAR = 31_536_000


def add(console: Console) -> None:
    """The first page."""
    console.page("/", ask, Nav("Ask", "Answers", "question:ask"))
    console.form("/theme", theme)


def ask(visit: Visit) -> Response:
    """The form."""
    return visit.page("ask.html", "Ask")


def theme(visit: Visit) -> Response:
    """Light, dark, or as the system says: kept in the browser."""
    answer = visit.go(local(visit.form.get("back", "/")))
    chosen = visit.form.get("theme", "auto")
    if chosen in THEMES:
        secure = visit.request.url.scheme == "https"
        answer.set_cookie(THEME, chosen, _YEAR, httponly=True, samesite="lax", secure=secure)
    return answer
