"""What a remembered result is known by: everything that the search was asked."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from affidavit.ask.caches import _known_by
from affidavit.ports.index import Query

VECTOR = np.array([1, 0], np.float32)
OTHER: dict[str, Any] = {
    "text": "other words",
    "vector": np.array([0, 1], np.float32),
    "terms": {"leave": 2.0},
    "documents": frozenset({7}),
    "k1": 0.9,
    "b": 0.4,
}


def test_no_field_of_a_query_is_forgotten() -> None:
    asked = Query("words", VECTOR, {"leave": 1.0}, frozenset({1}))
    assert _known_by(asked) == _known_by(replace(asked, vector=VECTOR.copy(), terms={"leave": 1.0}))
    assert {f.name for f in fields(Query)} == set(OTHER), "say here what is another value of a new field"
    for name, value in OTHER.items():
        assert _known_by(replace(asked, **{name: value})) != _known_by(asked), name
        hash(_known_by(replace(asked, **{name: value})))
