"""The one error of this codec."""

from __future__ import annotations

from healthsync.errors import InvalidInput


class Hl7SyntaxError(InvalidInput):
    """The bytes are no HL7 v2 message: no MSH segment with a field separator stands at the start."""
