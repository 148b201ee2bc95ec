"""Text of others, so that a person sees what is in it: nothing in it is invisible, and nothing turns its direction around."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_PICTURES = 0x2400
_DELETE = 0x7F
_CODE = re.compile(r"`([^`\n]+)`")


def visible(text: str) -> str:
    """``text`` with a stand-in for each character that has no shape or gives orders: ␀ for a null byte, ⟨U+202E⟩ for an override.

    Joiners (U+200C, U+200D) stay: Persian and families are written with them. Tab and newline stay too.
    """
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(lambda match: _shape(ord(match.group())), text)


def _shape(code: int) -> str:
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\N{SYMBOL FOR DELETE}" if code == _DELETE else f"⟨U+{code:04X}⟩"


def shown(value: object) -> object:
    """What every expression of a template goes through before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def exact(value: str) -> Markup:
    """``value`` escaped and otherwise as it is: for what a form sends back, never for what a person reads."""
    return escape(value)


def said(text: str) -> Markup:
    """A message of ours: what stands in backticks is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(visible(text)))))  # noqa: S704  escaped here
