"""HL7 v2 names, addresses, people, organisations and places (XPN, XAD, XTN, XCN, NDL, XON, PL).

What stands for a resource of its own is written down and answered as a Reference.
"""

from __future__ import annotations

from typing import NamedTuple

from healthsync.standards.hl7v2 import Repetition
from healthsync.standards.maps import numbers
from healthsync.standards.maps.authorities import authority, universal_number
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.identifiers import ADDRESSES, identifier
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.periods import period_of
from healthsync.standards.maps.scribe import Draft, Scribe, part
from healthsync.standards.maps.tables import tables


def human_name(rep: Repetition, scribe: Scribe) -> Resource | None:
    """XPN[HumanName]. A name as sent is kept, also `UNK^Unknown`: identity matching knows what is no name."""
    return _name(rep, scribe, first=1, use=7, suffixes=(4, 6, 14), period=(10, 12, 13))


def _name(
    rep: Repetition, scribe: Scribe, *, first: int, use: int, suffixes: tuple[int, ...], period: tuple[int, int, int]
) -> Resource | None:
    """The components that XPN and XCN share, `first` being that of the family name."""
    told = rep.parts
    family, given = told[first], [text for text in told[first + 1 : first + 3] if text]
    if not family and not given:
        return None
    made: Resource = {}
    if concept := tables().concepts["NameType"].get(told[use]):
        made["use"] = concept[1]
    if family:
        made["family"] = family
        if rep.is_nested and (extensions := _family_parts(rep, first)):
            made["_family"] = {"extension": extensions}
    if given:
        made["given"] = given
    if prefix := told[first + 4]:
        made["prefix"] = [prefix]
    if suffix := [text for number in suffixes if (text := told[number])]:
        made["suffix"] = suffix
    span, start, end = period
    if spoken := period_of(told[start] or told[span], told[end] or part(rep, span, 2), scribe):
        made["period"] = spoken
    return made


_FAMILY_PARTS = ((2, "own-prefix"), (3, "own-name"), (4, "partner-prefix"), (5, "partner-name"))


def _family_parts(rep: Repetition, component: int) -> list[Resource]:
    """FN[HumanName]: own and partner's name, where the family name was sent in parts."""
    if len(rep.subcomponents(component)) < 2:
        return []
    return [
        {"url": f"http://hl7.org/fhir/StructureDefinition/humanname-{name}", "valueString": text}
        for sub, name in _FAMILY_PARTS
        if (text := part(rep, component, sub))
    ]


def address(rep: Repetition, scribe: Scribe) -> Resource | None:
    """XAD[Address]."""
    made: Resource = {}
    told = rep.parts
    street = (told[1], part(rep, 1, 2), part(rep, 1, 3)) if rep.is_nested else (told[1],)
    if lines := [text for text in (*street, told[2], told[19]) if text]:
        made["line"] = lines
    for number, name in _ADDRESS:
        if text := told[number]:
            made[name] = text
    if not made:
        return None
    if kind := told[7]:
        concepts = tables().concepts
        for table, name in (("AddressType[Use]", "use"), ("AddressType[Type]", "type")):
            if concept := concepts[table].get(kind):
                made[name] = concept[1]
    if period := period_of(told[13] or told[12], told[14] or part(rep, 12, 2), scribe):
        made["period"] = period
    return made


_ADDRESS = ((3, "city"), (9, "district"), (4, "state"), (5, "postalCode"), (6, "country"))


def contact_point(rep: Repetition, scribe: Scribe) -> Resource | None:
    """XTN[ContactPoint]: an address on the net, or the number whole (XTN.12), in parts (XTN.5–8) or as text (XTN.1).

    Where a telephone has an address beside its number, the number is told and the address counted: a ContactPoint has
    one value.
    """
    told = rep.parts
    use, equipment, email = told[2:5]
    number = "" if equipment in _ON_THE_NET else _phone_number(told)
    value = number or email
    if not value:
        return None
    if number and email:
        scribe.unmapped[f"{scribe.path}.4"] += 1
    made: Resource = {"system": _system(equipment, not number or "@" in value), "value": value}
    if equipment == "CP":
        made["use"] = "mobile"
    elif concept := tables().concepts["TelecommunicationUseCode"].get(use):
        made["use"] = concept[1]
    if told[18] and (rank := numbers.positive_int(told[18])):
        made["rank"] = rank
    if period := period_of(told[13], told[14], scribe):
        made["period"] = period
    return made


_ON_THE_NET = frozenset({"Internet", "X.400"})


def _phone_number(told: list[str]) -> str:
    if whole := told[12]:
        return whole
    country, area, local, extension = told[5:9]
    if not local:
        return told[1]
    country = f"+{country.lstrip('+')}" if country else ""
    return " ".join([text for text in (country, area, local, f"X{extension}" if extension else "") if text])


