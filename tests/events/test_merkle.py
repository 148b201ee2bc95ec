"""The tree against RFC 9162's definition, known vectors, and pymerkle as an independent oracle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from affidavit.events.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash

# The inputs and roots of certificate-transparency's own test data (RFC 6962 / 9162 trees of 0 to 8 leaves).
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def reference(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(reference(leaves[:k]), reference(leaves[k:]))


def test_known_roots() -> None:
    frontier = Frontier()
    assert frontier.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for text, root in zip(INPUTS, ROOTS, strict=True):
        frontier.append(leaf_hash(bytes.fromhex(text)))
        assert frontier.root().hex() == root


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_agrees_with_the_definition_and_with_pymerkle(entries: list[bytes]) -> None:
    frontier, oracle = Frontier(), InmemoryTree(algorithm="sha256")
    seen: dict[tuple[int, int], bytes] = {}
    for entry in entries:
        frontier.append(leaf_hash(entry), lambda level, number, node: seen.__setitem__((level, number), node))
        oracle.append_entry(entry)
        frontier = Frontier.from_text(frontier.as_text())
    leaves = [leaf_hash(e) for e in entries]
    assert frontier.root() == reference(leaves)
    if entries:
        assert frontier.root() == oracle.get_root()
    for (level, number), hash in seen.items():
        assert hash == reference(leaves[number << level : (number + 1) << level])
    assert len(seen) == sum(len(entries) >> level for level in range(1, 8))
