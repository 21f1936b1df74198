"""Keyed tokens: search over sealed values without storing them.

Each kind (a name such as `identifier` or `family`) has a key of its own, so equal values of different kinds give
unrelated tokens. A full token of a surname gives every record to frequency analysis (`docs/security/leakage.md`),
so low-entropy values are truncated and the hits filtered after decryption.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class BlindIndex:
    """Tokens under one 32-byte root key."""

    def __init__(self, root_key: bytes) -> None:
        self._root_key = root_key
        self._states: dict[str, hashlib.blake2b] = {}  # type: ignore[valid-type]

    def _state(self, kind: str):  # noqa: ANN202
        state = self._states.get(kind)
        if state is None:
            key = HKDF(SHA256(), 32, None, b"healthsync blind index " + kind.encode()).derive(self._root_key)
            state = self._states[kind] = hashlib.blake2b(key=key, digest_size=16)
        return state.copy()

    def token(self, kind: str, value: str) -> int:
        """A signed 64-bit token (PostgreSQL bigint) of `value`: for values that are near-unique by themselves."""
        state = self._state(kind)
        state.update(value.encode("utf-8", "surrogatepass"))
        return int.from_bytes(state.digest()[:8], "big", signed=True)

    def truncated(self, kind: str, value: str, bits: int) -> int:
        """A signed 64-bit number that carries only `bits` bits of `value` (and all of `kind`): many values share it."""
        state = self._state(kind)
        state.update(value.encode("utf-8", "surrogatepass"))
        bucket = int.from_bytes(state.digest()[:8], "big") >> (64 - bits)
        return self.token(kind + "#bucket", str(bucket))

    def digest(self, kind: str, data: bytes) -> bytes:
        """A 16-byte keyed digest of `data`: to recognise the same bytes again without keeping them."""
        state = self._state(kind)
        state.update(data)
        return state.digest()
