"""Nouns of alerts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from healthsync.errors import InvalidInput

_TYPE = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


def check_type(text: str) -> str:
    """The type of an alert. Raises InvalidInput when it is no code, since it is not sealed."""
    if not _TYPE.fullmatch(text):
        raise InvalidInput(
            "type is a code such as critical_lab: small letters, digits and _ . -", code="value", expression="type"
        )
    return text


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert before it is sealed. `once_key`: a repetition of the same is no second alert; kept as a keyed token."""

    type: str
    client_id: str
    content: bytes
    patients: tuple[str, ...] = ()
    message_sequence: int | None = None
    once_key: str | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it lies in store, unopened."""

    id: str
    type: str
    client_id: str
    raised_at: datetime
    patients: tuple[str, ...]
    message_sequence: int | None
    sealed: bytes
    key_version: int


class SealingKey(Protocol):
    """A data key."""

    @property
    def version(self) -> int: ...

    @property
    def key(self) -> bytes: ...
