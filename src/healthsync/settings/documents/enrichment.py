"""`enrichment`: an operator's tables of what messages leave out.

enrichment:
  providers: providers.csv            # a file beside this one, its first line the names of the columns
  places:
    - {code: ICU, authority: MERCY, place_of_service: "21"}
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from healthsync.errors import ConfigurationError
from healthsync.settings.documents.names import Names
from healthsync.settings.reading import InvalidSettings, Problem, Reader, parse, setting
from healthsync.standards.us_billing import PLACES_OF_SERVICE, is_npi, is_taxonomy

Row = TypeVar("Row")

AUTHORITY = "Who gave the code: a name as in HL7 v2 (HD.1), an OID or a URI. Absent: whoever."


@dataclass(frozen=True, slots=True)
class Place:
    """A location."""

    code: str = setting(
        "The location as its identifier has it (`ICU/12/A`), a beginning of it (`ICU`), or `*`: all of its authority."
    )
    authority: str | None = setting(AUTHORITY, default=None)
    name: str | None = setting("Its name.", default=None)
    place_of_service: str | None = setting("CMS place of service, two digits.", default=None)
    organisation: str | None = setting("Code of the organisation that runs it, in this document.", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.place_of_service is not None and self.place_of_service not in PLACES_OF_SERVICE:
            yield (
                "place_of_service",
                f"“{self.place_of_service}” is no CMS place of service; write two digits such as 21",
            )
        if not (self.name or self.place_of_service or self.organisation):
            yield "code", "says nothing of this place; give name, place_of_service or organisation"


@dataclass(frozen=True, slots=True)
class Provider:
    """A practitioner."""

    id: str | None = setting("Number at the authority; or npi alone.", default=None)
    authority: str | None = setting(AUTHORITY, default=None)
    npi: str | None = setting("National provider identifier.", default=None)
    family: str | None = setting("Family name.", default=None)
    given: str | None = setting("Given names, parted by blanks.", default=None)
    taxonomy: str | None = setting("NUCC provider taxonomy code.", default=None)
    specialty: str | None = setting("What the taxonomy code means.", default=None)
    organisation: str | None = setting("Code of the organisation, in this document.", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if not (self.id or self.npi):
            yield "id", "nobody is meant; give id or npi"
        if not (self.family or self.given or self.taxonomy or self.organisation or (self.id and self.npi)):
            yield "id", "says nothing of this provider; give a name, taxonomy, organisation or the npi beside the id"
        if self.npi is not None and not is_npi(self.npi):
            yield "npi", "is no national provider identifier: ten digits, of which the last checks the others"
        if self.taxonomy is not None and not is_taxonomy(self.taxonomy):
            yield "taxonomy", f"“{self.taxonomy}” is no taxonomy code; write one such as 207R00000X"


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation."""

    code: str | None = setting("Number at the authority, or the name that is sent; or npi alone.", default=None)
    authority: str | None = setting(AUTHORITY, default=None)
    npi: str | None = setting("National provider identifier.", default=None)
    name: str | None = setting("Its name.", default=None)
    phone: str | None = setting("Telephone.", default=None)
    line: str | None = setting("Street.", default=None)
    city: str | None = setting("City.", default=None)
    state: str | None = setting("State.", default=None)
    postal_code: str | None = setting("Postal code.", default=None)
    country: str | None = setting("Country.", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if not (self.code or self.npi):
            yield "code", "no organisation is meant; give code or npi"
        if self.npi is not None and not is_npi(self.npi):
            yield "npi", "is no national provider identifier: ten digits, of which the last checks the others"


@dataclass(frozen=True, slots=True)
class Insurer:
    """A company that pays."""

    id: str | None = setting("Number at the authority (payer id); or names alone.", default=None)
    authority: str | None = setting(AUTHORITY, default=None)
    name: str | None = setting("Its name.", default=None)
    also: str | None = setting("Other names that are sent, parted by `|`.", default=None)
    payer_id: str | None = setting("Payer id to add, where messages send another number or a name only.", default=None)
    phone: str | None = setting("Telephone.", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if not (self.id or self.name):
            yield "id", "no insurer is meant; give id or name"


@dataclass(frozen=True, slots=True)
class CodeDisplay:
    """What a code means."""

    system: str = setting("URI of the code system, or `urn:healthsync:local:SOURCE` for local codes of a source.")
    code: str = setting("The code.")
    display: str = setting("What it means.")


@dataclass(frozen=True, slots=True)
class Enrichment:
    """Tables of what messages leave out."""

    places: tuple[Place, ...] | Path = setting("Locations, or a CSV file of them.", default=())
    providers: tuple[Provider, ...] | Path = setting("Practitioners, or a CSV file of them.", default=())
    organisations: tuple[Organisation, ...] | Path = setting("Organisations, or a CSV file of them.", default=())
    insurers: tuple[Insurer, ...] | Path = setting("Insurers, or a CSV file of them.", default=())
    codes: tuple[CodeDisplay, ...] | Path = setting("What codes mean, or a CSV file of it.", default=())


ROWS: dict[str, type] = {
    "places": Place,
    "providers": Provider,
    "organisations": Organisation,
    "insurers": Insurer,
    "codes": CodeDisplay,
}
"""Each table and what its rows are."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The tables with the rows of their files."""

    places: tuple[Place, ...] = ()
    providers: tuple[Provider, ...] = ()
    organisations: tuple[Organisation, ...] = ()
    insurers: tuple[Insurer, ...] = ()
    codes: tuple[CodeDisplay, ...] = ()


@dataclass(frozen=True, slots=True)
class EnrichmentDocument:
    """Tables of what messages leave out."""

    enrichment: Enrichment = setting("Tables of what messages leave out; named by `hl7.enrichment_path`.")

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each table."""
        rows, problems = rows_of(self.enrichment)
        for problem in problems:
            names.problem(problem)
        for table in ROWS:
            if found := getattr(rows, table):
                yield f"{table}: {len(found):,} rows; {_filled(found)}"


def load_enrichment(path: Path) -> Rows:
    """The tables of a document. Raises InvalidSettings with every fault, ConfigurationError when it cannot be read."""
    try:
        root = parse(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"hl7.enrichment_path: {path} cannot be read; try: healthsync config check") from None
    reader = Reader(folder=path.parent)
    document = reader.read(EnrichmentDocument, root, "")
    if reader.problems:
        raise InvalidSettings(reader.problems)
    rows, problems = rows_of(document.enrichment)
    if problems:
        raise InvalidSettings(problems)
    return rows


def rows_of(enrichment: Enrichment) -> tuple[Rows, list[Problem]]:
    """The rows of all tables, those of files read, and every fault: of a row, of two for one thing, of a name."""
    problems: list[Problem] = []
    tables: dict[str, tuple[Any, ...]] = {}
    for table, kind in ROWS.items():
        given = getattr(enrichment, table)
        tables[table] = rows_of_file(given, kind, problems) if isinstance(given, Path) else given
        problems += repeated(table, tables[table])
    rows = Rows(**tables)
    return rows, problems + list(_unknown_organisations(rows))


def rows_of_file(path: Path, kind: type[Row], problems: list[Problem]) -> tuple[Row, ...]:
    """The rows of a CSV file whose first line names the columns; faults are added to `problems`, by line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return tuple(_csv_rows(path.name, csv.DictReader(file), kind, problems))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(Problem("", path.name, f"cannot be read as CSV in UTF-8: {type(error).__name__}"))
        return ()


def _csv_rows(name: str, reader: csv.DictReader[str], kind: Any, problems: list[Problem]) -> Iterator[Any]:
    known = {one.name: one for one in fields(kind)}
    columns = reader.fieldnames or ()
    if unknown := [column for column in columns if column not in known]:
        problems.append(Problem(unknown[0], f"{name}:1", f"unknown column; known here: {', '.join(known)}"))
        return
    needed = [one.name for one in known.values() if _is_needed(one)]
    for line in reader:
        at = f"{name}:{reader.line_num}"
        values = {key: value.strip() for key, value in line.items() if key and isinstance(value, str) and value.strip()}
        if line.get(None) is not None:  # type: ignore[call-overload]
            problems.append(
                Problem("", at, "has more values than the first line has columns; put text with commas in quotes")
            )
        elif missing := [name for name in needed if name not in values]:
            problems.append(Problem(missing[0], at, "is missing"))
        else:
            row = kind(**values)
            problems.extend(Problem(key, at, message) for key, message in getattr(row, "faults", tuple)())
            yield row


def _is_needed(field: Any) -> bool:
    return field.default is not None


def repeated(table: str, rows: Iterable[Any]) -> Iterator[Problem]:
    """A thing that stands twice: which of the two is meant?"""
    counted = Counter(key for row in rows for key in keys_of_row(table, row))
    for key, count in counted.items():
        if count > 1:
            yield Problem(table, table, f"{' '.join(part for part in key if part)} stands {count} times; keep one")


def keys_of_row(table: str, row: Any) -> list[tuple[str, ...]]:
    """By what a row is found."""
    authority = getattr(row, "authority", None) or ""
    number = getattr(row, "id", None) or getattr(row, "code", None)
    if table == "codes":
        return [(row.system, row.code)]
    found = [("npi", row.npi)] if getattr(row, "npi", None) and not number else []
    return [*found, (authority, number)] if number else found


def _unknown_organisations(rows: Rows) -> Iterator[Problem]:
    known = {key for row in rows.organisations for key in (row.code, row.npi) if key}
    for table in ("places", "providers"):
        for row in getattr(rows, table):
            if row.organisation and row.organisation not in known:
                yield Problem(
                    f"{table}.organisation",
                    table,
                    f"“{row.organisation}” is no code of a row of organisations; add it there",
                )


def _filled(rows: tuple[Any, ...]) -> str:
    """How many rows say what: `npi 12, taxonomy 3`."""
    counted = Counter(field.name for row in rows for field in fields(row) if getattr(row, field.name))
    return ", ".join(f"{name} {count:,}" for name, count in counted.items())
