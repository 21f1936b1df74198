"""RxNorm in Rich Release Format, as NLM publishes it (RxNorm Technical Documentation, §12)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

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

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
NDC, ATC = "http://hl7.org/fhir/sid/ndc", "http://www.whocc.no/atc"

_RXCUI, _SAB, _TTY, _CODE, _STR, _SUPPRESS = 0, 11, 12, 13, 14, 16  # RXNCONSO
_SYNONYMS = frozenset({"SY", "TMSY", "PSN", "ET"})
_BELOW = frozenset({"isa", "tradename_of"})


def read(files: Files, version: str | None) -> Release:
    """A release of RxNorm; without a version that of the folder (RxNorm_full_06022025) or of RXNSAB.RRF."""
    conso = files.need(r"rxnconso\.rrf", "RXNCONSO.RRF")
    version = version or version_in(f"{files.path.name}/{conso}", r"_(\d{8})") or _of_sources(files)
    if version is None:
        raise InvalidInput("which release of RxNorm is this? Say it by --version 06022025")
    header = CodeSystem(RXNORM, version, "RXNORM", "RxNorm", properties={"TTY": "string"})
    maps = [PublishedMap(ConceptMap("urn:healthsync:rxnorm:to-atc", version), _to_atc(files, conso))]
    if (attributes := files.find(r"rxnsat\.rrf")) is not None:
        header_of_ndc = ConceptMap("urn:healthsync:rxnorm:from-ndc", version)
        maps.append(PublishedMap(header_of_ndc, _from_ndc(files, attributes), applied=True))
    return Release(version, [PublishedSystem(header, _concepts(files, conso), _edges(files, conso))], maps)


def _of_sources(files: Files) -> str | None:
    if (name := files.find(r"rxnsab\.rrf")) is None:
        return None
    return next((row[6] for row in files.pipes(name, 7) if row[3] == "RXNORM" and row[6]), None)


def _atoms(files: Files, conso: str) -> Iterator[tuple[str, list[list[str]]]]:
    """The atoms of RxNorm itself, by concept; the file is in the order of RXCUI."""
    own = (row for row in files.pipes(conso, 17) if row[_SAB] == "RXNORM")
    for rxcui, rows in groupby(own, key=lambda row: row[_RXCUI]):
        yield rxcui, list(rows)


def _concepts(files: Files, conso: str) -> Iterator[Concept]:
    seen: set[str] = set()
    for rxcui, atoms in _atoms(files, conso):
        if rxcui in seen:
            raise InvalidInput("RXNCONSO.RRF is not in the order of RXCUI; take the file as it was published")
        seen.add(rxcui)
        first = next((atom for atom in atoms if atom[_TTY] not in _SYNONYMS), atoms[0])
        others = tuple(
            Designation(atom[_STR], "en", {"system": RXNORM, "code": atom[_TTY]}) for atom in atoms if atom is not first
        )
        yield Concept(
            rxcui,
            first[_STR],
            None,
            len(seen) - 1,
            inactive=first[_SUPPRESS] in ("O", "E", "Y"),
            designations=others,
            properties=(Property("TTY", "string", first[_TTY]),),
        )


def _edges(files: Files, conso: str) -> Iterator[tuple[str, str]]:
    """RXNREL: the second concept stands to the first as RELA says, so the second is below (§12.7)."""
    if (name := files.find(r"rxnrel\.rrf")) is None:
        return
    known = {rxcui for rxcui, _ in _atoms(files, conso)}
    for row in files.pipes(name, 11):
        first, second, rela, sab = row[0], row[4], row[7], row[10]
        if sab == "RXNORM" and rela in _BELOW and first in known and second in known:
            yield second, first


def _to_atc(files: Files, conso: str) -> Iterator[MapEntry]:
    for row in files.pipes(conso, 17):
        if row[_SAB] == "ATC":
            yield MapEntry(RXNORM, row[_RXCUI], "relatedto", Coding(ATC, row[_CODE], row[_STR]))


def _from_ndc(files: Files, attributes: str) -> Iterator[MapEntry]:
    """RXNSAT: the attribute NDC of a concept, in eleven digits."""
    for row in files.pipes(attributes, 12):
        if row[8] == "NDC" and row[9] == "RXNORM":
            yield MapEntry(NDC, row[10], "wider", Coding(RXNORM, row[0]))
