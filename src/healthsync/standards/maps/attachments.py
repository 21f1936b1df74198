"""HL7 v2 documents (ED, RP) as FHIR Attachments."""

from __future__ import annotations

import base64
import binascii
import re

from healthsync.standards.hl7v2 import Repetition
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.scribe import Scribe, part
from healthsync.standards.maps.systems import URI
from healthsync.standards.maps.tables import tables


def attachment(rep: Repetition, scribe: Scribe) -> Resource | None:
    """ED[Attachment]: type of data, subtype, encoding (A, Hex, Base64), data (v2.5.1 §2.A.24)."""
    data, encoding = rep.component(5).strip(), part(rep, 4).upper()
    if not data:
        return None
    encoded = _base64(data, encoding)
    if encoded is None:
        scribe.issue("invalid-attachment")
        return None
    made: Resource = {}
    if media := media_type(part(rep, 2), part(rep, 3)):
        made["contentType"] = media
    made["data"] = encoded
    return made


def _base64(data: str, encoding: str) -> str | None:
    try:
        if encoding == "HEX":
            return base64.b64encode(binascii.unhexlify("".join(data.split()))).decode()
        if encoding == "BASE64" or not encoding:
            compact = "".join(data.split())
            base64.b64decode(compact, validate=True)
            return compact
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(data.encode()).decode()


def media_type(kind: str, subtype: str) -> str | None:
    """RFC 2046 type of ED.2/ED.3 or RP.3/RP.4. v2 names main types freely (`AP`, `Image`, `TEXT`)."""
    if concept := tables().concepts["DocumentType"].get(subtype.lower()):
        return concept[1]
    main = {"ap": "application", "im": "image", "au": "audio", "tx": "text"}.get(kind.lower(), kind.lower())
    return f"{main}/{subtype.lower()}" if re.fullmatch(r"[a-z]+", main) and re.fullmatch(r"[\w.+-]+", subtype) else None


def pointer(rep: Repetition, _scribe: Scribe) -> Resource | None:
    """RP[Attachment]: an address where it is one, a name otherwise."""
    target = part(rep, 1)
    if not target:
        return None
    made: Resource = {}
    if media := media_type(part(rep, 3), part(rep, 4)):
        made["contentType"] = media
    made["url" if URI.fullmatch(target) else "title"] = target
    return made
