"""The embedder that needs nothing but this machine: all-MiniLM-L6-v2 on onnxruntime.

Which bytes are stable. Every text is run alone, without padding, on one intra-op thread: on one machine with one onnxruntime
a text's vector is the same bytes whatever is embedded beside it, before it or at the same time. Another kind of processor or
another onnxruntime release may round the last bits of the float operations (softmax, Gelu, sums) otherwise; with int8 such a
bit can then tip a rounding, which moves a vector by about as much as quantising does.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from affidavit.adapters.minilm import layout, weights
from affidavit.domain.canonical import digest
from affidavit.domain.errors import EmbedderError
from affidavit.ports.embedder import EmbedderInfo, Reading

Made = TypeVar("Made")
Precision = Literal["int8", "float32"]

_SPECIALS = 2
_BEFORE = 32
"""Tokens that a further pass reads again, so that the first new ones do not stand without what comes before them."""
_WORDS = 50_000
_LONGEST_WORD = 40
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


class MiniLM:
    """all-MiniLM-L6-v2: 384 dimensions, 256 tokens, mean pooling. Made for English; other languages work less well.

    ``location`` is a folder that ``weights.install`` filled. ``threads`` is how many texts are embedded at once, 0 for
    one per processor. Nothing is loaded before the first text: until then a missing model goes unnoticed.
    """

    def __init__(self, location: Path, *, precision: Precision = "int8", threads: int = 1) -> None:
        if precision not in ("int8", "float32"):
            raise EmbedderError(f"there is no precision {precision!r}", "use int8 or float32")
        if threads < 0:
            raise EmbedderError(f"{threads} threads are not possible", "use 0 for one per processor, or more")
        self._location = location
        self._precision = precision
        self._threads = threads or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def __repr__(self) -> str:
        return f"MiniLM({str(self._location)!r}, precision={self._precision!r}, threads={self._threads})"

    @cached_property
    def info(self) -> EmbedderInfo:
        """Known without loading anything but the graph (26 kB)."""
        return EmbedderInfo(
            name=f"{layout.MODEL}-{self._precision}",
            fingerprint=digest(self._recipe()),
            dimensions=layout.DIMENSIONS,
            max_tokens=layout.MAX_TOKENS,
            deterministic=True,
            token_vectors=True,
        )

    def _recipe(self) -> dict[str, str | int]:
        """Everything a vector is a function of, besides the text."""
        recipe: dict[str, str | int] = {
            "model": layout.MODEL,
            "weights": layout.DIGESTS[layout.WEIGHTS],
            "tokenizer": layout.DIGESTS[layout.TOKENIZER],
            "graph": hashlib.sha256(_graph(self._precision)).hexdigest(),
            "precision": self._precision,
            "pooling": "mean, unit length",
            "truncation": layout.MAX_TOKENS,
        }
        if self._precision == "int8":
            recipe["quantised"] = layout.DIGESTS[layout.QUANTISED]
        return recipe

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors in order, shape (len(texts), 384). What lies beyond 256 tokens of a text is not read."""
        rows = self._each(texts, lambda text: self._model.run(text, "vector"))
        return np.stack(rows) if rows else np.zeros((0, layout.DIMENSIONS), np.float32)

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Per text its unit token vectors, shape (tokens, 384), without those of [CLS] and [SEP]."""
        return [rows[1:-1] for rows in self._each(texts, lambda text: self._model.run(text, "tokens"))]

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Per text its vector and all its token vectors. The pass that makes the vector gives those of the first 254 tokens; what
        lies beyond is read in further passes, each with the last few tokens of the one before."""
        return self._each(texts, self._read)

    def count(self, text: str) -> int:
        """Tokens of the whole ``text``, [CLS] and [SEP] included, nothing cut off."""
        # A word's tokens do not depend on its neighbours, and texts repeat words: about three times faster than encoding anew.
        # Split at these two characters only: other white space may be a control character, which joins its neighbours.
        words = text.replace("\n", " ").split(" ")
        return _SPECIALS + sum(map(self._model.word, words))

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """(start, end) in characters of each token of the whole ``text``, without [CLS] and [SEP].

        A piece of the text that begins and ends at white space has just the tokens that lie in it, so a chunker can count
        all its pieces with one call: tokens in the piece plus two.
        """
        offsets: list[tuple[int, int]] = _encode(self._model.whole, text).offsets
        return offsets[1:-1]

    @property
    def _model(self) -> _Loaded:
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = _load(self._location, self._precision)
        return self._loaded

    def _read(self, text: str) -> Reading:
        return self._model.read(text)

    def _each(self, texts: Sequence[str], run: Callable[[str], Made]) -> list[Made]:
        """What ``run`` makes of every text; several texts at a time, each alone on its thread."""
        workers = min(self._threads, len(texts))
        if workers < 2:
            return [run(text) for text in texts]
        # A pool per call costs 0.1 ms and leaves no threads behind that a fork would lose.
        with ThreadPoolExecutor(workers, "minilm") as pool:
            return list(pool.map(run, texts))


