"""The Merkle tree of RFC 9162 section 2.1, as ranges of leaves and the hashes of full subtrees.

The tree over leaves [low, high) splits at the largest power of two below its size, so every range that a root or a
proof needs is a row of *full subtrees* (their size is a power of two). A full subtree never changes once its leaves
are there; it has the address (level, index) and covers the leaves [index·2^level, (index+1)·2^level).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import reduce

EMPTY_ROOT = hashlib.sha256(b"").digest()

Address = tuple[int, int]
"""Level and index of a full subtree."""

Range = tuple[int, int]
"""First leaf and the one after the last."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf: HASH(0x00 || d), section 2.1.1."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: HASH(0x01 || left || right), section 2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The full subtrees that make up a tree of `size` leaves, largest first: all that appending needs."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self._hashes = list(hashes)

    def append(self, leaf: bytes) -> list[tuple[Address, bytes]]:
        """Add a leaf hash; returns the full subtrees that it completed, the leaf itself first."""
        completed = [((0, self.size), leaf)]
        level, index = 0, self.size
        while index & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            level, index = level + 1, index >> 1
            completed.append(((level, index), leaf))
        self._hashes.append(leaf)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Root of the tree, section 2.1.1."""
        return fold(self._hashes)


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root over full subtrees, largest first."""
    return reduce(lambda right, left: node_hash(left, right), reversed(hashes)) if hashes else EMPTY_ROOT


def root(hashes: Iterable[bytes]) -> bytes:
    """Root of the tree whose leaves have these hashes, section 2.1.1; also over equally high full subtrees."""
    frontier = Frontier()
    for hashed in hashes:
        frontier.append(hashed)
    return frontier.root()


def subtrees(leaves: Range) -> list[Address]:
    """The full subtrees that make up a range, largest first."""
    low, high = leaves
    addresses = []
    while low < high:
        level = (high - low).bit_length() - 1
        addresses.append((level, low >> level))
        low += 1 << level
    return addresses


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The ranges whose hashes prove that leaf `index` is in the tree of `size` leaves: PATH, section 2.1.3.1."""
    low, high, ranges = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """The ranges whose hashes prove that the tree of `new` leaves begins with that of `old`: PROOF, section 2.1.4.1."""
    if not 0 < old < new:
        return []
    low, high, ranges = 0, new, []
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    if low > 0:  # the old tree is no full subtree of the new one, so its last part must be told
        ranges.append((low, high))
    return ranges[::-1]


def prove(ranges: Iterable[Range], subtree: Callable[[Address], bytes]) -> list[bytes]:
    """The hashes of `ranges`, from those of full subtrees."""
    return [fold([subtree(address) for address in subtrees(leaves)]) for leaves in ranges]


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that `leaf` stands at `index` under `root`: section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    at, last, hashed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            hashed = node_hash(sibling, hashed)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            hashed = node_hash(hashed, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and hashed == root


def consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree under `new_root` begins with that under `old_root`: section 2.1.4.2."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if not proof or old > new:
        return False
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_hash = new_hash = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_hash, new_hash = node_hash(sibling, old_hash), node_hash(sibling, new_hash)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            new_hash = node_hash(new_hash, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old_hash == old_root and new_hash == new_root


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)
