"""Token vectors of chunks. They lie among the embeddings, by text digest, under a name of their own for each embedder and format:
so what is embedded is embedded once, and what is erased takes them along.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from affidavit.store.catalog import Catalog

SETTING = "token_vectors"


class TokenVectors:
    """Where token vectors are, and since when. Call inside a transaction."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def since(self, space: str) -> int | None:
        """The position from which on every chunk that has a vector has token vectors in ``space`` too; None if there is none."""
        return self.all().get(space)

    def all(self) -> Mapping[str, int]:
        """``since`` of every space."""
        found: dict[str, int] = json.loads(self._catalog.setting(SETTING) or "{}")
        return found

    def settle(self, space: str, position: int) -> None:
        """From ``position`` on they are there: questions asked from then on are ranked by them, earlier ones never."""
        self._catalog.set_setting(SETTING, json.dumps({**self.all(), space: position}, sort_keys=True))

    def of(self, space: str, chunks: Sequence[int], head: int) -> dict[int, bytes]:
        """Packed token vectors of ``chunks``, for a question asked at ``head``; none where they came later."""
        since = self.since(space)
        return {} if since is None or head < since else self._catalog.vectors(space, chunks)
