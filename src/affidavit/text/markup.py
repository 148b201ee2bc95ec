"""Text of others' making, in pages that are written as files."""

from __future__ import annotations

from html import escape


def plain(value: object) -> str:
    """``value`` without markup, and without anything that changes the direction of what follows."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in str(value)))
