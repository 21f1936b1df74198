"""Maps of local codes as operators write them: a spreadsheet (CSV), YAML, or a ConceptMap. Pure.

    code,target,display          one line a code; `target_system` or --to says whose code the target is
    Source,LOINC Code            a column that has the name of a code system says it too

    LOINC: {GLU: 2345-7, GLUC: 2345-7}                                              YAML, the short form
    maps: [{from: L, to: LOINC, codes: {GLU: {code: 2345-7, equivalence: wider}}}]    and the long one

Code systems are named as HL7 v2 names them (LN, SCT, I10C, I9CDX, L), in short (icd-10-cm), or by their address.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import yaml

from healthsync.domains.terminology import compiling
from healthsync.domains.terminology.model import Coding, MapEntry
from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json, validate
from healthsync.standards.maps.systems import code_system

MOST_LINES = 200_000
"""Lines of one file; a larger map is a release of somebody, which `healthsync terminology load` takes."""

LONGEST = 512
"""Characters of a code or display."""

EQUIVALENCES = frozenset(
    {
        *("relatedto", "equivalent", "equal", "wider", "subsumes", "narrower", "specializes", "inexact"),
        *("unmatched", "disjoint"),
    }
)
"""http://hl7.org/fhir/concept-map-equivalence"""

_COLUMNS = {
    "code": ("code", "sourcecode", "localcode", "local", "source"),
    "system": ("system", "sourcesystem", "from", "codesystem"),
    "target": ("target", "targetcode", "standardcode", "standard", "to"),
    "target_system": ("targetsystem", "tosystem", "standardsystem"),
    "display": ("display", "targetdisplay", "name", "description"),
    "equivalence": ("equivalence", "relationship"),
    "comment": ("comment", "note", "because"),
}

_SHORT = {
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "snomedct": "http://snomed.info/sct",
    "icd10cm": "http://hl7.org/fhir/sid/icd-10-cm",
    "icd10": "http://hl7.org/fhir/sid/icd-10",
    "icd9": "http://hl7.org/fhir/sid/icd-9-cm",
    "icd9cm": "http://hl7.org/fhir/sid/icd-9-cm",
    "icd10pcs": "http://www.cms.gov/Medicare/Coding/ICD10",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "rxcui": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ndc": "http://hl7.org/fhir/sid/ndc",
    "cvx": "http://hl7.org/fhir/sid/cvx",
    "cpt": "http://www.ama-assn.org/go/cpt",
    "hcpcs": "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "ucum": "http://unitsofmeasure.org",
}


def system_named(name: str | None, source: str) -> str | None:
    """The address of a code system by its short name, its v2 name or its address; None for none."""
    if not name:
        return None
    return _SHORT.get(_plain(name)) or code_system(name, source)


