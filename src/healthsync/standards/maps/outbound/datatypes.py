"""FHIR data types as HL7 v2 data types: one writer for each type that the tables name after `as`.

A writer takes a FHIR value and answers one repetition (a text, or a list of components that are texts or lists of
subcomponents), or None when there is nothing to say. Texts are escaped by the builder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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
        known = outbound_tables().codes[vocabulary].get(coding["code"])
        of_table = coding.get("system") == _table_of(vocabulary)
        return known[1] if known else str(coding["code"]) if of_table else None
    return cwe({"coding": sent}, pen)


def code_of_concept(concept: Any, pen: Pen, vocabulary: str = "") -> Repetition | None:
    """The v2 code of a CodeableConcept, for fields of type ID and IS. They name no system: FHIR's own is left out."""
    codings = _sent([coding for coding in concept.get("coding", ()) if coding.get("code")], vocabulary)
    foreign = {row[3] for row in tables().concepts.get(vocabulary, {}).values()} - {_table_of(vocabulary)}
    return next((str(coding["code"]) for coding in codings if coding.get("system") not in foreign), None)


def kin(concept: Any, pen: Pen, vocabulary: str = "") -> Repetition | None:
    """NK1-3: relationships that are no mere roles of a contact."""
    return None if _is_contact_role(concept) else cwe(concept, pen, vocabulary)


def contact_role(concept: Any, pen: Pen, vocabulary: str = "") -> Repetition | None:
    """NK1-7: roles of table 0131."""
    return cwe(concept, pen, vocabulary) if _is_contact_role(concept) else None


def _is_contact_role(concept: Resource) -> bool:
    systems = {coding.get("system", "").rpartition("/")[2] for coding in concept.get("coding", ())}
    return "v2-0131" in systems and "v2-0063" not in systems


def _table_of(vocabulary: str) -> str:
    table = next((row[0] for row in outbound_tables().codes.get(vocabulary, {}).values()), "")
    return f"http://terminology.hl7.org/CodeSystem/v2-{table[-4:]}"


def _sent(codings: Sequence[Resource], vocabulary: str) -> list[Resource]:
    """The codings with the v2 code in place of the FHIR code that was made from it."""
    if not vocabulary or not codings:
        return list(codings)
    codes, first, of_table = outbound_tables().codes[vocabulary], codings[0], _table_of(vocabulary)
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


def authority_of(number: Resource) -> tuple[str, str, str]:
    """(namespace, universal id, its type) of the authority of a number: an HD."""
    namespace, universal, kind = authority(number.get("system", ""))
    named = number.get("assigner", {}).get("display", "")
    if named and namespace and not universal and named != namespace:  # a universal id that is no OID, UUID or URI
        return named, namespace, "L"
    return namespace or named, universal, kind


