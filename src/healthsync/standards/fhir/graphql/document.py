"""Reading a GraphQL document, and what GraphQL says about itself.

graphql-core takes a fifth of a second to import: a hub that nobody asks by GraphQL starts without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthsync.standards.fhir.graphql.fields import flat, is_introspection
from healthsync.standards.fhir.graphql.tree import Bounds, Field, Fields


def read_document(
    text: str,
    variables: Mapping[str, Any] | None = None,
    operation_name: str | None = None,
    bounds: Bounds | None = None,
) -> Fields:
    """The fields of the query in a document. Raises QueryFault."""
    from healthsync.standards.fhir.graphql.parsing import read

    return read(text, variables or {}, operation_name, bounds or Bounds())


def check_introspection(fields: Fields) -> None:
    """What a query asks of the schema must exist. Raises QueryFault naming its position."""
    asked = [field for field in flat(fields, None) if is_introspection(field)]
    if asked:
        from healthsync.standards.fhir.graphql import introspection

        for field in asked:
            introspection.check(field)


def introspect(field: Field) -> dict[str, Any] | None:
    """What a checked field answers; the whole schema takes a third of a second. Raises QueryFault when the answer would
    grow too large."""
    from healthsync.standards.fhir.graphql import introspection

    return introspection.answer(field)