def read(data: bytes, name: str, source: str, target: str | None = None) -> list[MapEntry]:
    """The lines of a map. `name` is that of the file; `target` names the system of targets that do not say theirs.

    Raises InvalidInput with the line that cannot be read.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("a map of codes is a text in UTF-8; save the spreadsheet as CSV UTF-8") from None
    if text.lstrip().startswith("{") and '"resourceType"' in text:
        lines = _of_resource(data)
    elif name.lower().endswith((".yaml", ".yml")):
        lines = list(_of_yaml(text, source, target))
    else:
        lines = list(_of_table(text, source, target))
    if not lines:
        raise InvalidInput("this map has no lines; see: healthsync terminology map add --help")
    if len(lines) > MOST_LINES:
        raise InvalidInput(
            f"a map of codes has {MOST_LINES} lines at most; load a release by: healthsync terminology load"
        )
    return lines


def line(
    system: str | None,
    code: str,
    target_system: str | None,
    target: str | None,
    *,
    display: str | None = None,
    equivalence: str | None = None,
    comment: str | None = None,
    place: str = "the line",
) -> MapEntry:
    """One line, checked. No target says that nothing means the code. Raises InvalidInput naming the `place`."""
    said = equivalence or ("equivalent" if target else "unmatched")
    if said not in EQUIVALENCES:
        raise InvalidInput(f"{place}: the equivalence is one of {', '.join(sorted(EQUIVALENCES))}", code="code-invalid")
    for text in (code, target, display, comment):
        if text is not None and (len(text) > LONGEST or "\0" in text):
            raise InvalidInput(f"{place}: a code or display has {LONGEST} characters at most", code="value")
    if not code:
        raise InvalidInput(f"{place}: the code is missing", code="required")
    if not target:
        return MapEntry(system, code, "unmatched", None, comment)
    if target_system is None:
        raise InvalidInput(
            f"{place}: of which code system is the target? Add a column target_system, or say it by --to LOINC",
            code="required",
        )
    return MapEntry(system, code, said, Coding(target_system, target, display or None), comment)


def _of_resource(data: bytes) -> list[MapEntry]:
    resource = json.parse(data)
    if not isinstance(resource, dict) or resource.get("resourceType") != "ConceptMap":
        raise InvalidInput("the resource with a map of codes is a ConceptMap", code="structure")
    if any(issue.is_error for issue in validate.structure(resource)):
        raise InvalidInput(
            "this is no valid ConceptMap of R4; ask ConceptMap/$validate what is wrong", code="structure"
        )
    return list(compiling.concept_map(resource).entries)


def _of_yaml(text: str, source: str, target: str | None) -> Iterator[MapEntry]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InvalidInput("this is no YAML; see: healthsync terminology map add --help") from None
    if not isinstance(document, dict):
        raise InvalidInput("a map of codes in YAML begins with the code system: `LOINC: {GLU: 2345-7}`")
    groups = cast(
        "list[Any]",
        document["maps"] if "maps" in document else [{"to": to, "codes": codes} for to, codes in document.items()],
    )
    for number, group in enumerate(groups if isinstance(groups, list) else [], 1):
        if not isinstance(group, dict) or not isinstance(group.get("codes"), dict):
            raise InvalidInput(f"map {number} has a `to` and `codes`, such as {{GLU: 2345-7}}")
        system = system_named(_text(group.get("from")), source)
        target_system = system_named(_text(group.get("to")) or target, source)
        for code, said in group["codes"].items():
            told = said if isinstance(said, Mapping) else {"code": said}
            yield line(
                system,
                _text(code) or "",
                target_system,
                _text(told.get("code")),
                display=_text(told.get("display")),
                equivalence=_text(told.get("equivalence")),
                comment=_text(told.get("comment")),
                place=f"map {number}",
            )


def _text(value: Any) -> str | None:
    return None if value is None else str(value).strip()


def _of_table(text: str, source: str, target: str | None) -> Iterator[MapEntry]:
    lines = [each for each in text.splitlines() if each.strip() and not each.startswith("#")]
    if not lines:
        return
    delimiter = max(",;\t|", key=lines[0].count)
    rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter)
    columns, implied = _columns(next(rows))
    target_system = implied or system_named(target, source)
    for number, row in enumerate(rows, 2):
        said = {name: row[at].strip() for name, at in columns.items() if at < len(row)}
        yield line(
            system_named(said.get("system"), source),
            said.get("code", ""),
            system_named(said.get("target_system"), source) or target_system,
            said.get("target"),
            display=said.get("display"),
            equivalence=said.get("equivalence"),
            comment=said.get("comment"),
            place=f"line {number}",
        )


def _columns(heads: Iterable[str]) -> tuple[dict[str, int], str | None]:
    """Where each column is, and the system that the head of the target names."""
    columns: dict[str, int] = {}
    implied = None
    for at, head in enumerate(heads):
        plain = _plain(head)
        for name, spelt in _COLUMNS.items():
            if plain in spelt:
                columns.setdefault(name, at)
        if (system := _SHORT.get(plain.removesuffix("code"))) is not None and "target" not in columns:
            columns["target"], implied = at, system
    if not {"code", "target"} <= columns.keys():
        raise InvalidInput("the first line names the columns: code,target and maybe display,target_system,equivalence")
    return columns, implied


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def concept_map(partner: str | None, url: str, entries: Iterable[MapEntry]) -> dict[str, Any]:
    """A local map as the ConceptMap that it is, to take elsewhere or to edit."""
    groups: dict[tuple[str | None, str | None], dict[str, Any]] = {}
    for entry in entries:
        target = entry.target
        key = (entry.source_system, target.system if target is not None else None)
        said = {name: system for name, system in zip(("source", "target"), key, strict=True) if system is not None}
        group = groups.setdefault(key, {**said, "element": {}})
        element = group["element"].setdefault(entry.source_code, {"code": entry.source_code})
        told: dict[str, Any] = {"equivalence": entry.equivalence}
        if target is not None:
            told = {"code": target.code, **({"display": target.display} if target.display else {}), **told}
        if entry.comment:
            told["comment"] = entry.comment
        element.setdefault("target", []).append(told)
    made = [{**group, "element": list(group["element"].values())} for group in groups.values()]
    whose = f"codes of {partner}" if partner is not None else "codes of every source"
    resource = {"resourceType": "ConceptMap", "url": url, "name": "LocalCodes", "title": f"Local {whose}"}
    return {**resource, "status": "active", **({"group": made} if made else {})}
