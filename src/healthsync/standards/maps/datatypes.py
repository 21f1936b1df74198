"""HL7 v2 data types as FHIR data types: one converter for each "Data Type Mapping" that the segment maps name.

A converter takes one repetition of a field and answers a FHIR value, or None when there is nothing to say. The
guide's data type tables are cited, not compiled: they use notations of their own (`[1-6].identifier[1].assigner`,
concatenations) that are clearer as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from healthsync.standards.hl7v2 import Repetition
from healthsync.standards.maps import numbers, times
from healthsync.standards.maps.codes import boolean, code, codeable_concept, coding, ethnicity, race, restricted
from healthsync.standards.maps.identifiers import (
    cx_identifier,
    driving_licence,
    ei_identifier,
    eip_identifier,
    identifier,
    licence,
    plain_identifier,
    ssn,
    visit_number,
)
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import (
    address,
    coded_organization,
    contact_point,
    discharge_location,
    human_name,
    interpreter,
    organization,
    practitioner,
)
from healthsync.standards.maps.periods import period
from healthsync.standards.maps.scribe import Scribe, clean, part
from healthsync.standards.maps.systems import code_system
from healthsync.standards.maps.tables import tables
from healthsync.standards.normalise import normalise_birth_date, normalise_date

Converter = Callable[[Repetition, Scribe], Any]


def date_time(rep: Repetition, scribe: Scribe) -> str | None:
    """DTM[dateTime], TS, DT."""
    return scribe.date_time(_as_exact_as_said(rep))


def _as_exact_as_said(rep: Repetition) -> str:
    """The time without what TS.2 (before v2.6, §2.A.77) says to be padding: `19480101^Y` is the year."""
    text, exact = rep.parts[1], rep.parts[2]
    return text[: _EXACT.get(exact)] if exact else text


_EXACT = {"Y": 4, "L": 6, "D": 8}
"""Year, month and day of TS.2: so many characters are meant."""


def date(rep: Repetition, scribe: Scribe) -> str | None:
    """The day of a DT or DTM. Nobody was born after tomorrow, which has begun in another time zone."""
    text = _as_exact_as_said(rep)
    shown, today = times.date_only(text), scribe.ctx.received_at.date()
    born = scribe.path in _BIRTH_DATES
    if shown is None and text:
        order = scribe.ctx.conventions.date_order
        normalise = normalise_birth_date if born else normalise_date
        return scribe.respelled(normalise(text, order=order, today=today))
    if shown and born and shown > (today + timedelta(days=1)).isoformat():
        scribe.issue("future-date")
        return None
    return shown


_BIRTH_DATES = frozenset({"PID-7", "NK1-16"})


def instant(rep: Repetition, scribe: Scribe) -> str | None:
    """DTM[instant]."""
    shown = scribe.date_time(part(rep, 1))
    if shown and "T" not in shown:
        scribe.issue("date-without-time")
        return None
    return shown


def positive_int(rep: Repetition, scribe: Scribe) -> int | None:
    """NM[positiveInt]."""
    number = numbers.positive_int(part(rep, 1))
    if number is None and part(rep, 1):
        scribe.issue("invalid-number")
    return number


def unsigned_int(rep: Repetition, scribe: Scribe) -> int | None:
    """NM[unsignedInt]."""
    number = numbers.unsigned_int(part(rep, 1))
    if number is None and part(rep, 1):
        scribe.issue("invalid-number")
    return number


def days(rep: Repetition, scribe: Scribe) -> Resource | None:
    """NM[Quantity-LengthOfStay]: days."""
    number = numbers.decimal(part(rep, 1))
    if number is None:
        if part(rep, 1):
            scribe.issue("invalid-number")
        return None
    return {"value": number, "unit": "days", "system": "http://unitsofmeasure.org", "code": "d"}


def quantity(rep: Repetition, scribe: Scribe) -> Resource | None:
    """CQ[Quantity]: number and unit in sub-components."""
    number = numbers.decimal(part(rep, 1))
    if number is None:
        if part(rep, 1):
            scribe.issue("invalid-number")
        return None
    return {"value": number, **unit(part(rep, 2), part(rep, 2, 9) or part(rep, 2, 2), part(rep, 2, 3), scribe.source)}


def plain_quantity(rep: Repetition, scribe: Scribe) -> Resource | None:
    """NM[Quantity]: a count without unit."""
    number = numbers.decimal(part(rep, 1))
    if number is None and part(rep, 1):
        scribe.issue("invalid-number")
    return None if number is None else {"value": number}


def per_day(rep: Repetition, scribe: Scribe) -> Resource | None:
    """CQ[Ratio-day]: so much in a day."""
    amount = quantity(rep, scribe)
    day = {"value": 1, "unit": "day", "system": "http://unitsofmeasure.org", "code": "d"}
    return {"numerator": amount, "denominator": day} if amount else None


def substituted(rep: Repetition, scribe: Scribe) -> bool | None:
    """ID[substituted] by table 0167: `N` and `0` are what was ordered, other codes say what was done instead."""
    sent = part(rep, 1).upper()
    return sent not in ("N", "0") if sent else None


def unit(code: str, text: str, system: str, source: str) -> Resource:
    """CWE[Quantity]: code and system only where the system was sent."""
    made: Resource = {}
    if text or code:
        made["unit"] = text or code
    if system == "MDC" and (ucum := tables().mdc_units.get(text) or tables().mdc_units.get(code)):
        made["system"] = "http://unitsofmeasure.org"
        made["code"] = ucum
    elif code and system:
        made["system"] = code_system(system, source)
        made["code"] = code
    return made


def string(rep: Repetition, _scribe: Scribe) -> str | None:
    """ST[string]: the whole text, separators of lower levels kept as text."""
    text = clean(rep.text).strip()
    return None if text == '""' else text or None


def first_component(rep: Repetition, _scribe: Scribe) -> str | None:
    return part(rep, 1) or None


def second_component(rep: Repetition, _scribe: Scribe) -> str | None:
    return part(rep, 2) or None


def text_concept(rep: Repetition, scribe: Scribe) -> Resource | None:
    """ST[CodeableConcept]."""
    text = string(rep, scribe)
    return {"text": text} if text else None


def text_of_first(rep: Repetition, _scribe: Scribe) -> Resource | None:
    """SPD[CodeableConcept]: the name of a specialty."""
    text = part(rep, 1)
    return {"text": text} if text else None


def coded_licence(rep: Repetition, scribe: Scribe) -> Resource | None:
    """CWE[Identifier-LN]: the number of a licence, its system by the name of the coding system."""
    number = part(rep, 1)
    return identifier(number, part(rep, 3), "", "LN", scribe) if number else None


def id_concept(rep: Repetition, scribe: Scribe, vocabulary: str) -> Resource | None:
    """ID[CodeableConcept]: a code of a v2 table."""
    return codeable_concept(rep, scribe, vocabulary)


def annotation(rep: Repetition, scribe: Scribe) -> Resource | None:
    """ST[Annotation]."""
    text = string(rep, scribe)
    return {"text": text} if text else None


_EUI_64 = "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680"
"""The system of IEEE EUI-64 device numbers (FHIR identifier registry)."""


def numbered(rep: Repetition, scribe: Scribe) -> Resource | None:
    """EI[Reference]: a logical Reference by identifier."""
    made = ei_identifier(rep, scribe)
    return {"identifier": made} if made else None


def device(rep: Repetition, scribe: Scribe) -> Resource | None:
    """EI[device]: a Reference to the Device of this number; an EUI-64 is the number itself, whoever writes it."""
    if (known := scribe.devices.get(rep.raw)) is not None:
        return known.reference
    if part(rep, 4).upper() in ("EUI-64", "EUI64") and (eui := part(rep, 3) or part(rep, 1)):
        made: Resource | None = {"system": _EUI_64, "value": eui}
    else:
        made = ei_identifier(rep, scribe)
    if made is None:
        return None
    draft = scribe.devices[rep.raw] = scribe.draft("Device", f"{made['system']}|{made['value']}")
    draft.resource.setdefault("identifier", [made])
    return draft.reference


def any_text(rep: Repetition, _scribe: Scribe) -> str | None:
    """CWE or ST as the text that a person reads: CWE.9, the display, else what was sent first."""
    return part(rep, 9) or part(rep, 2) or part(rep, 1) or None


def annotation_of_code(rep: Repetition, scribe: Scribe) -> Resource | None:
    """CWE[Annotation]: the field as a whole (guide), code and text; CWE.9 where it was sent."""
    text = part(rep, 9) or ", ".join(told for told in (part(rep, 1), part(rep, 2)) if told) or any_text(rep, scribe)
    return {"text": text} if text else None


def _specimen_source(component: int, vocabulary: str) -> Converter:
    """A coded component of SPS: CWE in its subcomponents (guide: SPS[Specimen-Source])."""
    return lambda rep, scribe: codeable_concept(rep.inside(component), scribe, vocabulary)


_PLAIN: dict[str, Converter] = {
    "CX[Identifier]": cx_identifier,
    "CX[Identifier-visit]": visit_number,
    "CX[string]": first_component,
    "CWE[text]": second_component,
    "EI[Identifier-Extension]": ei_identifier,
    "EIP[Identifier-Placer]": lambda rep, scribe: eip_identifier(rep, scribe, 1, "PGN"),
    "EIP[Identifier-Filler]": lambda rep, scribe: eip_identifier(rep, scribe, 2, "FGN"),
    "PLN[Identifier]": licence,
    "CWE[Identifier-LN]": coded_licence,
    "SPD[CodeableConcept]": text_of_first,
    "ST[SSN]": ssn,
    "DLN[Identifier]": driving_licence,
    "ST[Identifier]": plain_identifier,
    "XPN[HumanName]": human_name,
    "XPN[string]": first_component,
    "XAD[Address]": address,
    "XTN[ContactPoint]": contact_point,
    "XCN[Practitioner]": practitioner,
    "NDL[Practitioner]": interpreter,
    "XON[Organization]": organization,
    "XON[string]": first_component,
    "CWE[Organization]": coded_organization,
    "DLD[Location-Discharge]": discharge_location,
    "CWE[us-core-race]": race,
    "CWE[us-core-ethnicity]": ethnicity,
    "ID[restricted]": restricted,
    "DTM[dateTime]": date_time,
    "DTM[date]": date,
    "DTM[instant]": instant,
    "DR[Period]": period,
    "DR[dateTime]": date_time,
    "NM[positiveInt]": positive_int,
    "NM[unsignedInt]": unsigned_int,
    "CQ[Ratio-day]": per_day,
    "ID[substituted]": substituted,
    "ST[Identifier-PRN]": lambda rep, scribe: plain_identifier(rep, scribe, "PRN"),
    "NM[Quantity-LengthOfStay]": days,
    "NM[Quantity]": plain_quantity,
    "CQ[Quantity]": quantity,
    "ST[string]": string,
    "ST[CodeableConcept]": text_concept,
    "ST[Annotation]": annotation,
    "EI[Reference]": numbered,
    "EI[device]": device,
    "CWE[any text]": any_text,
    "CWE[Annotation]": annotation_of_code,
    "SPS[type]": _specimen_source(1, "SpecimenType"),
    "SPS[additive]": _specimen_source(2, "Additive/Preservative"),
    "SPS[note]": lambda rep, scribe: annotation_of_code(rep.inside(3), scribe),
    "SPS[site]": _specimen_source(4, "BodySite"),
    "SPS[method]": _specimen_source(6, "SpecimenCondition"),
}
_WITH_VOCABULARY: dict[str, Callable[..., Any]] = {
    "CWE[CodeableConcept]": codeable_concept,
    "CWE[CodeableConcept-only]": lambda rep, scribe, vocabulary: codeable_concept(rep, scribe, vocabulary, only=True),
    "CWE[Coding]": coding,
    "CWE[code]": code,
    "ID[CodeableConcept]": id_concept,
    "ID[boolean]": boolean,
}
RECURRING_CODES = frozenset(
    {
        "cwe[codeableconcept]", "cwe[codeableconcept-only]", "cwe[coding]", "cwe[code]", "cwe[us-core-race]",
        "cwe[us-core-ethnicity]", "id[codeableconcept]", "id[boolean]", "id[restricted]", "id[substituted]",
    }
)  # fmt: skip
RECURRING = RECURRING_CODES | {"dtm[datetime]", "dtm[instant]", "dr[datetime]", "st[string]", ""}
"""Converters (in small letters) that look at the text only, and whose texts recur: not those of persons' data. The row
without a converter is a time or a text by its element.
"""
OF_PERSONS = frozenset({"PID", "PD1", "NK1", "MRG", "GT1", "IN1", "IN2", "IN3"})
"""Segments whose texts and times are somebody's own: only their codes recur."""
_TYPED = re.compile(r"(CX|EI)\[Identifier-([A-Z]+)\]|ST\[component-(\d+)\]")
"""`CX[Identifier-MR]`: type of the identifier where none was sent; `ST[component-2]`: text of one component."""


def _typed(kind_of: str | None, kind: str, component: str) -> Converter:
    if kind_of is None:
        return lambda rep, _scribe: part(rep, int(component)) or None
    read = cx_identifier if kind_of == "CX" else ei_identifier
    return lambda rep, scribe: read(rep, scribe, kind)


_BY_NAME = {name.lower(): converter for name, converter in _PLAIN.items()}
_BY_NAME_WITH_VOCABULARY = {name.lower(): converter for name, converter in _WITH_VOCABULARY.items()}


def converter(name: str, vocabulary: str) -> Converter | None:
    """The converter of this name (upper and lower case do not matter: the tables mix `CWE[Code]` and `CWE[code]`)."""
    if typed := _TYPED.fullmatch(name):
        return _typed(typed[1], typed[2], typed[3])
    key = name.lower()
    if plain := _BY_NAME.get(key):
        return plain
    coded = _BY_NAME_WITH_VOCABULARY.get(key)
    if coded is None:
        return None
    return (lambda rep, scribe: coded(rep, scribe, vocabulary)) if vocabulary else coded