def _system(equipment: str, email: bool) -> str:
    """FHIR requires a system beside a value (cpt-2).

    XTN without equipment type is a telephone number (v2.5.1 §2.A.89).
    """
    if email:
        return "email"
    if not equipment:
        return "phone"
    concept = tables().concepts["TelecommunicationEquipmentType"].get(equipment)
    return concept[1] if concept else "other"


def practitioner(rep: Repetition, scribe: Scribe) -> Resource | None:
    """XCN[Practitioner]: a Reference. Without a number a name is no identity: then only its display."""
    if (known := scribe.practitioners.get(rep.raw)) is not None:
        return known.reference
    number, name = _person(rep, scribe)
    if not number:
        return {"display": _display(name)} if name else None
    if (kind := part(rep, 9, 3)) and kind not in ADDRESSES:
        number = identifier(part(rep, 1), part(rep, 9), part(rep, 9, 2), part(rep, 13), scribe, kind)
    draft = scribe.practitioners[rep.raw] = _practitioner(number, name, scribe)
    return draft.reference


def _person(rep: Repetition, scribe: Scribe) -> tuple[Resource | None, Resource | None]:
    """Number and name in XCN: of people who work here, and are told in many messages."""

    def read() -> tuple[Resource | None, Resource | None]:
        number = part(rep, 1)
        made = identifier(number, part(rep, 9), part(rep, 9, 2), part(rep, 13), scribe) if number else None
        return made, _name(rep, scribe, first=2, use=10, suffixes=(5, 7, 21), period=(17, 19, 20))

    return scribe.recurring("XCN", rep.raw, read)


def known_person(rep: Repetition, scribe: Scribe) -> Resource | None:
    """XCN as a logical Reference by number, for somebody who needs no resource of his own."""
    number, name = _person(rep, scribe)
    made: Resource = {}
    if number:
        made["identifier"] = number
    if name:
        made["display"] = _display(name)
    return made or None


def interpreter(rep: Repetition, scribe: Scribe) -> Resource | None:
    """NDL[Practitioner]: a CNN in the sub-components of NDL.1 (v2.5.1 §2.A.9).

    Where NDL tells of a place or a time too, a PractitionerRole beside says so (guide: NDL[PractitionerRole]); who it
    was is found without it.
    """
    who = _named_by_cnn(rep, scribe)
    if who is None or "reference" not in who:
        return who
    chain = _chain(rep, _NDL, scribe)
    place = chain[-1] if chain else None
    period = period_of(part(rep, 2), part(rep, 3), scribe)
    if place is None and period is None:
        return who
    draft = scribe.draft("PractitionerRole", f"{who['reference']}|{place.key if place else ''}")
    draft.resource["practitioner"] = who
    if place:
        draft.resource["location"] = [place.reference]
        if (status := part(rep, 8).lower()) in _STATUSES:
            for level in chain:
                level.resource.setdefault("status", status)
    if period:
        draft.resource["period"] = period
    return who


def _named_by_cnn(rep: Repetition, scribe: Scribe) -> Resource | None:
    number, family = part(rep, 1), part(rep, 1, 2)
    given = [text for text in (part(rep, 1, 3), part(rep, 1, 4)) if text]
    suffix = [text for text in (part(rep, 1, 5), part(rep, 1, 7)) if text]
    prefix = [text for text in (part(rep, 1, 6),) if text]
    told = (("family", family), ("given", given), ("prefix", prefix), ("suffix", suffix))
    name: Resource | None = {key: value for key, value in told if value} if family or given else None
    if not number:
        return {"display": _display(name)} if name else None
    return _practitioner(identifier(number, part(rep, 1, 9), part(rep, 1, 10), "", scribe), name, scribe).reference


def _practitioner(number: Resource, name: Resource | None, scribe: Scribe) -> Draft:
    draft = scribe.draft("Practitioner", f"{number['system']}|{number['value']}")
    draft.resource.setdefault("identifier", [number])
    if name:
        _add_name(draft.resource.setdefault("name", []), name, scribe)
    return draft


_MANY_NAMES = 20


def _add_name(names: list[Resource], name: Resource, scribe: Scribe) -> None:
    """One number may be told with several names, none of which is lost; what says less than another is not repeated."""
    if len(names) >= _MANY_NAMES:
        scribe.add_once(names, name)
        return
    if any(name.items() <= known.items() for known in names):
        return
    names[:] = [known for known in names if not known.items() <= name.items()]
    names.append(name)


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
    resource = draft.resource
    if number:
        known = resource.setdefault("identifier", [number])[0]
        for element, value in number.items():  # another mention may tell its type
            known.setdefault(element, value)
    if name and resource.setdefault("name", name) != name:
        scribe.add_once(resource.setdefault("alias", []), name)
    return draft.reference


def of_an_organization(found: Resource) -> Resource:
    """An address or number without `use: home`, which no organisation has (org-2, org-3)."""
    return {name: value for name, value in found.items() if (name, value) != ("use", "home")}


