"""A prompt's tokens by the model's own tokenizer file: the Hugging Face format, https://huggingface.co/docs/tokenizers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from affidavit.domain.errors import ModelError
from affidavit.ports.model import Message

AROUND = 8
"""Tokens that a chat template puts around one message: the templates in use have 3 to 7."""
_LARGEST = 64 * 2**20


class TokenizerFile:
    """A ``tokenizer.json`` at ``path``, read at the first count. Safe for threads."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._tokenizer: Any = None

    def count(self, messages: tuple[Message, ...]) -> int:
        """Raises ModelError (``request``) where the file cannot be used."""
        tokenizer = self._loaded()
        return sum(
            AROUND + len(tokenizer.encode(_unicode(m.content), add_special_tokens=False).ids)
            for m in messages
        )

    def _loaded(self) -> Any:
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = self._read()
            return self._tokenizer

    def _read(self) -> Any:
        from tokenizers import Tokenizer  # noqa: PLC0415 - most commands count nothing

        try:
            with self._path.open("rb") as file:
                data = file.read(_LARGEST + 1)
            tokenizer = Tokenizer.from_buffer(data if len(data) <= _LARGEST else b"")
        except Exception as error:
            raise ModelError(
                "request", f"the tokenizer {self._path} cannot be read", "name the model's tokenizer.json"
            ) from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer


def _unicode(text: str) -> str:
    """A lone surrogate is no Unicode, and the library wants Unicode."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
