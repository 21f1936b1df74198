"""Resources that nobody on this project wrote, from the shared test data: examples of the specification and of US Core,
Synthea's patients, what others' converters make, test patients of quality measures."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

Resource = dict[str, Any]


class Number(str):
    """A JSON number as it is written: 1.0 and 1.00 are two values, 1e2 and 1E+2 one (datatypes.html#decimal)."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and Decimal(self).as_tuple() == Decimal(other).as_tuple()

    __hash__ = str.__hash__

    def __repr__(self) -> str:
        return f"number {self}"


@dataclass(frozen=True)
class Example:
    """A resource and where it comes from."""

    source: str
    resource: Resource

    @property
    def type(self) -> str:
        return str(self.resource.get("resourceType"))


def read_json(text: str | bytes) -> Any:
    """JSON whose numbers keep their text."""
    return json.loads(text, parse_float=Number, parse_int=Number)


def write_json(value: Any) -> str:
    """The same JSON again: numbers as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{write_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write_json, value)) + "]"
    return json.dumps(value)


def examples(data: Path, files_of_a_folder: int) -> Iterator[Example]:
    """Every resource of the shared data, those of a bundle one by one (a document is a resource of its own too)."""
    for source, text in _files(data, files_of_a_folder):
        try:
            document = read_json(text)
        except ValueError:
            continue
        yield from _resources(source, document)


def _resources(source: str, document: Any) -> Iterator[Example]:
    if isinstance(document, list):
        for item in document:
            yield from _resources(source, item)
        return
    if not isinstance(document, dict) or "index-version" in document:  # the index of a package is no resource
        return
    if "resourceType" not in document:
        for item in document.values():
            if isinstance(item, list):
                yield from _resources(source, item)
        return
    if document["resourceType"] != "Bundle":
        yield Example(source, document)
        return
    for entry in _addressed(document).get("entry", ()):
        if "resource" in entry:
            yield from _resources(source, entry["resource"])
    if document.get("type") in ("document", "collection", "message"):
        yield Example(source, document)


def _addressed(bundle: Resource) -> Resource:
    """The bundle with Type/id where its references name the urn of an entry, as a transaction stores them."""
    places = {
        entry["fullUrl"]: f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in bundle.get("entry", ())
        if entry.get("fullUrl", "").startswith("urn:") and "id" in entry.get("resource", {})
    }
    if not places:
        return bundle
    return read_json(_URN.sub(lambda found: f'"reference":"{places.get(found[1], found[1])}"', write_json(bundle)))


_URN = re.compile(r'"reference":"(urn:[^"]*)"')


def _files(data: Path, of_a_folder: int) -> Iterator[tuple[str, bytes]]:
    seen: Counter[str] = Counter()
    for file in sorted(data.rglob("*")):
        source = str(file.relative_to(data).parent)
        if not file.name.endswith((".json.gz", ".json", ".fhir", ".tgz")):
            continue
        seen[source] += 1
        if seen[source] > of_a_folder:
            continue
        if file.suffix == ".tgz":
            with tarfile.open(file) as package:
                for member in package:
                    content = package.extractfile(member) if member.name.endswith(".json") else None
                    if content is not None and "/openapi/" not in member.name:
                        yield f"{source}/{file.stem}/{Path(member.name).parent}", content.read()
        else:
            yield source, gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
