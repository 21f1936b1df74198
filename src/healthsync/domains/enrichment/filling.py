"""What is filled in, and where. Pure: the tables are arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from healthsync.domains.enrichment.model import URI, EnrichmentTables, Key, plain, system_of
from healthsync.settings.documents.enrichment import Insurer, Organisation, Place, Provider
from healthsync.standards.authorities import Authorities
from healthsync.standards.maps import Conversion, MappedResource
from healthsync.standards.us_billing import NPI, PLACE_OF_SERVICE, PLACES_OF_SERVICE, TAXONOMY

TAG_SYSTEM = "urn:healthsync:enrichment"
"""System of the tag (`meta.tag`) that names the tables which have filled in something."""

V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
ORGANISATION_TYPE = "http://terminology.hl7.org/CodeSystem/organization-type"
PARTIES = frozenset({"Patient", "Organization", "Practitioner", "Location"})
"""Types that stand before others in a conversion, because others point at them."""

Resource = dict[str, Any]
ResourceId = Callable[[str, str], str]
Row = TypeVar("Row")


def enriched(conversion: Conversion, tables: EnrichmentTables, resource_id: ResourceId) -> Conversion:
    """The conversion with what the tables know beside what the message said.

    Elements that the message has, and those that it deletes, stay as they are; what is filled in gives way to a value
    that is stored already. Practitioners with a taxonomy or organisation get a PractitionerRole.
    """
    if not tables:
        return conversion
    work = _Filling(tables, resource_id, _payors(conversion))
    filled = [work.filled(mapped) for mapped in conversion.resources]
    first = next((at for at, mapped in enumerate(filled) if mapped.type not in PARTIES), len(filled))
    present = {(mapped.type, mapped.id) for mapped in filled}
    added = [mapped for mapped in work.added if (mapped.type, mapped.id) not in present]
    return replace(conversion, resources=[*filled[:first], *added, *filled[first:]])


class _Filling:
    """One conversion; `added` are the resources that the tables bring in, organisations first."""

    def __init__(self, tables: EnrichmentTables, resource_id: ResourceId, payors: frozenset[str]) -> None:
        self._tables, self._resource_id, self._payors = tables, resource_id, payors
        self._organisations: dict[str, MappedResource] = {}
        self._roles: list[MappedResource] = []

    @property
    def added(self) -> list[MappedResource]:
        return [*self._organisations.values(), *self._roles]

    def filled(self, mapped: MappedResource) -> MappedResource:
        if mapped.type == "Location" and (place := self._place(mapped.resource)):
            mapped = _with(mapped, "places", self._of_place(mapped.resource, place))
        elif mapped.type == "Practitioner" and (provider := _found(self._tables.providers, mapped.resource)):
            mapped = _with(mapped, "providers", _of_provider(mapped.resource, provider))
            self._add_role(mapped, provider)
        elif mapped.type == "Organization":
            mapped = self._organisation(mapped)
        if self._tables.displays and (resource := _displayed(mapped.resource, self._tables.displays)) is not None:
            mapped = replace(mapped, resource=_tagged(resource, "codes"))
        return mapped

    def _place(self, location: Resource) -> Place | None:
        """The row of the whole location, else of a beginning of it, else of all its authority."""
        for identifier in location.get("identifier", ()):
            if "system" not in identifier:
                continue  # the name of one level, which stands in many places
            parts = identifier.get("value", "").split("/")
            codes = [*("/".join(parts[:count]) for count in range(len(parts), 0, -1)), "*"]
            for system in (identifier.get("system"), None):
                for code in codes:
                    if place := self._tables.places.get((system, code)):
                        return place
        return None

    def _of_place(self, location: Resource, place: Place) -> Resource:
        filled: Resource = {"name": place.name}
        if place.place_of_service:
            coding = _coding(PLACE_OF_SERVICE, place.place_of_service, PLACES_OF_SERVICE[place.place_of_service])
            filled["type"] = [{"coding": [coding]}]
        if organisation := self._tables.organisation(place.organisation):
            filled["managingOrganization"] = self._reference(organisation)
        return filled

    def _organisation(self, mapped: MappedResource) -> MappedResource:
        resource = mapped.resource
        row = _found(self._tables.organisations, resource) or self._by_name(resource)
        if row is not None:
            mapped = _with(mapped, "organisations", _of_organisation(resource, row))
        if f"Organization/{mapped.id}" in self._payors and (insurer := self._insurer(resource)):
            mapped = _with(mapped, "insurers", _of_insurer(resource, insurer))
        return mapped

    def _by_name(self, organization: Resource) -> Organisation | None:
        """An organisation that was sent without a number is found by what was sent as its name."""
        name = organization.get("name")
        return None if organization.get("identifier") or not name else self._tables.organisations.get((None, name))

    def _insurer(self, organization: Resource) -> Insurer | None:
        by_name = self._tables.insurers_by_name.get(plain(organization.get("name", "")))
        return _found(self._tables.insurers, organization) or by_name

    def _add_role(self, mapped: MappedResource, provider: Provider) -> None:
        role: Resource = {"resourceType": "PractitionerRole", "id": self._resource_id("PractitionerRole", mapped.key),
                          "practitioner": {"reference": mapped.reference}}  # fmt: skip
        if organisation := self._tables.organisation(provider.organisation):
            role["organization"] = self._reference(organisation)
        if provider.taxonomy:
            role["specialty"] = [{"coding": [_coding(TAXONOMY, provider.taxonomy, provider.specialty)]}]
        if "organization" in role or "specialty" in role:
            self._roles.append(MappedResource(_tagged(role, "providers"), mapped.key))

    def _reference(self, row: Organisation) -> Resource:
        """A reference to an organisation of the table, which comes with it."""
        system, value = _number_of(row, self._tables.authorities)
        key = f"{system}|{value}"
        mapped = self._organisations.get(key)
        if mapped is None:
            resource: Resource = {"resourceType": "Organization", "id": self._resource_id("Organization", key),
                                  "identifier": [{"system": system, "value": value}]}  # fmt: skip
            mapped = _with(MappedResource(resource, key), "organisations", _of_organisation(resource, row))
            self._organisations[key] = mapped
        return {"reference": mapped.reference}


def _number_of(row: Organisation, authorities: Authorities) -> tuple[str | None, str | None]:
    """Under which number messages tell of it: that of its authority, else its own namespace (MSH-4), else the NPI."""
    if row.code is None:
        return NPI, row.npi
    if row.authority:
        return system_of(row.authority, authorities), row.code
    return URI, system_of(row.code, authorities)


def _payors(conversion: Conversion) -> frozenset[str]:
    return frozenset(
        payor["reference"]
        for mapped in conversion.resources
        if mapped.type == "Coverage"
        for payor in mapped.resource.get("payor", ())
        if "reference" in payor
    )


def _found(table: Mapping[Key, Row], resource: Resource) -> Row | None:
    """The row for one of the resource's numbers: of its authority before of any."""
    for identifier in resource.get("identifier", ()):
        value = identifier.get("value", "")
        systems = (identifier.get("system"), NPI if _kind(identifier) == "NPI" else None, None)
        for system in systems:
            if (row := table.get((system, value))) is not None:
                return row
    return None


