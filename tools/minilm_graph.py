"""Writes the ONNX graphs that ship with affidavit.adapters.minilm.

The graphs hold no weights: their initialisers are external data that point into the model's own safetensors file and, for
int8, into the file the installer makes from it. Development only (needs the ``onnx`` package):

    python tools/minilm_graph.py FOLDER_WITH_THE_WEIGHTS src/affidavit/adapters/minilm

A graph takes one text's token ids, shape (tokens,), and gives its unit vector, shape (384,), and its unit token vectors,
shape (tokens, 384). One text at a time: there is no batch axis, no padding and so no attention mask, which is what makes a
text's vector independent of what is embedded beside it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from affidavit.adapters.minilm import layout, safetensors

_OPSET = 20
_IR_VERSION = 10
_FUSED = "com.microsoft"


class _Graph:
    """A graph under construction; every method adds to it and gives back the name of what it added."""

    def __init__(self, weights: Path) -> None:
        self._spans = safetensors.spans(weights)
        self._entries = {(e.linear.name, e.kind): e for e in layout.entries()}
        self._outliers = {linear.name: linear.outliers for linear in layout.linears()}
        self._initialisers: dict[str, Any] = {}
        self._nodes: list[Any] = []

    def op(self, kind: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any) -> str:
        name = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(
            helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes)
        )
        return name

    def constant(self, name: str, values: list[int]) -> str:
        self._initialisers[name] = numpy_helper.from_array(np.array(values, np.int64), name)
        return name

    def weight(self, name: str) -> str:
        """A float tensor of the safetensors file, by its own name."""
        span = self._spans[name]
        return self._external(name, TensorProto.FLOAT, span.shape, layout.WEIGHTS, span.offset, span.size)

    def quantised(self, linear: str, kind: str) -> str:
        """An array of the int8 file."""
        entry = self._entries[linear, kind]
        data_type = TensorProto.INT8 if kind == "weight" else TensorProto.FLOAT
        return self._external(
            f"int8.{linear}.{kind}", data_type, entry.shape, layout.QUANTISED, entry.offset, entry.size
        )

    def _external(
        self, name: str, data_type: int, shape: tuple[int, ...], file: str, offset: int, size: int
    ) -> str:
        tensor = TensorProto(name=name, data_type=data_type, data_location=TensorProto.EXTERNAL)
        tensor.dims.extend(shape)
        for key, value in (("location", file), ("offset", str(offset)), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
        self._initialisers[name] = tensor
        return name

    def norm(self, x: str, name: str) -> str:
        return self.op(
            "LayerNormalization",
            x,
            self.weight(f"{name}.weight"),
            self.weight(f"{name}.bias"),
            axis=-1,
            epsilon=layout.LAYER_NORM_EPSILON,
        )

    def model(self) -> bytes:
        graph = helper.make_graph(
            self._nodes,
            layout.MODEL,
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens"])],
            [
                helper.make_tensor_value_info("vector", TensorProto.FLOAT, [layout.DIMENSIONS]),
                helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["tokens", layout.DIMENSIONS]),
            ],
            list(self._initialisers.values()),
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        data: bytes = made.SerializeToString(deterministic=True)
        return data


class _Float(_Graph):
    """float32: plain matrix products on the official weights."""

    def linear(self, x: str, name: str) -> str:
        return self.op("Gemm", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), transB=1)

    def attention_inputs(self, x: str, at: str) -> list[str]:
        return [self.linear(x, f"{at}attention.self.{part}") for part in ("query", "key", "value")]


class _Int8(_Graph):
    """int8: activations quantised per text as they come, weights per output channel beforehand."""

    def linear(self, x: str, name: str) -> str:
        outliers = self._outliers[name]
        kept = self.op("Mul", x, self.quantised(name, "keep")) if outliers else x
        parts = [
            self.quantised(name, "weight"),
            self.quantised(name, "scale"),
            "",
            self.quantised(name, "bias"),
        ]
        product = self.op("DynamicQuantizeMatMul", kept, *parts, domain=_FUSED)
        if not outliers:
            return product
        side = self.op("Gather", x, self.constant(f"{name}.outliers", list(outliers)), axis=1)
        return self.op("Gemm", side, self.quantised(name, "side"), product)

    def attention_inputs(self, x: str, at: str) -> list[str]:
        joined = self.linear(x, f"{at}attention.self")
        outputs = [f"{at}{part}" for part in ("query", "key", "value")]
        self._nodes.append(
            helper.make_node("Split", [joined], outputs, name=joined + ".split", axis=1, num_outputs=3)
        )
        return outputs


def _embedded(graph: _Graph) -> str:
    """Word, position and segment vectors of ``ids``, added up and normalised."""
    zero, one = graph.constant("zero", [0]), graph.constant("one", [1])
    length = graph.op("Shape", "ids")
    words = graph.op("Gather", graph.weight("embeddings.word_embeddings.weight"), "ids")
    positions = graph.op("Slice", graph.weight("embeddings.position_embeddings.weight"), zero, length, zero)
    segment = graph.op("Slice", graph.weight("embeddings.token_type_embeddings.weight"), zero, one, zero)
    return graph.norm(graph.op("Add", graph.op("Add", words, segment), positions), "embeddings.LayerNorm")


def _attended(graph: _Float | _Int8, x: str, at: str) -> str:
    """What each token takes from the others in layer ``at``."""
    first = graph.constant("zero", [0])
    batched = [graph.op("Unsqueeze", part, first) for part in graph.attention_inputs(x, at)]
    mixed = graph.op("MultiHeadAttention", *batched, domain=_FUSED, num_heads=layout.HEADS)
    return graph.op("Squeeze", mixed, first)


def build(graph: _Float | _Int8) -> bytes:
    """The whole encoder, mean pooling over all tokens included."""
    x = _embedded(graph)
    for layer in range(layout.LAYERS):
        at = f"encoder.layer.{layer}."
        mixed = graph.linear(_attended(graph, x, at), f"{at}attention.output.dense")
        x = graph.norm(graph.op("Add", mixed, x), f"{at}attention.output.LayerNorm")
        inner = graph.op("Gelu", graph.linear(x, f"{at}intermediate.dense"), approximate="none")
        x = graph.norm(graph.op("Add", graph.linear(inner, f"{at}output.dense"), x), f"{at}output.LayerNorm")
    mean = graph.op("ReduceMean", x, graph.constant("zero", [0]), keepdims=0)
    graph.op("LpNormalization", mean, output="vector", axis=-1, p=2)
    graph.op("LpNormalization", x, output="tokens", axis=-1, p=2)
    return graph.model()


def main() -> None:
    weights, target = Path(sys.argv[1]) / layout.WEIGHTS, Path(sys.argv[2])
    for name, graph in (("float32", _Float(weights)), ("int8", _Int8(weights))):
        data = build(graph)
        (target / f"{name}.onnx").write_bytes(data)
        print(f"{name}.onnx: {len(data)} bytes")


if __name__ == "__main__":
    main()
