"""Documents in OBX-5: DocumentReference and Binary, shown by the Observation and presented by the report.

The content is kept once, byte for byte, in a Binary whose securityContext is its DocumentReference; whoever may not
read that does not get the bytes (binary.html#security). The guide writes R5's value as an extension of the Observation;
here that Attachment says where the content is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps import attachments
from healthsync.standards.maps.attachments import Content
from healthsync.standards.maps.clinical import coded_key
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.scribe import Draft, Scribe, clean

VALUE_ATTACHMENT = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Observation.value"

_DOC_STATUS = {
    "final": "final", "preliminary": "preliminary", "registered": "preliminary", "amended": "amended",
    "corrected": "amended", "entered-in-error": "entered-in-error",
}  # fmt: skip
"""Observation.status → composition-status of the document."""


@dataclass(slots=True)
class _Open:
    """A document whose pieces are still coming, and what it belongs to."""

    kind: str
    test: str
    observation: Draft
    report: Draft | None
    order: Draft | None
    pieces: list[Repetition] = field(default_factory=list)


class Collector:
    """The documents of one message. A document may be cut into repetitions of OBX-5 and into several OBX."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self.open: _Open | None = None

    def takes(self, obx: Segment) -> bool:
        """Take a further piece of the open document: an OBX of the same type and test, base64 without a beginning."""
        if (now := self.open) is None:
            return False
        reps = [rep for rep in obx.field(5).repetitions if rep.raw]
        same = obx.get(2) == now.kind and coded_key(obx, 3, self._scribe) == now.test
        if not same or not reps or not all(_continues(now, rep) for rep in reps):
            self.finish()
            return False
        now.pieces += reps
        return True

    def begin(self, obx: Segment, observation: Draft, report: Draft | None, order: Draft | None) -> None:
        """Hold the document in an OBX until its last piece has come."""
        self.finish()
        reps = [rep for rep in obx.field(5).repetitions if rep.raw and not rep.is_null]
        self.open = _Open(obx.get(2), coded_key(obx, 3, self._scribe), observation, report, order, reps)

    def finish(self) -> None:
        """Write down the open document, if there is one."""
        now, self.open = self.open, None
        if now is None:
            return
        if now.kind == "RP":
            shown = [self._pointed(now, at, rep) for at, rep in enumerate(now.pieces)]
        else:
            shown = [self._written(now, at, reps) for at, reps in enumerate(attachments.pieces(now.pieces))]
        for attachment in filter(None, shown):
            value = {"url": VALUE_ATTACHMENT, "valueAttachment": attachment}
            now.observation.resource.setdefault("extension", []).append(value)
            if now.report:
                now.report.resource.setdefault("presentedForm", []).append(attachment)

    def _written(self, now: _Open, at: int, reps: list[Repetition]) -> Resource | None:
        found = attachments.content(reps)
        if found is None:
            self._scribe.issue("invalid-attachment", "OBX-5")
            text = "\n".join(clean(rep.text) for rep in reps).strip()
            if now.kind not in ("ED", "RP") and text:
                now.observation.resource.setdefault("valueString", text)
            return None
        key = now.observation.key + (f"|#{at + 1}" if at else "")
        draft = self._reference(now, key)
        attachment = binary(found, key, draft, self._scribe)
        if title := _title(now.observation.resource):
            attachment["title"] = title
        draft.resource["content"] = [{"attachment": attachment}]
        return attachment

    def _pointed(self, now: _Open, at: int, rep: Repetition) -> Resource | None:
        attachment = attachments.pointer(rep)
        if attachment is None:
            return None
        draft = self._reference(now, now.observation.key + (f"|#{at + 1}" if at else ""))
        draft.resource["content"] = [{"attachment": attachment}]
        return attachment

    def _reference(self, now: _Open, key: str) -> Draft:
        """The DocumentReference of a document that came as a result."""
        draft = self._scribe.draft("DocumentReference", key)
        seen, resource = now.observation.resource, draft.resource
        withdrawn = seen["status"] == "entered-in-error"
        resource["status"] = "entered-in-error" if withdrawn else "current"
        draft.action = now.observation.action
        if status := _DOC_STATUS.get(seen["status"]):
            resource["docStatus"] = status
        resource["type"] = seen["code"]
        resource["subject"] = seen["subject"]
        if now.report and "issued" in now.report.resource:
            resource["date"] = now.report.resource["issued"]
        told = {"encounter": [seen["encounter"]]} if "encounter" in seen else {}
        related = [draft.reference for draft in (now.order, now.report) if draft]
        context = {**told, **({"related": related} if related else {})}
        if context:
            resource["context"] = context
        return draft


def _continues(now: _Open, rep: Repetition) -> bool:
    return now.kind != "RP" and not attachments.is_whole(now.pieces) and attachments.is_continued(rep)


def binary(found: Content, key: str, reference: Draft, scribe: Scribe) -> Resource:
    """Write the content down as a Binary; answers the Attachment that leads to it."""
    draft = scribe.draft("Binary", key)
    draft.resource["contentType"] = found.media_type
    draft.resource["securityContext"] = reference.reference
    draft.resource["data"] = found.encoded
    return found.attachment(draft.reference["reference"])


def _title(observation: Resource) -> str:
    code = observation["code"]
    return code.get("text") or next((coding["display"] for coding in code.get("coding", ()) if "display" in coding), "")
