"""Values of a program as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any

import msgspec

from healthsync.errors import InvalidInput

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(value: Any) -> bytes:
    """A value as JSON: times with their offset (a naive one is local time), dates, decimals with their digits, UUIDs,
    enums, dataclasses, sets; fields of a message as their text; bytes in base64.

    Raises InvalidInput for what JSON cannot say; the message names its class, not its value.
    """
    try:
        return _encoder.encode(_plain(value))
    except (TypeError, ValueError, RecursionError) as error:
        told = f"this cannot be written as JSON ({type(error).__name__})"
        raise InvalidInput(f"{told}; give dicts, lists, texts, numbers, times or dataclasses", code="value") from None


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value) if type(value) is not str else value
    if isinstance(value, datetime):
        return value.astimezone() if value.tzinfo is None else value
    if isinstance(value, Mapping):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | Set):
        return [_plain(each) for each in value]
    return value
