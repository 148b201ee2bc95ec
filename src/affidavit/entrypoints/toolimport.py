"""``affidavit tool import``: tools of MCP servers and HTTP APIs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from affidavit.app.imports import read_says
from affidavit.app.workspace import Workspace
from affidavit.domain.foreign import Offer, plain
from affidavit.entrypoints.common import FAILED, JsonOption, TenantOption, WorkspaceOption, opened
from affidavit.entrypoints.output import Output

tool_import = typer.Typer(
    no_args_is_help=True,
    help="Use tools of others: of an MCP server, or of an HTTP API that has an OpenAPI document.\n\n"
    "First without --accept: it shows what is offered, and keeps nothing. Then the same command with `--accept DIGEST`, "
    "which takes exactly what was shown. A tool that changes afterwards is refused until somebody looks at it again.\n\n"
    "Nothing that the other side says of itself is believed: what an MCP server offers counts as irreversible, is never "
    "tried twice, and returns a stranger's word, until your own file (--says) tells otherwise.",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Its tools are called NAME.TOOL.")]
AcceptOption = Annotated[
    str, typer.Option("--accept", metavar="DIGEST", help="Use what was shown under this digest.")
]
SaysOption = Annotated[
    Path | None,
    typer.Option(
        "--says",
        metavar="FILE",
        help="TOML, a table a tool: effect, idempotency, data, owner, timeout, attempts, rate, undo, outward, trusted, "
        "trusts, kinds, description, deprecated, retired, key_header; use = false leaves it out.",
    ),
]
PrivateOption = Annotated[
    bool, typer.Option("--allow-private", help="It is on this machine or in your own network.")
]
SecretOption = Annotated[
    str, typer.Option("--secret", metavar="NAME", help="The credential it is given: see `affidavit secret`.")
]
ByOption = Annotated[str, typer.Option("--by", help="Who does it, for the record.")]


@tool_import.command("mcp")
def import_mcp(
    name: NameArgument,
    command: Annotated[
        str, typer.Option("--command", help="Starts the server here; it talks over stdio.")
    ] = "",
    url: Annotated[str, typer.Option("--url", help="Where it is, over streamable HTTP.")] = "",
    private: PrivateOption = False,
    secret: SecretOption = "",
    variable: Annotated[
        str, typer.Option("--variable", help="The variable in which --command is given its credential.")
    ] = "",
    says: SaysOption = None,
    accept: AcceptOption = "",
    by: ByOption = "operator:cli",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Look at the tools of an MCP server, or accept them. Needs `pip install 'affidavit[mcp]'`.

    Example: `affidavit tool import mcp files --command 'mcp-files /srv/shared'`
    """
    with opened(workspace, as_json) as (ws, out):
        found = ws.imports.mcp(
            ws.parts.tenant(tenant),
            name,
            command=command,
            url=url,
            private=private,
            secret=secret,
            variable=variable,
            says=read_says(says),
        )
        _shown_or_accepted(ws, out, found, accept, by)


@tool_import.command("openapi")
def import_openapi(
    name: NameArgument,
    document: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="JSON, or YAML with `affidavit[openapi]`.")
    ],
    base: Annotated[
        str, typer.Option("--base", help="Where the API is; what the document says is not believed.")
    ],
    private: PrivateOption = False,
    secret: SecretOption = "",
    auth: Annotated[
        str, typer.Option("--auth", help="bearer, basic, or the header the credential travels in.")
    ] = "",
    says: SaysOption = None,
    accept: AcceptOption = "",
    by: ByOption = "operator:cli",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at the operations of an HTTP API, or accept them as tools. GET reads; anything else writes, until --says tells more.

    Example: `affidavit tool import openapi shop shop.json --base https://api.shop.example/v1 --secret shop`
    """
    with opened(workspace, as_json) as (ws, out):
        found = ws.imports.openapi(
            name, document, base=base, private=private, secret=secret, auth=auth, says=read_says(says)
        )
        _shown_or_accepted(ws, out, found, accept, by)


def _shown_or_accepted(ws: Workspace, out: Output, found: Offer, accept: str, by: str) -> None:
    if accept:
        accepted = ws.imports.accept(found, accept, by)
        if out.as_json:
            out.json({**found.as_json(), "digest": found.digest, "position": accepted.since})
        else:
            out.say(f"{found.name}: {len(found.tools)} tools accepted, digest {found.digest[:16]}", "green")
        return
    if out.as_json:
        out.json(
            {**found.as_json(), "digest": found.digest, "left_out": dict(found.left_out), "odd": _odd(found)}
        )
        return
    _shown(out, found)
    out.say(f"nothing is accepted yet; read it, then repeat this with --accept {found.digest[:16]}", "yellow")


def _odd(found: Offer) -> dict[str, str]:
    return {one.contract.key: one.odd for one in found.tools if one.odd}


def _shown(out: Output, found: Offer) -> None:
    """Everything that is accepted, for a person to read."""
    place: Any = found.place
    where = " ".join(place["command"]) if "command" in place else place.get("url") or place["base"]
    out.say(f"{found.name}: {found.kind}, {where}", "bold")
    if place["secret"]:
        out.say(f"  is given the credential {place['secret']} ({place['auth']})")
    for one in found.tools:
        made = one.contract
        out.say(f"{made.key}: {made.effect.value}, {made.idempotency.value}", "bold")
        out.say(f"  says: {made.description}")
        if one.claims:
            out.say(f"  says of itself: {one.claims}", "dim")
        for name in made.arguments:
            out.say(f"  {name} ({made.role(name).value}): {_kind(made.parameters, name)}")
        if one.odd:
            out.say(f"  look twice: {one.odd}", "red")
    for name, why in found.left_out:
        out.say(f"left out: {name}: {why}", "yellow")


def _kind(parameters: Any, name: str) -> str:
    schema = parameters["properties"][name]
    kind = schema.get("type") or "see --json"
    needed = "" if name in parameters.get("required", ()) else ", may be left out"
    said = schema.get("description", "")
    return f"{kind if isinstance(kind, str) else ' | '.join(kind)}{needed}{f'; {plain(said, 120)}' if said else ''}"


@tool_import.command("list")
def import_list(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List what was accepted."""
    with opened(workspace, as_json) as (ws, out):
        found = ws.imports.all()
        if as_json:
            out.json([{**one.as_json(), "digest": one.digest} for one in found])
        elif found:
            rows = [(one.name, one.kind, len(one.tools), one.digest[:16]) for one in found]
            out.table(("name", "kind", "tools", "digest"), rows)
        else:
            out.say("nothing is imported; begin with: affidavit tool import --help")


@tool_import.command("check")
def import_check(
    name: NameArgument,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask the other side whether its tools are still what was accepted. Exit status 1 if they are not.

    Example: `affidavit tool import check shop`
    """
    with opened(workspace, as_json) as (ws, out):
        changes = ws.imports.check(ws.parts.tenant(tenant), name)
        if as_json:
            out.json({"same": not changes, "changes": changes})
        else:
            for change in changes:
                out.say(change, "red")
            out.say(
                "look at it and accept it again: affidavit tool import"
                if changes
                else f"{name} is what was accepted"
            )
        if changes:
            raise typer.Exit(FAILED)


@tool_import.command("remove")
def import_remove(
    name: NameArgument,
    by: ByOption = "operator:cli",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Use these tools no more, from the next call on in every process.

    Example: `affidavit tool import remove shop`
    """
    with opened(workspace, as_json) as (ws, out):
        ws.imports.remove(name, by)
        out.json({"removed": name}) if as_json else out.say(f"{name} is removed")
