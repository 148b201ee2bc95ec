"""The commands that show documents as their readers may have them."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from affidavit.app.documents import Wish
from affidavit.domain.access import named
from affidavit.domain.errors import UsageError
from affidavit.entrypoints.common import (
    AsOfOption,
    AsOption,
    JsonOption,
    TenantOption,
    WorkspaceOption,
    opened,
)

document = typer.Typer(no_args_is_help=True, help="Documents, as somebody may read them.")
Source = Annotated[str, typer.Argument(help="The source.")]
Name = Annotated[str, typer.Argument(metavar="DOCUMENT", help="The document's name within its source.")]


def _who(user: str) -> str:
    if not user:
        raise UsageError("who reads?", "add --as NAME")
    return named(user)


@document.command("list")
def document_list(
    user: AsOption = "",
    source: Annotated[str, typer.Option("--source", help="Of this source alone.")] = "",
    prefix: Annotated[str, typer.Option("--prefix", help="Only names that begin with this.")] = "",
    limit: Annotated[int, typer.Option("-n", min=1, help="How many at most.")] = 100,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the documents that somebody may read, by source and name.

    Example: `affidavit document list --as alice --prefix policies/`
    """
    with opened(workspace, as_json) as (ws, out):
        who, owner = _who(user), ws.parts.tenant(tenant)
        with ws.parts.database.read():
            found = list(islice(ws.documents.readable(owner, who, source, prefix, None), limit))
        if as_json:
            out.json([vars(one) for one in found])
        else:
            out.table(("source", "document", "title"), [(d.source, d.document, d.title) for d in found])


@document.command("show")
def document_show(
    source: Source,
    name: Name,
    user: AsOption = "",
    revision: Annotated[
        str, typer.Option("--revision", help="An older revision, as a citation names it.")
    ] = "",
    as_of: AsOfOption = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Print a document as somebody may read it: on the record before it is printed, like an answer.

    What they may not read does not exist.

    Example: `affidavit document show acme policies/leave.md --as alice`
    """
    with opened(workspace, as_json) as (ws, out):
        position = ws.position(as_of) if as_of else None
        wish = Wish(source, name, revision, position)
        found = ws.documents.read(ws.parts.tenant(tenant), _who(user), wish)
        if as_json:
            out.json({**found.as_json(), "blocks": ws.documents.blocks(found)})
            return
        out.say(f"{source}/{name}, revision {found.row.revision}; {found.permitted_by}; {found.run}", "bold")
        out.say(found.text)


@document.command("why")
def document_why(
    source: Source,
    name: Name,
    user: AsOption = "",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say whether somebody may read a document now, by which entries of its rule and through which groups.

    For the operator at this machine. Example: `affidavit document why acme finance/salaries.md --as bob`
    """
    with opened(workspace, as_json) as (ws, out):
        owner, who = ws.parts.tenant(tenant), _who(user)
        found = ws.documents.why(owner, who, source, name, looker=who, auditor=True)
        if as_json:
            out.json(found)
            return
        may = "may" if found["permit"] else "may not"
        out.say(f"{who} {may} read {source}/{name}: {found['reason']}", "bold")
        for way in found["through"]:
            out.say("  " + " is in ".join(way))
