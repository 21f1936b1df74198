"""HL7 v2 data types as FHIR data types: one converter for each "Data Type Mapping" that the segment maps name.

A converter takes one repetition of a field and answers a FHIR value, or None when there is nothing to say. Those that make
a resource (`XCN[Practitioner]`) write it down and answer a Reference. The guide's data type tables are cited, not compiled:
they use notations of their own (`[1-6].identifier[1].assigner`, concatenations) that are clearer as code.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from healthsync.standards.hl7v2 import Repetition
from healthsync.standards.maps import numbers, times
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.scribe import Scribe
from healthsync.standards.maps.tables import Concept, tables

Converter = Callable[[Repetition, Scribe], Any]

V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
EXTENSION = "http://hl7.org/fhir/StructureDefinition/"
_OID = re.compile(r"[0-2](?:\.\d+)+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+")


def part(rep: Repetition, component: int, sub: int = 1) -> str:
    """A component's text without surrounding blanks; the null `""` inside a repetition says nothing."""
    text = rep.component(component, sub).strip()
    return "" if text == '""' else text


# --- systems ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def authority_system(namespace: str, universal_id: str, source: str) -> str:
    """The Identifier.system of an assigning authority (HD).

    A universal id is an address already (OID, UUID, URI); a namespace becomes a urn of our own; no authority at all means
    that of the sending system.
    """
    systems = tables().systems
    for name in (universal_id, namespace):
        if name in systems:
            return systems[name]
    if _OID.fullmatch(universal_id):
        return f"urn:oid:{universal_id}"
    if _UUID.fullmatch(universal_id):
        return f"urn:uuid:{universal_id.lower()}"
    if _URI.fullmatch(universal_id):
        return universal_id
    return f"urn:healthsync:authority:{quote(universal_id or namespace or source, safe='')}"


@lru_cache(maxsize=4096)
def code_system(name: str, source: str) -> str | None:
    """The Coding.system of a v2 coding system name (CWE.3, table 0396); None when none was sent.

    `L` and `99…` are local to the sender and must not agree with those of another one.
    """
    if not name:
        return None
    upper = name.upper()
    systems = tables().systems
    if upper in systems:
        return systems[upper]
    if match := re.fullmatch(r"HL7-?(\d{4})", upper):
        return f"http://terminology.hl7.org/CodeSystem/v2-{match[1]}"
    if upper == "L" or upper.startswith("99"):
        return f"urn:healthsync:local:{quote(source, safe='')}" + ("" if upper == "L" else f":{quote(name, safe='')}")
    if _OID.fullmatch(name):
        return f"urn:oid:{name}"
    if _URI.fullmatch(name):
        return name
    return f"urn:healthsync:codesystem:{quote(name, safe='')}"


# --- identifiers -----------------------------------------------------------------------------------------------------


def identifier(value: str, namespace: str, universal_id: str, kind: str, scribe: Scribe) -> Resource:
    """An Identifier: number, authority as system, type of table 0203. The name of an authority that has an address of its
    own stays readable as the assigner's display.
    """
    made: Resource = {}
    if kind:
        made["type"] = {"coding": [{"system": V2_0203, "code": kind}]}
    made["system"] = authority_system(namespace, universal_id, scribe.source)
    made["value"] = value
    if namespace and universal_id:
        made["assigner"] = {"display": namespace}
    return made


def cx_identifier(rep: Repetition, scribe: Scribe, default_kind: str = "") -> Resource | None:
    """CX[Identifier]."""
    value = part(rep, 1)
    if not value:
        return None
    made = identifier(value, part(rep, 4), part(rep, 4, 2), part(rep, 5) or default_kind, scribe)
    if period := _period(part(rep, 7), part(rep, 8), scribe):
        made["period"] = period
    if digit := part(rep, 2):
        made["extension"] = [{"url": f"{EXTENSION}identifier-checkDigit", "valueString": digit}]
    return made


def ei_identifier(rep: Repetition, scribe: Scribe, kind: str = "") -> Resource | None:
    """EI[Identifier-Extension]: entity id, namespace, universal id."""
    value = part(rep, 1)
    return identifier(value, part(rep, 2), part(rep, 3), kind, scribe) if value else None


