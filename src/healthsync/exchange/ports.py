"""What flows need from outside, as shapes: adapters fit by having the methods, not by inheriting."""

from __future__ import annotations

from collections.abc import Sequence
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


class HookSender(Protocol):
    """Sends HTTP requests to receivers that a client named."""

    async def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, timeout_seconds: float
    ) -> int:
        """The HTTP status of the answer. Raises Unavailable when none comes, Refused for an address inside."""
        ...

    async def close(self) -> None:
        """Close the connections that are kept."""
        ...


class MailSender(Protocol):
    """Hands mail to a server."""

    async def send(
        self, recipient: str, subject: str, text: str, attachments: Sequence[tuple[str, bytes]], timeout_seconds: float
    ) -> None:
        """Send one mail; `attachments` are (MIME type, content). Raises Unavailable when it is not taken."""
        ...
