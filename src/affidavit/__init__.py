"""affidavit: answers over an organisation's documents, with proof of what was read, under whose permission, and why."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from affidavit.app.workspace import Workspace, init, open  # noqa: A004  # like gzip.open: used as affidavit.open
from affidavit.domain.errors import ToolError

if TYPE_CHECKING:
    from affidavit.gateway.contracts import Context, Tool, tool
    from affidavit.gateway.schemas import Limits
    from affidavit.gateway.trials import Case

__all__ = ["Case", "Context", "Limits", "Tool", "ToolError", "Workspace", "init", "open", "tool"]

_LATER = {
    "Case": "trials",
    "Context": "contracts",
    "Limits": "schemas",
    "Tool": "contracts",
    "tool": "contracts",
}


def __getattr__(name: str) -> Any:
    """What only makers of tools need is imported when it is asked for (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"affidavit.gateway.{_LATER[name]}"), name)
