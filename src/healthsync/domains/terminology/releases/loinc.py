"""LOINC as Regenstrief publishes it: Loinc.csv, and where they are there Part.csv, MapTo.csv, the hierarchy of
components and the linguistic variants (LOINC Users' Guide, appendix on the structure of the table)."""

from __future__ import annotations

from collections.abc import Iterator

from healthsync.domains.terminology.model import (
    CodeSystem,
    Coding,
    Concept,
    ConceptMap,
    Designation,
    MapEntry,
    Property,
)
from healthsync.domains.terminology.releases.files import Files, version_in
from healthsync.domains.terminology.releases.release import PublishedMap, PublishedSystem, Release
from healthsync.errors import InvalidInput

LOINC = "http://loinc.org"

_PROPERTIES = (
    *("COMPONENT", "PROPERTY", "TIME_ASPCT", "SYSTEM", "SCALE_TYP", "METHOD_TYP", "CLASS", "CLASSTYPE", "STATUS"),
    *("ORDER_OBS", "EXAMPLE_UCUM_UNITS", "UNITSREQUIRED", "PanelType", "COMMON_TEST_RANK"),
)
_NAMES = ("SHORTNAME", "DisplayName", "CONSUMER_NAME")
_GONE = frozenset({"DEPRECATED"})


def read(files: Files, version: str | None) -> Release:
    """A release of LOINC; without a version that of the folder (Loinc_2.78) or the newest that the table names."""
    table = files.need(r"loinc\.csv", "Loinc.csv")
    version = version or version_in(f"{files.path.name}/{table}", r"[Ll]oinc_(\d+\.\d+)") or _newest(files, table)
    header = CodeSystem(
        LOINC,
        version,
        "LOINC",
        "Logical Observation Identifiers, Names and Codes",
        case_sensitive=False,
        properties=dict.fromkeys((*_PROPERTIES, "PartTypeName"), "string"),
    )
    system = PublishedSystem(header, _concepts(files, table), _hierarchy(files), _variants(files))
    return Release(version, [system], [replaced] if (replaced := _replaced(files, version)) else [])


def _newest(files: Files, table: str) -> str:
    found = "0"
    for row in files.table(table, ["LOINC_NUM", "LONG_COMMON_NAME"], delimiter=","):
        found = max(found, row.get("VersionLastChanged", ""), key=_numbers)
    if found == "0":
        raise InvalidInput("which version of LOINC is this? Say it by --version 2.78")
    return found


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def _concepts(files: Files, table: str) -> Iterator[Concept]:
    ordinal = -1
    for row in files.table(table, ["LOINC_NUM", "LONG_COMMON_NAME", "STATUS"], delimiter=","):
        ordinal += 1
        yield Concept(
            row["LOINC_NUM"],
            row["LONG_COMMON_NAME"] or row.get("SHORTNAME") or row["LOINC_NUM"],
            row.get("DefinitionDescription") or None,
            ordinal,
            inactive=row["STATUS"] in _GONE,
            designations=tuple(
                Designation(row[name], "en", {"system": LOINC, "code": name}) for name in _NAMES if row.get(name)
            ),
            properties=tuple(Property(name, "string", row[name]) for name in _PROPERTIES if row.get(name)),
        )
    if (parts := files.find(r"part\.csv")) is not None:
        for row in files.table(parts, ["PartNumber", "PartTypeName", "PartDisplayName"], delimiter=","):
            ordinal += 1
            kind = (Property("PartTypeName", "string", row["PartTypeName"]),)
            gone = row.get("Status") in _GONE
            yield Concept(row["PartNumber"], row["PartDisplayName"], None, ordinal, inactive=gone, properties=kind)


def _hierarchy(files: Files) -> Iterator[tuple[str, str]]:
    if (name := files.find(r"componenthierarchybysystem\.csv")) is None:
        return
    for row in files.table(name, ["IMMEDIATE_PARENT", "CODE"], delimiter=","):
        if row["IMMEDIATE_PARENT"]:
            yield row["CODE"], row["IMMEDIATE_PARENT"]


def _variants(files: Files) -> Iterator[tuple[str, Designation]]:
    for name in files.find_all(r"[a-z]{4}\d+linguisticvariant\.csv"):
        short = name.replace("\\", "/").rpartition("/")[2]
        language = f"{short[:2].lower()}-{short[2:4].upper()}"
        for row in files.table(name, ["LOINC_NUM"], delimiter=","):
            if text := row.get("LinguisticVariantDisplayName") or row.get("LONG_COMMON_NAME"):
                yield row["LOINC_NUM"], Designation(text, language)


def _replaced(files: Files, version: str) -> PublishedMap | None:
    """Deprecated codes and those that stand in their place (MapTo.csv)."""
    if (name := files.find(r"mapto\.csv")) is None:
        return None

    def entries() -> Iterator[MapEntry]:
        for row in files.table(name, ["LOINC", "MAP_TO"], delimiter=","):
            yield MapEntry(LOINC, row["LOINC"], "relatedto", Coding(LOINC, row["MAP_TO"]), row.get("COMMENT") or None)

    return PublishedMap(ConceptMap("http://loinc.org/cm/map-to", version), entries())
