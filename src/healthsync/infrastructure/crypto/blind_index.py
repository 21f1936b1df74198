"""Keyed tokens: search over sealed values without storing them.

Each kind (a name such as `identifier` or `family`) has a key of its own, so equal values of different kinds give
unrelated tokens. A full token of a surname gives every record to frequency analysis (`docs/security/leakage.md`),
so low-entropy values are truncated and the hits filtered after decryption.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEPT_BUCKETS = 8_192
"""Most values of a kind fall into few."""


class BlindIndex:
    """Tokens under one 32-byte root key."""

    def __init__(self, root_key: bytes) -> None:
        self._root_key = root_key
        self._states: dict[str, hashlib.blake2b] = {}
        self._bucket = lru_cache(_KEPT_BUCKETS)(self._token_of_bucket)

    def token(self, kind: str, value: str) -> int:
        """A signed 64-bit token (PostgreSQL bigint) of `value`: for values that are near-unique by themselves."""
        return int.from_bytes(self._digest(kind, _bytes(value))[:8], "big", signed=True)

    def truncated(self, kind: str, value: str, bits: int) -> int:
        """A signed 64-bit number that carries only `bits` (1 to 63) bits of `value`: many values share it."""
        if not 1 <= bits <= 63:
            raise ValueError("a truncated token carries 1 to 63 bits")
        bucket = int.from_bytes(self._digest(kind, _bytes(value))[:8], "big") >> (64 - bits)
        return self._bucket(kind, bucket)

    def _token_of_bucket(self, kind: str, bucket: int) -> int:
        return self.token(kind + "#bucket", str(bucket))

    def digest(self, kind: str, data: bytes) -> bytes:
        """A 16-byte keyed digest of `data`: to recognise the same bytes again without keeping them."""
        return self._digest(kind, data)

    def _digest(self, kind: str, data: bytes) -> bytes:
        state = self._states.get(kind)
        if state is None:
            key = HKDF(SHA256(), 32, None, b"healthsync blind index " + kind.encode()).derive(self._root_key)
            state = self._states[kind] = hashlib.blake2b(key=key, digest_size=16)
        state = state.copy()  # the keyed start is computed once a kind
        state.update(data)
        return state.digest()


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")  # text from a damaged message still finds itself