@dataclass(frozen=True)
class _Loaded:
    """The model in memory. ``cut`` truncates, ``whole`` does not: a tokenizer's settings are not per call. ``word`` gives the
    number of tokens of a text without white space."""

    session: Any
    cut: Any
    whole: Any
    word: Callable[[str], int]

    def run(self, text: str, output: str) -> NDArray[np.float32]:
        ids = np.array(_encode(self.cut, text).ids, np.int64)
        (result,) = self.session.run([output], {"ids": ids})
        found: NDArray[np.float32] = result
        return found

    def read(self, text: str) -> Reading:
        encoded = _encode(self.whole, text)
        first, *tokens, last = encoded.ids
        size = layout.MAX_TOKENS - _SPECIALS
        vector, rows, read = None, [], 0
        while vector is None or read < len(tokens):
            start = max(0, read - _BEFORE)
            ids = np.array([first, *tokens[start : start + size], last], np.int64)
            made, found = self.session.run(["vector", "tokens"], {"ids": ids})
            vector = made if vector is None else vector
            rows.append(found[1 + read - start : -1])
            read = start + size
        return Reading(vector, np.concatenate(rows), tuple(encoded.offsets[1:-1]))


def _encode(tokenizer: Any, text: str) -> Any:
    """One text at a time: the tokenizer's own batches start threads and warn after a fork.

    A lone surrogate, which is no Unicode text, counts as a character that could not be read. Offsets stay true.
    """
    return tokenizer.encode(text if text.isascii() else _SURROGATE.sub(_REPLACEMENT, text))


def _graph(precision: Precision) -> bytes:
    return resources.files(__package__).joinpath(f"{precision}.onnx").read_bytes()


def _load(location: Path, precision: Precision) -> _Loaded:
    weights.verify(location)
    # Heavy imports, 0.1 s together: most commands never embed anything.
    import onnxruntime  # noqa: PLC0415
    from onnxruntime.capi import onnxruntime_pybind11_state as faults  # noqa: PLC0415
    from tokenizers import Tokenizer  # noqa: PLC0415

    cut, whole = (Tokenizer.from_file(str(location / layout.TOKENIZER)) for _ in range(2))
    for tokenizer in (cut, whole):
        tokenizer.no_padding()  # the file says: cut at 128 tokens and pad to 128
        tokenizer.no_truncation()
    cut.enable_truncation(layout.MAX_TOKENS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # onnxruntime refuses weights behind a symbolic link, so it is given the real folder.
    folder = str(location.resolve())
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    try:
        session = onnxruntime.InferenceSession(_graph(precision), options, providers=["CPUExecutionProvider"])
    except (faults.Fail, faults.RuntimeException, faults.InvalidGraph, faults.NotImplemented) as error:
        raise EmbedderError(
            f"onnxruntime cannot load the model at {location}: {error}", "install it again"
        ) from error
    return _Loaded(session, cut, whole, _word_counter(whole))


def _word_counter(tokenizer: Any) -> Callable[[str], int]:
    """Counts the tokens of a word, remembering the short ones."""

    def tokens(word: str) -> int:
        return len(_encode(tokenizer, word).ids) - _SPECIALS

    remembered = lru_cache(_WORDS)(tokens)
    return lambda word: remembered(word) if len(word) <= _LONGEST_WORD else tokens(word)