class Place(NamedTuple):
    """What PL and NDL say of a place, from the outermost level to the bed."""

    facility: str
    building: str
    floor: str
    point_of_care: str
    room: str
    bed: str

    @classmethod
    def read(cls, rep: Repetition, components: tuple[int, ...]) -> Place:
        """Each level by its name, else by its universal id."""
        return cls(*(part(rep, number) or part(rep, number, 2) for number in components))


_PL = (4, 7, 8, 1, 2, 3)
_NDL = (7, 10, 11, 4, 5, 6)
"""In which component which level stands."""
_KINDS = ("si", "bu", "lvl", "wa", "ro", "bd")
"""The levels in location-physical-type; a point of care, for which it has no code, is a ward."""
_STATUSES = frozenset({"active", "suspended", "inactive"})


def location(rep: Repetition, scribe: Scribe) -> Resource | None:
    """PL[Location]: a Reference to the innermost place, which is part of the others (guide).

    A place that is only described (PL.9) is the place of that name.
    """
    if (known := scribe.places.get(rep.raw)) is not None:
        return known.reference
    described = part(rep, 9)
    chain = _chain(rep, _PL, scribe)
    if not chain and not described:
        return None
    draft = chain[-1] if chain else _described(rep, described, scribe)
    resource = draft.resource
    if described:
        resource.setdefault("description", described)
        resource["name"] = described
    if (status := part(rep, 5).lower()) in _STATUSES:
        resource.setdefault("status", status)
    if sort := part(rep, 6):
        resource.setdefault(
            "type", [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0305", "code": sort}]}]
        )
    if len(rep.components) > 9:
        _tell_comprehensive_number(rep, draft, scribe)
    scribe.places[rep.raw] = draft
    return draft.reference


def _described(rep: Repetition, described: str, scribe: Scribe) -> Draft:
    draft = scribe.draft("Location", f"{scribe.authority('', part(rep, 4, 2))}|name|{described}")
    draft.resource.setdefault("mode", "instance")
    return draft


def _tell_comprehensive_number(rep: Repetition, draft: Draft, scribe: Scribe) -> None:
    """PL.10, assigned by PL.11 (guide: EI[Identifier-DefaultAssigner]), else by the authority inside it."""
    number = part(rep, 10)
    told = [part(rep, 11, sub) for sub in (1, 2, 3)] if len(rep.components) > 10 else []
    namespace, universal_id, kind = told if any(told) else [part(rep, 10, sub) for sub in (2, 3, 4)]
    assigner = authority(namespace, universal_id, kind, scribe)
    numbers_of = draft.resource.setdefault("identifier", [])
    made = identifier(number, namespace, universal_id, "", scribe) if number else next(iter(numbers_of), None)
    if made and assigner:
        made["assigner"] = {**made.get("assigner", {}), **assigner}
    if number:
        scribe.add_once(numbers_of, made)


def _chain(rep: Repetition, components: tuple[int, ...], scribe: Scribe) -> list[Draft]:
    """The Locations of all levels that are named, outermost first, each part of the one before.

    A level is called by its path below the facility (`ICU//2` is a bed of no room), because a bed "A" stands in every
    room, and by its own name and universal id, without a system of its own (guide: HD[Identifier]).
    """
    place = Place.read(rep, components)
    if not any(place):
        return []
    facility, universal_id = part(rep, components[0]), part(rep, components[0], 2)
    system = scribe.authority(facility, universal_id)
    chain: list[Draft] = []
    for level, (name, kind, number) in enumerate(zip(place, _KINDS, components, strict=True)):
        if not name:
            continue
        path = (*place[: level + 1], *("" for _ in place[level + 1 :]))
        draft = scribe.draft("Location", f"{system}|{'/'.join(path)}")
        if "physicalType" not in draft.resource:
            named = "/".join(place[1 : level + 1]).lstrip("/") or name
            numbers_of = [identifier(named, facility, universal_id, "", scribe)]
            if named != name:
                numbers_of.append({"value": name})
            if own := part(rep, number, 2):
                numbers_of.append(universal_number(own, part(rep, number, 3)))
            draft.resource.update(
                identifier=numbers_of,
                name=" ".join(filter(None, path)),
                mode="instance",
                physicalType={
                    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": kind}]
                },
            )
            if chain:
                draft.resource["partOf"] = chain[-1].reference
        chain.append(draft)
    return chain


def discharge_location(rep: Repetition, scribe: Scribe) -> Resource | None:
    """DLD[Location-Discharge]: where to is a kind of place (DLD.1 is a code), one Location for each kind."""
    kind = codeable_concept(rep.inside(1), scribe, "DischargedToLocation")
    if kind is None:
        return None
    coding = next(iter(kind.get("coding", ())), {})
    text = kind.get("text") or coding.get("display") or coding["code"]
    key = f"{coding['system']}|{coding['code']}" if "system" in coding else f"{scribe.source}|{text}"
    draft = scribe.draft("Location", f"kind|{key}")
    draft.resource.update(name=text, mode="kind", type=[kind])
    return draft.reference
