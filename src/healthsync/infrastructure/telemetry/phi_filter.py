"""Which keys a log line, a metric label or a span attribute may carry, and what their values may look like.

This is an allow-list to be read by a privacy officer: what is not named here is withheld. A shape cannot tell a
surname from a code word, so a key belongs here only when its values come from configuration, from the standards or
from our own counters, never from a message or a resource.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

WITHHELD = "[withheld]"

_CODE = re.compile(r"[a-z][a-z0-9]*(?:[-_.:/ ][a-z0-9]+)*|[A-Z]{2}|[A-Z][A-Z0-9]{2}(?:[_^][A-Z0-9]{3}){0,3}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]*")
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]*")
_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[0-9a-f][0-9a-f-]{15,63}")
_ADDRESS = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[?[0-9a-f:]*:[0-9a-f:.]*\]?|[a-z][a-z0-9.-]*)(?::\d{1,5})?")
_SPOT = re.compile(r"[a-z_/]+\.py:\d{1,5}")
_VERSION = re.compile(r"\d{1,3}(?:\.\d{1,4}){0,3}[a-z0-9.-]{0,10}")

_SHAPES: dict[str, tuple[re.Pattern[str], str]] = {
    "code words of ours and of the standards": (
        _CODE,
        """ack action charset code component direction event_name fault interaction job kind message_code method mode
        outcome owner parameter phase purpose_of_use query reason role route state structure surface trigger""",
    ),
    "names that an operator gave to things of the hub": (
        _NAME,
        """channel client connector consumer destination facility logger migration partner profile resource_type rule
        scope setting source task worker""",
    ),
    "classes of exceptions": (_CLASS, "error cause"),
    "references to what the hub numbers itself": (_REFERENCE, "reference subject resource"),
    "addresses of machines of partners and of ourselves": (_ADDRESS, "address host http mllp peer"),
    "places in our code": (_SPOT, "where"),
    "versions of software": (_VERSION, "postgresql python release"),
}
_NUMBERS = frozenset(
    """attempt attempts batch bytes bytes_seen count cpu_seconds depth dropped exit_code in_flight issues key_version
    lag limit milliseconds number offset oldest_seconds pending pid port position queue_depth refused removed rows
    seconds sequence size skipped status stored total transactions unmapped version waited_seconds workers""".split()  # noqa: SIM905
)
_SHAPE_OF = {key: shape for shape, keys in _SHAPES.values() for key in keys.split()}
ALLOWED_KEYS = frozenset(_SHAPE_OF) | _NUMBERS

# Words with capitals that the text of an event may hold; any other capital, and any long number, withholds the text.
_PROPER_WORDS = frozenset(
    """AA AE AR ACK API CA CE CR DICOM FHIR GET HL7 HMAC HTTP I/O JSON JWT KEK MLLP MSA MSH NAK NOTIFY PHI POST PUT SQL
    TCP TLS URL UTC WAL HealthSync OpenTelemetry PostgreSQL Prometheus""".split()  # noqa: SIM905
)
_EVENT_WORD = re.compile(r"[a-z0-9'(),;:./_-]+")
_TELLING = re.compile(
    r"\d{5,}|\d{3}[-. ]\d{2}[-. ]\d{4}|\d{3}[-. )]+\d{3,4}"  # numbers of persons and phones
    r"|\d{4}-\d{2}(?:-\d{2})?|\d{1,2}/\d{1,2}/\d{2,4}|\d{1,2}\.\d{1,2}\.\d{4}"  # dates
    # addresses, and pieces of HL7 v2 (but not a message type)
    r"|[^\s@]+@[^\s@]+|(?<!\S)(?![A-Z]{3}\^[A-Z]\d\d(?:\^[A-Z]{3}_[A-Z]\d\d)?(?!\S))\S*[|^~]\S*"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LONGEST_CODE, _LONGEST_TEXT = 80, 300


def permitted(key: str, value: Any) -> bool:
    """Whether `value` may stand under `key` in a log line, a label or an attribute."""
    if isinstance(value, (bool, int, float)):
        return key in _NUMBERS or (isinstance(value, bool) and key in _SHAPE_OF)
    shape = _SHAPE_OF.get(key)
    if shape is None or not isinstance(value, str) or len(value) > _LONGEST_CODE or not shape.fullmatch(value):
        return False
    return shape in (_REFERENCE, _ADDRESS) or not _TELLING.search(value)


def filtered(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values that may be shown, and the keys that were withheld (`?` for a key that is itself suspicious)."""
    shown = {key: value for key, value in values.items() if value is None or permitted(key, value)}
    hidden = sorted(key if re.fullmatch(r"[a-z_]{1,30}", key) else "?" for key in values if key not in shown)
    return shown, hidden


def event_text(text: Any) -> str:
    """The text of an event as it may be shown: our own lower-case sentence, or nothing of it."""
    words = text.split() if isinstance(text, str) and len(text) <= _LONGEST_TEXT else [""]
    plain = all(word.strip("(),;:.") in _PROPER_WORDS or _EVENT_WORD.fullmatch(word) for word in words)
    return text if words and plain and not _TELLING.search(text) else WITHHELD


def error_text(text: str) -> str:
    """The message of one of our own errors, with everything that looks like a date, a number of a person, an address
    or a piece of a message taken out: the second net under the rule that such messages carry no values."""
    return _TELLING.sub(WITHHELD, _CONTROL.sub(" ", text))[:_LONGEST_TEXT]
