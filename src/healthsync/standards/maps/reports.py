"""Documents of MDM: TXA as a DocumentReference, OBX as its content (guide: MDM_T02)."""

from __future__ import annotations

from collections.abc import Sequence

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps import attachments, documents
from healthsync.standards.maps.attachments import Content
from healthsync.standards.maps.clinical import coded_key
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import ei_identifier, plain_identifier
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.scribe import Draft, Scribe, clean
from healthsync.standards.maps.tables import DocumentEvent

TEXT = frozenset({"TX", "FT", "ST", ""})

_WITHDRAWN = "entered-in-error"
_LATER = ("superseded", _WITHDRAWN)
"""What a document that arrives late does not undo."""


def document(
    txa: Segment, event: DocumentEvent, program: Program, patient: Draft, visit: Draft | None, scribe: Scribe
) -> Draft:
    """TXA[DocumentReference]. Key: document number (TXA-12), else file name (TXA-16), else patient, type and time."""
    draft = scribe.draft("DocumentReference", _key(txa, patient, scribe))
    resource = draft.resource
    _tell_status(txa, event, draft)
    program.run(txa, draft, scribe)
    resource["subject"] = patient.reference
    if visit:
        resource.setdefault("context", {})["encounter"] = [visit.reference]
    if event.relates:
        _tell_parent(txa, event.relates, draft, patient, scribe)
    for number in (14, 15):
        rep = first_repetition(txa, number)
        scribe.path = f"TXA-{number}"
        if rep and (found := ei_identifier(rep, scribe, "PLAC" if number == 14 else "FILL")):
            related = resource.setdefault("context", {}).setdefault("related", [])
            related.append({"type": "ServiceRequest", "identifier": found})
    return draft


def _key(txa: Segment, patient: Draft, scribe: Scribe) -> str:
    for number, read in ((12, ei_identifier), (16, plain_identifier)):
        rep = first_repetition(txa, number)
        if rep and (found := read(rep, scribe)):
            return f"{found['system']}|{found['value']}"
    return f"{patient.key}|{coded_key(txa, 2, scribe)}|{clean(txa.get(6) or txa.get(4))}"


def _tell_status(txa: Segment, event: DocumentEvent, draft: Draft) -> None:
    """TXA-19 and the event. A late original brings no cancelled or replaced document back."""
    sent = txa.get(19)
    if event.cancels or sent == "CA":
        draft.resource["status"], draft.action = _WITHDRAWN, _WITHDRAWN
    elif sent == "OB":
        draft.resource["status"] = "superseded"
    else:
        draft.resource["status"] = "current"
        draft.unless["status"] = _LATER


def _tell_parent(txa: Segment, relation: str, draft: Draft, patient: Draft, scribe: Scribe) -> None:
    """The parent of TXA-13: here by its number until it arrives itself. What is replaced is superseded."""
    rep = first_repetition(txa, 13)
    scribe.path = "TXA-13"
    number = ei_identifier(rep, scribe) if rep else None
    if number is None:
        scribe.issue("parent-document-missing", "TXA-13")
        return
    parent = scribe.draft("DocumentReference", f"{number['system']}|{number['value']}")
    if parent is draft:
        scribe.issue("document-of-itself", "TXA-13")
        return
    if "subject" not in parent.resource:
        parent.resource.update(status="current", masterIdentifier=number, subject=patient.reference)
        parent.unless["status"] = ("*",)
        _tell_no_content(parent)
    if relation == "replaces":
        parent.resource["status"] = "superseded"
        parent.unless["status"] = (_WITHDRAWN,)
    draft.resource["relatesTo"] = [{"code": relation, "target": parent.reference}]


def relate(draft: Draft, other: Draft, scribe: Scribe) -> None:
    """What the document is about: its order, a result in it."""
    scribe.add_once(draft.resource.setdefault("context", {}).setdefault("related", []), other.reference)


def _tell_no_content(draft: Draft) -> None:
    """Content is required in FHIR: said to be unknown, and no reason to forget what is known of it."""
    absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    draft.resource["content"] = [{"attachment": {"extension": [absent]}}]
    draft.unless["content"] = ("*",)


def tell_content(draft: Draft, lines: Sequence[Segment], scribe: Scribe) -> None:
    """The content of a document: its text joined, its files one by one."""
    found: list[Resource] = []
    text: list[str] = []
    files: list[Repetition] = []
    for obx in lines:
        kind, reps = obx.get(2), [rep for rep in obx.field(5).repetitions if rep.raw and not rep.is_null]
        if kind == "RP":
            found += [pointed for rep in reps if (pointed := attachments.pointer(rep))]
        elif reps and (attachments.is_document(kind, reps[0]) or _goes_on(files, text, reps)):
            files += reps
        else:
            text += [clean(rep.text) for rep in reps] or [""]
    if any(line.strip() for line in text):
        content = Content("\n".join(text).strip("\n").encode(), "text/plain; charset=utf-8")
        found.insert(0, documents.binary(content, f"{draft.key}|text", draft, scribe))
    for at, pieces in enumerate(attachments.pieces(files)):
        content = attachments.content(pieces)
        if content is None:
            scribe.issue("invalid-attachment", "OBX-5")
        else:
            found.append(documents.binary(content, f"{draft.key}|#{at + 1}", draft, scribe))
    if title := draft.resource.get("description"):
        found = [{**attachment, "title": attachment.get("title", title)} for attachment in found]
    if found:
        draft.resource["content"] = [{"attachment": attachment} for attachment in found]
        draft.unless.pop("content", None)
    elif "content" not in draft.resource:
        _tell_no_content(draft)


def _goes_on(files: Sequence[Repetition], text: Sequence[str], reps: Sequence[Repetition]) -> bool:
    """A piece of base64 behind a file that has not ended."""
    return bool(files) and not text and not attachments.is_whole(files) and all(map(attachments.is_continued, reps))
