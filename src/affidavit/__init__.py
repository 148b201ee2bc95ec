"""affidavit: answers over an organisation's documents, with proof of what was read, under whose permission, and why."""

from affidavit.app.workspace import Workspace, init, open  # noqa: A004  # like gzip.open: used as affidavit.open
from affidavit.domain.errors import ToolError
from affidavit.gateway.contracts import Context, Tool, tool
from affidavit.gateway.schemas import Limits
from affidavit.gateway.trials import Case

__all__ = ["Case", "Context", "Limits", "Tool", "ToolError", "Workspace", "init", "open", "tool"]
