"""`fhir_mapping`: how rows of tables become resources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from healthsync.settings.documents.names import Names
from healthsync.settings.reading import setting

LITERAL_ELEMENTS = frozenset({"system", "use", "display", "resourceType"})


@dataclass(frozen=True, slots=True)
class ResourceMapping:
    """How rows of a table become resources."""

    fhir_type: str = setting("The resource type.")
    source_table: str = setting("A logical table.")
    mapping: dict[str, Any] = setting("FHIR elements; each leaf is a column, except system, use and display.")


@dataclass(frozen=True, slots=True)
class FhirMapping:
    """How tables become resources."""

    resources: tuple[ResourceMapping, ...] = setting("One entry a resource type.")


@dataclass(frozen=True, slots=True)
class FhirMappingDocument:
    """How tables become resources."""

    fhir_mapping: FhirMapping = setting(
        "How tables become resources.", later="sources that send rows instead of messages are not built yet"
    )

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each resource type."""
        for at, resource in enumerate(self.fhir_mapping.resources):
            key = f"fhir_mapping.resources[{at}]"
            pairs = list(_leaves(resource.mapping))
            if names.table(resource.source_table, f"{key}.source_table"):
                for path, column in pairs:
                    names.column(resource.source_table, column, f"{key}.mapping.{path.split('.')[0]}")
            elements = ", ".join(f"{path} ← {column}" for path, column in pairs)
            yield f"{resource.fhir_type} from {resource.source_table}: {elements}"


def _leaves(mapping: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(mapping, dict):
        for name, value in mapping.items():
            if name not in LITERAL_ELEMENTS:
                yield from _leaves(value, f"{path}.{name}" if path else name)
    elif isinstance(mapping, list):
        for value in mapping:
            yield from _leaves(value, path)
    else:
        yield path, str(mapping)
