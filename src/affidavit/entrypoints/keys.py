"""`affidavit key`, `affidavit signin`, `affidavit signout`: what proves who asks over the network."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from affidavit.app.credentials import DEFAULT_OVERLAP
from affidavit.domain.clock import MICROSECONDS
from affidavit.entrypoints.common import JsonOption, TenantOption, WorkspaceOption, opened
from affidavit.entrypoints.output import Output
from affidavit.store.credentials import Credential

key = typer.Typer(
    no_args_is_help=True,
    help="API keys: how programs say who they are. Shown once, kept as a digest, on record.",
)

By = Annotated[
    str,
    typer.Option("--by", help="Who does this: operator:NAME at this machine, or who may change credentials."),
]
Days = Annotated[int, typer.Option("--days", help="For how many days it is good, 366 at most.")]


@key.command("make")
def key_make(
    principal: Annotated[str, typer.Argument(help="Whose it is: service:NAME, or a person.")],
    name: Annotated[str, typer.Option("--name", help="What it is for, so that you know it again.")],
    days: Days = 90,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="ACTION", help="Good for this only; repeat it. Default: all that they may do."
        ),
    ] = None,
    acts_for: Annotated[
        list[str] | None,
        typer.Option(
            "--acts-for",
            metavar="PRINCIPAL",
            help="A service may ask for this person, or whoever is in this group; repeat it.",
        ),
    ] = None,
    by: By = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make an API key and print it, once: nobody can show it again.

    A service that asks for a person is given what that person may read, and nothing more: it sends the header
    `Affidavit-For: user:alice`, and its key must say that it speaks for her.

    Example: `affidavit key make service:helpdesk --name helpdesk --acts-for group:staff --scope question:ask --by operator:dave`
    """
    with opened(workspace, as_json) as (ws, out):
        owner = ws.parts.tenant(tenant)
        made = ws.credentials.make_key(owner, principal, name, days, by, scope, acts_for or ())
        _shown_once(out, ws.credentials.shown(made[0]), made, as_json)


@key.command("list")
def key_list(
    workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """List the keys that stand. The keys themselves are never shown."""
    with opened(workspace, as_json) as (ws, out):
        found = ws.credentials.keys(ws.parts.tenant(tenant))
        if as_json:
            out.json(found)
            return
        rows = [
            (
                k["id"],
                k["principal"],
                k["name"],
                "all" if k["scopes"] is None else " ".join(k["scopes"]),
                " ".join(k["acts_for"]),
                _day(k["expires"]) + (" (expired)" if k["expired"] else ""),
            )
            for k in found
        ]
        out.table(("id", "whose", "name", "good for", "speaks for", "until"), rows)


@key.command("rotate")
def key_rotate(
    id: Annotated[str, typer.Argument(help="The key, as `affidavit key list` shows it.")],
    days: Days = 90,
    overlap: Annotated[
        int, typer.Option("--overlap", metavar="HOURS", help="How long the old one is still good; 0 to 168.")
    ] = DEFAULT_OVERLAP,
    by: By = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make a new key for the same purpose; the old one ends a little later, so that nothing stands still meanwhile.

    Example: `affidavit key rotate ID --overlap 2 --by operator:dave`
    """
    with opened(workspace, as_json) as (ws, out):
        made = ws.credentials.rotate_key(ws.parts.tenant(tenant), id, by, days, overlap)
        _shown_once(out, ws.credentials.shown(made[0]), made, as_json)
        if not as_json:
            out.say(f"the old one, {id}, {f'is good for {overlap} hours more' if overlap else 'has ended'}")


@key.command("end")
def key_end(
    id: Annotated[str, typer.Argument(help="The key, as `affidavit key list` shows it.")],
    alone: Annotated[bool, typer.Option("--alone", help="Leave the keys that were made with it.")] = False,
    by: By = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take a key back: the very next request with it is refused, by every server over this workspace.

    Keys that were made with it over the network end too: whoever held it may hold them.

    Example: `affidavit key end ID --by operator:dave`
    """
    with opened(workspace, as_json) as (ws, out):
        _, *made = ws.credentials.end_key(ws.parts.tenant(tenant), id, by, alone=alone)
        if as_json:
            out.json({"ended": id, "made_with_it": made})
            return
        out.say(
            f"{id} is not valid any more"
            + (f", nor is what was made with it: {' '.join(made)}" if made else "")
        )


def signin(
    user: Annotated[str, typer.Argument(help="Who signs in.")],
    url: Annotated[str, typer.Option("--url", help="Where the server is reached.")] = "http://127.0.0.1:8080",
    by: By = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Print a link that signs somebody in to the console, once, within ten minutes.

    For where there is no sign-in provider: you vouch that whoever you give it to is who you say.

    Example: `affidavit signin alice --by operator:dave`
    """
    with opened(workspace, as_json) as (ws, out):
        token = ws.credentials.make_link(ws.parts.tenant(tenant), user, by)
        link = f"{url.rstrip('/')}/signin/link?{urlencode({'token': token})}"
        out.json({"link": link}) if as_json else out.say(link)


def signout(
    user: Annotated[str, typer.Argument(help="Who is signed out.")],
    by: By = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Sign somebody out everywhere, at once: every browser session and unused sign-in link of theirs ends. Keys stay.

    Example: `affidavit signout alice --by operator:dave`
    """
    with opened(workspace, as_json) as (ws, out):
        ended = ws.credentials.sign_out(ws.parts.tenant(tenant), user, by)
        out.json({"ended": ended}) if as_json else out.say(f"signed out: {ended} ended")


def _shown_once(out: Output, shown: dict[str, Any], made: tuple[Credential, str], as_json: bool) -> None:
    if as_json:
        out.json({**shown, "key": made[1]})
        return
    out.say(made[1])
    out.say(f"id {made[0].id}, for {made[0].principal}, until {_day(made[0].expires)}; it is not shown again")


def _day(at: int) -> str:
    return datetime.fromtimestamp(at // MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M UTC")
