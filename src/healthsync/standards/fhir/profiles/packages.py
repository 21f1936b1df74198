"""FHIR packages (npm-style .tgz, https://confluence.hl7.org/display/FHIR/NPM+Package+Specification), read as data.

A package comes from a stranger: nothing of it is written to a file, and how much is unpacked is bounded.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json

MOST_FILES = 20_000
MOST_BYTES = 400 * 1024 * 1024
LARGEST_FILE = 50 * 1024 * 1024
"""Bounds of what a package may unpack to: several times the largest published one."""

KEPT = frozenset({"StructureDefinition", "ValueSet", "CodeSystem", "ConceptMap", "SearchParameter"})
"""Resource types that are kept of a package."""

_KINDS = frozenset({"resource", "complex-type"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class Package:
    """A package: its name and version, what it builds on, and its conformance resources (examples are not kept).

    `digest` is the SHA-256 of the file.
    """

    name: str
    version: str
    fhir_versions: tuple[str, ...]
    dependencies: dict[str, str]
    resources: list[dict[str, Any]] = field(repr=False)
    digest: bytes = b""


def read(data: bytes) -> Package:
    """The package in a .tgz. Raises InvalidInput when it is none, is for another FHIR release or unpacks too large."""
    manifest: dict[str, Any] | None = None
    resources: list[dict[str, Any]] = []
    for path, content in _files(data):
        if path == "package/package.json":
            manifest = _document(content, path)
        elif _is_resource(path):
            resource = _document(content, path)
            if is_kept(resource):
                resources.append(resource)
    if manifest is None:
        raise InvalidInput("the file holds no package/package.json; give a FHIR package (.tgz)", code="structure")
    return Package(*_identity(manifest), resources, hashlib.sha256(data).digest())


def _identity(manifest: dict[str, Any]) -> tuple[str, str, tuple[str, ...], dict[str, str]]:
    name, version = manifest.get("name"), manifest.get("version")
    if not all(type(text) is str and _NAME.fullmatch(text) for text in (name, version)):
        raise InvalidInput("package/package.json needs a name and a version", code="required")
    releases = manifest.get("fhirVersions", manifest.get("fhir-version-list", ["4.0.1"]))
    if not any(str(release).startswith("4.0") for release in releases):
        raise InvalidInput(f"the package is for FHIR {', '.join(map(str, releases))}; this hub speaks R4 (4.0.1)")
    dependencies = manifest.get("dependencies", {})
    return str(name), str(version), tuple(map(str, releases)), dict(dependencies) if dependencies else {}


def _is_resource(path: str) -> bool:
    """Beside package.json itself: examples, other folders and index files are left out."""
    folder, _, file = path.rpartition("/")
    return folder == "package" and file.endswith(".json") and not file.startswith(".")


def is_kept(resource: Mapping[str, Any]) -> bool:
    """A type of R4 is known already, so that of StructureDefinitions only profiles and extensions are news."""
    if resource.get("resourceType") not in KEPT or type(resource.get("url")) is not str:
        return False
    is_structure = resource["resourceType"] == "StructureDefinition"
    return not is_structure or (resource.get("derivation") == "constraint" and resource.get("kind") in _KINDS)


def _document(content: bytes, path: str) -> dict[str, Any]:
    try:
        return json.parse(content)
    except InvalidInput as problem:
        raise InvalidInput(f"{path}: {problem}", code=problem.code) from None


def is_modifier(resource: Mapping[str, Any]) -> bool:
    """Whether it defines a modifier extension."""
    if resource.get("type") != "Extension":
        return False
    listed = resource.get("snapshot", resource.get("differential", {})).get("element")
    return bool(listed and listed[0].get("isModifier"))


def compact(resource: Mapping[str, Any]) -> dict[str, Any] | None:
    """What validation reads of a resource; None when it reads nothing of it. A tenth of what the package holds."""
    if resource["resourceType"] not in _VALIDATING:
        return None
    small = {key: value for key, value in resource.items() if key not in _FOR_PEOPLE}
    if resource["resourceType"] == "StructureDefinition" and small.get("snapshot", {}).get("element"):
        small.pop("differential", None)
    return _without_words(small)


def _without_words(value: Any) -> Any:
    if type(value) is dict:
        return {key: _without_words(child) for key, child in value.items() if key not in _WORDS}
    return [_without_words(child) for child in value] if type(value) is list else value


_VALIDATING = frozenset({"StructureDefinition", "ValueSet", "CodeSystem"})
_FOR_PEOPLE = frozenset(
    {"text", "description", "purpose", "copyright", "contact", "publisher", "mapping", "useContext"}
)
_WORDS = frozenset({"definition", "comment", "requirements", "alias", "short", "mapping", "designation", "example"})


def _files(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The regular files. A path that leads out of the archive is harmless here: nothing is ever written."""
    unpacked = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for count, member in enumerate(archive):
                unpacked += member.size
                if count >= MOST_FILES or unpacked > MOST_BYTES or member.size > LARGEST_FILE:
                    raise InvalidInput("the package unpacks to more than this hub takes", code="too-costly")
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield member.name.removeprefix("./"), content.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        raise InvalidInput("the file is not a gzip-compressed tar archive; give a FHIR package (.tgz)") from None
