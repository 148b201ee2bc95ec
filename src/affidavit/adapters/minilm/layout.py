"""What the model's files are: names, digests, shapes, and where in the int8 file each array lies.

The graph generator and the installer both read this, so a graph can never disagree with the files it points into.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

MODEL = "all-MiniLM-L6-v2"
DIMENSIONS = 384
HEADS = 12
LAYERS = 6
INNER = 1536
LAYER_NORM_EPSILON = 1e-12
MAX_TOKENS = 256
"""The model was trained on 256 tokens at most, [CLS] and [SEP] included; what lies beyond is cut off."""

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
QUANTISED = "weights-int8.bin"

DIGESTS = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    QUANTISED: "0dd1976a83965dbe0b9117282afba5ad00e9dd16d154ef02d8d990e6c11bcb7f",
}
SIZES = {WEIGHTS: 90_868_376, TOKENIZER: 466_247, QUANTISED: 11_114_496}

LIMIT = 64
"""Quantised weights go from -LIMIT to LIMIT, 7 bits and not 8: processors without VNNI add pairs of products of an
unsigned and a signed byte in 16 bits, and 255 * 64 * 2 still fits. So the integer products are exact, the same, everywhere."""

_STREAM_OUTLIERS = (63, 99, 157, 223)
_INNER_OUTLIERS = ((329, 856), (251, 607), (218, 1004), (358, 750), (637, 1321), (1300, 1302))
"""Per layer, the inputs of its linear layers that are many times larger than all others (measured over varied texts; a
property of these weights). Left in, they would coarsen the one step size that all inputs of a text share, so these few
columns are multiplied in float32: the cosine to float32 rises from 0.990 to 0.998 for 5 % of the time."""

_ALIGNMENT = 64


@dataclass(frozen=True)
class Linear:
    """One quantised linear layer: ``parts`` are the float layers laid side by side in it; ``outliers`` are the inputs that
    are multiplied in float32 instead."""

    name: str
    parts: tuple[str, ...]
    inputs: int
    outputs: int
    outliers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One array in the int8 file.

    ``kind`` is ``weight`` (int8, shape (inputs, outputs), zero where the input is an outlier), ``scale`` or ``bias``
    (float32, one per output), ``keep`` (float32, one per input: 0 for an outlier, else 1), or ``side`` (float32, shape
    (outliers, outputs)). ``offset`` and ``size`` are in bytes.
    """

    linear: Linear
    kind: str
    shape: tuple[int, ...]
    offset: int
    size: int


def linears() -> Iterator[Linear]:
    """Every linear layer of the int8 graph; query, key and value are one."""
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        attention = tuple(f"{at}attention.self.{part}" for part in ("query", "key", "value"))
        yield Linear(f"{at}attention.self", attention, DIMENSIONS, 3 * DIMENSIONS, _STREAM_OUTLIERS)
        for name, inputs, outputs, outliers in (
            ("attention.output.dense", DIMENSIONS, DIMENSIONS, ()),
            ("intermediate.dense", DIMENSIONS, INNER, _STREAM_OUTLIERS),
            ("output.dense", INNER, DIMENSIONS, _INNER_OUTLIERS[layer]),
        ):
            yield Linear(at + name, (at + name,), inputs, outputs, outliers)


def entries() -> Iterator[Entry]:
    """The int8 file from its beginning: the arrays of each linear layer, each at a multiple of 64 bytes."""
    offset = 0
    for linear in linears():
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (linear.inputs, linear.outputs),
            "scale": (linear.outputs,),
            "bias": (linear.outputs,),
        }
        if linear.outliers:
            shapes |= {"keep": (linear.inputs,), "side": (len(linear.outliers), linear.outputs)}
        for kind, shape in shapes.items():
            size = math.prod(shape) * (1 if kind == "weight" else 4)
            yield Entry(linear, kind, shape, offset, size)
            offset += -(-size // _ALIGNMENT) * _ALIGNMENT
