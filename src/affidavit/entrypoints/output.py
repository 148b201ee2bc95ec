"""What a person sees at a terminal: words, tables, progress; colours only on a terminal; one shape for errors."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from affidavit.app.config import environment
from affidavit.domain.errors import AffidavitError

if TYPE_CHECKING:  # rich takes 40 ms to import, and only tables and progress bars need it
    from rich.progress import Progress

# What a document or a name says must not move the cursor, change colours or hide itself.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean(text: object) -> str:
    """``text`` with control characters made visible."""
    return _CONTROL.sub(lambda m: f"\\x{ord(m.group()):02x}", str(text).replace("\r\n", "\n"))


def in_a_line(text: object) -> str:
    """``text`` of others so that it begins no line of its own: among the lines of a story it would pass for one."""
    return " ".join(str(text).split())


class Output:
    """Prints to standard output, or one JSON value if ``as_json``."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    @property
    def live(self) -> bool:
        """Whether somebody sees each line as it is printed."""
        return sys.stdout.isatty()

    def json(self, value: Any) -> None:
        """One JSON value a line."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def say(self, text: str = "", style: str = "") -> None:
        """A line of our own words and, safely, of others'; ``style`` is ``bold``, ``dim`` or a colour."""
        _print(text, style, error=False)

    def warn(self, text: str) -> None:
        """A line on standard error."""
        _print(text, "yellow", error=True)

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A plain table."""
        from rich.console import Console  # noqa: PLC0415  # slow to import
        from rich.markup import escape  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in titles:
            table.add_column(title, overflow="fold", no_wrap=title != titles[-1])
        for row in rows:
            table.add_row(*(escape(clean("" if cell is None else cell)) for cell in row))
        Console(highlight=False, soft_wrap=True).print(table)

    def error(self, error: AffidavitError) -> None:
        """``code``, ``message``, ``hint``, ``retryable``: as JSON on standard output, or as words on standard error."""
        if self.as_json:
            self.json({"error": error.as_dict()})
            return
        _print(f"error: {error.message}", "red", error=True)
        if error.hint:
            _print(f"what to do: {error.hint}", "dim", error=True)

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Progress]:
        """A progress bar on standard error, only at a terminal and not with ``--json``."""
        from rich import progress  # noqa: PLC0415  # slow to import
        from rich.console import Console  # noqa: PLC0415

        console = Console(stderr=True)
        with progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=self.as_json or not console.is_terminal,
        ) as bar:
            bar.add_task(what, total=total)
            yield bar


def _print(text: str, style: str, *, error: bool) -> None:
    stream = sys.stderr if error else sys.stdout
    line = clean(text)
    if style and stream.isatty() and not environment("NO_COLOR"):
        line = typer.style(
            line, fg=None if style in ("bold", "dim") else style, bold=style == "bold", dim=style == "dim"
        )
    stream.write(line + "\n")
    stream.flush()
