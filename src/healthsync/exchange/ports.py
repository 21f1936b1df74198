"""What flows need from outside, as shapes: adapters fit by having the methods, not by inheriting."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class KeyProvider(Protocol):
    """Where the keys come from that protect all other keys: a file, an HSM, OpenBao, a cloud key service."""

    hub_id: str
    current_version: int

    def wrap(self, key: bytes) -> tuple[int, bytes]:
        """Wrap a 32-byte data key; returns the version of the wrapping key and the wrapped bytes."""
        ...

    def unwrap(self, version: int, wrapped: bytes) -> bytes:
        """Unwrap a data key. Raises ConfigurationError when the bytes were not wrapped by this provider."""
        ...

    def derive(self, purpose: str) -> bytes:
        """The 32-byte key of this hub for a fixed purpose, the same in every process."""
        ...
