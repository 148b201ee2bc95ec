"""Proofs against RFC 9162's definitions, certificate-transparency's published vectors, and pymerkle as an independent oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, verify_consistency, verify_inclusion
from pymerkle.proof import InvalidProof
from tests.events.test_merkle import INPUTS, ROOTS, reference

import affidavit
from affidavit.domain.errors import LogDamagedError, UsageError
from affidavit.domain.events import Event, EventKind
from affidavit.events.log import TILE_LEVELS, Transaction
from affidavit.events.merkle import EMPTY_ROOT, Frontier, leaf_hash
from affidavit.events.note import Checkpoint
from affidavit.events.prove import Tree, extends, includes
from affidavit.store.database import Database

# (index from 0, size, proof) and (old size, new size, proof): certificate-transparency's test data for the trees of test_merkle
PATHS = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
GROWTH = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]


class Stored(Tree):
    """The tree as a log of these leaves stores it, without the log."""

    def __init__(self, leaves: list[bytes]) -> None:
        super().__init__(Database(Path("never-opened")))
        self._rows: dict[int, list[bytes]] = {0: leaves}
        frontier = Frontier()
        for leaf in leaves:
            frontier.append(leaf, self._completed)

    def _completed(self, level: int, number: int, hash: bytes) -> None:
        if level % TILE_LEVELS == 0:
            self._rows.setdefault(level, []).append(hash)

    def size(self) -> int:
        return len(self._rows[0])

    def row(self, level: int, start: int, stop: int) -> list[bytes]:
        found = self._rows.get(level, [])[start:stop]
        assert len(found) == stop - start, "asked for a node that is not there"
        return found


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(n.to_bytes(4, "big")) for n in range(count)]


def head(tree: Tree, size: int) -> Checkpoint:
    return Checkpoint("log", size, tree.root(size))


PUBLISHED = Stored([leaf_hash(bytes.fromhex(text)) for text in INPUTS])


def test_published_vectors() -> None:
    for size, root in enumerate(ROOTS, 1):
        assert PUBLISHED.root(size).hex() == root
    for position, size, path in PATHS:
        assert [h.hex() for h in PUBLISHED.inclusion(position, size)] == path
    for old, new, proof in GROWTH:
        assert [h.hex() for h in PUBLISHED.consistency(old, new)] == proof
    assert PUBLISHED.root(0) == EMPTY_ROOT


BIG = Stored(leaves(70_000))
"""Three levels of tiles, the right-most of each partial."""
ORACLE = InmemoryTree(algorithm="sha256")
for n in range(600):
    ORACLE.append_entry(n.to_bytes(4, "big"))


@given(st.data())
def test_agrees_with_pymerkle(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 600), "new")
    old = data.draw(st.integers(1, new), "old")
    at = data.draw(st.integers(0, new - 1), "at")
    root = BIG.root(new)
    assert root == ORACLE.get_root(new) == reference(leaves(new))
    proof = ORACLE.prove_inclusion(at + 1, new)
    assert proof.path[1:] == BIG.inclusion(at, new)
    verify_inclusion(leaves(new)[at], root, proof)
    growth = ORACLE.prove_consistency(old, new)
    verify_consistency(BIG.root(old), root, growth)
    with pytest.raises(InvalidProof):
        verify_consistency(BIG.root(old)[::-1], root, growth)
    assert extends(head(BIG, old), head(BIG, new), BIG.consistency(old, new))


@settings(max_examples=150)
@given(st.integers(1, 70_000), st.data())
def test_every_size_and_position_of_a_large_log(new: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, new - 1), "at")
    old = data.draw(st.integers(0, new), "old")
    leaf = BIG.row(0, at, at + 1)[0]
    path, growth = BIG.inclusion(at, new), BIG.consistency(old, new)
    assert includes(leaf, at, head(BIG, new), path)
    assert extends(head(BIG, old), head(BIG, new), growth)
    frontier = Frontier(old, BIG.frontier(old))
    assert frontier.root() == BIG.root(old)
    # and nothing else passes
    assert not includes(leaf[::-1], at, head(BIG, new), path)
    assert not includes(leaf, at, head(BIG, new), [*path, leaf])
    if new > 1:
        assert not includes(leaf, (at + 1) % new, head(BIG, new), path)
        assert not includes(leaf, at, head(BIG, new), path[:-1])
        assert not includes(leaf, at, Checkpoint("log", new, leaf), path)
    assert not extends(Checkpoint("log", old, leaf[::-1]), head(BIG, new), growth)
    assert not extends(head(BIG, old), Checkpoint("log", new, leaf[::-1]), growth) or old == 0
    assert not extends(head(BIG, old), head(BIG, new), [*growth, leaf])
    if growth:
        assert not extends(head(BIG, old), head(BIG, new), growth[:-1])
        assert (
            not extends(Checkpoint("log", old + 1, BIG.root(old)), head(BIG, new), growth) or old + 1 == new
        )


def test_what_was_never_reached_is_a_usage_error() -> None:
    calls: list[Callable[[], object]] = [
        lambda: PUBLISHED.inclusion(8, 8),
        lambda: PUBLISHED.inclusion(-1, 8),
        lambda: PUBLISHED.inclusion(0, 9),
        lambda: PUBLISHED.consistency(5, 4),
        lambda: PUBLISHED.consistency(0, 9),
        lambda: PUBLISHED.consistency(-1, 8),
        lambda: PUBLISHED.root(9),
    ]
    for call in calls:
        with pytest.raises(UsageError):
            call()
    assert not includes(b"", -1, Checkpoint("log", 1, b""), [])
    assert not extends(Checkpoint("log", 9, ROOTS[0].encode()), Checkpoint("log", 8, b""), [])


def test_a_workspaces_tree(workspace: affidavit.Workspace) -> None:
    def fill(tx: Transaction) -> None:
        for n in range(700):
            tx.append(Event(EventKind.TENANT_CREATED, facts={"subject": n}))

    workspace.parts.log.write(fill)
    database = workspace.parts.database
    tree = Tree(database)
    with database.read():
        size = tree.size()
        stored = database.value("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").splitlines()
        assert stored[1] == str(size)
        rows = [leaf for (leaf,) in database.all("SELECT leaf FROM events ORDER BY position")]
        assert tree.root(size) == reference(rows)
        for at in (0, 255, 256, size - 1):
            assert includes(rows[at], at, head(tree, size), tree.inclusion(at, size))
        assert extends(head(tree, 300), head(tree, size), tree.consistency(300, size))
    database.run("DELETE FROM events WHERE position = 600")
    with database.read(), pytest.raises(LogDamagedError, match="gaps"):
        Tree(database).inclusion(599, size)
