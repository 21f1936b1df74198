"""HL7 v2 documents (ED, RP, and base64 in text) as content and as FHIR Attachments."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from healthsync.standards.hl7v2 import Repetition
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.scribe import part
from healthsync.standards.maps.systems import URI
from healthsync.standards.maps.tables import tables

_MAGIC = (
    ("JVBERi", "application/pdf"), ("PD94bWw", "text/xml"), ("77u/PD94bWw", "text/xml"), ("PENsaW5pY2Fs", "text/xml"),
    ("e1xydGY", "application/rtf"), ("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"),
)  # fmt: skip
"""How base64 of a document begins: PDF, XML (CDA), RTF, PNG, JPEG."""
_BEGINNINGS = tuple(beginning for beginning, _ in _MAGIC)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
MAY_HOLD_DOCUMENTS = frozenset({"ED", "RP", "TX", "FT", "ST", ""})
_SHORTEST = 64
"""Characters below which a text that begins like a document is taken for a word."""


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a document and their media type."""

    data: bytes
    media_type: str

    @property
    def encoded(self) -> str:
        """As base64."""
        return base64.b64encode(self.data).decode()

    def attachment(self, address: str) -> Resource:
        """An Attachment that says where the content is, how long it is and its SHA-1 (attachment.html)."""
        digest = base64.b64encode(hashlib.sha1(self.data, usedforsecurity=False).digest()).decode()
        return {"contentType": self.media_type, "url": address, "size": len(self.data), "hash": digest}


def is_document(kind: str, rep: Repetition) -> bool:
    """Whether a value of OBX-5 is a document: by its type, or a text that is base64 of one."""
    if kind in ("ED", "RP"):
        return True
    raw = rep.raw.lstrip()
    if raw.startswith(_BEGINNINGS):
        return len(raw) >= _SHORTEST and _BASE64.fullmatch(rep.text) is not None
    return "^" in raw and len(rep.components) >= 5 and part(rep, 4).lower() == "base64"


def is_continued(rep: Repetition) -> bool:
    """Whether the data of a value can be the next piece of base64."""
    data = _data(rep)
    return not data.lstrip().startswith(_BEGINNINGS) and _BASE64.fullmatch(data) is not None


def pieces(reps: Sequence[Repetition]) -> list[list[Repetition]]:
    """The pieces of each document together: a piece that looks like a beginning begins another."""
    found: list[list[Repetition]] = []
    for rep in reps:
        if found and is_continued(rep) and not is_whole(found[-1]):
            found[-1].append(rep)
        else:
            found.append([rep])
    return found


def is_whole(reps: Sequence[Repetition]) -> bool:
    """Whether base64 has ended with its padding."""
    return _data(reps[-1]).rstrip().endswith("=")


def _data(rep: Repetition) -> str:
    return rep.from_component(5) if len(rep.components) >= 5 else rep.text


def content(reps: Sequence[Repetition]) -> Content | None:
    """The content of a document in these pieces, byte for byte; None when it is in no encoding that we can read.

    ED.4 is A (the text itself), Hex or Base64 (v2.5.1 §2.A.24); a piece without components is base64.
    """
    first = reps[0]
    encoding = part(first, 4).upper() if len(first.components) >= 5 else "BASE64"
    data = _decoded("".join(_data(rep) for rep in reps), encoding)
    if not data:
        return None
    declared = media_type(part(first, 2), part(first, 3)) if len(first.components) >= 5 else None
    if declared == "text/plain" and encoding != "A":
        declared = None
    return Content(data, declared or _sniffed(data))


def _decoded(text: str, encoding: str) -> bytes | None:
    try:
        if encoding == "HEX":
            return binascii.unhexlify("".join(text.split()))
        if encoding == "BASE64" or not encoding:
            compact = "".join(text.split())
            return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return text.encode("utf-8", "surrogatepass")


def _sniffed(data: bytes) -> str:
    """The media type by how the content begins."""
    beginning = base64.b64encode(data[:12]).decode()
    for start, media in _MAGIC:
        if beginning.startswith(start):
            return media
    try:
        data.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "text/plain"


def media_type(kind: str, subtype: str) -> str | None:
    """RFC 2046 type of ED.2/ED.3 or RP.3/RP.4. v2 names main types freely (`AP`, `Image`, `TEXT`)."""
    if concept := tables().concepts["DocumentType"].get(subtype.lower()):
        return concept[1]
    main = {"ap": "application", "im": "image", "au": "audio", "tx": "text"}.get(kind.lower(), kind.lower())
    return f"{main}/{subtype.lower()}" if re.fullmatch(r"[a-z]+", main) and re.fullmatch(r"[\w.+-]+", subtype) else None


def pointer(rep: Repetition) -> Resource | None:
    """RP[Attachment]: an address where it is one, a name otherwise."""
    target = part(rep, 1)
    if not target:
        return None
    made: Resource = {}
    if media := media_type(part(rep, 3), part(rep, 4)):
        made["contentType"] = media
    made["url" if URI.fullmatch(target) else "title"] = target
    return made
