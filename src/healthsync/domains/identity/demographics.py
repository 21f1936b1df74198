"""What a FHIR Patient says of a person, normalised for comparison. A placeholder is a missing value.

Normalised names have no case, accent, blank, hyphen or apostrophe: "Holm-Iver", "Holm Iver" and "HOLM'IVER" are one.
Every value that the resource holds counts, old names and numbers too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from healthsync.domains.identity.model import Demographics, PatientIdentifier
from healthsync.standards.normalise import GENERATIONS

OLDEST_YEARS = 120
SSN_SYSTEMS = frozenset({"http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1"})
SHARED_TYPES = frozenset({"AN", "ANC", "AND", "ANT", "VN", "SN", "PLAC", "FILL"})
"""v2 table 0203 types that name an account, visit, order or subscription, not one person."""

INSURANCE_TYPES = frozenset({"MB", "MC", "MCR", "MA", "HC", "JHN", "PHC", "PHE", "PHO"})

_LETTERS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})
_NOBODY = frozenset({
    "unk", "unknown", "unknownname", "unidentified", "unnamed", "none", "noname", "nofirstname", "nolastname", "null",
    "nil", "notgiven", "notknown", "notavailable", "missing", "refused", "declined", "anonymous", "anon", "fnu", "lnu",
    "test", "testing", "tester", "testpatient", "zztest", "zzztest", "patient", "trauma", "xx", "donotuse", "duplicate",
})  # fmt: skip
_NEWBORN_FAMILY = re.compile(r"(baby|newborn|infant)(boy|girl|male|female).*")
_NEWBORN = re.compile(
    r"(baby|newborn|infant)(boy|girl|male|female).*"  # Baby Girl Smith
    r"|(baby|newborn|infant|nb)[a-d1-4]?"
    r"|(bb|bg|nb)?(boy|girl|male|female)[1-4]?"
    r"|(twin|triplet)[a-d1-4]?"
    r"|girl.*"  # GirlMarie: nobody is called so, but Boyd and Boyce are names
    r"|.*s(boy|girl)"  # Judysgirl
)
_NEWBORN_OF = re.compile(r"(Boy|BOY|boy)([A-Z][a-z]|[ _-])")  # BoyMarie, BOY MARIE
_DOE = frozenset({"john", "jane", "jon", "johnny", "baby"})
_PLACEHOLDER_SSNS = frozenset({"123456789", "987654321", "078051120", "219099999", "111223333", "123121234"})
PLACEHOLDER_DATES = frozenset({date(1900, 1, 1), date(1901, 1, 1), date(1800, 1, 1), date(1753, 1, 1)})


def demographics_of(patient: Mapping[str, Any], *, today: date | None = None) -> Demographics:
    """What `patient` (a FHIR R4 Patient) says of a person.

    With `today`, birth dates in the future and of people older than 120 years are missing too.
    """
    names = [parts for name in _objects(patient.get("name")) if (parts := _name(name))]
    identifiers = list(_objects(patient.get("identifier")))
    birth_date = _birth_date(patient.get("birthDate"), today)
    return Demographics(
        identifiers=frozenset(personal_identifiers(identifiers)),
        ssns=frozenset(ssn for identifier in identifiers if is_ssn(identifier) and (ssn := _ssn(identifier))),
        names=frozenset((family, first) for family, first, _ in names if family and first),
        families=frozenset(family for family, _, _ in names if family),
        first_names=frozenset(first for _, first, _ in names if first),
        generations=frozenset(generation for _, _, generation in names if generation),
        birth_dates=frozenset({birth_date} if birth_date else ()),
        sexes=frozenset({patient["gender"]} if patient.get("gender") in {"male", "female", "other"} else ()),
        births=frozenset(_births(patient)),
    )


def personal_identifiers(identifiers: Iterable[Mapping[str, Any]]) -> Iterator[PatientIdentifier]:
    """The numbers that name one person of one authority, in order: no SSN (which has rules of its own), no accounts."""
    for identifier in _objects(identifiers):
        type_ = _type(identifier)
        value = _squeezed(identifier.get("value"))
        if value and not is_ssn(identifier) and type_ not in SHARED_TYPES and not is_nobody(re.sub(r"\W", "", value)):
            yield PatientIdentifier(_authority(identifier), type_, value)


def is_insurance(identifier: PatientIdentifier) -> bool:
    """Whether an insurer gave the number to one person: member, Medicare, Medicaid, health card (v2 table 0203)."""
    return bool(identifier.authority) and identifier.type in INSURANCE_TYPES


def member_number(identifier: PatientIdentifier) -> str:
    """An insurer's number with who gave it, as text to make a token of."""
    return f"{identifier.authority}\x1f{identifier.value}"


