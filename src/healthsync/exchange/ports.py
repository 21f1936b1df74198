"""What flows need from outside, as shapes: adapters fit by having the methods, not by inheriting."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, runtime_checkable


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


class Answer(Protocol):
    """What a partner said of a message: code of table 0008, MSA-2, and its words (which may name a patient)."""

    @property
    def code(self) -> Any: ...
    @property
    def control_id(self) -> str: ...
    @property
    def text(self) -> str: ...


class MessageLink(Protocol):
    """The way to a destination."""

    async def ready(self) -> None:
        """Wait until the partner can be spoken to; at once where the hub calls it."""
        ...

    async def send(self, message: bytes) -> Answer:
        """Send one message. Raises Unavailable unless the partner answers this very message."""
        ...


class OpenLink(Protocol):
    """Opens the way to a destination (`domains.deliveries.Destination`), and closes it at the end of the block."""

    def __call__(self, destination: Any) -> AbstractAsyncContextManager[MessageLink]: ...
