"""Consistency proofs against the published test data of certificate-transparency, the RFC's verifier, and a stored log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events.test_log import EVENT
from tests.events.test_merkle import INPUTS, ROOTS

import affidavit
from affidavit.domain.errors import LogDamagedError
from affidavit.events.consistency import LONGEST_PROOF, verify_consistency
from affidavit.events.history import roots
from affidavit.events.merkle import EMPTY_ROOT, Frontier, leaf_hash
from affidavit.events.prove import Tree
from affidavit.testing.signed_log import SignedLog, prove_consistency

LOG = SignedLog(300)
SIZES = st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted)

# certificate-transparency's own test data: (old, new, proof) over the trees of tests/events/test_merkle.py
KNOWN = [
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


@pytest.mark.parametrize(("old", "new", "proof"), KNOWN)
def test_known_proofs(old: int, new: int, proof: list[str]) -> None:
    def root(start: int, stop: int) -> bytes:
        frontier = Frontier()
        for text in INPUTS[start:stop]:
            frontier.append(leaf_hash(bytes.fromhex(text)))
        return frontier.root()

    made = prove_consistency(root, old, new)
    assert [node.hex() for node in made] == proof
    assert verify_consistency(old, bytes.fromhex(ROOTS[old - 1]), new, bytes.fromhex(ROOTS[new - 1]), made)


@given(SIZES)
def test_every_proof_verifies_and_is_short(sizes: list[int]) -> None:
    old, new = sizes
    proof = LOG.prove(old, new)
    assert len(proof) <= min(LONGEST_PROOF, 2 * new.bit_length())
    assert verify_consistency(old, LOG.root(0, old), new, LOG.root(0, new), proof)


@given(SIZES, st.data())
def test_no_other_proof_or_root_passes(sizes: list[int], data: Any) -> None:
    old, new = sizes
    proof = LOG.prove(old, new)
    fork = SignedLog(300, history="fork")
    if old:
        assert not verify_consistency(old, fork.root(0, old), new, LOG.root(0, new), proof)
        assert not verify_consistency(old, LOG.root(0, old), new, fork.root(0, new), proof)
    assert not verify_consistency(old, LOG.root(0, old), new, LOG.root(0, new), [*proof, b"x" * 32])
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not verify_consistency(
            old, LOG.root(0, old), new, LOG.root(0, new), proof[:at] + proof[at + 1 :]
        )
        flipped = [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]]
        assert not verify_consistency(old, LOG.root(0, old), new, LOG.root(0, new), flipped)


def test_a_log_cannot_shrink() -> None:
    with pytest.raises(ValueError, match="no proof"):
        LOG.prove(5, 4)
    assert not verify_consistency(5, LOG.root(0, 5), 4, LOG.root(0, 4), [])
    assert not verify_consistency(-1, EMPTY_ROOT, 4, LOG.root(0, 4), [])


def test_proofs_and_roots_of_a_stored_log(workspace: affidavit.Workspace) -> None:
    log, database = workspace.parts.log, workspace.parts.database
    log.write(lambda tx: [tx.append(EVENT) for _ in range(700)])
    reached = log.head() + 1
    sizes = [0, 1, 2, 255, 256, 257, 300, 512, 513, 700, reached]
    with database.read():
        found = dict(roots(database, [*sizes, reached + 1]))
        assert set(found) == set(sizes)
        assert found[0] == EMPTY_ROOT
        for old in sizes:
            for new in sizes:
                if old <= new:
                    proof = Tree(database).consistency(old, new)
                    assert verify_consistency(old, found[old], new, found[new], proof), (old, new)


def test_a_hole_in_the_stored_log_is_named_or_ends_it(workspace: affidavit.Workspace) -> None:
    log, database = workspace.parts.log, workspace.parts.database
    log.write(lambda tx: [tx.append(EVENT) for _ in range(20)])
    database.run("DELETE FROM events WHERE position = 9")
    with pytest.raises(LogDamagedError, match="gaps"):
        Tree(database).consistency(3, 20)
    assert [size for size, _ in roots(database, [3, 9, 15])] == [3, 9]
