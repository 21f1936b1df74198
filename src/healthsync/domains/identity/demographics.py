"""What a FHIR Patient says of a person, normalised for comparison. A placeholder is a missing value.

Normalised names have no case, accent, blank, hyphen or apostrophe: "Holm-Iver", "Holm Iver" and "HOLM'IVER" are one.
Every value that the resource holds counts, old names and numbers too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any, TypeGuard

from healthsync.domains.identity.model import Address, Demographics, PatientIdentifier
from healthsync.domains.identity.values import (
    email_of,
    family_parts,
    is_doe,
    is_nobody,
    name_words,
    normalised_name,
    phone_of,
    place_of,
    postal_code_of,
    real_family,
    real_first_name,
    real_ssn,
    split_street,
    without_generation,
)
from healthsync.standards.normalise import GENERATIONS

OLDEST_YEARS = 120
SSN_SYSTEMS = frozenset({"http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1"})
SHARED_TYPES = frozenset({"AN", "ANC", "AND", "ANT", "VN", "SN", "PLAC", "FILL"})
"""v2 table 0203 types that name an account, visit, order or subscription, not one person."""

INSURANCE_TYPES = frozenset({"MB", "MC", "MCR", "MA", "HC", "JHN", "PHC", "PHE", "PHO"})

PLACEHOLDER_DATES = frozenset({date(1900, 1, 1), date(1901, 1, 1), date(1800, 1, 1), date(1753, 1, 1)})


def demographics_of(patient: Mapping[str, Any], *, today: date | None = None, source: str = "") -> Demographics:
    """What `patient` (a FHIR R4 Patient) says of a person, by `source` ("": nobody in particular).

    With `today`, birth dates in the future and of people older than 120 years are missing too.
    """
    names = [parts for name in _objects(patient.get("name")) if (parts := _name(name))]
    ssns, identifiers = numbers_of(patient)
    birth_date = _birth_date(patient.get("birthDate"), today)
    return Demographics(
        identifiers=identifiers,
        ssns=ssns,
        names=frozenset((family, first) for family, first, _ in names if family and first),
        families=frozenset(family for family, _, _ in names if family),
        first_names=frozenset(first for _, first, _ in names if first),
        generations=frozenset(generation for _, _, generation in names if generation),
        birth_dates=frozenset({birth_date} if birth_date else ()),
        sexes=frozenset({patient["gender"]} if patient.get("gender") in {"male", "female", "other"} else ()),
        births=frozenset(_births(patient)),
        middles=frozenset(_middles(patient)),
        family_words=frozenset(_family_words(patient)),
        addresses=frozenset(_addresses(patient)),
        phones=frozenset(filter(None, map(phone_of, _telecoms(patient, "phone", "sms")))),
        emails=frozenset(filter(None, map(email_of, _telecoms(patient, "email")))),
        subscribers=frozenset(_subscribers(_objects(patient.get("identifier")))),
        sources=frozenset({source} if source else ()),
    )


def numbers_of(patient: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[PatientIdentifier]]:
    """The social security numbers of a Patient, and the other numbers that name one person."""
    identifiers = list(_objects(patient.get("identifier")))
    ssns = frozenset(ssn for identifier in identifiers if is_ssn(identifier) and (ssn := _ssn(identifier)))
    return ssns, frozenset(personal_identifiers(identifiers))


def personal_identifiers(identifiers: Iterable[Mapping[str, Any]]) -> Iterator[PatientIdentifier]:
    """The numbers that name one person of one authority, in order: no SSN (which has rules of its own), no accounts."""
    for identifier in _objects(identifiers):
        type_ = _type(identifier)
        value = _squeezed(identifier.get("value"))
        if value and not is_ssn(identifier) and type_ not in SHARED_TYPES and not is_nobody(re.sub(r"\W", "", value)):
            yield PatientIdentifier(_authority(identifier), type_, value)


def _subscribers(identifiers: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for identifier in identifiers:
        if _type(identifier) == "SN" and (value := _squeezed(identifier.get("value"))):
            yield f"{_authority(identifier)}\x1f{value}"


def is_insurance(identifier: PatientIdentifier) -> bool:
    """Whether an insurer gave the number to one person: member, Medicare, Medicaid, health card (v2 table 0203)."""
    return bool(identifier.authority) and identifier.type in INSURANCE_TYPES


def member_number(identifier: PatientIdentifier) -> str:
    """An insurer's number with who gave it, as text to make a token of."""
    return f"{identifier.authority}\x1f{identifier.value}"


