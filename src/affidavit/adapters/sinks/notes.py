"""Signed notes in text, as far as a sink needs to know them: where one ends and the next begins."""

from __future__ import annotations

import json
import re
from email import message_from_bytes, policy
from itertools import pairwise
from typing import Any

LARGEST_FILE = 256 * 2**20
"""Bytes that are read of a file of checkpoints: more than a million of them."""


def notes_in(text: str) -> list[str]:
    """Every signed note in ``text``, in order: one checkpoint, or many that were appended one by one.

    A paragraph that is followed by a paragraph of signature lines is one; anything else is passed over. No signature is
    checked.
    """
    paragraphs = [p.strip("\n") for p in re.split(r"\n{2,}", text.replace("\r\n", "\n"))]
    return [
        f"{body}\n\n{below}\n"
        for body, below in pairwise(paragraphs)
        if body and not body.startswith("— ") and below.startswith("— ")
    ]


def notes_in_file(data: bytes) -> list[str]:
    """Every signed note in a file that somebody kept: plain text, JSON that holds notes as strings, or a saved message."""
    text = data.decode("utf-8", "replace")
    if text.lstrip().startswith(("{", "[")):
        try:
            return list(dict.fromkeys(_in_json(json.loads(text))))
        except (ValueError, RecursionError):
            return notes_in(text)
    found = notes_in(text)
    return found or _in_message(data)


def _in_json(value: Any) -> list[str]:
    if isinstance(value, str):
        return notes_in(value) if "\n— " in value else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [note for item in items for note in _in_json(item)]


def _in_message(data: bytes) -> list[str]:
    """Of a message whose attachments are encoded: what stands in its text parts."""
    parts = message_from_bytes(data, policy=policy.default).walk()
    texts = [part.get_payload(decode=True) for part in parts if part.get_content_maintype() == "text"]
    return [
        note for raw in texts if isinstance(raw, bytes) for note in notes_in(raw.decode("utf-8", "replace"))
    ]
