"""FHIR data types as HL7 v2 data types: one writer for each type that the tables name after `as`.

A writer takes a FHIR value and answers one repetition (a text, or a list of components that are texts or lists of
subcomponents), or None when there is nothing to say. Texts are escaped by the builder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.outbound.content import Content
from healthsync.standards.maps.outbound.names import authority, code_system
from healthsync.standards.maps.outbound.tables import Version, outbound_tables
from healthsync.standards.maps.tables import tables

Component = str | Sequence[str] | None
Repetition = str | list[Component]


@dataclass(frozen=True, slots=True)
class Pen:
    """What writers know besides the value: the message, its version, and whose numbers the hub gives out."""

    content: Content
    version: Version
    own: tuple[str, str, str]
    """Authority (HD) of numbers that are the hub's own: ids of resources without a number that v2 requires."""


Writer = Callable[[Any, Pen, str], Repetition | None]


def dtm(text: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """dateTime, date or instant as DTM/TS: as exact as it was, with its offset (v2.5.1 §2.A.22)."""
    match = re.fullmatch(
        r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?)?", str(text)
    )
    if match is None:
        return None
    *parts, zone = match.groups(default="")
    parts[6] = parts[6][:5]  # DTM has four digits of a second
    return "".join(parts) + ("+0000" if zone == "Z" else zone.replace(":", ""))


