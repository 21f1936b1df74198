"""The tree of RFC 9162, with pymerkle (an implementation by other hands) as oracle."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, verify_consistency, verify_inclusion

from healthsync.domains.audit import merkle

sizes = st.integers(1, 70)


def leaves(size: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % number) for number in range(size)]


def grown(hashes: list[bytes]) -> tuple[merkle.Frontier, dict[merkle.Address, bytes]]:
    frontier, full = merkle.Frontier(), {}
    for leaf in hashes:
        full.update(frontier.append(leaf))
    return frontier, full


def oracle(size: int) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for number in range(size):
        tree.append_entry(b"%d" % number)
    return tree


def test_an_empty_tree_has_the_hash_of_nothing_as_root():
    assert merkle.Frontier().root() == hashlib.sha256(b"").digest()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 255, 256, 257, 1000])
def test_the_root_is_the_one_that_another_implementation_computes(size: int):
    assert grown(leaves(size))[0].root() == oracle(size).get_root()


@given(sizes, st.data())
@settings(max_examples=60)
def test_inclusion_proofs_are_those_of_another_implementation_and_verify(size: int, data: st.DataObject):
    index = data.draw(st.integers(0, size - 1))
    frontier, full = grown(leaves(size))
    proof = merkle.prove(merkle.inclusion_ranges(index, size), full.__getitem__)
    theirs = oracle(size).prove_inclusion(index + 1)
    assert set(proof) == set(theirs.path) - {leaves(size)[index]}
    verify_inclusion(leaves(size)[index], frontier.root(), theirs)
    assert merkle.included(leaves(size)[index], index, size, proof, frontier.root())


@given(sizes, st.data())
@settings(max_examples=60)
def test_consistency_proofs_verify_against_the_roots_of_another_implementation(new: int, data: st.DataObject):
    old = data.draw(st.integers(1, new))
    tree = oracle(new)
    _, full = grown(leaves(new))
    proof = merkle.prove(merkle.consistency_ranges(old, new), full.__getitem__)
    assert merkle.consistent(old, tree.get_root(old), new, tree.get_root(new), proof)
    verify_consistency(tree.get_root(old), tree.get_root(new), tree.prove_consistency(old, new))


@given(sizes, st.data())
@settings(max_examples=100)
def test_a_changed_inclusion_proof_is_refused(size: int, data: st.DataObject):
    index = data.draw(st.integers(0, size - 1))
    frontier, full = grown(leaves(size))
    proof = merkle.prove(merkle.inclusion_ranges(index, size), full.__getitem__)
    wrong = data.draw(
        st.sampled_from(["leaf", "index", "size", "root", "longer", *(["shorter", "hash"] if proof else [])])
    )
    leaf, root = leaves(size)[index], frontier.root()
    other = merkle.leaf_hash(b"other")
    if wrong == "hash":
        place = data.draw(st.integers(0, len(proof) - 1))
        proof = proof[:place] + [other] + proof[place + 1 :]
    accepted = {
        "leaf": lambda: merkle.included(other, index, size, proof, root),
        "index": lambda: merkle.included(leaf, index + size, size, proof, root),
        "size": lambda: merkle.included(leaf, index, 2 * size + 1, proof, root),
        "root": lambda: merkle.included(leaf, index, size, proof, other),
        "longer": lambda: merkle.included(leaf, index, size, [*proof, other], root),
        "shorter": lambda: merkle.included(leaf, index, size, proof[:-1], root),
        "hash": lambda: merkle.included(leaf, index, size, proof, root),
    }[wrong]()
    assert not accepted


@given(st.integers(2, 70), st.data())
@settings(max_examples=100)
def test_a_history_that_was_rewritten_is_not_consistent(new: int, data: st.DataObject):
    old = data.draw(st.integers(1, new - 1))
    changed = data.draw(st.integers(0, old - 1))
    true, _ = grown(leaves(old))
    forged = leaves(new)
    forged[changed] = merkle.leaf_hash(b"forged")
    frontier, full = grown(forged)
    proof = merkle.prove(merkle.consistency_ranges(old, new), full.__getitem__)
    assert not merkle.consistent(old, true.root(), new, frontier.root(), proof)


@pytest.mark.parametrize(
    ("old", "new", "proof", "expected"),
    [
        (0, 3, [], True),
        (0, 3, [b"x" * 32], False),
        (3, 3, [], True),
        (3, 3, [b"x" * 32], False),
        (2, 3, [], False),
        (3, 2, [b"x" * 32], False),
        (2, 3, [b"x" * 32] * 9, False),
        (1, 3, [b"x" * 32], False),
    ],
)
def test_consistency_at_its_edges(old: int, new: int, proof: list[bytes], expected: bool):
    roots = [grown(leaves(size))[0].root() for size in range(4)]
    assert merkle.consistent(old, roots[old], new, roots[new], proof) is expected
