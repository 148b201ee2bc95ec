"""Filterable metadata: distinct values once, filters answered per distinct value with the reference meaning."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from affidavit.adapters.embedded.arrays import I64, Bools
from affidavit.domain.filter import (
    And,
    AnyOf,
    Equals,
    Exists,
    Filter,
    Metadata,
    Not,
    Or,
    Range,
    Scalar,
    matches,
)

Column = dict[tuple[type, Scalar], list[int]]


def encode(metadata: Metadata) -> bytes:
    """What a filter can see of ``metadata``, as compact JSON: each field's scalar elements, fields sorted."""
    seen: dict[str, list[Scalar]] = {}
    for name in sorted(metadata):
        value = metadata[name]
        items = value if isinstance(value, (list, tuple)) else [value]
        scalars: list[Scalar] = [v for v in items if isinstance(v, (str, int, bool))]
        if scalars:
            seen[name] = scalars
    return json.dumps(seen, separators=(",", ":")).encode("ascii")


@dataclass(frozen=True, eq=False)
class MetadataTable:
    """Distinct metadata as one blob; entry i is ``blob[offsets[i]:offsets[i + 1]]``."""

    offsets: I64
    blob: NDArray[np.uint8]
    _columns: dict[str, Column] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, entries: Iterable[bytes]) -> MetadataTable:
        """The table of ``entries``, in order."""
        parts = list(entries)
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(p) for p in parts], out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(parts), np.uint8))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def entries(self) -> Iterable[bytes]:
        """Each distinct value, encoded."""
        data = self.blob.tobytes()
        bounds = self.offsets.tolist()
        return (data[a:b] for a, b in pairwise(bounds))

    def passing(self, filter: Filter) -> Bools:
        """Per entry whether it passes ``filter``: exactly ``domain.filter.matches``."""
        match filter:
            case And(parts):
                return self._all(parts)
            case Or(parts):
                return ~self._all([Not(p) for p in parts])
            case Not(part):
                return ~self.passing(part)
            case _:
                return self._leaf(filter)

    def _all(self, parts: Iterable[Filter]) -> Bools:
        out = np.ones(len(self), np.bool_)
        for part in parts:
            out &= self.passing(part)
        return out

    def _leaf(self, leaf: Equals | AnyOf | Range | Exists) -> Bools:
        column = self._column(leaf.field)
        out = np.zeros(len(self), np.bool_)
        match leaf:
            case Equals(_, value):
                out[column.get((type(value), value), [])] = True
            case AnyOf(_, values):
                for value in values:
                    out[column.get((type(value), value), [])] = True
            case _:
                for (_, value), entries in column.items():
                    if matches(leaf, {leaf.field: value}):
                        out[entries] = True
        return out

    def _column(self, name: str) -> Column:
        """The field's distinct values and who has them. All fields are read once, at the first filter."""
        if not self._columns:
            columns: dict[str, Column] = defaultdict(lambda: defaultdict(list))
            for i, entry in enumerate(self.entries()):
                for key, values in json.loads(entry).items():
                    for value in values:
                        columns[key][type(value), value].append(i)
            columns[""] = columns.get("", {})  # so that an empty table is not read again
            self._columns.update({key: dict(column) for key, column in columns.items()})
        return self._columns.get(name, {})
