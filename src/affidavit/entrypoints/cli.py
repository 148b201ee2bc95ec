"""The command line. Every command opens the workspace, calls one method of it, and prints the result."""

from __future__ import annotations

import io
import json
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from affidavit.app.config import EMBEDDER_KINDS, EmbedderSpec, default_embedder
from affidavit.app.workspace import init as init_workspace
from affidavit.domain.canonical import Json
from affidavit.domain.errors import AffidavitError, UsageError
from affidavit.domain.version import VERSION
from affidavit.entrypoints import acting, show, sources
from affidavit.entrypoints.batch import batch_ask, batch_search
from affidavit.entrypoints.common import (
    FAILED,
    AsOfOption,
    AsOption,
    JsonOption,
    TenantOption,
    WhereOption,
    WorkspaceOption,
    choose_workspace,
    errors,
    opened,
)
from affidavit.entrypoints.later import LaterGroup
from affidavit.entrypoints.manage import embedder, people, run
from affidavit.entrypoints.output import Output
from affidavit.ingest.sync import SyncReport

_PATIENCE = 5.0  # seconds before a source that was out of reach is tried again

app = typer.Typer(
    name="affidavit",
    cls=LaterGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Answers questions over your own documents, and proves what was read, under whose permission, and why.\n\n"
    "To begin: `affidavit init DIR`, `affidavit people import users.jsonl`, `affidavit source add folder PATH --name docs`, "
    '`affidavit sync`, `affidavit ask "…" --as alice`.',
)
for group, name in (
    (people, "people"),
    (sources.source, "source"),
    (run, "run"),
    (embedder, "embedder"),
):
    app.add_typer(group, name=name)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def everywhere(
    workspace: WorkspaceOption = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    choose_workspace(workspace)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
    kind: Annotated[
        str,
        typer.Option(
            "--embedder", help=f"{', '.join(EMBEDDER_KINDS)}; default: minilm if it is installed, else none."
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a workspace: the directory that holds catalog, contents, log and index.

    Example: `affidavit init ~/handbook && cd ~/handbook`
    """
    out = Output(as_json)
    with errors(out):
        if kind and kind not in ("minilm", "none"):
            raise UsageError(
                f"init --embedder {kind!r}",
                "minilm or none; for an endpoint: affidavit embedder use openai …",
            )
        with init_workspace(directory, EmbedderSpec(kind) if kind else default_embedder()) as workspace:
            if as_json:
                out.json(workspace.status())
            else:
                show.status(out, workspace.status())
                out.say(f"next: affidavit -w {directory} people import FILE  (or cd {directory} first)")


@app.command()
def status(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Say what the workspace holds, how it searches, and what waits to be done."""
    with opened(workspace, as_json) as (ws, out):
        value = ws.status()
        out.json(value) if as_json else show.status(out, value)


@app.command()
def sync(
    name: Annotated[str, typer.Argument(help="The source; all of the tenant's if left out.")] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, syncing whenever something changes (one source).")
    ] = False,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Read what has changed in a source, and take out what is gone.

    Only changed documents are read, only changed text is embedded. A file that cannot be read is reported and the rest
    goes on. Interrupted, the next sync goes on where this one stopped.

    Example: `affidavit sync handbook --watch`
    """
    with opened(workspace, as_json) as (ws, out):

        def once() -> None:
            with out.progress("syncing") as bar:

                def advance(report: SyncReport) -> None:
                    task = bar.tasks[0].id
                    bar.update(task, completed=report.seen, description=f"syncing {report.source}")

                reports = ws.sync(name, tenant, advance)
            for report in reports:
                show.synced(out, report)

        if not watch:
            once()
            return
        sources = ws.sources.all(ws.parts.tenant(tenant))
        chosen = name or (sources[0].name if len(sources) == 1 else "")
        if not chosen:
            raise UsageError("--watch follows one source", "name it: affidavit sync NAME --watch")
        name = chosen
        while True:
            try:
                for _ in chain((None,), ws.sources.watch(ws.sources.get(ws.parts.tenant(tenant), chosen))):
                    once()
            except AffidavitError as error:
                if not error.retryable:
                    raise
                out.error(error)  # a vanished mount comes back; what was indexed stays as it is meanwhile
                time.sleep(_PATIENCE)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")] = "",
    user: AsOption = "",
    k: Annotated[int, typer.Option("-k", help="How many hits.")] = 10,
    as_of: AsOfOption = None,
    where: WhereOption = None,
    chunks: Annotated[
        bool | None,
        typer.Option(
            "--chunks/--documents", help="Hits are passages (default), or documents (default with --batch)."
        ),
    ] = None,
    batch: Annotated[
        Path | None, typer.Option("--batch", help='JSON Lines of {"id": …, "text": …, "as": …}; needs --out.')
    ] = None,
    output: Annotated[Path | None, typer.Option("--out", help="TREC run file that --batch writes.")] = None,
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Find the passages that a person may read, best first.

    With `--batch` a TREC run file is written, document level unless `--chunks` is given.

    Example: `affidavit search "parental leave" --as alice -k 5`
    """
    with opened(workspace, as_json) as (ws, out):
        position = None if as_of is None else ws.position(as_of)
        condition = _filter(where)
        if batch is not None:
            batch_search(ws, out, batch, output, user, k, tenant, position, condition, chunks=bool(chunks))
            return
        if not query or not user:
            raise UsageError(
                "search needs a query and --as USER", 'affidavit search "parental leave" --as alice'
            )
        found = ws.search(query, user, k, tenant, position, condition, chunks=chunks is not False).as_json()
        out.json(found) if as_json else show.hits(out, found)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question, in a sentence.")] = "",
    user: AsOption = "",
    follows: Annotated[
        str,
        typer.Option(
            "--follows", metavar="RUN", help="An earlier run of the same person that this goes on from."
        ),
    ] = "",
    as_of: AsOfOption = None,
    where: WhereOption = None,
    batch: Annotated[
        Path | None, typer.Option("--batch", help='JSON Lines of {"id": …, "text": …, "as": …}; needs --out.')
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", help="JSON Lines that --batch writes, an answer a line.")
    ] = None,
    may_act: acting.MayActOption = False,
    feature: acting.FeatureOption = "default",
    workspace: WorkspaceOption = None,
    tenant: TenantOption = "",
    as_json: JsonOption = False,
) -> None:
    """Answer a question from what a person may read, with citations; or refuse, and say what to do.

    Every answer is on the log before it is printed: `affidavit run show RUN` tells its story.

    With --may-act a model may also call tools, as far as the release and the policy allow; what needs a person's yes waits.

    Example: `affidavit ask "How many weeks of parental leave are there?" --as alice`
    """
    with opened(workspace, as_json) as (ws, out):
        position = None if as_of is None else ws.position(as_of)
        condition = _filter(where)
        if batch is not None:
            batch_ask(ws, out, batch, output, user, tenant, position, condition)
            return
        if not question or not user:
            raise UsageError("ask needs a question and --as USER", 'affidavit ask "…?" --as alice')
        if may_act:
            plain = position is None and condition is None and not follows
            acting.ask(ws, out, question, user, feature, tenant, plain=plain)
            return
        show.asked(out, lambda tell: ws.ask(question, user, tenant, position, condition, follows, tell))


def _filter(where: str | None) -> Json:
    if where is None:
        return None
    try:
        parsed: Json = json.loads(where)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"--where is not JSON: {error}", 'for example --where \'{"equals": ["source", "wiki"]}\''
        ) from error
    return parsed


def main() -> None:
    """The ``affidavit`` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows fewer characters than a document
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(FAILED)
