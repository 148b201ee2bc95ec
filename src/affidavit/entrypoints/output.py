"""What a person sees at a terminal: words, tables, progress; colours only on a terminal; one shape for errors."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from affidavit.domain.errors import AffidavitError

# What a document or a name says must not move the cursor, change colours or hide itself.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def clean(text: object) -> str:
    """``text`` with control characters made visible."""
    return _CONTROL.sub(lambda m: f"\\x{ord(m.group()):02x}", str(text).replace("\r\n", "\n"))


class Output:
    """Prints to standard output, or one JSON value if ``as_json``."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    def json(self, value: Any) -> None:
        """One JSON value a line."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def say(self, text: str = "", style: str = "") -> None:
        """A line of our own words and, safely, of others'."""
        self._out.print(escape(clean(text)), style=style or None)

    def warn(self, text: str) -> None:
        """A line on standard error."""
        self._err.print(escape(clean(text)), style="yellow")

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A plain table."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in titles:
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*(escape(clean("" if cell is None else cell)) for cell in row))
        self._out.print(table)

    def error(self, error: AffidavitError) -> None:
        """``code``, ``message``, ``hint``, ``retryable``: as JSON on standard output, or as words on standard error."""
        if self.as_json:
            self.json({"error": error.as_dict()})
            return
        self._err.print(f"[red]error[/red] {escape(clean(error.message))}")
        if error.hint:
            self._err.print(f"[dim]what to do:[/dim] {escape(clean(error.hint))}")

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Progress]:
        """A progress bar on standard error, only at a terminal and not with ``--json``."""
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._err,
            transient=True,
            disable=self.as_json or not self._err.is_terminal,
        ) as bar:
            bar.add_task(what, total=total)
            yield bar
