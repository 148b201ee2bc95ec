"""A model of the Llama Guard kind behind the chat port: it answers ``safe``, or ``unsafe`` and on the next line the
categories."""

from __future__ import annotations

import re
from collections.abc import Sequence

from affidavit.domain.errors import GuardError, ModelError
from affidavit.domain.guards import Finding, Stage
from affidavit.ports.guard import GuardInfo
from affidavit.ports.model import ChatModel, ChatRequest, Message

_ANSWER = re.compile(
    r"\s*(safe|unsafe)\s*(?:\n\s*((?:S\d{1,2}|[a-z][a-z0-9-]{0,31})(?:\s*,\s*(?:S\d{1,2}|[a-z][a-z0-9-]{0,31}))*))?\s*\Z"
)
_UNNAMED = "unsafe"


class ChatGuard:
    """Asks ``model``; its chat template holds the categories, so the text goes in alone: what a person said as a user's
    message, an
    answer as the assistant's after it (the form of Llama Guard 3 and 4). Anything but the two answers is an error."""

    def __init__(self, name: str, model: ChatModel, *, max_tokens: int = 32) -> None:
        self._name = name
        self._model = model
        self._max_tokens = max_tokens
        self._closed = False

    @property
    def info(self) -> GuardInfo:
        """As data."""
        model = self._model.info
        return GuardInfo(self._name, f"{model.provider}/{model.name}", model.local, places=False)

    def check(self, text: str, stage: Stage, timeout: float) -> Sequence[Finding]:
        """One finding for each category, about the whole text."""
        if self._closed:
            raise GuardError(f"guard {self._name} is closed", "open the workspace again")
        role = "assistant" if stage is Stage.ANSWER else "user"
        messages = (
            (Message("user", ""), Message(role, text)) if role == "assistant" else (Message(role, text),)
        )
        try:
            result = self._model.complete(ChatRequest(messages, self._max_tokens, timeout, temperature="0"))
        except ModelError as error:
            raise GuardError(f"guard {self._name}: {error.message}", error.hint) from error
        return parse(self._name, result.text)

    def close(self) -> None:
        """Close the model."""
        self._closed = True
        self._model.close()


def parse(name: str, answer: str) -> list[Finding]:
    """Findings in such a model's answer. Raises GuardError if it is neither ``safe`` nor ``unsafe``."""
    match = _ANSWER.match(answer)
    if match is None or (match.group(1) == "safe" and match.group(2)):
        raise GuardError(
            f"guard {name}: the model said neither safe nor unsafe",
            "use a model made for judging, with its own chat template",
        )
    if match.group(1) == "safe":
        return []
    kinds = [k.strip() for k in (match.group(2) or _UNNAMED).split(",")]
    return [Finding(name, kind, 0, 0, "the model says unsafe") for kind in dict.fromkeys(kinds)]
