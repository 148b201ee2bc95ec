"""Which modules of pages there are, in the order of the navigation."""

from __future__ import annotations

from collections.abc import Callable

from affidavit.entrypoints.console import (
    pages_access,
    pages_api,
    pages_approvals,
    pages_ask,
    pages_controls,
    pages_documents,
    pages_incidents,
    pages_keys,
    pages_levels,
    pages_money,
    pages_policy,
    pages_runs,
    pages_sources,
    pages_tools,
)
from affidavit.entrypoints.console.frame import Console

ADDING: tuple[Callable[[Console], None], ...] = (
    pages_ask.add,
    pages_documents.add,
    pages_runs.add,
    pages_approvals.add,
    pages_tools.add,
    pages_levels.add,
    pages_sources.add,
    pages_money.add,
    pages_incidents.add,
    pages_policy.add,
    pages_controls.add,
    pages_access.add,
    pages_keys.add,
    pages_api.add,
)
