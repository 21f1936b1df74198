"""Orders' results: OBR as a report, OBX as observations, SPM as specimens."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.attachments import MAY_HOLD_DOCUMENTS, is_document
from healthsync.standards.maps.clinical import UNKNOWN, coded_key, concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import ei_identifier, eip_identifier
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import address, of_an_organization, organization, practitioner
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part
from healthsync.standards.maps.systems import code_system
from healthsync.standards.maps.tables import tables
from healthsync.standards.maps.values import JOINED_LINES, NUMBERS, limits, observation_value
from healthsync.standards.maps.waveforms import SAMPLES, Channel

PERFORMER_FUNCTION = "http://hl7.org/fhir/StructureDefinition/event-performerFunction"


def order_name(obr: Segment, orc: Segment | None, patient: Draft, scribe: Scribe) -> str:
    """What results of this order are named by: filler number, else placer number, else test, time and patient."""
    for segment, number in ((obr, 3), (orc, 3), (obr, 2), (orc, 2)):
        rep = first_repetition(segment, number) if segment else None
        if rep and (found := ei_identifier(rep, scribe)):
            return f"{found['system']}|{found['value']}"
    return f"{patient.key}|{coded_key(obr, 4, scribe)}|{clean(obr.get(7))}"


def report(
    obr: Segment, orc: Segment | None, program: Program, patient: Draft, visit: Draft | None, scribe: Scribe
) -> Draft:
    """OBR[DiagnosticReport]. Key: order name and OBR-4."""
    draft = scribe.draft("DiagnosticReport", f"{order_name(obr, orc, patient, scribe)}|{coded_key(obr, 4, scribe)}")
    resource = draft.resource
    status = tables().concepts["ResultStatus[Non-Queries]"].get(obr.get(25))
    resource["status"] = status[1] if status else "unknown"
    if not status:
        scribe.issue("status-unknown", "OBR-25")
    program.run(obr, draft, scribe)
    if orc:
        _identifiers_of_order(orc, resource, scribe)
    if "code" not in resource:
        resource["code"] = UNKNOWN
        scribe.issue("code-missing", "OBR-4")
    resource["subject"] = patient.reference
    if visit:
        resource["encounter"] = visit.reference
    return draft


def _identifiers_of_order(orc: Segment, resource: Resource, scribe: Scribe) -> None:
    """ORC-2 and ORC-3 where OBR does not repeat them, and ORC-4, the number of the group that the report belongs to."""
    have = {number["type"]["coding"][0]["code"] for number in resource.get("identifier", ()) if "type" in number}
    for at, kind in ((2, "PLAC"), (3, "FILL"), (4, "PGN")):
        rep = first_repetition(orc, at)
        if rep and kind not in have and (found := ei_identifier(rep, scribe, kind)):
            resource.setdefault("identifier", []).append(found)


class Results:
    """The OBX of one message: their keys, and which of them a note belongs to."""

    def __init__(self, program: Program, scribe: Scribe) -> None:
        self._program = program
        self._scribe = scribe
        self._seen: dict[str, int] = {}
        self._laboratories: dict[tuple[str, ...], list[Resource]] = {}
        self.channel = Channel()

    def observation(self, obx: Segment, named: str, patient: Draft, visit: Draft | None, category: str | None) -> Draft:
        """OBX[Observation]. Key: order name, OBX-3 and OBX-4; the same triple again in one message gets its ordinal.

        A document in OBX-5 is left to the caller: `holds_document`.
        """
        scribe = self._scribe
        test = f"{coded_key(obx, 3, scribe)}|{clean(obx.get(4))}"
        key = f"{named}|{test}"
        self._seen[key] = told = self._seen.get(key, 0) + 1
        if told > 1:
            draft = scribe.draft("Observation", f"{key}|#{told}")
        else:
            draft = scribe.tested[test] = scribe.draft("Observation", key)
        resource = draft.resource
        self._tell_status(obx, draft)
        self._program.run(obx, draft, scribe)
        if len(obx) > 22:
            for performer in self._laboratory(obx):
                scribe.add_once(resource.setdefault("performer", []), performer)
        if "code" not in resource:
            resource["code"] = UNKNOWN
            scribe.issue("code-missing", "OBX-3")
        resource["subject"] = patient.reference
        if visit:
            resource["encounter"] = visit.reference
        if found := _category(resource["code"], category):
            resource["category"] = [concept("observation-category", found)]
        if not holds_document(obx):
            self._tell_value(obx, resource)
        return draft

    def _laboratory(self, obx: Segment) -> list[Resource]:
        """Who examined (OBX-23, OBX-24) and its medical director in a role of it (OBX-25), once for all its results."""
        scribe, sent = self._scribe, tuple(obx.raw_fields[23:26])
        if (known := self._laboratories.get(sent)) is not None:
            return known
        name, director = first_repetition(obx, 23), first_repetition(obx, 25)
        scribe.path = "OBX-23"
        where = organization(name, scribe) if name else None
        scribe.path = "OBX-24"
        lives = [told for rep in obx.valued(24) if (told := address(rep, scribe))]
        if where and lives:
            scribe.draft_of(where).resource.setdefault("address", list(map(of_an_organization, lives)))
        elif lives:
            scribe.unmapped["OBX-24"] += 1
        found = [where] if where else []
        scribe.path = "OBX-25"
        if director and (who := practitioner(director, scribe)):
            found.append(_director(who, where, scribe))
        self._laboratories[sent] = found
        return found

    def _tell_status(self, obx: Segment, draft: Draft) -> None:
        sent = obx.get(11)
        known = tables().concepts["ObservationResultStatusCodesInterpretation"].get(sent)
        draft.resource["status"] = known[1] if known else "unknown"
        if draft.resource["status"] == "entered-in-error":
            draft.action = "entered-in-error"
        if not known and sent != "N":
            self._scribe.issue("status-unknown", "OBX-11")

    def _tell_value(self, obx: Segment, resource: Resource) -> None:
        scribe = self._scribe
        scribe.path = "OBX-5"
        kind = obx.get(2)
        if kind in SAMPLES and (samples := self.channel.sampled(obx, scribe)):
            resource["valueSampledData"] = samples
            return
        found = [value for rep in obx.valued(5) if (value := observation_value(kind, rep, obx, scribe))]
        if len(found) > 1 and kind in JOINED_LINES:
            found = [("valueString", "\n".join(text for _, text in found))]
        if kind in NUMBERS and (ranges := resource.get("referenceRange")):
            ranges[0] |= limits(obx, scribe)
        if len(found) == 1:
            _set_value(resource, *found[0])
        elif found:  # guide: OBX[Observation-Component]
            resource["component"] = [
                _set_value({"code": deepcopy(resource["code"])}, name, value) for name, value in found
            ]
        elif obx.raw_field(5) == '""':  # the value that was told is none
            resource["dataAbsentReason"] = concept("data-absent-reason", "unknown")
        elif obx.get(11) in ("N", "X"):
            absent = "not-asked" if obx.get(11) == "N" else "not-performed"
            resource["dataAbsentReason"] = concept("data-absent-reason", absent)


def _director(who: Resource, where: Resource | None, scribe: Scribe) -> Resource:
    """OBX-25: a Reference to the role, which says what it is in the place where FHIR has it for a performer."""
    kind = concept("v2-0912", "MDIR")
    named = [each.get("reference") or each.get("display", "") for each in (who, where) if each]
    role = scribe.draft("PractitionerRole", "|".join([*named, "MDIR"]))
    role.resource.update(practitioner=who, code=[kind])
    if where:
        role.resource["organization"] = where
    return {**role.reference, "extension": [{"url": PERFORMER_FUNCTION, "valueCodeableConcept": kind}]}


def holds_document(obx: Segment) -> bool:
    """Whether OBX-5 is a document."""
    kind = obx.get(2)
    if kind not in MAY_HOLD_DOCUMENTS:
        return False
    rep = first_repetition(obx, 5)
    return rep is not None and is_document(kind, rep)


def parent_result(obr: Segment, scribe: Scribe) -> Draft | None:
    """The result of an earlier OBR of this message that led to this order (OBR-26, with the order of OBR-29).

    A culture has found an organism, the susceptibilities are an order of their own (v2.5.1 §7.4.1.26).
    """
    rep = first_repetition(obr, 26)
    if rep is None:
        return None
    test = rep.inside(1)
    system = code_system(part(test, 3), scribe.source) or ""
    wanted = f"{system}|{part(test, 1)}|{part(rep, 2)}"
    orders = first_repetition(obr, 29)
    named = [eip_identifier(orders, scribe, half, "") for half in (2, 1)] if orders else []
    for number in filter(None, named):
        key = f"{number['system']}|{number['value']}|{wanted}"
        if scribe.known("Observation", key):
            return scribe.draft("Observation", key)
    return None if orders else scribe.tested.get(wanted)


def link_to_parent(child: Draft, parent: Draft, scribe: Scribe) -> None:
    """The parent has the child as a member, and the child is derived from the parent."""
    if child is not parent:
        scribe.add_once(parent.resource.setdefault("hasMember", []), child.reference)
        child.resource["derivedFrom"] = [parent.reference]


def _set_value(target: Resource, name: str, value: Any) -> Resource:
    if name == "extension":
        target[name] = [*target.get(name, ()), *value]
    else:
        target[name] = value
    return target


def _category(code: Resource, of_section: str | None) -> str | None:
    """A vital sign by its LOINC code, else what the section of the service says (OBR-24)."""
    vital_signs = tables().vital_signs
    for coding in code.get("coding", ()):
        if coding.get("code") in vital_signs and coding.get("system") == "http://loinc.org":
            return "vital-signs"
    return of_section


def specimen_of_order(obr: Segment, program: Program, patient: Draft, named: str, scribe: Scribe) -> Draft | None:
    """OBR[Specimen] (before v2.5 the only place for it). Key: order name. None where OBR says nothing of a specimen."""
    if not any(obr.get(number) for number in (9, 10, 14)) and first_repetition(obr, 15) is None:
        return None
    draft = scribe.draft("Specimen", f"{named}|OBR")
    draft.resource["subject"] = patient.reference
    program.run(obr, draft, scribe, again=True)
    return draft


def complete_specimen(draft: Draft, obr: Segment, program: Program, scribe: Scribe) -> None:
    """What OBR says of the specimen of an SPM, where that says nothing."""
    told = Draft({"resourceType": "Specimen"}, "")
    program.run(obr, told, scribe, again=True)
    resource = draft.resource
    for name, value in told.resource.items():
        known = resource.get(name)
        if name == "collection" and known:
            when = {"collectedDateTime", "collectedPeriod"}
            taken = known.keys() | (when if known.keys() & when else set())
            known.update({part_of: value[part_of] for part_of in value.keys() - taken})
        elif isinstance(known, list):
            known += [entry for entry in value if entry not in known]
        else:
            resource.setdefault(name, value)


def specimen(spm: Segment, program: Program, patient: Draft, named: str, scribe: Scribe) -> Draft:
    """SPM[Specimen]. Key: specimen number (filler's before placer's), else order name and set id."""
    rep = first_repetition(spm, 2)
    numbers = (eip_identifier(rep, scribe, half, "") for half in (2, 1)) if rep else ()
    number = next((found for found in numbers if found), None)
    told = f"{number['system']}|{number['value']}" if number else f"{named}|#{clean(spm.get(1))}"
    draft = scribe.draft("Specimen", told)
    draft.resource["subject"] = patient.reference
    program.run(spm, draft, scribe)
    return draft
