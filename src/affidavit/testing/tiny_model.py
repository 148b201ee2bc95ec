"""A real language model server for tests: llama.cpp's own (from the ``xllamacpp`` wheel) on a tiny model with random weights.

    with TinyServer(folder) as server:
        ...  # an OpenAI-compatible API below server.url

Its words are nonsense. Where a JSON Schema is asked for, llama.cpp's grammar makes its form valid, so that everything is real
and the outcome is known: right in form, wrong in content. The vocabulary is ASCII, since random bytes would not be UTF-8.
"""
# ruff: noqa: S603 - starts this very Python

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

MODEL = "tiny-random"
CONTEXT = 4096
_STARTS_WITHIN = 200.0
_LAYERS, _WIDTH, _HEADS, _KEY_HEADS, _INNER = 2, 64, 4, 2, 128
END = "<|im_end|>"
_SPECIAL = ("<|bos|>", "<|eos|>", "<|im_start|>", END, "<pad>")
_MERGES = ("t h", "Ġ t", "Ġ a", "i n", "e r", "o n")
_TEMPLATE = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + (m['content'] or '') + '<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """The sizes of a llama: how many ``layers``, numbers a token is (``width``), ``heads`` of attention, of those with keys of
    their own, and numbers within a layer (``inner``)."""

    layers: int
    width: int
    heads: int
    key_heads: int
    inner: int


def write_tiny_model(path: Path, seed: int = 0) -> Path:
    """A llama of two layers with random weights and a byte-level vocabulary of ASCII, as a GGUF file of 0.4 MB."""
    tokens, _ = vocabulary()
    shape = Shape(_LAYERS, _WIDTH, _HEADS, _KEY_HEADS, _INNER)
    return write_model(path, shape, tokens, _weights(len(tokens), seed))


def write_model(
    path: Path, shape: Shape, tokens: Mapping[str, int], weights: Mapping[str, Any], context: int = CONTEXT
) -> Path:
    """A llama with these ``weights`` as a GGUF file. ``tokens``: each with its kind, in the order of their numbers; those of
    ``vocabulary`` are among them."""
    import gguf  # noqa: PLC0415 - a test tool that an installation does not have

    numbers = {token: number for number, token in enumerate(tokens)}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(MODEL)
    writer.add_context_length(context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(tokens))
    writer.add_token_types(list(tokens.values()))
    writer.add_token_merges(list(_MERGES))
    writer.add_bos_token_id(numbers["<|bos|>"])
    writer.add_eos_token_id(numbers[END])
    writer.add_pad_token_id(numbers["<pad>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(_TEMPLATE)
    for name, tensor in weights.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def vocabulary() -> tuple[dict[str, int], Any]:
    """Tokens in GPT-2's spelling (a space is Ġ, a line feed Ċ) with their kinds, special ones last; and what kinds there are."""
    import gguf  # noqa: PLC0415 - a test tool that an installation does not have

    plain = ["Ċ", "Ġ", *(chr(code) for code in range(33, 127))]
    plain += [merge.replace(" ", "") for merge in _MERGES]
    kinds = gguf.TokenType
    return {**dict.fromkeys(plain, kinds.NORMAL), **dict.fromkeys(_SPECIAL, kinds.CONTROL)}, kinds


def _weights(vocabulary: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)

    def noise(*shape: int) -> Any:
        return (rng.standard_normal(shape) * 0.06).astype(np.float32)

    keys = _KEY_HEADS * _WIDTH // _HEADS
    ones = np.ones(_WIDTH, np.float32)
    weights = {
        "token_embd.weight": noise(vocabulary, _WIDTH),
        "output_norm.weight": ones,
        "output.weight": noise(vocabulary, _WIDTH),
    }
    for layer in range(_LAYERS):
        block = f"blk.{layer}."
        weights |= {
            block + "attn_norm.weight": ones,
            block + "ffn_norm.weight": ones,
            block + "attn_q.weight": noise(_WIDTH, _WIDTH),
            block + "attn_k.weight": noise(keys, _WIDTH),
            block + "attn_v.weight": noise(keys, _WIDTH),
            block + "attn_output.weight": noise(_WIDTH, _WIDTH),
            block + "ffn_gate.weight": noise(_INNER, _WIDTH),
            block + "ffn_up.weight": noise(_INNER, _WIDTH),
            block + "ffn_down.weight": noise(_WIDTH, _INNER),
        }
    return weights


class TinyServer:
    """Listens on loopback while it is entered, in a process of its own. ``model`` may name another GGUF file and
    ``adapter`` a LoRA for it; ``key`` is the API key it then asks for; ``slots`` answers are written at a time,
    ``context`` tokens at most with what was asked."""

    model = MODEL

    def __init__(
        self,
        folder: Path,
        model: Path | None = None,
        key: str = "",
        slots: int = 2,
        adapter: Path | None = None,
        context: int = CONTEXT,
    ) -> None:
        self._folder = folder
        self._file = model
        self._adapter = adapter
        self._context = context
        self._key = key
        self._slots = slots
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> TinyServer:
        file = self._file or write_tiny_model(self._folder / f"{MODEL}.gguf")
        with (self._folder / "llama.log").open("wb") as log:
            self._address.unlink(missing_ok=True)
            settings = (file, self._address, self._slots, self._context, self._key, self._adapter or "")
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, *map(str, settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._await()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _await(self) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                if self._address.exists():
                    where = self._address.read_text("ascii")
                    with urllib.request.urlopen(f"{where}/health", timeout=_STARTS_WITHIN):  # noqa: S310 - our own
                        self.url = f"{where}/v1"
                        return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass  # it has said where it will listen, and does not yet
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"llama.cpp's server did not start: {self._said()[-2000:]}")

    @property
    def _address(self) -> Path:
        """Where it listens: a file of its own, for llama.cpp writes its log from several threads at once."""
        return self._folder / "llama.address"

    def _said(self) -> str:
        return (self._folder / "llama.log").read_text("utf-8", "replace")


def _serve(file: str, address: str, slots: int, context: int, key: str, adapter: str) -> None:
    """The process that listens, where the system lets it, and says where; ends when it is killed."""
    import xllamacpp  # noqa: PLC0415 - a test tool that an installation does not have

    settings = xllamacpp.CommonParams()
    settings.model.path = file
    settings.n_ctx = context * slots
    settings.n_parallel = slots
    settings.cpuparams.n_threads = 1
    settings.cpuparams_batch.n_threads = 1
    settings.port = 0
    settings.warmup = False
    settings.model_alias = {MODEL}
    if key:
        settings.api_keys = [key]
    if adapter:
        lora = xllamacpp.CommonAdapterLoraInfo()
        lora.path, lora.scale = adapter, 1.0
        settings.lora_adapters = [lora]
    server = xllamacpp.Server(settings)
    Path(f"{address}.new").write_text(server.listening_address, "ascii")
    Path(f"{address}.new").rename(address)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
