"""Pages: who is known, what they may do, and looking at the workspace as one of them does."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Response

from affidavit.domain.roles import GRANTABLE
from affidavit.entrypoints.console.frame import Console, Handler, Nav, Visit
from affidavit.entrypoints.http.looking import Looking

LOOK = "access:look"
_SHOWN = 200
CHANGES = {"join": "group", "leave": "group", "grant": "action", "revoke": "action"}


def add(console: Console) -> None:
    """People, one of them, and looks."""
    console.page("/people", people, Nav("People", "Access", "people:read"))
    console.page("/people/{name}", person)
    for change in CHANGES:
        console.form(f"/people/{{name}}/{change}", changing(change))
    console.page("/access", access, Nav("Look as somebody", "Access", LOOK))
    console.form("/access/look", begin)
    console.form("/access/look/end", end)
    console.notices(
        changed="It holds from the next step on, and is on record.",
        looking="You see what they see. It ends by itself after a quarter of an hour.",
        looked="You see your own pages again.",
    )


def people(visit: Visit) -> Response:
    """Everybody, or those whose name begins with what was asked for."""
    wanted = visit.query.get("prefix", "").strip()
    found = visit.ask("people.list", prefix=wanted, limit=_SHOWN, after=visit.query.get("after", ""))
    return visit.page("people.html", "People", names=found["items"], cursor=found["next"], wanted=wanted)


def person(visit: Visit) -> Response:
    """One."""
    found = visit.ask("people.show", name=visit.path["name"])
    return visit.page(
        "person.html",
        found["principal"],
        person=found,
        may_look=visit.may(LOOK),
        may_change=visit.may("people:change"),
        grants=GRANTABLE,
        waiting=visit.waiting("people"),
    )


def changing(change: str) -> Handler:
    """What a form on a person's page does: ``people.CHANGE`` with the field that it needs."""

    def handler(visit: Visit) -> Response:
        field, name = CHANGES[change], visit.path["name"]
        visit.ask(f"people.{change}", **{"name": name, field: visit.form.get(field, "").strip()})
        return visit.go(f"/people/{quote(name, safe=':')}", "changed")

    return handler


def access(visit: Visit) -> Response:
    """Begin a look, and which there were."""
    looks = visit.ask("looks.list", limit=50)["items"]
    return visit.page("access.html", "Look as somebody", looks=looks, person=visit.query.get("person", ""))


def begin(visit: Visit) -> Response:
    """From now on this browser sees what they see."""
    given = visit.ask(
        "looks.begin", person=visit.form.get("person", "").strip(), reason=visit.form.get("reason", "")
    )
    answer = visit.go("/", "looking")
    _looking(visit).begin(visit.request, answer, given["secret"])
    return answer


def end(visit: Visit) -> Response:
    """Stop looking."""
    answer = visit.go("/", "looked")
    _looking(visit).end(visit.request, answer, visit.caller.tenant)
    return answer


def _looking(visit: Visit) -> Looking:
    """What keeps looks in browsers."""
    found: Looking = visit.request.app.state.looking
    return found
