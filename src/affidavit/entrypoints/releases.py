"""The commands for releases: everything that decides how a question is answered, as one content-addressed value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from affidavit.app.plainfile import read_release
from affidavit.entrypoints.common import JsonOption, WorkspaceOption, opened

release = typer.Typer(
    no_args_is_help=True, help="Releases: everything that decides how questions are answered."
)


@release.command("list")
def release_list(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the releases that were ever published here, the newest last; the one that answers is marked."""
    with opened(workspace, as_json) as (ws, out):
        serving = ws.parts.release().digest
        entries = [{"release": d, "serves": d == serving} for d in ws.releases()]
        if as_json:
            out.json(entries)
            return
        for entry in entries:
            out.say(f"{'*' if entry['serves'] else ' '} {entry['release']}")


@release.command("show")
def release_show(
    digest: Annotated[
        str, typer.Argument(help="The beginning of its digest; the one that answers if left out.")
    ] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a release's content, to be changed and published again.

    Example: `affidavit release show > release.json`
    """
    with opened(workspace, as_json) as (ws, out):
        found = ws.parts.release() if not digest else ws.parts.release_named(ws.parts.release_like(digest))
        if as_json:
            out.json(found.content)
        else:
            out.say(json.dumps(found.content, ensure_ascii=False, indent=1))


@release.command("publish")
def release_publish(
    file: Annotated[Path, typer.Argument(help="The release as JSON.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer under another release from the next question on. Earlier runs keep citing theirs, and replay under it.

    Example: `affidavit release publish release.json`
    """
    with opened(workspace, as_json) as (ws, out):
        digest = ws.publish(read_release(file))
        out.json({"release": digest}) if as_json else out.say(f"{digest} answers now")


@release.command("rollback")
def release_rollback(
    digest: Annotated[str, typer.Argument(help="The beginning of the digest of a release published before.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to a release that was published before."""
    with opened(workspace, as_json) as (ws, out):
        found = ws.publish(dict(ws.parts.release_named(ws.parts.release_like(digest)).content))
        out.json({"release": found}) if as_json else out.say(f"{found} answers now")
