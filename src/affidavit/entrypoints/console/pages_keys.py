"""Pages: API keys, for programs that ask for people."""

from __future__ import annotations

from fastapi import Response

from affidavit.entrypoints.console.frame import Console, Nav, Visit

CHANGE = "credential:change"


def add(console: Console) -> None:
    """All that stand, and making, rotating and ending them."""
    console.page("/keys", listed, Nav("Keys", "Access", CHANGE))
    console.form("/keys", make)
    console.form("/keys/{id}/rotate", rotate)
    console.form("/keys/{id}/end", end)
    console.notices(ended="The key is taken back: the very next request with it is refused.")


def listed(visit: Visit) -> Response:
    """Every key; never a secret."""
    found = visit.ask("keys.list", limit=200, after=visit.query.get("after", ""))
    return visit.page(
        "keys.html", "Keys", items=found["items"], cursor=found["next"], waiting=visit.waiting("keys")
    )


def make(visit: Visit) -> Response:
    """A new one, whose secret is shown this once."""
    form = visit.form
    more = {
        name: given
        for name in ("scopes", "acts_for")
        if (given := form.get(name, "").replace(",", " ").split())
    }
    made = visit.ask(
        "keys.make",
        principal=form.get("principal", "").strip(),
        name=form.get("name", "").strip(),
        days=form.get("days", ""),
        **more,
    )
    return visit.page("key_made.html", "Key", key=made["key"], secret=made["secret"], old="")


def rotate(visit: Visit) -> Response:
    """One that replaces another, which is good for a day more."""
    old = visit.path["id"]
    made = visit.ask("keys.rotate", id=old, days=visit.form.get("days", ""))
    return visit.page("key_made.html", "Key", key=made["key"], secret=made["secret"], old=old)


def end(visit: Visit) -> Response:
    """Take it back."""
    visit.ask("keys.end", id=visit.path["id"])
    return visit.go("/keys", "ended")
