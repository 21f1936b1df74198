"""Print docs/fhir/uscdi.md: the data elements of USCDI version 3, and what the hub does with each.

python tools/docs_uscdi.py            write the page
python tools/docs_uscdi.py --check    say whether it is up to date

Nothing in the table is claimed by hand. The example of each element (tools/uscdi_v3.yaml) is validated, split by the
sealing policy and indexed by the code that does so in the hub; an element that may not be stored ends the build.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import fields

from healthsync.domains.privacy import SealingPolicy
from healthsync.standards.fhir import search_parameters, validate

ROOT = Path(__file__).resolve().parents[1]
ELEMENTS = ROOT / "tools" / "uscdi_v3.yaml"
PAGE = ROOT / "docs" / "fhir" / "uscdi.md"
NOTICE = "<!-- Printed by tools/docs_uscdi.py from tools/uscdi_v3.yaml; run: make reference -->\n"
HEAD = """
# USCDI version 3

The United States Core Data for Interoperability names the data that every system must be able to exchange. The table
says where US Core 6.1.0 keeps each element and what this hub does with it. It is printed from the code: the example of
each element is validated, sealed and indexed as in the hub.

- **Sealed**: under which class the element is encrypted in the database ([Encryption](../security/encryption.md)). One
  that is readable there holds codes, dates of care, numbers with units or references by hub id.
- **Found by**: the official R4 search parameters that find it. Sealed elements are found by keyed tokens.
  An element that none of them finds is marked with –: race, ethnicity and gender identity for one, for which US Core
  has search parameters of its own.

All {count} elements of the {classes} classes are stored, versioned and given out as they were received.

| Data class | Element | FHIR path | Sealed | Found by |
|---|---|---|---|---|
"""
OF_EVERY_TYPE = frozenset({"_id", "_lastUpdated", "_tag", "_profile", "_security", "_source", "_text", "_content"})


def page() -> str:
    """The whole page."""
    document = yaml.safe_load(ELEMENTS.read_text(encoding="utf-8"))
    rows = [
        _row(data_class, name, entry, document["least"])
        for data_class, elements in document["classes"].items()
        for name, entry in elements.items()
    ]
    return NOTICE + HEAD.format(count=len(rows), classes=len(document["classes"])) + "\n".join(rows) + "\n"


def _row(data_class: str, name: str, entry: dict[str, Any], least: dict[str, Any]) -> str:
    resource_type, _, path = entry["path"].partition(".")
    base = {"resourceType": resource_type, "id": "x", **least[resource_type]}
    resource = base | entry["example"]
    if faults := [issue for issue in validate.structure(resource) if issue.is_error]:
        sys.exit(f"{data_class}, {name}: {faults[0].diagnostics} at {faults[0].expression}")
    element = entry.get("only") or next(
        key for key in resource if re.fullmatch(rf"{re.match(r'[a-zA-Z]+', path)[0]}([A-Z]\w*)?", key)
    )
    sealed = SealingPolicy.load().class_of(resource_type, element, resource[element])
    found = ", ".join(f"`{each}`" for each in found_by(base, resource, element)) or "–"
    return f"| {data_class} | {name} | `{entry['path']}` | {sealed or 'readable'} | {found} |"


def found_by(base: dict[str, Any], resource: dict[str, Any], element: str) -> list[str]:
    """The search parameters that find a resource by `element`: those under whose paths it adds values."""
    without = {name: value for name, value in resource.items() if name != element}
    before = set(_values({**without, **{k: v for k, v in base.items() if k == element}}))
    added = {path for kind, path, *rest in set(_values(resource)) - before}
    parameters = search_parameters.definitions(resource["resourceType"]).values()
    return sorted(each.name for each in parameters if each.name not in OF_EVERY_TYPE and added & set(each.paths))


def _values(resource: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    values = search_parameters.index(resource)
    for kind in fields(values):
        entries = getattr(values, kind.name)
        if isinstance(entries, list):
            yield from ((kind.name, *entry) for entry in entries)


def run(check: bool) -> int:
    """Write the page, or say that it is out of date."""
    text = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"docs/fhir/uscdi.md {'is out of date; run: make reference' if check else 'written'}")
    if not check:
        PAGE.write_text(text, encoding="utf-8")
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(run("--check" in sys.argv))
