"""Messages as FHIR: who is spoken of, which visit, and what of each segment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy

from healthsync.errors import InvalidInput
from healthsync.standards.hl7v2 import Message, Segment
from healthsync.standards.maps import clinical, times
from healthsync.standards.maps.encounter import tell_visit, visit_key
from healthsync.standards.maps.identifiers import V2_0203, cx_identifier
from healthsync.standards.maps.model import Conversion, MappingContext, PatientMerge, Resource
from healthsync.standards.maps.parties import organization_of
from healthsync.standards.maps.programs import shipped_programs
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part
from healthsync.standards.maps.systems import authority_system
from healthsync.standards.maps.tables import Event, tables

RESULT_EVENTS = frozenset({"R01", "R30", "R40"})
_ANSWERED_ELSEWHERE = frozenset({"MSH", "EVN", "SFT", "UAC", "MRG", "DSC"})


def supported(code: str, trigger: str) -> bool:
    """Whether there is a map for this message type."""
    found = tables()
    if code == "ADT":
        return (trigger in found.events and trigger not in RESULT_EVENTS) or trigger in found.merges
    return code == "ORU" and trigger in RESULT_EVENTS


def convert(message: Message, ctx: MappingContext) -> Conversion:
    """The FHIR resources of a message. Pure: the same message and context give the same answer.

    Raises InvalidInput (`not-supported`) for a message type without a map and (`required`) for a message without PID.
    Anything else that is wrong in the message becomes an issue of the conversion.
    """
    code, trigger = message.message_code, message.trigger or ("R01" if message.message_code == "ORU" else "")
    if not supported(code, trigger):
        raise InvalidInput(f"unsupported message type {_shown(code)}^{_shown(trigger)}", code="not-supported")
    if message.first("PID") is None:
        raise InvalidInput(
            "the message has no PID segment: nobody to file it under; ask the sender for one", code="required"
        )
    return _Conversion(message, trigger, ctx).run()


def _shown(text: str) -> str:
    return text if re.fullmatch(r"[A-Z0-9]{1,7}", text) else "?"


class _Conversion:
    """One pass over the segments, in order, remembering what a segment belongs to."""

    def __init__(self, message: Message, trigger: str, ctx: MappingContext) -> None:
        self.message = message
        self.scribe = Scribe(ctx, message.separators.field)
        self.programs = ctx.operator.programs(message.message_code, trigger) if ctx.operator else shipped_programs()
        self.usual_category = ctx.operator.category(message.message_code, trigger) if ctx.operator else None
        self.event = tables().events.get("R01" if trigger in RESULT_EVENTS else trigger, Event(person_only=True))
        self.trigger = trigger
        self.merging = trigger in tables().merges
        self.event_text = clean(_event_time(message))
        self.control_id = clean(message.segments[0].get(10)).strip()
        self.results = clinical.Results(self.programs["OBX[Observation]"], self.scribe)
        self.merges: list[PatientMerge] = []
        self.pid: Segment | None = None
        self.orc: Segment | None = None
        self._begin_patient()

    def _begin_patient(self) -> None:
        self.patient: Draft | None = None
        self.visit: Draft | None = None
        self.report: Draft | None = None
        self.noted: Draft | None = None
        self.specimen: Draft | None = None
        self.category: str | None = None
        self.named = ""

    def run(self) -> Conversion:
        for segment in self.message.segments:
            self._take(segment)
        self._provenance()
        scribe = self.scribe
        resources = scribe.resources()
        event_at = times.moment(self.event_text, scribe.zone)
        return Conversion(resources, self.merges, event_at, dict(scribe.unmapped), scribe.issues)

    def _take(self, segment: Segment) -> None:
        name = segment.name
        if name == "PID":
            self._pid(segment)
        elif name in _ANSWERED_ELSEWHERE:
            if name == "MRG":
                self._mrg(segment)
        elif self.patient is None or (handler := _HANDLERS.get(name)) is None:
            self.scribe.unmapped[name] += 1
            self.noted = None
        else:
            handler(self, segment)

    # --- who and where ---

    def _pid(self, pid: Segment) -> None:
        self._begin_patient()
        self.pid = pid
        self.orc = None
        key = self._patient_key(pid)
        draft = self.patient = self.scribe.draft("Patient", key)
        self.programs["PID[Patient]"].run(pid, draft, self.scribe)
        _settle(draft.resource)

    def _patient_key(self, pid: Segment) -> str:
        """Authority and number of the first usable identifier, a medical record number (MR) before others.

        Without any, the message stands alone: nobody else is taken for this patient.
        """
        found = [number for at in (3, 2, 4) for number in self._identifiers(pid, at)]
        if not found:
            self.scribe.issue("no-identifier", "PID-3")
            return f"unidentified|{self.control_id}|{clean(self.message.timestamp)}"
        return _key(_preferred(found))

    def _identifiers(self, segment: Segment, number: int) -> Iterator[Resource]:
        for rep in segment.field(number).repetitions:
            if rep.raw and not rep.is_null and (found := cx_identifier(rep, self.scribe)):
                yield found

    def _pd1(self, pd1: Segment) -> None:
        assert self.patient
        self.programs["PD1[Patient]"].run(pd1, self.patient, self.scribe)
        self.noted = None

    def _pv1(self, pv1: Segment) -> None:
        assert self.patient and self.pid
        scribe = self.scribe
        self.noted = None
        scribe.path = "PV1-19"
        key = visit_key(pv1, self.pid, self.patient.key, self.event, self.event_text, scribe)
        if key is None:
            if len(pv1) > 2:
                scribe.issue("visit-without-number", "PV1-19")
            return
        draft = self.visit = scribe.draft("Encounter", key)
        draft.resource["subject"] = self.patient.reference
        self.programs["PV1[Encounter]"].run(pv1, draft, scribe)
        tell_visit(draft, pv1, self.event, times.date_time(self.event_text, scribe.zone), scribe)

    def _pv2(self, pv2: Segment) -> None:
        if self.visit:
            self.programs["PV2[Encounter]"].run(pv2, self.visit, self.scribe)
        else:
            self.scribe.unmapped["PV2"] += 1
        self.noted = None

    def _mrg(self, mrg: Segment) -> None:
        """MRG-1: the numbers that are no longer in use. A patient merged into itself stays as it is."""
        assert self.scribe
        retired = list(self._identifiers(mrg, 1))
        if not self.merging or self.patient is None or self.pid is None or not retired:
            self.scribe.unmapped["MRG"] += 1
            return
        key = _key(_preferred(retired))
        if key == self.patient.key:
            self.scribe.issue("merge-into-itself", "MRG-1")
            return
        survivors = tuple(number for at in (3, 2, 4) for number in self._identifiers(self.pid, at))
        identify = self.scribe.ctx.resource_id
        self.merges.append(
            PatientMerge(
                self.patient.key, self.patient.resource["id"], survivors, key, identify("Patient", key), tuple(retired)
            )
        )

    # --- about the patient ---

    def _nk1(self, nk1: Segment) -> None:
        assert self.patient
        clinical.next_of_kin(nk1, self.programs, self.patient, self.scribe)
        self.noted = None

    def _in1(self, in1: Segment) -> None:
        assert self.patient
        clinical.insurance(in1, self.programs["IN1[Coverage]"], self.patient, self.scribe)
        self.noted = None

    def _al1(self, al1: Segment) -> None:
        assert self.patient
        clinical.allergy(al1, self.programs["AL1[AllergyIntolerance]"], self.patient, self.scribe)
        self.noted = None

    def _dg1(self, dg1: Segment) -> None:
        assert self.patient
        clinical.diagnosis(dg1, self.programs["DG1[Condition]"], self.patient, self.visit, self.scribe)
        self.noted = None

    # --- orders and results ---

    def _orc(self, orc: Segment) -> None:
        self.orc = orc
        self.noted = self.report = self.specimen = None

    def _obr(self, obr: Segment) -> None:
        assert self.patient
        scribe = self.scribe
        draft = clinical.report(obr, self.orc, self.programs["OBR[DiagnosticReport]"], self.patient, self.visit, scribe)
        self.named = clinical.order_name(obr, self.orc, self.patient, scribe)
        self.category = tables().categories.get(obr.get(24), self.usual_category)
        self.report = self.noted = draft
        self.orc = self.specimen = None

    def _obx(self, obx: Segment) -> None:
        assert self.patient
        named = self.named or f"{(self.visit or self.patient).key}|{clean(obx.get(14))}"
        draft = self.results.observation(obx, named, self.patient, self.visit, self.category)
        if self.report:
            self.report.resource.setdefault("result", []).append(draft.reference)
            if "effectiveDateTime" not in draft.resource:
                _inherit_time(draft.resource, self.report.resource)
        if self.specimen:
            draft.resource["specimen"] = self.specimen.reference
        self.noted = draft

    def _spm(self, spm: Segment) -> None:
        assert self.patient
        draft = clinical.specimen(spm, self.programs["SPM[Specimen]"], self.patient, self.named, self.scribe)
        if self.report:
            specimens = self.report.resource.setdefault("specimen", [])
            if draft.reference not in specimens:
                specimens.append(draft.reference)
        self.specimen = self.noted = draft

    def _nte(self, nte: Segment) -> None:
        """A note belongs to the segment before it; where that has no place for notes, it is counted."""
        if self.noted is None:
            self.scribe.unmapped["NTE"] += 1
        else:
            clinical.note(nte, self.noted, self.scribe)

    # --- where it comes from ---

    def _provenance(self) -> None:
        """One Provenance for the message: sent by whom, when, what kind of event, with its control id."""
        scribe, message = self.scribe, self.message
        targets = [{"reference": f"{d.resource['resourceType']}/{d.resource['id']}"} for d in scribe.drafts.values()]
        draft = scribe.draft("Provenance", f"{self.control_id}|{clean(message.timestamp)}")
        author = _sender(message.segments[0], scribe) or {"display": scribe.source}
        resource = draft.resource
        resource["target"] = targets
        if happened := times.date_time(self.event_text, scribe.zone):
            resource["occurredDateTime"] = happened
        resource["recorded"] = scribe.ctx.received_at.isoformat()
        resource["activity"] = {
            "coding": [{"system": f"{clinical.TERMINOLOGY}v2-0003", "code": self.trigger}],
        }
        kind = {"coding": [{"system": f"{clinical.TERMINOLOGY}provenance-participant-type", "code": "author"}]}
        resource["agent"] = [{"type": kind, "who": author}]
        if self.control_id:
            number = {
                "type": {"coding": [{"system": V2_0203, "code": "MSG"}]},
                "system": authority_system(clean(message.sending_application).strip(), "", scribe.source),
                "value": self.control_id,
            }
            resource["entity"] = [{"role": "source", "what": {"identifier": number}}]


def _sender(msh: Segment, scribe: Scribe) -> Resource | None:
    """MSH-4 as an Organization (guide: MSH[Provenance-Source])."""
    rep = next((rep for rep in msh.field(4).repetitions if rep.raw), None)
    if rep is None or not (part(rep, 1) or part(rep, 2)):
        return None
    namespace, universal_id = part(rep, 1), part(rep, 2)
    number = {"system": "urn:ietf:rfc:3986", "value": authority_system(namespace, universal_id, scribe.source)}
    return organization_of(number, namespace, scribe)


def _event_time(message: Message) -> str:
    """EVN-2 (or EVN-6, when it happened), else MSH-7."""
    evn = message.first("EVN")
    told = (evn.get(6).strip() or evn.get(2).strip()) if evn else ""
    return told or message.timestamp.strip()


def _preferred(found: list[Resource]) -> Resource:
    """A medical record number before others."""

    def is_mr(number: Resource) -> bool:
        return "type" in number and number["type"]["coding"][0]["code"] == "MR"

    return next((number for number in found if is_mr(number)), found[0])


def _key(number: Resource) -> str:
    return f"{number['system']}|{number['value']}"


def _settle(patient: Resource) -> None:
    """Of a choice the more exact stands: a date of death before a yes, a birth order before a yes."""
    if "deceasedDateTime" in patient:
        patient.pop("deceasedBoolean", None)
    if "multipleBirthInteger" in patient:
        patient.pop("multipleBirthBoolean", None)
    if "_birthDate" in patient and not patient.get("birthDate"):
        del patient["_birthDate"]
    if len(patient.get("extension", ())) > 1:
        patient["extension"] = _one_of_each(patient["extension"])


def _one_of_each(extensions: list[Resource]) -> list[Resource]:
    """Complex extensions of the same address as one: their codes side by side, their texts joined."""
    kept: dict[str, Resource] = {}
    simple = [one for one in extensions if "extension" not in one or "us-core" not in one["url"]]
    for extension in extensions:
        if extension in simple:
            continue
        *codes, text = extension["extension"]
        if (first := kept.get(extension["url"])) is None:
            kept[extension["url"]] = {"url": extension["url"], "extension": [*codes, dict(text)]}
        else:
            first["extension"][-1]["valueString"] += f", {text['valueString']}"
            first["extension"][-1:-1] = codes
    return [*simple, *kept.values()]


def _inherit_time(observation: Resource, report: Resource) -> None:
    """OBX-14 empty: the time of the order's OBR-7 (v2.5.1 §7.4.2.14)."""
    for name in ("effectiveDateTime", "effectivePeriod"):
        if name in report:
            observation[name] = deepcopy(report[name])


_HANDLERS = {
    "PD1": _Conversion._pd1,
    "PV1": _Conversion._pv1,
    "PV2": _Conversion._pv2,
    "NK1": _Conversion._nk1,
    "IN1": _Conversion._in1,
    "AL1": _Conversion._al1,
    "DG1": _Conversion._dg1,
    "ORC": _Conversion._orc,
    "OBR": _Conversion._obr,
    "OBX": _Conversion._obx,
    "SPM": _Conversion._spm,
    "NTE": _Conversion._nte,
}