def _kind(identifier: Resource) -> str | None:
    return next((coding.get("code") for coding in identifier.get("type", {}).get("coding", ())), None)


def _of_provider(practitioner: Resource, row: Provider) -> Resource:
    name = {"family": row.family, "given": row.given.split() if row.given else None}
    return {
        "identifier": _with_npi(practitioner, row.npi),
        "name": [{part: text for part, text in name.items() if text}] if row.family or row.given else None,
    }


def _of_organisation(organization: Resource, row: Organisation) -> Resource:
    address = {"line": [row.line] if row.line else None, "city": row.city, "state": row.state,
               "postalCode": row.postal_code, "country": row.country}  # fmt: skip
    address = {part: text for part, text in address.items() if text}
    another = organization.get("name") not in (None, row.name)
    return {
        "identifier": _with_npi(organization, row.npi),
        "name": row.name,
        "alias": [row.name] if row.name and another else None,
        "telecom": [{"system": "phone", "value": row.phone}] if row.phone else None,
        "address": [address] if address else None,
    }


def _of_insurer(organization: Resource, row: Insurer) -> Resource:
    number = {"system": "urn:healthsync:payer-id", "value": row.payer_id}
    known = organization.get("identifier", [])
    return {
        "identifier": [*known, number] if row.payer_id and number not in known else None,
        "name": row.name,
        "type": [{"coding": [_coding(ORGANISATION_TYPE, "pay", "Payer")]}],
        "telecom": [{"system": "phone", "value": row.phone}] if row.phone else None,
    }


def _with_npi(resource: Resource, npi: str | None) -> list[Resource] | None:
    known = resource.get("identifier", [])
    if npi is None or any(number.get("system") == NPI or _kind(number) == "NPI" for number in known):
        return None
    return [*known, {"type": {"coding": [{"system": V2_0203, "code": "NPI"}]}, "system": NPI, "value": npi}]


def _with(mapped: MappedResource, table: str, told: Resource) -> MappedResource:
    """The resource with what it lacks. A list of numbers may be longer than the one that was sent."""
    sent = mapped.resource
    missing = {
        name: value
        for name, value in told.items()
        if value and name not in mapped.cleared and (name not in sent or name == "identifier")
    }
    if not missing:
        return mapped
    unless = {name: ("*",) for name in missing if name != "identifier"}
    return replace(mapped, resource=_tagged({**sent, **missing}, table), unless={**mapped.unless, **unless})


def _tagged(resource: Resource, table: str) -> Resource:
    meta = resource.get("meta", {})
    tag = {"system": TAG_SYSTEM, "code": table}
    tags = meta.get("tag", [])
    return resource if tag in tags else {**resource, "meta": {**meta, "tag": [*tags, tag]}}


def _coding(system: str, code: str, display: str | None) -> Resource:
    return {"system": system, "code": code, **({"display": display} if display else {})}


def _displayed(value: Any, displays: Mapping[tuple[str, str], str]) -> Any:
    """The value with the meaning of codes that have none; None when there is nothing to add. What stays is shared."""
    if isinstance(value, dict):
        changed = {name: made for name, part in value.items() if (made := _displayed(part, displays)) is not None}
        if display := _meaning(value, displays):
            changed["display"] = display
        return {**value, **changed} if changed else None
    if isinstance(value, list):
        made = [_displayed(part, displays) for part in value]
        return [new if new is not None else old for new, old in zip(made, value, strict=True)] if any(made) else None
    return None


def _meaning(value: Resource, displays: Mapping[tuple[str, str], str]) -> str | None:
    """Of a Coding without display; a Quantity has system and code too, and its value."""
    system, code = value.get("system"), value.get("code")
    if not isinstance(system, str) or not isinstance(code, str) or "display" in value or "value" in value:
        return None
    return displays.get((system, code))
