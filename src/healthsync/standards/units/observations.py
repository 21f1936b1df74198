"""Observations with their canonical quantities: what was sent stays as it is, the canonical value stands beside it.

It is an extension of the quantity, `iso21090-PQ-translation`: "an alternative representation of the same physical
quantity expressed in a different unit". It is written only where it says something new: not where the quantity has the
canonical unit as a UCUM code already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from healthsync.standards import ucum
from healthsync.standards.fhir.index_values import TRANSLATION, UCUM
from healthsync.standards.units.conversion import agree, convert
from healthsync.standards.units.measurands import Measurand, measurand_of
from healthsync.standards.units.spelling import ucum_codes

LOINC = "http://loinc.org"

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Reading:
    """One quantity: what was found, without the value."""

    translation: Resource | None
    issues: tuple[str, ...] = ()


def canonical_quantities(observation: Resource) -> tuple[Resource, tuple[str, ...]]:
    """The Observation with canonical quantities of its value and components, and what is wrong with its units.

    The issues, none of which changes the value:

    unit-unknown          the text is no unit that is understood
    unit-missing          a number that needs a unit has none
    unit-does-not-fit     a unit in which this cannot be measured
    implausible-quantity  in the canonical unit, no value of a living person
    conversion-disagrees  a translation that the sender gave says another amount than the value
    """
    issues: dict[str, None] = {}
    result = _with_value(observation, _measurand(observation.get("code")), issues)
    components = observation.get("component")
    if components:
        made = [_with_value(part, _measurand(part.get("code")), issues) for part in components]
        if any(new is not old for new, old in zip(made, components, strict=True)):
            result = {**result, "component": made}
    return result, tuple(issues)


def canonical_quantity(quantity: Resource) -> tuple[Decimal, str] | None:
    """Value and UCUM code in which a stored quantity is compared with others; None when it has none."""
    for one in (*_translations(quantity), quantity):
        if one.get("system") == UCUM and "value" in one and one.get("code"):
            return Decimal(one["value"]), one["code"]
    return None


def _with_value(element: Resource, measurand: Measurand | None, issues: dict[str, None]) -> Resource:
    quantity = element.get("valueQuantity")
    if not isinstance(quantity, dict) or "value" not in quantity:
        return element
    reading = _read(quantity, measurand)
    issues.update(dict.fromkeys(reading.issues))
    if reading.translation is None:
        return element
    extensions = [*quantity.get("extension", ()), {"url": TRANSLATION, "valueQuantity": reading.translation}]
    return {**element, "valueQuantity": {"extension": extensions, **_without(quantity, "extension")}}


def _read(quantity: Resource, measurand: Measurand | None) -> _Reading:
    value = Decimal(quantity["value"])
    codes = _codes(quantity)
    if not codes:
        return _Reading(None, _without_unit(quantity, measurand))
    if measurand is None:
        decided = len(codes) == 1 and not _is_coded(quantity, codes[0])
        return _Reading(_quantity(quantity, value, codes[0]) if decided else None)
    converted = next((found for code in codes if (found := convert(value, code, measurand)) is not None), None)
    if converted is None:
        return _Reading(None, ("unit-does-not-fit",))
    issues = [] if measurand.is_plausible(converted.exact) else ["implausible-quantity"]
    sent = list(_translations(quantity))
    issues += ["conversion-disagrees"] * (not all(_agrees(one, value, codes[0], measurand) for one in sent))
    known = _is_coded(quantity, measurand.unit) or any(_is_coded(one, measurand.unit) for one in sent)
    return _Reading(None if known else _quantity(quantity, converted.value, measurand.unit), tuple(issues))


def _codes(quantity: Resource) -> tuple[str, ...]:
    """UCUM codes that the quantity may mean: the one it gives, else what its code or its text is understood as."""
    code, text = quantity.get("code"), quantity.get("unit")
    if quantity.get("system") == UCUM and code and ucum.is_valid(code):
        return (code, *(other for other in ucum_codes(code) if other != code))
    return next((found for written in (code, text) if written and (found := ucum_codes(written))), ())


def _without_unit(quantity: Resource, measurand: Measurand | None) -> tuple[str, ...]:
    if quantity.get("unit") or quantity.get("code"):
        return ("unit-unknown",)
    return () if measurand is None or measurand.unitless else ("unit-missing",)


def _quantity(sent: Resource, value: Decimal, code: str) -> Resource:
    """`code` as UCUM, with the comparator that was sent: <5 stays <5 in every unit."""
    comparator = {"comparator": sent["comparator"]} if "comparator" in sent else {}
    return {"value": value, **comparator, "unit": code, "system": UCUM, "code": code}


def _is_coded(quantity: Resource, code: str) -> bool:
    return quantity.get("system") == UCUM and quantity.get("code") == code


def _translations(quantity: Resource) -> Iterator[Resource]:
    for extension in quantity.get("extension", ()):
        if extension.get("url") == TRANSLATION and "value" in extension.get("valueQuantity", {}):
            yield extension["valueQuantity"]


def _agrees(translation: Resource, value: Decimal, code: str, measurand: Measurand) -> bool:
    codes = _codes(translation)
    return not codes or agree(value, code, Decimal(translation["value"]), codes[0], measurand) is not False


def _measurand(concept: Resource | None) -> Measurand | None:
    for coding in (concept or {}).get("coding", ()):
        if coding.get("system") == LOINC and (found := measurand_of(coding.get("code", ""))):
            return found
    return None


def _without(element: Resource, name: str) -> Resource:
    return {key: value for key, value in element.items() if key != name}
