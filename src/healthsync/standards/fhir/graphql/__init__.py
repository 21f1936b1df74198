"""GraphQL over FHIR R4 (http://hl7.org/fhir/R4/graphql.html): documents read, checked and shaped; no resource is read.

`document` reads a query into fields with their values, `fields` says which fields a type has and refuses others,
`introspection` tells them as a schema, and `output` puts values into the answer (@flatten, @first, @singleton, @slice).
Not served: mutations, subscriptions.
"""

from healthsync.standards.fhir.graphql.document import check_introspection, introspect, read_document
from healthsync.standards.fhir.graphql.errors import QueryFault
from healthsync.standards.fhir.graphql.fields import (
    VIEWS,
    Element,
    check_fields,
    element_of,
    flat,
    is_introspection,
    lists_of,
    type_name,
)
from healthsync.standards.fhir.graphql.output import Output, holds, kept, search_pairs, suffixes
from healthsync.standards.fhir.graphql.tree import Bounds, Field, Fields, Fragment

__all__ = [
    "VIEWS",
    "Bounds",
    "Element",
    "Field",
    "Fields",
    "Fragment",
    "Output",
    "QueryFault",
    "check_fields",
    "check_introspection",
    "element_of",
    "flat",
    "holds",
    "introspect",
    "is_introspection",
    "kept",
    "lists_of",
    "read_document",
    "search_pairs",
    "suffixes",
    "type_name",
]