def normalised_name(text: object) -> str:
    """A name without case, accents, blanks and marks; "" when it is not text."""
    if not isinstance(text, str):
        return ""
    decomposed = unicodedata.normalize("NFKD", text.casefold()).translate(_LETTERS)
    return "".join(letter for letter in decomposed if letter.isalnum())


def is_ssn(identifier: Mapping[str, Any]) -> bool:
    """Whether the identifier is a US social security number, by system or by v2 type SS."""
    return _type(identifier) == "SS" or identifier.get("system") in SSN_SYSTEMS


def _objects(values: object) -> Iterator[Mapping[str, Any]]:
    return (value for value in values if isinstance(value, Mapping)) if isinstance(values, Iterable) else iter(())


def _squeezed(text: object) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split()) if isinstance(text, str) else ""


def _type(identifier: Mapping[str, Any]) -> str:
    kind = identifier.get("type")
    codings = _objects(kind.get("coding")) if isinstance(kind, Mapping) else iter(())
    return next((coding["code"].upper() for coding in codings if isinstance(coding.get("code"), str)), "")


def _authority(identifier: Mapping[str, Any]) -> str:
    """The assigning authority: the system, else the assigner; "" when neither is known."""
    assigner = identifier.get("assigner")
    named = (assigner.get("reference") or assigner.get("display")) if isinstance(assigner, Mapping) else None
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


def is_doe(family: str, first: str) -> bool:
    """Whether two normalised names are John or Jane Doe: nobody."""
    return family == "doe" and first in _DOE


def real_family(text: object) -> str:
    """A family name, normalised; "" for a placeholder (UNKNOWN, BabyBoy)."""
    family = normalised_name(text)
    return "" if is_nobody(family) or _NEWBORN_FAMILY.fullmatch(family) else family


def real_first_name(text: object) -> str:
    """A first name, normalised; "" for a placeholder (UNK, Baby Girl, GirlMarie)."""
    first = normalised_name(text)
    return "" if is_nobody(first) or _is_newborn(text, first) else first


def without_generation(family: object) -> tuple[str, str]:
    """("Smith", "2") of "Smith, Jr.": the name, and the generation or ""."""
    words = family.split() if isinstance(family, str) else []
    generation = GENERATIONS.get(normalised_name(words[-1]), "") if len(words) > 1 else ""
    return (" ".join(words[:-1]), generation) if generation else (" ".join(words), "")


def is_nobody(text: str) -> bool:
    """Whether a normalised name or number is a placeholder, or one letter over and over."""
    return text in _NOBODY or (len(text) > 2 and len(set(text)) == 1)


def _is_newborn(written: object, first: str) -> bool:
    return bool(_NEWBORN.fullmatch(first) or (isinstance(written, str) and _NEWBORN_OF.match(written)))


def _ssn(identifier: Mapping[str, Any]) -> str | None:
    return real_ssn(str(identifier.get("value", "")))


def real_ssn(text: str) -> str | None:
    """Nine digits, or None for what the Social Security Administration never gave to one person (POMS RM 10201)."""
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"[0-9]{9}", digits) or len(set(digits)) == 1 or digits in _PLACEHOLDER_SSNS:
        return None
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return None if area in {"000", "666"} or area >= "900" or group == "00" or serial == "0000" else digits


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
