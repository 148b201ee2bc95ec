"""Lists: pages of them, and the word by which the next page is asked for."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from pydantic import Field

from affidavit.app.operations.operation import Asked
from affidavit.domain.errors import UsageError
from affidavit.domain.records import FOREVER

MOST = 200
T = TypeVar("T")


class Page(Asked):
    """Which page of a list."""

    limit: int = Field(20, ge=1, le=MOST, description="How many at most.")
    after: str = Field("", max_length=2000, description="The `next` of the page before.")


class Search(Page):
    """A page of what is called so."""

    prefix: str = Field("", max_length=1000, description="Only names that begin with this.")


def told(key: Any) -> str:
    """The cursor after ``key``: opaque to whoever gets it, and made only of what they were shown."""
    text = json.dumps(key, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(after: str, kind: type[T]) -> T | None:
    """The key that ``told`` was given; None for the first page. Raises UsageError."""
    if not after:
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
        json.dumps(key, ensure_ascii=False).encode()  # half of a surrogate pair is no text that we ever gave
    except (ValueError, RecursionError):
        key = None
    if type(key) is not kind or (isinstance(key, int) and not 0 <= key <= FOREVER):
        raise UsageError("`after` is not the `next` of a page", "leave it out to begin at the beginning")
    return key


def newest(found: Sequence[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page of ``found``, of which one more than ``limit`` was asked for: newest first, each with its ``position``."""
    page = list(found[:limit])
    return {"items": page, "next": told(page[-1]["position"]) if len(found) > limit else None}


def before(asked: Page) -> int:
    """The position below which a page that is newest first begins."""
    found = read(asked.after, int)
    return FOREVER if found is None else found


def paged(items: Iterable[T], asked: Page, key: Callable[[T], str]) -> tuple[list[T], str | None]:
    """The page ``asked`` for of ``items``, which are in ascending order of ``key``, and the cursor of the next."""
    last = read(asked.after, str)
    rest = iter(item for item in items if last is None or key(item) > last)
    page = [item for _, item in zip(range(asked.limit), rest, strict=False)]
    more = next(rest, None)
    return page, None if more is None else told(key(page[-1]))
