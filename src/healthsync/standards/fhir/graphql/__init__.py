"""GraphQL over FHIR R4 (http://hl7.org/fhir/R4/graphql.html): documents read, checked and shaped; no resource is read.

`document` reads a query into fields with their values, `fields` says which fields a type has and refuses others, and
`output` puts values into the answer (@flatten, @first, @singleton, @slice). Not served: mutations, subscriptions,
introspection.
"""

from healthsync.standards.fhir.graphql.document import read_document
from healthsync.standards.fhir.graphql.errors import QueryFault
from healthsync.standards.fhir.graphql.fields import Element, check_fields, element_of, lists_of
from healthsync.standards.fhir.graphql.output import Output, holds, kept, search_pairs, suffixes
from healthsync.standards.fhir.graphql.tree import Bounds, Field, Fields, Fragment

__all__ = [
    "Bounds",
    "Element",
    "Field",
    "Fields",
    "Fragment",
    "Output",
    "QueryFault",
    "check_fields",
    "element_of",
    "holds",
    "kept",
    "lists_of",
    "read_document",
    "search_pairs",
    "suffixes",
]
