"""Asking once more for an answer of the right form."""

from __future__ import annotations

from dataclasses import replace

from affidavit.ports.model import ChatRequest, Message

AGAIN = (
    "An answer to this was not of the form asked for. Answer again: one JSON object that fits the schema exactly, "
    "and nothing before or after it."
)
"""Words of ours alone. What the model said is not shown to it again: a document may have put it up to that."""


def once_more(request: ChatRequest) -> ChatRequest:
    """``request`` with ``AGAIN`` at its end; within the last message if that is the user's, since some models want turns."""
    *before, last = request.messages
    if last.role == "user":
        asked = (*before, replace(last, content=f"{last.content}\n\n{AGAIN}"))
    else:
        asked = (*before, last, Message("user", AGAIN))
    return replace(request, messages=asked)