def dt(text: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """The day alone."""
    return dtm(str(text)[:10], pen)


def nm(number: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """A number with its digits, never in exponents."""
    return format(number, "f") if isinstance(number, Decimal) else str(number)


def st(text: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    return str(text) or None


def yes_no(value: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Table 0136: a flag, or that something is told at all."""
    return "N" if value is False else "Y"


def code(value: Any, _pen: Pen, vocabulary: str = "") -> Repetition | None:
    """The v2 code of a FHIR code; the code itself where there is no table. One without a v2 code is left out."""
    if not vocabulary:
        return str(value)
    found = outbound_tables().codes[vocabulary].get(str(value))
    return found[1] if found else None


def cwe(concept: Any, pen: Pen, vocabulary: str = "") -> Repetition | None:
    """CodeableConcept as CWE, before v2.5 as CE: two codings and no text of its own."""
    codings = _sent([coding for coding in concept.get("coding", ()) if coding.get("code")], vocabulary)
    text = concept.get("text") or None
    made: list[Component] = [None] * 13
    places = ((0, 1, 2, 6), (3, 4, 5, 7), (9, 10, 11, 12))
    for coding, places_of in zip(codings, places, strict=False):
        names = ("code", "display", "system", "version")
        for place, name in zip(places_of, names, strict=True):
            told = coding.get(name)
            made[place] = code_system(told) if told and name == "system" else told
    if pen.version < (2, 5):
        made[1] = made[1] or (None if codings else text)
        made = made[:6]
    else:
        made[8] = text
        if not codings and text:
            made[1], made[8] = text, None
    return made if any(made) else None


def coding_alone(coding: Any, pen: Pen, vocabulary: str = "") -> Repetition | None:
    """A Coding as the coded part of a CWE; in fields of type IS only its code."""
    sent = _sent([coding], vocabulary)
    if not sent or not sent[0].get("code"):
        return None
    if vocabulary.startswith("PatientClass"):
        return str(sent[0]["code"])
    return cwe({"coding": sent}, pen)


def code_of_concept(concept: Any, pen: Pen, vocabulary: str = "") -> Repetition | None:
    """The v2 code of a CodeableConcept, for fields of type ID and IS."""
    codings = _sent([coding for coding in concept.get("coding", ()) if coding.get("code")], vocabulary)
    return str(codings[0]["code"]) if codings else None


def kin(concept: Any, pen: Pen, vocabulary: str = "") -> Repetition | None:
    """NK1-3: relationships that are no mere roles of a contact."""
    return None if _is_contact_role(concept) else cwe(concept, pen, vocabulary)


def contact_role(concept: Any, pen: Pen, vocabulary: str = "") -> Repetition | None:
    """NK1-7: roles of table 0131."""
    return cwe(concept, pen, vocabulary) if _is_contact_role(concept) else None


def _is_contact_role(concept: Resource) -> bool:
    systems = {coding.get("system", "").rpartition("/")[2] for coding in concept.get("coding", ())}
    return "v2-0131" in systems and "v2-0063" not in systems


def _sent(codings: Sequence[Resource], vocabulary: str) -> list[Resource]:
    """The codings with the v2 code in place of the FHIR code that was made from it."""
    if not vocabulary or not codings:
        return list(codings)
    codes, first = outbound_tables().codes[vocabulary], codings[0]
    table = next((row[0] for row in codes.values()), "")
    of_table = f"http://terminology.hl7.org/CodeSystem/v2-{table[-4:]}"
    concepts = tables().concepts.get(vocabulary, {})
    systems = {row[3] for row in concepts.values()}
    if first.get("system") == of_table:
        return list(codings)
    if first.get("system") in systems:
        rest = [coding for coding in codings[1:] if coding.get("system") == of_table]
        if rest:
            return list(codings[1:])
        if (known := codes.get(first["code"])) is not None:
            made = {"system": of_table, "code": known[1]}
            return [{**made, "display": first["display"]} if "display" in first else made, *codings[1:]]
    return list(codings)


def cx(identifier: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Identifier as CX."""
    if not identifier.get("value"):
        return None
    digit = next(
        (e.get("valueString") for e in identifier.get("extension", ()) if e["url"].endswith("checkDigit")), None
    )
    period = identifier.get("period", {})
    made: list[Component] = [identifier["value"], digit, None, _hd(identifier), _kind(identifier)]
    if period:
        made += [None, _day(period.get("start"), pen), _day(period.get("end"), pen)]
    return made


def _day(text: str | None, pen: Pen) -> Component:
    return None if text is None else str(dt(text, pen))


def _hd(identifier: Resource) -> Component:
    namespace, universal, kind = authority(identifier.get("system", ""))
    namespace = namespace or identifier.get("assigner", {}).get("display", "")
    return [namespace, universal, kind] if universal else namespace or None


def _kind(identifier: Resource) -> str | None:
    return next((coding["code"] for coding in identifier.get("type", {}).get("coding", ()) if "code" in coding), None)


def ei(identifier: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Identifier as EI."""
    if not identifier.get("value"):
        return None
    namespace, universal, kind = authority(identifier.get("system", ""))
    namespace = namespace or identifier.get("assigner", {}).get("display", "")
    return [identifier["value"], namespace or None, universal or None, kind or None]


def ei_own(resource: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """The hub's own number of a resource, where v2 requires one and the resource has none."""
    return [resource["id"], *(part or None for part in pen.own)] if resource.get("id") else None


def eip(identifier: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """A specimen's number: placer's half where it is the placer's, else the filler's (SPM-2)."""
    if not identifier.get("value"):
        return None
    half = [part if isinstance(part, str) else "" for part in ei(identifier, _pen) or ()]
    return [half, None] if _kind(identifier) == "PGN" else [None, half]


def number_alone(identifier: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    return identifier.get("value")


def xpn(name: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """HumanName as XPN."""
    parts = _name_parts(name)
    if not any(parts):
        return None
    use = outbound_tables().codes["NameType"].get(name.get("use", ""), ("", None))[1]
    made: list[Component] = [*parts[:5], None, use]
    period, rest = name.get("period", {}), list(name.get("suffix", ()))[1:]
    made[5] = rest[0] if rest and pen.version < (2, 7) else None
    if period and pen.version >= (2, 5):
        start, end = (dtm(period[at], pen) if at in period else None for at in ("start", "end"))
        made += [None] * 4 + [str(start or ""), str(end or "")]
    return made


def xpn_family(text: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    return [str(text)]


def _name_parts(name: Resource) -> list[Component]:
    """Family, given, further given, suffix, prefix. A name that is only a text is the family name."""
    given = list(name.get("given", ()))
    suffixes = list(name.get("suffix", ()))
    further = " ".join(given[1:]) or None
    prefix = " ".join(name.get("prefix", ())) or None
    family = _family(name)
    if not family and not given:
        family = name.get("text")
    return [family, given[0] if given else None, further, suffixes[0] if suffixes else None, prefix]


def _family(name: Resource) -> Component:
    """FN: the parts of the family name that the extensions tell."""
    told = {e["url"].rpartition("/")[2]: e.get("valueString") for e in name.get("_family", {}).get("extension", ())}
    parts = [
        told.get(f"humanname-{part}") or "" for part in ("own-prefix", "own-name", "partner-prefix", "partner-name")
    ]
    return [name.get("family", ""), *parts] if any(parts) else name.get("family")


def xad(address: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Address as XAD."""
    lines = list(address.get("line", ())) or ([address["text"]] if "text" in address and "city" not in address else [])
    made: list[Component] = [None] * 9
    made[0:2] = [*lines[:2], *[None] * (2 - len(lines[:2]))]
    for at, name in ((2, "city"), (3, "state"), (4, "postalCode"), (5, "country"), (8, "district")):
        made[at] = address.get(name)
    if not any(made):
        return None
    codes = outbound_tables().codes
    known = codes["AddressType[Use]"].get(address.get("use", "")) or codes["AddressType[Type]"].get(
        address.get("type", "")
    )
    made[6] = known[1] if known else None
    if period := address.get("period"):
        start, end = (str(dtm(period[at], pen)) if at in period else None for at in ("start", "end"))
        made += [None, None, None, start, end]
    if len(lines) > 2 and pen.version >= (2, 7):
        made += [None] * (18 - len(made)) + [" ".join(lines[2:])]
    elif len(lines) > 2:
        made[1] = " ".join(lines[1:])
    return made


_EQUIPMENT = {"phone": "PH", "fax": "FX", "pager": "BP", "sms": "CP", "other": "MD"}


def xtn(point: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """ContactPoint as XTN: a number as text for receivers of old (XTN.1) and new (XTN.12), an e-mail as XTN.4."""
    value, use, system = point.get("value"), point.get("use"), point.get("system", "phone")
    if not value:
        return None
    at_work = {"work": "WPN", "home": "PRN", "temp": "VHN", "mobile": "PRN"}.get(use or "")
    if system in ("email", "url"):
        return [None, at_work if use in ("home", "work") else "NET", "Internet", value]
    equipment = "CP" if use == "mobile" else _EQUIPMENT.get(system, "PH")
    made: list[Component] = [value if pen.version < (2, 7) else None, at_work, equipment]
    return made + ([None] * 8 + [value] if pen.version >= (2, 5) else [])


def xcn(practitioner: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Practitioner as XCN: the national number (NPI) before others."""
    number = _first_number(practitioner)
    name = next(iter(practitioner.get("name", ())), {})
    parts = _name_parts(name)
    if not number and not any(parts):
        return None
    use = outbound_tables().codes["NameType"].get(name.get("use", ""), ("", None))[1]
    suffixes = list(name.get("suffix", ()))
    degree = suffixes[1] if len(suffixes) > 1 and pen.version < (2, 7) else None
    made: list[Component] = [number.get("value"), *parts, degree, None, _hd(number) if number else None, use]
    return made + ([None, None, _kind(number)] if _kind(number) else [])


def xcn_text(text: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Somebody of whom only a text is known."""
    return [None, str(text)]


def _first_number(resource: Resource) -> Resource:
    numbers = [number for number in resource.get("identifier", ()) if number.get("value")]
    return next((n for n in numbers if n.get("system") == "http://hl7.org/fhir/sid/us-npi"), next(iter(numbers), {}))


def ndl(practitioner: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Practitioner as NDL.1: a CNN, whose parts are subcomponents."""
    number, name = _first_number(practitioner), next(iter(practitioner.get("name", ())), {})
    family, given, further, suffix, prefix = (part if isinstance(part, str) else "" for part in _name_parts(name))
    namespace, universal, kind = authority(number.get("system", ""))
    namespace = namespace or number.get("assigner", {}).get("display", "")
    parts = [number.get("value", ""), family, given, further, suffix, prefix, "", "", namespace, universal, kind]
    return [parts] if any(parts) else None


def xon(organization: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Organization as XON."""
    number = _first_number(organization)
    made: list[Component] = [organization.get("name")]
    if number:
        old = number["value"] if pen.version < (2, 5) else None
        made += [None, old, None, None, _hd(number), _kind(number), None, None, None if old else number["value"]]
    return made if any(made) else None


def name_of_organization(organization: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    return organization.get("name")


def number_of_organization(organization: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    number = _first_number(organization)
    return cx(number, pen) if number else None


def coded_organization(organization: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Organization as CWE: number, name, and the authority in the place of the coding system."""
    number = _first_number(organization)
    namespace, universal, _ = authority(number.get("system", ""))
    made: list[Component] = [number.get("value"), organization.get("name"), (namespace or universal or None)]
    return made if made[0] or made[1] else None


_LEVELS = (7, 8, 1, 2, 3)
_DEEPEST = {"bd": 3, "ro": 2, "wa": 1, "lvl": 8, "bu": 7}


def pl(location: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Location as PL. Numbers that the hub made are paths (ward/room/bed) and go back into their places."""
    number = next((n for n in location.get("identifier", ()) if n.get("value")), {})
    made: list[Component] = [None] * 9
    kinds = [coding.get("code") for coding in location.get("physicalType", {}).get("coding", ())]
    deepest = next((_DEEPEST[kind] for kind in kinds if kind in _DEEPEST), 1)
    path = number.get("value", "").split("/")
    places = _LEVELS[: _LEVELS.index(deepest) + 1][-len(path) :]
    if len(path) > len(places):
        path = ["/".join(path[: len(path) - len(places) + 1]), *path[len(path) - len(places) + 1 :]]
    for place, name in zip(places, path, strict=True):
        made[place - 1] = name or None
    made[3] = _hd(number) if number else None
    made[8] = location.get("name") or None
    return made if any(made) else None


def quantity(value: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Quantity as CQ."""
    return [str(nm(value["value"], pen)), unit_parts(value)] if "value" in value else None


def unit_parts(value: Resource) -> list[str]:
    """Code, text and system of a unit; only its text where it has no code."""
    unit = value.get("unit", "")
    if value.get("code") and value.get("system"):
        return [value["code"], unit if unit != value["code"] else value["code"], code_system(value["system"])]
    return [unit or value.get("code", "")]


def unit(value: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """The unit of a Quantity as CWE."""
    return list(unit_parts(value)) if value.get("unit") or value.get("code") else None


def price(money: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Money as CP: an MO of amount and currency."""
    return [[str(nm(money["value"], pen)), money.get("currency", "")]] if "value" in money else None


def date_range(period: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Period as DR."""
    return [str(dtm(period[at], pen)) if at in period else None for at in ("start", "end")]


def text_of_concept(concept: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """A CodeableConcept as people read it."""
    displays = (coding.get("display") for coding in concept.get("coding", ()))
    return concept.get("text") or next((told for told in displays if told), None)


def text_as_concept(text: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    return [None, str(text)]


def plan(entry: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Coverage.class of type plan as IN1-2."""
    return [entry.get("value"), entry.get("name")]


def deleted(_value: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Table 0206: take it back."""
    return "D"


def minutes(_value: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    return ["min", "minute", "UCUM"]


WRITERS: Mapping[str, Writer] = {
    "DTM": dtm, "DT": dt, "DR": date_range, "NM": nm, "ST": st, "FT": st, "ID": code, "YN": yes_no, "D": deleted,
    "MIN": minutes, "CWE": cwe, "CWE-coding": coding_alone, "CWE-code": code_of_concept, "CWE-kin": kin,
    "CWE-contact": contact_role, "CWE-text": text_as_concept, "CWE-unit": unit, "CWE-organization": coded_organization,
    "CX": cx, "CX-organization": number_of_organization, "EI": ei, "EI-own": ei_own, "EIP": eip,
    "XPN": xpn, "XPN-family": xpn_family, "XAD": xad, "XTN": xtn, "XCN": xcn, "XCN-text": xcn_text, "NDL": ndl,
    "XON": xon, "XON-name": name_of_organization, "PL": pl, "CQ": quantity, "CP": price, "ST-concept": text_of_concept,
    "ST-number": number_alone, "PLAN": plan,
}  # fmt: skip
