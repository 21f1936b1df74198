"""Keyed tokens: search over sealed values without storing them.

Each kind (a name such as `identifier` or `family`) has a key of its own, so equal values of different kinds give
unrelated tokens. A full token of a surname gives every record to frequency analysis (`docs/security/leakage.md`),
so low-entropy values are truncated and the hits filtered after decryption.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from struct import Struct

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SIGNED, _UNSIGNED = Struct(">q8x").unpack, Struct(">Q8x").unpack
"""The first eight bytes of a digest."""
_KEPT_BUCKETS = 8_192
"""Most values of a kind fall into few."""


class BlindIndex:
    """Tokens under one 32-byte root key."""

    def __init__(self, root_key: bytes) -> None:
        self._root_key = root_key
        self._states: dict[str, hashlib.blake2b] = {}
        self.of_bucket = lru_cache(_KEPT_BUCKETS)(self._token_of_bucket)

    def token(self, kind: str, value: str) -> int:
        """A signed 64-bit token (PostgreSQL bigint) of `value`: for values that are near-unique by themselves.

        Text with lone surrogates, from a damaged message, still finds itself.
        """
        return _SIGNED(self.digest(kind, value.encode("utf-8", "surrogatepass")))[0]

    def truncated(self, kind: str, value: str, bits: int) -> int:
        """A signed 64-bit number that carries only `bits` (1 to 63) bits of `value`: many values share it."""
        return self.of_bucket(kind, self.bucket(kind, value, bits))

    def bucket(self, kind: str, value: str, bits: int) -> int:
        """The bits that a truncated token carries: of them alone `of_bucket` makes the token."""
        if not 1 <= bits <= 63:
            raise ValueError("a truncated token carries 1 to 63 bits")
        return _UNSIGNED(self.digest(kind, value.encode("utf-8", "surrogatepass")))[0] >> (64 - bits)

    def _token_of_bucket(self, kind: str, bucket: int) -> int:
        return self.token(kind + "#bucket", str(bucket))

    def digest(self, kind: str, data: bytes) -> bytes:
        """A 16-byte keyed digest of `data`: to recognise the same bytes again without keeping them."""
        state = (self._states.get(kind) or self._begun(kind)).copy()
        state.update(data)
        return state.digest()

    def _begun(self, kind: str) -> hashlib.blake2b:
        """The keyed start of a digest, computed once a kind."""
        key = HKDF(SHA256(), 32, None, b"healthsync blind index " + kind.encode()).derive(self._root_key)
        state = self._states[kind] = hashlib.blake2b(key=key, digest_size=16)
        return state
