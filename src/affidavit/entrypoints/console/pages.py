"""Which modules of pages there are, in the order of the navigation."""

from __future__ import annotations

from collections.abc import Callable

from affidavit.entrypoints.console import pages_ask, pages_documents, pages_runs
from affidavit.entrypoints.console.frame import Console

ADDING: tuple[Callable[[Console], None], ...] = (pages_ask.add, pages_documents.add, pages_runs.add)
