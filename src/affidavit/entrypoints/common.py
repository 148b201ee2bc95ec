"""What every command shares: where the workspace is, how errors leave, and the options' wording."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import typer

from affidavit.app.config import AS, TENANT, WORKSPACE, environment
from affidavit.app.wiring import DATABASE
from affidavit.app.workspace import Workspace
from affidavit.app.workspace import open as open_workspace
from affidavit.domain.errors import AffidavitError, UsageError
from affidavit.entrypoints.output import Output

FAILED, USAGE, INTERRUPTED = 1, 2, 130

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        help=f"The workspace. Default: ${WORKSPACE}, or the nearest folder upwards that is one.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, errors included.")]
TenantOption = Annotated[
    str,
    typer.Option(
        "--tenant", "-t", help="The tenant, if there are several.", envvar=TENANT, show_default=False
    ),
]
AsOption = Annotated[
    str, typer.Option("--as", help="Who asks: a user's name, or a principal such as service:bot.", envvar=AS)
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="POSITION|TIME", help="As things stood at a log position or an ISO 8601 time."
    ),
]
WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="FILTER",
        help='Metadata filter as JSON, for example {"equals": ["source", "wiki"]}.',
    ),
]


_chosen: ContextVar[Path | None] = ContextVar("workspace", default=None)


def choose_workspace(workspace: Path | None) -> None:
    """Remember a workspace named before the command: ``affidavit -w DIR ask …`` as well as ``affidavit ask … -w DIR``."""
    _chosen.set(workspace)


def find_workspace(given: Path | None) -> Path:
    """The workspace's folder: as given, from the environment, or the nearest one upwards from here."""
    named = given or _chosen.get() or (Path(environment(WORKSPACE)) if environment(WORKSPACE) else None)
    if named is not None:
        return named
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / DATABASE).is_file():
            return folder
    return here


@contextmanager
def errors(out: Output) -> Iterator[None]:
    """Turns every error of ours into one printed shape and an exit status: 2 for a wrong request, 1 for a failure."""
    try:
        yield
    except AffidavitError as error:
        out.error(error)
        raise typer.Exit(USAGE if isinstance(error, UsageError) else FAILED) from error
    except KeyboardInterrupt as error:
        out.warn("interrupted: what was done is kept, nothing is half done; run it again to go on")
        raise typer.Exit(INTERRUPTED) from error
    except BrokenPipeError as error:
        # the reader of our output has gone: leave quietly, also when Python flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILED) from error


@contextmanager
def opened(workspace: Path | None, as_json: bool) -> Iterator[tuple[Workspace, Output]]:
    """The workspace and where to print, with errors handled."""
    out = Output(as_json)
    with errors(out), open_workspace(find_workspace(workspace)) as ws:
        yield ws, out


def write_text(path: Path, text: str) -> None:
    """Write a file that a person asked for. Raises UsageError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", "choose another name or folder"
        ) from error
