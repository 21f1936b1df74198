"""Nouns of privacy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import msgspec

HUB_SCOPE = "hub"
"""The key scope of what belongs to no patient (organisations, practitioners, locations)."""


class SensitivityClass(StrEnum):
    """Elements of one class share one ciphertext and one key; who may not see a class need not hold its key."""

    IDENTITY = "identity"
    """Direct identifiers of a person: names, numbers, addresses, birth date."""

    NARRATIVE = "narrative"
    """Free text, which may say anything about anyone: narratives, notes, displays."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """The data key of a scope (`patient/<key>`, `messages/<source>`, `hub`)."""

    scope: str
    version: int
    key: bytes
    _subkeys: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    def subkey(self, name: str) -> bytes:
        """The 32-byte key for one class under this data key: holding it opens no other class."""
        subkey = self._subkeys.get(name)
        if subkey is None:
            subkey = self._subkeys[name] = hashlib.blake2b(name.encode(), key=self.key, digest_size=32).digest()
        return subkey


class SealedResource(msgspec.Struct, frozen=True):
    """A resource as it is stored: packed JSON text, and a ciphertext for each class that it has elements of."""

    packed: bytes
    identity: bytes | None
    narrative: bytes | None
    key_scope: str
    key_version: int


class Sealed(Protocol):
    """Anything of the shape of a `SealedResource`, such as a row of the repository."""

    @property
    def packed(self) -> bytes:
        """JSON text of what may be read, packed (`standards.fhir.packing`)."""
        ...

    @property
    def identity(self) -> bytes | None:
        """Sealed members of class identity."""
        ...

    @property
    def narrative(self) -> bytes | None:
        """Sealed members of class narrative."""
        ...