def cx(identifier: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Identifier as CX."""
    if not identifier.get("value"):
        return None
    digit = next(
        (e.get("valueString") for e in identifier.get("extension", ()) if e["url"].endswith("checkDigit")), None
    )
    period = identifier.get("period", {})
    made: list[Component] = [identifier["value"], digit, None, _hd(identifier), kind_of(identifier)]
    if period:
        made += [None, _day(period.get("start"), pen), _day(period.get("end"), pen)]
    return made


def _day(text: str | None, pen: Pen) -> Component:
    return None if text is None else str(dt(text, pen))


def _hd(identifier: Resource) -> Component:
    namespace, universal, kind = authority_of(identifier)
    return [namespace, universal, kind] if universal else namespace or None


def kind_of(identifier: Resource) -> str | None:
    """The type of a number (table 0203)."""
    return _code_of(identifier.get("type", {}))


def ei(identifier: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Identifier as EI."""
    return [part or None for part in _with_authority(identifier)] if identifier.get("value") else None


def _with_authority(number: Any) -> list[str]:
    return [number["value"], *authority_of(number)]


def ei_own(resource: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """The hub's own number of a resource, where v2 requires one and the resource has none."""
    return [resource["id"], *(part or None for part in pen.own)] if resource.get("id") else None


def cx_own(resource: Any, pen: Pen, kind: str = "") -> Repetition | None:
    """The hub's own number of a person or a visit of which no other is known."""
    if not resource.get("id") or any(number.get("value") for number in resource.get("identifier", ())):
        return None
    return [resource["id"], None, None, pen.own[0] or None, kind]


def eip(specimen: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """The numbers of a specimen (SPM-2): the placer's half, and the filler's or that of nobody in particular."""
    numbers = [number for number in specimen.get("identifier", ()) if number.get("value")]
    placer = next((number for number in numbers if kind_of(number) == "PGN"), None)
    others = [number for number in numbers if number is not placer]
    filler = next((number for number in others if kind_of(number) == "FGN"), next(iter(others), None))
    made: list[Component] = [subcomponents(ei(number, pen)) if number else None for number in (placer, filler)]
    return made if any(made) else None


def subcomponents(made: Repetition | None) -> list[str]:
    """A value as the component of another."""
    return [part if isinstance(part, str) else "" for part in made or ()]


def number_alone(identifier: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    return identifier.get("value")


def xpn(name: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """HumanName as XPN."""
    parts = _name_parts(name)
    if not any(parts):
        return None
    made: list[Component] = [None] * 14
    made[:5] = parts
    made[6] = _use(name)
    _tell_suffixes(made, name, pen, 5, 13)
    _tell_span(made, name, pen, 11)
    return made


def _use(name: Resource) -> str | None:
    return outbound_tables().codes["NameType"].get(name.get("use", ""), ("", None))[1]


def _tell_suffixes(made: list[Component], name: Resource, pen: Pen, degree: int, professional: int) -> None:
    """Suffixes behind the first: as degree, withdrawn in v2.7, and as professional suffix, which v2.5 brought."""
    rest = list(name.get("suffix", ()))[1:]
    if rest and pen.version < (2, 7):
        many = pen.version < (2, 5)
        made[degree] = " ".join(rest) if many else rest[0]
        rest = [] if many else rest[1:]
    if rest:
        made[professional] = " ".join(rest)


def _tell_span(made: list[Component], told: Resource, pen: Pen, at: int) -> None:
    """Since when and until when it is used, in two components of their own from v2.5 on."""
    for offset, end in enumerate(("start", "end")):
        if pen.version >= (2, 5) and end in told.get("period", {}):
            made[at + offset] = str(dtm(told["period"][end], pen) or "")


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
    """Address as XAD. Lines behind the second go as addressee (v2.7), before into the second."""
    lines = list(address.get("line", ())) or ([address["text"]] if "text" in address and "city" not in address else [])
    made: list[Component] = [None] * 19
    if len(lines) > 2:
        lines = [*lines[:2], " ".join(lines[2:])] if pen.version >= (2, 7) else [lines[0], " ".join(lines[1:])]
    for at, line in zip((0, 1, 18), lines, strict=False):
        made[at] = line
    for at, name in ((2, "city"), (3, "state"), (4, "postalCode"), (5, "country"), (8, "district")):
        made[at] = address.get(name)
    if not any(made):
        return None
    codes = outbound_tables().codes
    known = codes["AddressType[Use]"].get(address.get("use", "")) or codes["AddressType[Type]"].get(
        address.get("type", "")
    )
    made[6] = known[1] if known else None
    _tell_span(made, address, pen, 12)
    return made


_EQUIPMENT = {"phone": "PH", "fax": "FX", "pager": "BP", "sms": "CP", "other": "MD"}


def xtn(point: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """ContactPoint as XTN: a number as text for receivers of old (XTN.1) and new (XTN.12), an e-mail as XTN.4."""
    value, use, system = point.get("value"), point.get("use", ""), point.get("system", "phone")
    if not value:
        return None
    made: list[Component] = [None] * 18
    made[1] = {"work": "WPN", "home": "PRN", "temp": "VHN", "mobile": "PRS" if pen.version >= (2, 7) else "PRN"}.get(
        use
    )
    if system in ("email", "url"):
        made[1] = made[1] or "NET"
        made[2:4] = ["Internet", value]
    else:
        made[0] = value if pen.version < (2, 7) else None
        made[2] = "CP" if use == "mobile" and system == "phone" else _EQUIPMENT.get(system, "PH")
        made[11] = value if pen.version >= (2, 5) else None
    if pen.version >= (2, 7):
        _tell_span(made, point, pen, 12)
        made[17] = str(point["rank"]) if "rank" in point else None
    return made


def xcn(practitioner: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Practitioner as XCN: the national number (NPI) before others."""
    number = _first_number(practitioner)
    name = next(iter(practitioner.get("name", ())), {})
    parts = _name_parts(name)
    if not number and not any(parts):
        return None
    made: list[Component] = [None] * 21
    made[:6] = [number.get("value"), *parts]
    made[8], made[9] = _hd(number) if number else None, _use(name)
    made[12] = kind_of(number)
    _tell_suffixes(made, name, pen, 6, 20)
    _tell_span(made, name, pen, 18)
    return made


def xcn_text(text: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Somebody of whom only a text is known."""
    return [None, str(text)]


def _first_number(resource: Resource) -> Resource:
    numbers = [number for number in resource.get("identifier", ()) if number.get("value")]
    return next((n for n in numbers if n.get("system") == "http://hl7.org/fhir/sid/us-npi"), next(iter(numbers), {}))


def ndl(practitioner: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Practitioner as NDL.1: a CNN, whose parts are subcomponents."""
    number, name = _first_number(practitioner), next(iter(practitioner.get("name", ())), {})
    family, *rest = _name_parts(name)
    told = [name.get("family", "") if isinstance(family, list) else family, *rest]  # CNN.2 is no FN
    family, given, further, suffix, prefix = (part if isinstance(part, str) else "" for part in told)
    degree = " ".join(name.get("suffix", ())[1:])
    namespace, universal, kind = authority_of(number)
    parts = [number.get("value", ""), family, given, further, suffix, prefix, degree, "", namespace, universal, kind]
    return [parts] if any(parts) else None


def xon(organization: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Organization as XON."""
    number = _first_number(organization)
    made: list[Component] = [organization.get("name")]
    if number:
        old = number["value"] if pen.version < (2, 5) else None
        made += [None, old, None, None, _hd(number), kind_of(number), None, None, None if old else number["value"]]
    return made if any(made) else None


def name_of_organization(organization: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    return organization.get("name")


def number_of_organization(organization: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    number = _first_number(organization)
    return cx(number, pen) if number else None


def coded_organization(organization: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Organization as CWE: number, name, and the authority in the place of the coding system."""
    number = _first_number(organization)
    made: list[Component] = [number.get("value"), organization.get("name"), _system_of(number)]
    return made if made[0] or made[1] else None


def producer(organization: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """The organisation as OBX-15, where there is no OBX-23."""
    return coded_organization(organization, pen) if pen.version < (2, 5, 1) else None


def _system_of(number: Resource) -> str | None:
    """What stands for the authority of a number in the place of a coding system."""
    namespace, _, _ = authority_of(number)
    return namespace or code_system(number.get("system", "")) or None


_LEVELS = (7, 8, 1, 2, 3)
_DEEPEST = {"bd": 3, "ro": 2, "wa": 1, "lvl": 8, "bu": 7}


def pl(location: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Location as PL. Numbers that the hub made are paths (ward/room/bed) and go back into their places; what has no
    system is the name or the universal id of the innermost level.
    """
    numbers = [number for number in location.get("identifier", ()) if number.get("value")]
    number, comprehensive, *_ = [*(n for n in numbers if n.get("system")), {}, {}]
    made: list[Component] = [None] * 10
    kinds = [coding.get("code") for coding in location.get("physicalType", {}).get("coding", ())]
    path, shown = str(number.get("value", "")), str(location.get("name", ""))
    if "si" in kinds:  # a facility is its own authority
        named = number.get("value") or location.get("name")
        of_it = _hd(number) if number else None
        made[3] = [str(named or ""), *of_it[1:]] if isinstance(of_it, list) else named
    else:
        deepest = next((_DEEPEST[kind] for kind in kinds if kind in _DEEPEST), 1)
        of_it = _hd(number) if number else None
        if isinstance(of_it, list) or shown != " ".join(filter(None, path.split("/"))):  # else it is only the sender
            made[3] = of_it
        _tell_path(made, path, deepest)
        universal = next((n for n in numbers if "system" not in n and "type" in n), None)
        if universal:
            made[deepest - 1] = [str(made[deepest - 1] or ""), universal["value"], kind_of(universal) or ""]
    made[4] = location.get("status")
    made[5] = next((_code_of(kind) for kind in location.get("type", ())), None)
    made[9] = _with_authority(comprehensive) if comprehensive and pen.version >= (2, 5) else None
    named_by = _words_of(made)
    made[8] = location.get("description") or (shown if set(shown.split()) - named_by else None)
    return made if any(made) else None


def _words_of(made: Any) -> set[str]:
    """The words that a place is already named by."""
    return set(made.split()) if isinstance(made, str) else {w for part in made if part for w in _words_of(part)}


def dld(location: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """A kind of Location as DLD: its code, else its name."""
    code = next((made for kind in location.get("type", ()) if (made := cwe(kind, pen))), None)
    return [[str(part or "") for part in code]] if isinstance(code, list) else code or location.get("name")


def la2(location: Any, pen: Pen, vocabulary: str = "") -> Repetition | None:
    """Location as LA2, whose beginning is that of PL (v2.5.1 §2.A.41)."""
    made = pl(location, pen, vocabulary)
    return made[:8] if isinstance(made, list) and any(made[:8]) else None


def _tell_path(made: list[Component], text: str, deepest: int) -> None:
    path = text.split("/")
    places = _LEVELS[: _LEVELS.index(deepest) + 1][-len(path) :]
    if len(path) > len(places):
        path = ["/".join(path[: len(path) - len(places) + 1]), *path[len(path) - len(places) + 1 :]]
    for place, name in zip(places, path, strict=True):
        made[place - 1] = name or None


def _code_of(concept: Resource) -> str | None:
    return next((coding["code"] for coding in concept.get("coding", ()) if "code" in coding), None)


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


def minutes(count: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Minutes as CQ."""
    return [str(count), ["min", "minute", "UCUM"]]


def minutes_of(period: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """How long a period of hours and minutes is (PR1-7)."""
    try:
        start, end = (datetime.fromisoformat(period[name]) for name in ("start", "end"))
        return nm((end - start) // timedelta(minutes=1), pen) if "T" in period["start"] else None
    except (KeyError, ValueError, TypeError):  # without an end, or only one of them with an offset
        return None


def price(money: Any, pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """Money as CP: an MO of amount and currency. That it is given back says FT1-6."""
    return [[str(nm(abs(money["value"]), pen)), money.get("currency", "")]] if "value" in money else None


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


def time_of_day(text: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """A time of day as TM."""
    return str(text).replace(":", "")


def thing(reference: Any, _pen: Pen, _vocabulary: str = "") -> Repetition | None:
    """What no resource stands for, as CWE: equipment, a room or a person that only the schedule knows."""
    number = reference.get("identifier", {})
    made: list[Component] = [number.get("value"), reference.get("display"), _system_of(number)]
    return made if made[0] or made[1] else None


WRITERS: Mapping[str, Writer] = {
    "DTM": dtm, "DT": dt, "DR": date_range, "TM": time_of_day, "NM": nm, "ST": st, "ID": code, "YN": yes_no,
    "CWE": cwe, "CWE-thing": thing, "CWE-coding": coding_alone, "CWE-code": code_of_concept, "CWE-kin": kin,
    "NM-minutes": minutes_of, "CWE-contact": contact_role, "CWE-text": text_as_concept, "CWE-unit": unit,
    "CWE-organization": coded_organization, "CWE-organization-old": producer,
    "CX": cx, "CX-own": cx_own, "CX-organization": number_of_organization, "EI": ei, "EI-own": ei_own,
    "EIP-specimen": eip, "XPN": xpn, "XPN-family": xpn_family, "XAD": xad, "XTN": xtn, "XCN": xcn, "XCN-text": xcn_text,
    "NDL": ndl, "XON": xon, "XON-name": name_of_organization, "PL": pl, "DLD": dld, "LA2": la2, "CQ": quantity,
    "CQ-minutes": minutes, "CP": price, "ST-concept": text_of_concept, "ST-number": number_alone, "PLAN": plan,
}  # fmt: skip