def eip_identifier(rep: Repetition, scribe: Scribe, component: int, kind: str) -> Resource | None:
    """One half of an EIP: placer's (1) or filler's (2) number, an EI in sub-components."""
    value = part(rep, component)
    return identifier(value, part(rep, component, 2), part(rep, component, 3), kind, scribe) if value else None


def ssn(rep: Repetition, _scribe: Scribe) -> Resource | None:
    """ST[SSN]: the FHIR system for US social security numbers has no dashes."""
    value = part(rep, 1)
    if re.fullmatch(r"\d{3}-\d\d-\d{4}", value):
        value = value.replace("-", "")
    kind = {"coding": [{"system": V2_0203, "code": "SS"}]}
    return {"type": kind, "system": "http://hl7.org/fhir/sid/us-ssn", "value": value} if value else None


def driving_licence(rep: Repetition, scribe: Scribe) -> Resource | None:
    """DLN[Identifier]: number, issuing state, expiry."""
    value = part(rep, 1)
    if not value:
        return None
    made = identifier(value, f"DL-{part(rep, 2) or scribe.source}", "", "DL", scribe)
    if end := part(rep, 3) and times.date_only(part(rep, 3)):
        made["period"] = {"end": end}
    return made


def plain_identifier(rep: Repetition, scribe: Scribe) -> Resource | None:
    """ST[Identifier]: a number of the sending system."""
    value = part(rep, 1)
    return identifier(value, "", "", "", scribe) if value else None


# --- people, places --------------------------------------------------------------------------------------------------


def human_name(rep: Repetition, scribe: Scribe) -> Resource | None:
    """XPN[HumanName]. A name as sent is kept, also `UNK^Unknown`: identity matching knows what is no name."""
    return _name(rep, scribe, first=1, use=7, suffixes=(4, 6, 14), period=(10, 12, 13))


def _name(
    rep: Repetition, scribe: Scribe, *, first: int, use: int, suffixes: tuple[int, ...], period: tuple[int, int, int]
) -> Resource | None:
    """The components that XPN and XCN share, `first` being that of the family name."""
    family, given = part(rep, first), [text for text in (part(rep, first + 1), part(rep, first + 2)) if text]
    if not family and not given:
        return None
    made: Resource = {}
    if concept := tables().concepts["NameType"].get(part(rep, use)):
        made["use"] = concept[1]
    if family:
        made["family"] = family
        if extensions := _family_parts(rep, first):
            made["_family"] = {"extension": extensions}
    if given:
        made["given"] = given
    if prefix := part(rep, first + 4):
        made["prefix"] = [prefix]
    if suffix := [text for text in (part(rep, number) for number in suffixes) if text]:
        made["suffix"] = suffix
    span, start, end = period
    if spoken := _period(part(rep, start) or part(rep, span), part(rep, end) or part(rep, span, 2), scribe):
        made["period"] = spoken
    return made


_FAMILY_PARTS = ((2, "own-prefix"), (3, "own-name"), (4, "partner-prefix"), (5, "partner-name"))


def _family_parts(rep: Repetition, component: int) -> list[Resource]:
    """FN[HumanName]: own and partner's name, where the family name was sent in parts."""
    return [
        {"url": f"{EXTENSION}humanname-{name}", "valueString": text}
        for sub, name in _FAMILY_PARTS
        if (text := part(rep, component, sub))
    ]


def address(rep: Repetition, scribe: Scribe) -> Resource | None:
    """XAD[Address]."""
    made: Resource = {}
    lines = [text for text in (part(rep, 1), part(rep, 1, 2), part(rep, 1, 3), part(rep, 2), part(rep, 19)) if text]
    if lines:
        made["line"] = lines
    for number, name in _ADDRESS:
        if text := part(rep, number):
            made[name] = text
    if not made:
        return None
    kind = part(rep, 7)
    for table, name in (("AddressType[Use]", "use"), ("AddressType[Type]", "type")):
        if concept := tables().concepts[table].get(kind):
            made[name] = concept[1]
    start, end = part(rep, 13) or part(rep, 12), part(rep, 14) or part(rep, 12, 2)
    if period := _period(start, end, scribe):
        made["period"] = period
    return made


_ADDRESS = ((3, "city"), (9, "district"), (4, "state"), (5, "postalCode"), (6, "country"))