def is_ssn(identifier: Mapping[str, Any]) -> bool:
    """Whether the identifier is a US social security number, by system or by v2 type SS."""
    return _type(identifier) == "SS" or identifier.get("system") in SSN_SYSTEMS


def _objects(values: object) -> Iterator[Mapping[str, Any]]:
    if values is None or not isinstance(values, (list, Iterable)):  # the last look is slow
        return iter(())
    return (value for value in values if isinstance(value, dict))


def _squeezed(text: object) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split()) if isinstance(text, str) else ""


def _type(identifier: Mapping[str, Any]) -> str:
    kind = identifier.get("type")
    codings = _objects(kind.get("coding")) if isinstance(kind, dict) else iter(())
    return next((coding["code"].upper() for coding in codings if isinstance(coding.get("code"), str)), "")


def _authority(identifier: Mapping[str, Any]) -> str:
    """The assigning authority: the system, else the assigner; "" when neither is known."""
    assigner = identifier.get("assigner")
    named = (assigner.get("reference") or assigner.get("display")) if isinstance(assigner, dict) else None
    return _squeezed(identifier.get("system") or named)


def _name(name: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """(family, first name, generation) of a HumanName, each "" when missing; None when it says nothing."""
    family_text, generation = without_generation(name.get("family"))
    suffixes = name.get("suffix")
    for suffix in suffixes if isinstance(suffixes, list) else ():
        generation = GENERATIONS.get(normalised_name(suffix), generation)
    given = name.get("given")
    first_text = given[0] if isinstance(given, list) and given else None
    if is_doe(normalised_name(family_text), normalised_name(first_text)):
        return None
    family, first = real_family(family_text), real_first_name(first_text)
    return (family, first, generation) if family or first or generation else None


def _ssn(identifier: Mapping[str, Any]) -> str | None:
    return real_ssn(str(identifier.get("value", "")))


def _birth_date(text: object, today: date | None) -> date | None:
    """A full date; a year or month alone is no evidence."""
    try:
        born = date.fromisoformat(text) if isinstance(text, str) and len(text) == 10 else None
    except ValueError:
        return None
    if born is None or born in PLACEHOLDER_DATES:
        return None
    if today and (born > today + timedelta(days=1) or today.year - born.year > OLDEST_YEARS):
        return None
    return born


def _births(patient: Mapping[str, Any]) -> Iterator[str]:
    """`multiple` for one of twins and more, and the order among them when it is told."""
    order = patient.get("multipleBirthInteger")
    if patient.get("multipleBirthBoolean") is True or order is not None:
        yield "multiple"
    if order is not None:
        yield f"order-{order}"


def _middles(patient: Mapping[str, Any]) -> Iterator[str]:
    """What stands behind the first name, words in order of the alphabet."""
    for name in _objects(patient.get("name")):
        given = name.get("given")
        words = name_words(" ".join(filter(_is_text, given[1:]))) if isinstance(given, list) else []
        if words:
            yield " ".join(sorted(words))


def _family_words(patient: Mapping[str, Any]) -> Iterator[str]:
    """The words of family names of several."""
    for name in _objects(patient.get("name")):
        if _is_text(family := name.get("family")):
            yield from family_parts(family).split()


def _addresses(patient: Mapping[str, Any]) -> Iterator[Address]:
    for address in _objects(patient.get("address")):
        lines = address.get("line")
        lines = list(filter(_is_text, lines)) if isinstance(lines, list) else []
        house, street = split_street(lines[0]) if lines else ("", "")
        city, state, postal_code = (
            rule(text) if _is_text(text := address.get(name)) else ""
            for name, rule in (("city", place_of), ("state", place_of), ("postalCode", postal_code_of))
        )
        found = Address(house if street else "", street, place_of(" ".join(lines[1:])), city, state, postal_code)
        if any(found):
            yield found


def _telecoms(patient: Mapping[str, Any], *systems: str) -> Iterator[str]:
    for telecom in _objects(patient.get("telecom")):
        if telecom.get("system") in systems and _is_text(value := telecom.get("value")):
            yield value


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)
