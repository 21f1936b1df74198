"""How a value of each FHIR type is indexed for each type of search parameter (search.html, the table of types).

An emitter takes a value found at a path and adds to `IndexValues` what a search on that path can be answered from.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

import jellyfish
import msgspec

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import dates, references
from healthsync.standards.fhir.definitions import value_sets

Bound = Decimal | None

UCUM = "http://unitsofmeasure.org"
TRANSLATION = "http://hl7.org/fhir/StructureDefinition/iso21090-PQ-translation"


class IndexValues(msgspec.Struct):
    """What a resource is found under, by kind of parameter. The first member of each entry is a path.

    `strings` are normalised (`normalise`). A reference is `Type/id` or a URL, without version; a logical one
    (Reference.identifier) is a token under `path:identifier`. Dates are half-open intervals. Numbers and quantities are
    closed ranges, None where unbounded. The system of a token is None where the value has none. `translations` are
    the same quantities in UCUM units that stand beside them (iso21090-PQ-translation), for whoever asks for a unit.

    What only exact comparison needs is filled when `whole` is asked for: `exact` (strings as written), `texts` (display
    and text beside codes; where there is no code, always), `typed` (identifiers with the system and code of their
    type). `positions` are latitude and longitude, `local` the ids of contained resources that are referred to, `inline`
    the resources that stand where others have a reference (Bundle.composition).
    """

    whole: bool = False
    tokens: list[tuple[str, str | None, str]] = []
    strings: list[tuple[str, str]] = []
    dates: list[tuple[str, datetime, datetime]] = []
    references: list[tuple[str, str]] = []
    uris: list[tuple[str, str]] = []
    numbers: list[tuple[str, Bound, Bound]] = []
    quantities: list[tuple[str, Bound, Bound, str | None, str | None, str | None]] = []
    translations: list[tuple[str, Bound, Bound, str]] = []
    exact: list[tuple[str, str]] = []
    texts: list[tuple[str, str]] = []
    local: list[tuple[str, str]] = []
    inline: list[tuple[str, dict[str, Any]]] = []
    typed: list[tuple[str, str | None, str, str]] = []
    positions: list[tuple[str, Decimal, Decimal]] = []

    def deduplicate(self) -> None:
        """Keep each entry once, in the order of first appearance."""
        for kind in _KINDS:  # resources do not recur
            entries = getattr(self, kind)
            if len(entries) > 1:
                entries[:] = dict.fromkeys(entries)


_KINDS = tuple(name for name in IndexValues.__struct_fields__ if name not in ("whole", "inline"))

Emitter = Callable[[Any, str, IndexValues], None]


def emitter(parameter_type: str, fhir_type: str, codes: str | None) -> Emitter | None:
    """How a value of this FHIR type is indexed for this type of parameter; None where the standard gives no way."""
    if parameter_type == "token" and fhir_type == "code":
        return _code(codes)
    return _EMITTERS.get((parameter_type, fhir_type))


PARTS = {
    "Address": ("line", "city", "district", "state", "postalCode", "country", "text"),
    "HumanName": ("family", "given", "prefix", "suffix", "text"),
}
"""Each part of a name or an address is found on its own (search.html#string)."""


@lru_cache(8_192)
def normalise(text: str) -> str:
    """Text as string searches compare it: no case, no accents, single spaces (search.html#string)."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(text.casefold().split())


@lru_cache(8_192)
def sounds(text: str) -> frozenset[str]:
    """How the words of a name sound (Metaphone): what the `phonetic` parameters compare."""
    return frozenset(code for word in normalise(text).split() if (code := jellyfish.metaphone(word)))


def implied_system(codes: str | None) -> str | None:
    """The system of a `code` element, when its required binding draws on one system only (search.html#token)."""
    systems = value_sets().get(codes, {}) if codes else {}
    return next(iter(systems)) if len(systems) == 1 else None


@cache
def _code(codes: str | None) -> Emitter:
    system = implied_system(codes)

    def emit(value: str, path: str, values: IndexValues) -> None:
        values.tokens.append((path, system, value))

    return emit


def deceased(patient: dict[str, Any], path: str, values: IndexValues) -> None:
    """Patient.deceased: a date of death means true, nothing means false."""
    dead = "deceasedDateTime" in patient or patient.get("deceasedBoolean") is True
    values.tokens.append((path, None, "true" if dead else "false"))


def _text_token(value: str, path: str, values: IndexValues) -> None:
    values.tokens.append((path, None, value))


def _boolean(value: bool, path: str, values: IndexValues) -> None:
    values.tokens.append((path, None, "true" if value else "false"))


def _coding(value: dict[str, Any], path: str, values: IndexValues) -> None:
    code = value.get("code")
    if code is not None:
        values.tokens.append((path, value.get("system"), code))
    if (values.whole or code is None) and "display" in value:
        values.texts.append((path, value["display"]))


def _codeable_concept(value: dict[str, Any], path: str, values: IndexValues) -> None:
    for coding in value.get("coding", ()):
        _coding(coding, path, values)
    if "text" in value and (values.whole or "coding" not in value):
        values.texts.append((path, value["text"]))


def _identifier(value: dict[str, Any], path: str, values: IndexValues) -> None:
    number = value.get("value")
    if number is not None:
        values.tokens.append((path, value.get("system"), number))
    if values.whole and "type" in value:
        kind = value["type"]
        if "text" in kind:
            values.texts.append((path, kind["text"]))
        if number is not None:
            for coding in kind.get("coding", ()):
                if "code" in coding:
                    values.typed.append((path, coding.get("system"), coding["code"], number))


def _contact_point(value: dict[str, Any], path: str, values: IndexValues) -> None:
    if "value" in value:
        values.tokens.append((path, None, value["value"]))


def _string(value: str, path: str, values: IndexValues) -> None:
    normal = normalise(value)
    if normal:
        values.strings.append((path, normal))
        if values.whole:
            values.exact.append((path, value))


def sounding(value: str, path: str, values: IndexValues) -> None:
    """A string of a `phonetic` parameter: the sounds of its words."""
    values.strings.extend((path, sound) for sound in sounds(value))


def _date(value: str, path: str, values: IndexValues) -> None:
    try:
        low, high = dates.stored(value)
    except InvalidInput:
        return
    values.dates.append((path, low, high))


def _period(value: dict[str, Any], path: str, values: IndexValues) -> None:
    if "start" not in value and "end" not in value:
        return
    try:
        low, high = dates.period(value.get("start"), value.get("end"))
    except InvalidInput:
        return
    values.dates.append((path, low, high))


def _timing(value: dict[str, Any], path: str, values: IndexValues) -> None:
    """Only the outer limits of a Timing count (search.html#date)."""
    found = IndexValues()
    for event in value.get("event", ()):
        if event is not None:
            _date(event, "", found)
    _period(value.get("repeat", {}).get("boundsPeriod", {}), "", found)
    if found.dates:
        low, high = min(low for _, low, _ in found.dates), max(high for _, _, high in found.dates)
        values.dates.append((path, low, high))


def _reference(value: dict[str, Any], path: str, values: IndexValues) -> None:
    text = value.get("reference")
    if type(text) is str:
        if text.startswith("#"):
            values.local.append((path, text[1:]))
        else:
            values.references.append((path, references.parse(text).target))
    if "identifier" in value:
        _identifier(value["identifier"], f"{path}:identifier", values)


def _canonical(value: str, path: str, values: IndexValues) -> None:
    """Found with and without its version."""
    values.references.append((path, value))
    if "|" in value:
        values.references.append((path, value.partition("|")[0]))


def _resource(value: dict[str, Any], path: str, values: IndexValues) -> None:
    """A resource inside a Bundle is referred to by standing there (Bundle.composition, Bundle.message)."""
    values.inline.append((path, value))
    if "id" in value:
        values.references.append((path, f"{value['resourceType']}/{value['id']}"))


def _uri(value: str, path: str, values: IndexValues) -> None:
    values.uris.append((path, value))


def _versioned_uri(value: str, path: str, values: IndexValues) -> None:
    """A canonical under a parameter of the type uri, as `_profile` is: found with and without its version."""
    values.uris.append((path, value))
    if "|" in value:
        values.uris.append((path, value.partition("|")[0]))


def _number(value: int | Decimal, path: str, values: IndexValues) -> None:
    exact = Decimal(value)
    values.numbers.append((path, exact, exact))


def _number_range(value: dict[str, Any], path: str, values: IndexValues) -> None:
    values.numbers.append((path, _bound(value, "low"), _bound(value, "high")))


def _quantity(value: dict[str, Any], path: str, values: IndexValues) -> None:
    if "value" not in value:
        return
    unit = (value.get("system"), value.get("code"), value.get("unit"))
    values.quantities.append((path, *_compared(value), *unit))
    for extension in value.get("extension", ()):
        other = extension.get("valueQuantity") if extension.get("url") == TRANSLATION else None
        if other and "value" in other and "code" in other and other.get("system") == UCUM:
            values.translations.append((path, *_compared(other), other["code"]))


def _compared(quantity: dict[str, Any]) -> tuple[Bound, Bound]:
    """The range of a quantity: <5 has no lower end."""
    exact, comparator = Decimal(quantity["value"]), quantity.get("comparator", "")
    return None if comparator.startswith("<") else exact, None if comparator.startswith(">") else exact


def _range(value: dict[str, Any], path: str, values: IndexValues) -> None:
    side = value.get("low") or value.get("high") or {}
    unit = (side.get("system"), side.get("code"), side.get("unit"))
    values.quantities.append((path, _bound(value, "low"), _bound(value, "high"), *unit))


def _sampled(value: dict[str, Any], path: str, values: IndexValues) -> None:
    """Of sampled data only the limits that the device states are known without decoding."""
    if "lowerLimit" in value or "upperLimit" in value:
        origin = value.get("origin", {})
        unit = (origin.get("system"), origin.get("code"), origin.get("unit"))
        low, high = value.get("lowerLimit"), value.get("upperLimit")
        bounds = (None if low is None else Decimal(low), None if high is None else Decimal(high))
        values.quantities.append((path, *bounds, *unit))


def _money(value: dict[str, Any], path: str, values: IndexValues) -> None:
    if "value" in value:
        exact, currency = Decimal(value["value"]), value.get("currency")
        values.quantities.append((path, exact, exact, "urn:iso:std:iso:4217", currency, currency))


def _position(value: dict[str, Any], path: str, values: IndexValues) -> None:
    if "latitude" in value and "longitude" in value:
        values.positions.append((path, Decimal(value["latitude"]), Decimal(value["longitude"])))


def _bound(value: dict[str, Any], side: str) -> Decimal | None:
    number = value.get(side, {}).get("value")
    return None if number is None else Decimal(number)


_EMITTERS: dict[tuple[str, str], Emitter] = {
    ("token", "CodeableConcept"): _codeable_concept,
    ("token", "Coding"): _coding,
    ("token", "ContactPoint"): _contact_point,
    ("token", "Identifier"): _identifier,
    ("token", "boolean"): _boolean,
    ("token", "id"): _text_token,
    ("token", "string"): _text_token,
    ("token", "uri"): _text_token,
    ("string", "markdown"): _string,
    ("string", "string"): _string,
    ("date", "Period"): _period,
    ("date", "Timing"): _timing,
    ("date", "date"): _date,
    ("date", "dateTime"): _date,
    ("date", "instant"): _date,
    ("reference", "Reference"): _reference,
    ("reference", "Resource"): _resource,
    ("reference", "canonical"): _canonical,
    ("reference", "uri"): _canonical,
    ("uri", "canonical"): _versioned_uri,
    ("uri", "uri"): _uri,
    ("uri", "url"): _uri,
    ("number", "Range"): _number_range,
    ("number", "decimal"): _number,
    ("number", "integer"): _number,
    ("number", "positiveInt"): _number,
    ("number", "unsignedInt"): _number,
    ("quantity", "Age"): _quantity,
    ("quantity", "Duration"): _quantity,
    ("quantity", "Money"): _money,
    ("quantity", "Quantity"): _quantity,
    ("quantity", "Range"): _range,
    ("quantity", "SampledData"): _sampled,
    ("special", "BackboneElement"): _position,
}