def contact_point(rep: Repetition, scribe: Scribe) -> Resource | None:
    """XTN[ContactPoint]: an address on the net, or the number whole (XTN.12), in parts (XTN.5–8) or as text (XTN.1)."""
    equipment, use = part(rep, 3), part(rep, 2)
    email = part(rep, 4)
    value = email if equipment in ("Internet", "X.400") or email else _phone_number(rep)
    if not value:
        return None
    made: Resource = {"system": _system(equipment, email or "@" in value), "value": value}
    if equipment == "CP":
        made["use"] = "mobile"
    elif concept := tables().concepts["TelecommunicationUseCode"].get(use):
        made["use"] = concept[1]
    if rank := numbers.positive_int(part(rep, 18)):
        made["rank"] = rank
    if period := _period(part(rep, 13), part(rep, 14), scribe):
        made["period"] = period
    return made


def _phone_number(rep: Repetition) -> str:
    if whole := part(rep, 12):
        return whole
    if local := part(rep, 7):
        country, area, extension = part(rep, 5), part(rep, 6), part(rep, 8)
        country = f"+{country.lstrip('+')}" if country else ""
        return " ".join(text for text in (country, area, local, f"X{extension}" if extension else "") if text)
    return part(rep, 1)


def _system(equipment: str, email: bool) -> str:
    """FHIR requires a system beside a value (cpt-2); XTN without equipment type is a telephone number (v2.5.1 §2.A.89)."""
    if email:
        return "email"
    if not equipment:
        return "phone"
    concept = tables().concepts["TelecommunicationEquipmentType"].get(equipment)
    return concept[1] if concept else "other"


def practitioner(rep: Repetition, scribe: Scribe) -> Resource | None:
    """XCN[Practitioner]: a Reference. Without a number a name is no identity: then only its display."""
    number = part(rep, 1)
    name = _name(rep, scribe, first=2, use=10, suffixes=(5, 7, 21), period=(17, 19, 20))
    if not number:
        return {"display": _display(name)} if name else None
    made = identifier(number, part(rep, 9), part(rep, 9, 2), part(rep, 13), scribe)
    return _practitioner(made, name, scribe)


def interpreter(rep: Repetition, scribe: Scribe) -> Resource | None:
    """NDL[Practitioner]: a CNN in the sub-components of NDL.1."""
    number, family, given = part(rep, 1), part(rep, 1, 2), part(rep, 1, 3)
    name = {key: value for key, value in (("family", family), ("given", [given] if given else None)) if value}
    if not number:
        return {"display": _display(name)} if name else None
    return _practitioner(identifier(number, part(rep, 1, 9), part(rep, 1, 10), "", scribe), name or None, scribe)


def _practitioner(number: Resource, name: Resource | None, scribe: Scribe) -> Resource:
    draft = scribe.draft("Practitioner", f"{number['system']}|{number['value']}")
    draft.resource.setdefault("identifier", [number])
    if name:
        draft.resource.setdefault("name", [name])
    return draft.reference


def _display(name: Resource) -> str:
    return ", ".join(text for text in (name.get("family", ""), " ".join(name.get("given", ()))) if text)


def organization(rep: Repetition, scribe: Scribe) -> Resource | None:
    """XON[Organization]: a Reference; XON.10 before XON.3 (v2.5.1 §2.A.87)."""
    number, name = part(rep, 10) or part(rep, 3), part(rep, 1)
    made = identifier(number, part(rep, 6), part(rep, 6, 2), part(rep, 7), scribe) if number else None
    return organization_of(made, name, scribe)


def coded_organization(rep: Repetition, scribe: Scribe) -> Resource | None:
    """CWE[Organization]: code, name, coding system as assigning authority."""
    code, name = part(rep, 1), part(rep, 2)
    return organization_of(identifier(code, part(rep, 3), "", "", scribe) if code else None, name, scribe)


def organization_of(number: Resource | None, name: str, scribe: Scribe) -> Resource | None:
    """A Reference to the organisation of this number, or else of this name."""
    if not number and not name:
        return None
    draft = scribe.draft("Organization", f"{number['system']}|{number['value']}" if number else f"name|{name}")
    if number:
        draft.resource.setdefault("identifier", [number])
    if name:
        draft.resource.setdefault("name", name)
    return draft.reference


_LEVELS = ((3, "bd"), (2, "ro"), (1, "wa"), (8, "lvl"), (7, "bu"), (4, "si"))
"""PL components from the bed up, with their code in location-physical-type."""


