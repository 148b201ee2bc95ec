"""Pages: ask a question, read the answer, say whether it is right."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Response

from affidavit.entrypoints.console.cited import cited, given_in, passage
from affidavit.entrypoints.console.frame import THEME, THEMES, Console, Nav, Visit
from affidavit.entrypoints.http.sessions import local_path

_YEAR = 31_536_000
_RECENT = 6


def add(console: Console) -> None:
    """The first page, and where its forms lead."""
    console.page("/", first, Nav("Ask", "Answers", "question:ask"))
    console.form("/ask", ask)
    console.form("/search", search)
    console.page("/answers/{run}", answer)
    console.form("/answers/{run}/report", report)
    console.form("/theme", theme)
    console.notices(reported="Thank you. What you said is on the record of this answer.")


def first(visit: Visit) -> Response:
    """The form, and one's own latest questions."""
    recent = visit.ask("runs.list", limit=_RECENT, journey="ask", principal=visit.caller.principal)["items"]
    return visit.page("ask.html", "Ask", recent=recent, question=visit.query.get("question", ""), follows="")


def ask(visit: Visit) -> Response:
    """Ask, then show the answer under an address of its own: reloading it asks nothing."""
    form = visit.form
    found = visit.ask(
        "questions.ask",
        question=form.get("question", "").strip(),
        as_of=form.get("as_of", "").strip(),
        follows=form.get("follows", ""),
    )
    return visit.go(f"/answers/{found['run']}")


def search(visit: Visit) -> Response:
    """The passages alone."""
    question = visit.form.get("question", "").strip()
    found = visit.ask("questions.search", question=question, as_of=visit.form.get("as_of", "").strip(), k=20)
    hits = [{**hit, "href": passage(hit)} for hit in found["hits"]]
    return visit.page("search.html", "Passages", question=question, found=found, hits=hits)


def answer(visit: Visit) -> Response:
    """One answer, as it was given."""
    story = visit.ask("runs.show", run=visit.path["run"])
    given = given_in(story)
    if given is None or not story.get("question"):
        return visit.go(f"/runs/{quote(visit.path['run'])}")
    mine = story["principal"] == visit.caller.principal
    return visit.page("answer.html", "Answer", story=story, given=given, mine=mine, **cited(given))


def report(visit: Visit) -> Response:
    """Right or wrong, and why."""
    run, verdict = visit.path["run"], visit.form.get("verdict", "")
    reason = visit.form.get("reason", "").strip() or f"It is {verdict}."
    visit.ask("feedback.give", run=run, verdict=verdict, reason=reason)
    return visit.go(f"/answers/{quote(run)}", "reported")


def theme(visit: Visit) -> Response:
    """Light, dark, or as the system says: kept in the browser."""
    going = visit.go(local_path(visit.form.get("back", "/")))
    chosen = visit.form.get("theme", "auto")
    if chosen in THEMES:
        secure = visit.request.url.scheme == "https"
        going.set_cookie(THEME, chosen, _YEAR, httponly=True, samesite="lax", secure=secure)
    return going
