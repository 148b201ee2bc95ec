"""`affidavit serve`: the workspace over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer
import uvicorn

from affidavit.app.workspace import open as open_workspace
from affidavit.entrypoints.common import WorkspaceOption, errors, find_workspace
from affidavit.entrypoints.http.application import make_app
from affidavit.entrypoints.output import Output


def serve(
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8080,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve the workspace: API, console, MCP and an OpenAI-compatible endpoint on one port.

    Example: `affidavit serve --port 8080`, then open http://127.0.0.1:8080
    """
    out = Output(False)
    with errors(out), open_workspace(find_workspace(workspace)) as ws:
        uvicorn.run(make_app(ws), host=host, port=port, log_level="warning", server_header=False)
