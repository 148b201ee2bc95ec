"""``affidavit source show`` and ``source check``: how good a source is, and whether it still says what is held of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from affidavit.entrypoints.common import JsonOption, TenantOption, WorkspaceOption, opened
from affidavit.entrypoints.manage import source
from affidavit.entrypoints.output import Output

__all__ = ["source"]
_SHOWN = 10
Name = Annotated[str, typer.Argument(help="The source's name.")]


@source.command("show")
def source_show(
    name: Name, workspace: WorkspaceOption = None, tenant: TenantOption = "", as_json: JsonOption = False
) -> None:
    """Say how good a source is: how current, how complete, what is there twice, what could not be read, whose it is.

    Example: `affidavit source show handbook`
    """
    with opened(workspace, as_json) as (ws, out):
        found = ws.quality.show(ws.parts.tenant(tenant), name)
        out.json(found) if as_json else _show(out, found)


def _show(out: Output, found: Mapping[str, Any]) -> None:
    current, whole, twice = found["currency"], found["completeness"], found["duplicates"]
    out.say(f"{found['kind']} {found['name']}: {found['location']}", "bold")
    out.say(f"  synced {found['synced'] or 'never'}; {found['documents']} documents")
    for title, key in (("owners", "owners"), ("classification", "classifications"), ("rank", "ranks")):
        said = ", ".join(f"{name or 'none'} {count}" for name, count in list(found[key].items())[:_SHOWN])
        out.say(f"  {title}: {said or '-'}")
    out.say(
        f"  current: {_share(current['percent'])}; {current['stale']} older than their limit, {current['with_limit']} have one; "
        f"changed between {current['oldest'] or '-'} and {current['newest'] or '-'}"
    )
    out.say(
        f"  complete: {_share(whole['percent'])}; {whole['with_owner']} have an owner, {whole['with_title']} a title; "
        f"{whole['readable_by_nobody']} nobody may read, {whole['without_text']} hold no text"
    )
    out.say(f"  deprecated: {found['deprecated']}")
    out.say(f"  duplicates: {twice['documents']} here, {twice['in_other_sources']} in other sources too")
    for one in twice["listed"][:_SHOWN]:
        out.say(f"    {one['document']} is as {one['same_as']}")
    unparsed = found["unparsed"]
    out.say(f"  not read: {unparsed['files']}", "yellow" if unparsed["files"] else "")
    for fault in unparsed["listed"][:_SHOWN]:
        out.say(f"    {fault['name']}: {fault['message']}")


def _share(percent: int | None) -> str:
    return "-" if percent is None else f"{percent} %"


@source.command("check")
def source_check(
    name: Name,
    sample: Annotated[int, typer.Option("--sample", help="How many documents to ask about.")] = 100,
    by: Annotated[str, typer.Option("--by", help="Who looks: operator:NAME.")] = "operator:cli",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask the source itself who may read a sample of its documents, and compare. The exit status is 1 if somebody may read here
    what the source keeps from them.

    The documents are drawn anew each time. What comes out goes on the log and counts for the level `permissions`. Nothing is
    changed: `affidavit sync` brings a difference in.

    Example: `affidavit source check handbook --sample 200`
    """
    with opened(workspace, as_json) as (ws, out):
        found = ws.quality.check(ws.parts.tenant(tenant), name, by, sample)
        ws.levels.look()
        if as_json:
            out.json(found)
        else:
            _checked(out, found)
        if found["too_wide"] or found["both"] or found["gone"]:
            raise typer.Exit(1)


def _checked(out: Output, found: Mapping[str, Any]) -> None:
    out.say(f"{found['source']}: {found['same']} of {found['checked']} documents as the source has them")
    said = {
        "too_wide": "may be read here by more than the source lets in",
        "too_narrow": "may be read by fewer than the source lets in",
        "both": "may be read by others than the source lets in",
        "gone": "is no longer in the source, or it cannot say who may read it",
    }
    for drift in found["drift"][:_SHOWN]:
        out.say(
            f"  {drift['document']}: {said[drift['how']]}",
            "red" if drift["how"] != "too_narrow" else "yellow",
        )
    if found["drift"]:
        out.say(f"bring it in with: affidavit sync {found['source']}")