def location(rep: Repetition, scribe: Scribe) -> Resource | None:
    """PL[Location]: a Reference to one Location for the whole path.

    The guide makes a Location for each level, linked by partOf; a transfer would then write four resources for one bed.
    """
    names = [part(rep, number) for number in (4, 7, 8, 1, 2, 3)]
    if not any(names):
        return None
    facility, universal_id = part(rep, 4), part(rep, 4, 2)
    value = "/".join(name for name in names[1:] if name) or facility
    system = authority_system(facility, universal_id, scribe.source)
    draft = scribe.draft("Location", f"{system}|{'/'.join(names)}")
    if "identifier" not in draft.resource:
        kind = next(code for number, code in _LEVELS if part(rep, number))
        draft.resource.update(
            identifier=[{"system": system, "value": value}],
            name=part(rep, 9) or " ".join(name for name in names if name),
            mode="instance",
            physicalType={
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": kind}]
            },
        )
    return draft.reference


def discharge_location(rep: Repetition, _scribe: Scribe) -> Resource | None:
    """DLD[Location-Discharge] as text."""
    text = part(rep, 1, 2) or part(rep, 1)
    return {"display": text} if text else None


# --- codes -----------------------------------------------------------------------------------------------------------

_CODINGS = ((1, 2, 3, 7), (4, 5, 6, 8), (10, 11, 12, 13))
"""Components of CWE/CNE/CE/CF: code, display, system, version."""


def codeable_concept(rep: Repetition, scribe: Scribe, vocabulary: str = "", *, only: bool = False) -> Resource | None:
    """CWE[CodeableConcept]. With a vocabulary the FHIR code goes first and what was sent stays beside it (`only`: instead
    of it, where FHIR requires its own code).
    """
    codings: list[Resource] = []
    source = scribe.source
    count = len(rep.components)
    for code_at, display_at, system_at, version_at in _CODINGS:
        if code_at > count:
            break
        code = part(rep, code_at)
        if not code:
            continue
        coding: Resource = {}
        system = code_system(part(rep, system_at), source) if system_at <= count else None
        if system is None and code_at == 1 and count >= 14:
            system = code_system(part(rep, 14), source)
        if system:
            coding["system"] = system
        if version_at <= count and (version := part(rep, version_at)):
            coding["version"] = version
        coding["code"] = code
        if display := part(rep, display_at):
            coding["display"] = display
        codings.append(coding)
    if vocabulary:
        codings = _translated(codings, tables().concepts[vocabulary], only, scribe)
    text = part(rep, 9) if count >= 9 else ""
    if not codings and not text and not only:
        text = part(rep, 2) or part(rep, 5)
    made: Resource = {}
    if codings:
        made["coding"] = codings
    if text:
        made["text"] = text
    return made or None


def _translated(codings: list[Resource], concepts: Any, only: bool, scribe: Scribe) -> list[Resource]:
    for coding in codings:
        concept: Concept | None = concepts.get(coding["code"])
        if concept is None:
            continue
        table, code, display, system = concept
        made = {"system": system, "code": code, "display": display}
        made = {key: value for key, value in made.items() if value}
        if only:
            return [made]
        coding.setdefault("system", f"http://terminology.hl7.org/CodeSystem/v2-{table[-4:]}")
        return codings if system == coding["system"] and code == coding["code"] else [made, *codings]
    if codings and only:
        scribe.issue("code-not-in-table")
    return [] if only else codings


def coding(rep: Repetition, scribe: Scribe, vocabulary: str = "") -> Resource | None:
    """CWE[Coding]: the first coding."""
    concept = codeable_concept(rep, scribe, vocabulary)
    return concept["coding"][0] if concept and "coding" in concept else None


def code(rep: Repetition, scribe: Scribe, vocabulary: str = "") -> str | None:
    """CWE[code]: the code of the vocabulary; a code outside it is left out and reported, never passed through."""
    sent = part(rep, 1) or part(rep, 4)
    if not sent or not vocabulary:
        return sent or None
    concepts = tables().concepts[vocabulary]
    concept = concepts.get(sent) or concepts.get(sent.upper())
    if concept is not None:
        return concept[1]
    if any(row[1] == sent.lower() for row in concepts.values()):  # the FHIR code itself: `female`
        return sent.lower()
    scribe.issue("code-not-in-table")
    return None


