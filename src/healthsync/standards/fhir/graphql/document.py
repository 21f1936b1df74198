"""Reading a GraphQL document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthsync.standards.fhir.graphql.tree import Bounds, Fields


def read_document(
    text: str,
    variables: Mapping[str, Any] | None = None,
    operation_name: str | None = None,
    bounds: Bounds | None = None,
) -> Fields:
    """The fields of the query in a document. Raises QueryFault."""
    # graphql-core takes a fifth of a second to import: a hub that nobody asks by GraphQL starts without it.
    from healthsync.standards.fhir.graphql.parsing import read

    return read(text, variables or {}, operation_name, bounds or Bounds())
