"""The tables, by what their rows are found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from healthsync.settings.documents.enrichment import Insurer, Organisation, Place, Provider, Rows
from healthsync.standards.authorities import NO_AUTHORITIES, Authorities
from healthsync.standards.maps.systems import authority_system
from healthsync.standards.us_billing import NPI

URI = "urn:ietf:rfc:3986"

Key = tuple[str | None, str]
"""(system of the authority, code); the system is None in a row that holds for every authority."""


@dataclass(frozen=True, slots=True)
class EnrichmentTables:
    """All tables of a hub in memory."""

    places: Mapping[Key, Place] = field(default_factory=dict)
    providers: Mapping[Key, Provider] = field(default_factory=dict)
    organisations: Mapping[Key, Organisation] = field(default_factory=dict)
    organisations_by_code: Mapping[str, Organisation] = field(default_factory=dict)
    insurers: Mapping[Key, Insurer] = field(default_factory=dict)
    insurers_by_name: Mapping[str, Insurer] = field(default_factory=dict)
    displays: Mapping[tuple[str, str], str] = field(default_factory=dict)
    authorities: Authorities = NO_AUTHORITIES

    @classmethod
    def of(cls, rows: Rows, authorities: Authorities = NO_AUTHORITIES) -> EnrichmentTables:
        """The tables of a document."""
        return cls(
            places={(system_of(row.authority, authorities), row.code): row for row in rows.places},
            providers=_by_number(rows.providers, "id", authorities),
            organisations=_by_number(rows.organisations, "code", authorities)
            | _by_namespace(rows.organisations, authorities),
            organisations_by_code={key: row for row in rows.organisations for key in (row.npi, row.code) if key},
            insurers={(system_of(row.authority, authorities), row.id): row for row in rows.insurers if row.id},
            insurers_by_name={name: row for row in rows.insurers for name in _names(row)},
            authorities=authorities,
            displays={(row.system, row.code): row.display for row in rows.codes},
        )

    def __bool__(self) -> bool:
        return any(
            (self.places, self.providers, self.organisations, self.insurers_by_name, self.insurers, self.displays)
        )

    def organisation(self, code: str | None) -> Organisation | None:
        """The organisation that another row names by code or NPI."""
        return self.organisations_by_code.get(code) if code else None


def system_of(authority: str | None, authorities: Authorities = NO_AUTHORITIES) -> str | None:
    """The Identifier.system of an authority as a table names it."""
    return authority_system("", authority, "", authorities) if authority else None


def plain(name: str) -> str:
    """A name of a company as it is compared: without case and marks."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _by_number(rows: Iterable[Any], number: str, authorities: Authorities) -> dict[Key, Any]:
    """By number of the authority, and by NPI."""
    found: dict[Key, Any] = {}
    for row in rows:
        if value := getattr(row, number):
            found[system_of(row.authority, authorities), value] = row
        if row.npi:
            found.setdefault((NPI, row.npi), row)
    return found


def _by_namespace(rows: Iterable[Organisation], authorities: Authorities) -> dict[Key, Organisation]:
    """The sender of a message (MSH-4) is an organisation whose number is the address of its namespace."""
    return {(URI, address): row for row in rows if (address := system_of(row.code, authorities))}


def _names(row: Insurer) -> set[str]:
    return {plain(name) for name in (row.name or "", *(row.also or "").split("|")) if plain(name)}