def boolean(rep: Repetition, scribe: Scribe, vocabulary: str = "") -> bool | None:
    """ID[boolean] by table 0136."""
    sent = part(rep, 1).upper()
    if sent in ("Y", "N"):
        return sent == "Y"
    if sent:
        scribe.issue("code-not-in-table")
    return None


def restricted(rep: Repetition, _scribe: Scribe) -> Resource | None:
    """ID[restricted]: a visit under protection is confidentiality R."""
    protected = part(rep, 1).upper() == "Y"
    return {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"} if protected else None


def race(rep: Repetition, scribe: Scribe) -> Resource | None:
    """US Core race of a CDC code; other codes say something this extension cannot hold."""
    return _us_core(rep, scribe, "us-core-race", "Race")


def ethnicity(rep: Repetition, scribe: Scribe) -> Resource | None:
    """US Core ethnicity of a CDC code or of v2 table 0189."""
    return _us_core(rep, scribe, "us-core-ethnicity", "Ethnicity")


def _us_core(rep: Repetition, scribe: Scribe, name: str, vocabulary: str) -> Resource | None:
    concept = tables().concepts[vocabulary].get(part(rep, 1))
    if concept is None:
        scribe.unmapped[scribe.path] += 1
        return None
    _, code, display, system = concept
    return {
        "url": f"http://hl7.org/fhir/us/core/StructureDefinition/{name}",
        "extension": [
            {"url": "ombCategory", "valueCoding": {"system": system, "code": code, "display": display}},
            {"url": "text", "valueString": display},
        ],
    }


# --- times, numbers, text --------------------------------------------------------------------------------------------


def date_time(rep: Repetition, scribe: Scribe) -> str | None:
    """DTM[dateTime], TS.1, DT."""
    return scribe.date_time(part(rep, 1))


def date(rep: Repetition, scribe: Scribe) -> str | None:
    """The day of a DT or DTM."""
    text = part(rep, 1)
    shown = times.date_only(text)
    if shown is None and text:
        scribe.issue("invalid-date")
    return shown


def instant(rep: Repetition, scribe: Scribe) -> str | None:
    """DTM[instant]."""
    text = part(rep, 1)
    shown = times.instant(text, scribe.zone)
    if shown is None and text:
        scribe.issue("invalid-date" if times.date_time(text, scribe.zone) is None else "date-without-time")
    return shown


def _period(start: str, end: str, scribe: Scribe) -> Resource | None:
    if not start and not end:
        return None
    spoken = {"start": scribe.date_time(start), "end": scribe.date_time(end)}
    return in_order({name: text for name, text in spoken.items() if text}, scribe) or None


def in_order(spoken: Resource, scribe: Scribe) -> Resource:
    """A Period that begins before it ends (FHIR per-1): an end before the start is left out and reported."""
    if "start" in spoken and "end" in spoken and times.is_before(spoken["end"], spoken["start"]):
        scribe.issue("ends-before-start")
        return {"start": spoken["start"]}
    return spoken


def period(rep: Repetition, scribe: Scribe) -> Resource | None:
    """DR[Period]."""
    return _period(part(rep, 1), part(rep, 2), scribe)


def positive_int(rep: Repetition, scribe: Scribe) -> int | None:
    """NM[positiveInt]."""
    number = numbers.positive_int(part(rep, 1))
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
    return {"value": number, "unit": "day", "system": "http://unitsofmeasure.org", "code": "d"}


def quantity(rep: Repetition, scribe: Scribe) -> Resource | None:
    """CQ[Quantity]: number and unit in sub-components."""
    number = numbers.decimal(part(rep, 1))
    if number is None:
        if part(rep, 1):
            scribe.issue("invalid-number")
        return None
    return {"value": number, **unit(part(rep, 2), part(rep, 2, 2), part(rep, 2, 3), scribe.source)}


def unit(code: str, text: str, system: str, source: str) -> Resource:
    """CWE[Quantity]: code and system only where the system was sent."""
    made: Resource = {}
    if text or code:
        made["unit"] = text or code
    if code and system:
        made["system"] = code_system(system, source)
        made["code"] = code
    return made


def string(rep: Repetition, _scribe: Scribe) -> str | None:
    """ST[string]: the whole text, separators of lower levels kept as text."""
    text = rep.text.strip()
    return None if text == '""' else text or None


def first_component(rep: Repetition, _scribe: Scribe) -> str | None:
    return part(rep, 1) or None


def second_component(rep: Repetition, _scribe: Scribe) -> str | None:
    return part(rep, 2) or None


def text_concept(rep: Repetition, scribe: Scribe) -> Resource | None:
    """ST[CodeableConcept]."""
    text = string(rep, scribe)
    return {"text": text} if text else None


def id_concept(rep: Repetition, scribe: Scribe, vocabulary: str) -> Resource | None:
    """ID[CodeableConcept]: a code of a v2 table."""
    return codeable_concept(rep, scribe, vocabulary)


def annotation(rep: Repetition, scribe: Scribe) -> Resource | None:
    """ST[Annotation]."""
    text = string(rep, scribe)
    return {"text": text} if text else None


def device(rep: Repetition, scribe: Scribe) -> Resource | None:
    """EI[device]: a logical Reference by identifier."""
    made = ei_identifier(rep, scribe)
    return {"identifier": made} if made else None


def attachment(rep: Repetition, scribe: Scribe) -> Resource | None:
    """ED[Attachment]: type of data, subtype, encoding (A, Hex, Base64), data (v2.5.1 §2.A.24)."""
    data, encoding = rep.component(5).strip(), part(rep, 4).upper()
    if not data:
        return None
    encoded = _base64(data, encoding)
    if encoded is None:
        scribe.issue("invalid-attachment")
        return None
    made: Resource = {}
    if media := media_type(part(rep, 2), part(rep, 3)):
        made["contentType"] = media
    made["data"] = encoded
    return made


def _base64(data: str, encoding: str) -> str | None:
    try:
        if encoding == "HEX":
            return base64.b64encode(binascii.unhexlify("".join(data.split()))).decode()
        if encoding == "BASE64" or not encoding:
            compact = "".join(data.split())
            base64.b64decode(compact, validate=True)
            return compact
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(data.encode()).decode()


def media_type(kind: str, subtype: str) -> str | None:
    """RFC 2046 type of ED.2/ED.3 or RP.3/RP.4. v2 names main types freely (`AP`, `Image`, `TEXT`)."""
    if concept := tables().concepts["DocumentType"].get(subtype.lower()):
        return concept[1]
    main = {"ap": "application", "im": "image", "au": "audio", "tx": "text"}.get(kind.lower(), kind.lower())
    return f"{main}/{subtype.lower()}" if re.fullmatch(r"[a-z]+", main) and re.fullmatch(r"[\w.+-]+", subtype) else None


def pointer(rep: Repetition, _scribe: Scribe) -> Resource | None:
    """RP[Attachment]: an address where it is one, a name otherwise."""
    target = part(rep, 1)
    if not target:
        return None
    made: Resource = {}
    if media := media_type(part(rep, 3), part(rep, 4)):
        made["contentType"] = media
    made["url" if _URI.fullmatch(target) else "title"] = target
    return made


_PLAIN: dict[str, Converter] = {
    "CX[Identifier]": cx_identifier,
    "CX[string]": first_component,
    "CWE[text]": second_component,
    "EI[Identifier-Extension]": ei_identifier,
    "EIP[Identifier-Placer]": lambda rep, scribe: eip_identifier(rep, scribe, 1, "PLAC"),
    "EIP[Identifier-Filler]": lambda rep, scribe: eip_identifier(rep, scribe, 2, "FILL"),
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
    "NM[Quantity-LengthOfStay]": days,
    "CQ[Quantity]": quantity,
    "ST[string]": string,
    "ST[CodeableConcept]": text_concept,
    "ST[Annotation]": annotation,
    "EI[device]": device,
}
_WITH_VOCABULARY: dict[str, Callable[..., Any]] = {
    "CWE[CodeableConcept]": codeable_concept,
    "CWE[CodeableConcept-only]": lambda rep, scribe, vocabulary: codeable_concept(rep, scribe, vocabulary, only=True),
    "CWE[Coding]": coding,
    "CWE[code]": code,
    "ID[CodeableConcept]": id_concept,
    "ID[boolean]": boolean,
}
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
    return (lambda rep, scribe: coded(rep, scribe, vocabulary)) if vocabulary else lambda rep, scribe: coded(rep, scribe)
