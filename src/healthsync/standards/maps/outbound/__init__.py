"""FHIR R4 as HL7 v2 messages: the counterpart of `standards.maps.convert`, by tables of the same kind.

    content = Content(root, resources, changed="INSERT", occurred_at=…)
    raw = build("SIU^S12", content, Header(control_id=…, at=now, version="2.5.1", …))

Everything is pure. What a message needs beside its root resource is what the root refers to: see `references_of`.
"""

from healthsync.standards.maps.outbound.content import Content, references_of
from healthsync.standards.maps.outbound.message import Header, beside, build, missing, untellable
from healthsync.standards.maps.outbound.responses import QueryAnswer, build_pix_update, build_response
from healthsync.standards.maps.outbound.scene import is_beside
from healthsync.standards.maps.outbound.tables import known_types, message_map, require_version

__all__ = [
    "Content",
    "Header",
    "QueryAnswer",
    "beside",
    "build",
    "build_pix_update",
    "build_response",
    "is_beside",
    "known_types",
    "message_map",
    "missing",
    "references_of",
    "require_version",
    "untellable",
]
