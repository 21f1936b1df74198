"""FHIR JSON, read strictly and written faithfully (json.html).

Python's readers accept what must be refused: a property given twice (the last one silently wins), NUL (PostgreSQL
cannot store it), lone surrogates (they fail when written), NaN. And most of them turn 72.50 into 72.5, which in FHIR is
another statement about precision (datatypes.html#decimal).
"""

from __future__ import annotations

import codecs
import json as standard_json
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

from healthsync.errors import InvalidInput

DEEPEST = 64
"""Levels of nesting that are accepted."""

LONGEST_NUMBER = 100
LARGEST_EXPONENT = 1000
"""Bounds of a number's digits and of its power of ten: far beyond any measurement, within what PostgreSQL can hold."""


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    if len(text) > LONGEST_NUMBER or abs(number.adjusted()) > LARGEST_EXPONENT:
        raise InvalidInput(
            f"a number may have {LONGEST_NUMBER} digits and a power of ten of ±{LARGEST_EXPONENT}", code="value"
        )
    return number


_decoder = msgspec.json.Decoder(float_hook=_decimal)
_HOLDERS = frozenset({dict, list})
_encoder = msgspec.json.Encoder(decimal_format="number")


def parse(data: bytes) -> dict[str, Any]:
    """The one JSON object in `data`; numbers with a point or an exponent become `Decimal` with every digit.

    Raises InvalidInput (`structure`) for malformed JSON, an answer that is not an object, a repeated property or
    nesting deeper than `DEEPEST`; (`value`) for NUL or text that is not UTF-8.
    """
    value = _decode(data.removeprefix(codecs.BOM_UTF8))  # RFC 8259 §8.1: a reader may ignore it
    if type(value) is not dict:
        raise InvalidInput("the body must be one JSON object", code="structure")
    _check(value, data)
    return value


def read_stored(data: bytes) -> dict[str, Any]:
    """A resource that this hub wrote: read as `parse` reads it, without the checks that it passed when it came in."""
    return _decoder.decode(data)


def parse_array(data: bytes) -> list[Any]:
    """As `parse`, for the one JSON array that a JSON Patch is (RFC 6902 §3)."""
    value = _decode(data.removeprefix(codecs.BOM_UTF8))
    if type(value) is not list:
        raise InvalidInput("the body must be one JSON array", code="structure")
    _check(value, data)
    return value


def _check(value: dict[str, Any] | list[Any], data: bytes) -> None:
    if _count_properties(value) != _most_properties(data):
        _refuse_repeated_properties(data)
    if b"\\u0000" in data and b"\\u0000" in data.replace(b"\\\\", b""):
        raise InvalidInput("text may not contain the NUL character (\\u0000)", code="value")


def dump(value: Any) -> bytes:
    """Compact UTF-8 JSON; a `Decimal` is written as a number with its own digits.

    Raises InvalidInput (`value`) for a number or text that JSON cannot hold.
    """
    try:
        data = _encoder.encode(value)
    except UnicodeEncodeError:
        raise InvalidInput("text contains a lone surrogate", code="value") from None
    except RecursionError:
        raise InvalidInput(f"nesting is deeper than {DEEPEST} levels", code="structure") from None
    return data


def _decode(data: bytes) -> Any:
    try:
        return _decoder.decode(data)
    except UnicodeDecodeError:
        raise InvalidInput("the body is not UTF-8 text", code="value") from None
    except RecursionError:
        _too_deep()
    except msgspec.DecodeError as problem:
        raise InvalidInput(f"the body is not JSON: {_position_only(problem)}", code="structure") from None


def _position_only(problem: msgspec.DecodeError) -> str:
    """msgspec's words name positions and single characters, never a value of the document."""
    return str(problem).removeprefix("JSON is malformed: ")


def _count_properties(value: dict[str, Any] | list[Any]) -> int:
    """All properties in it, counted level by level."""
    count, depth, level = 0, 0, [value]
    while level:
        depth += 1
        if depth > DEEPEST:
            _too_deep()
        below: list[Any] = []
        for holder in level:
            if type(holder) is dict:
                count += len(holder)
                for child in holder.values():
                    if type(child) in _HOLDERS:
                        below.append(child)  # noqa: PERF401
            else:
                below += [child for child in holder if type(child) in _HOLDERS]
        level = below
    return count


def _most_properties(data: bytes) -> int:
    """An upper bound of the properties written in `data`; exact for compact JSON without `":` or ` :` inside text.

    Every property name ends in a quote and a colon, or in a quote, white space and a colon. Equal to the number of
    properties that were read, it proves that none was written twice; a larger bound proves nothing.
    """
    count = data.count(b'":') + data.count(b" :")
    for space in (b"\n", b"\t", b"\r"):
        if space in data:  # looking for one byte is ten times faster than counting two
            count += data.count(space + b":")
    return count


def _refuse_repeated_properties(data: bytes) -> None:
    standard_json.loads(data.removeprefix(codecs.BOM_UTF8), object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise InvalidInput("a property occurs twice in one object", code="structure")


def _too_deep() -> NoReturn:
    raise InvalidInput(f"nesting is deeper than {DEEPEST} levels", code="structure") from None
