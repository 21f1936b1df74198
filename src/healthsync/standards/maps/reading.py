"""One pass over the segments of a message: who is spoken of, which visit, and what of each segment.

This is what all families of messages share. A family is a subclass that says which messages it reads, which maps they
need, and what becomes of its own segments: see `families`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from healthsync.standards.hl7v2 import Message, Segment
from healthsync.standards.maps import clinical, roles, times
from healthsync.standards.maps.authorities import authority
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import DESTINATION, PLACES, first_repetition, tell_visit, visit_key
from healthsync.standards.maps.identifiers import V2_0203, cx_identifier, key_of, preferred
from healthsync.standards.maps.model import Conversion, Correction, MappingContext, Resource
from healthsync.standards.maps.notes import note
from healthsync.standards.maps.parties import known_person, organization
from healthsync.standards.maps.programs import programs_of
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part
from healthsync.standards.maps.tables import Event

Handler = Callable[[Any, Segment], None]
"""A method of a reading that takes one segment."""

_ANSWERED_ELSEWHERE = frozenset({"MSH", "EVN", "SFT", "UAC", "DSC"})
_ABOUT_THE_ONE_BEFORE = frozenset({"ROL", "PRT", "NTE", "VAR"})


class Reading:
    """One pass over the segments, in order, remembering what a segment belongs to.

    messages  message code → its trigger events that this family reads
    maps      the segment maps it needs
    handlers  segment → what takes it; segments of others are counted as unmapped
    early     segments that may stand before the PID, or in a message without one
    patientless  trigger events whose messages need no PID
    """

    messages: ClassVar[Mapping[str, frozenset[str]]] = {}
    maps: ClassVar[tuple[str, ...]] = (
        "PID[Patient]", "PD1[Patient]", "PV1[Encounter]", "PV2[Encounter]", "NK1[RelatedPerson]", "NK1[Patient]",
        "IN1[Coverage]", "IN1[RelatedPerson]", "AL1[AllergyIntolerance]", "DG1[Condition]", "SFT[Device]",
    )  # fmt: skip
    handlers: ClassVar[Mapping[str, Handler]] = {}
    early: ClassVar[frozenset[str]] = frozenset()
    patientless: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, message: Message, trigger: str, ctx: MappingContext) -> None:
        self.message = message
        self.scribe = Scribe(ctx, message.notation)
        code = message.message_code
        self.programs = self.compiled(code, trigger, ctx)
        self.usual_category = ctx.operator.category(code, trigger) if ctx.operator else None
        self.event = self.event_of(trigger)
        self.trigger = trigger
        self.event_text = clean(_event_time(message))
        self.control_id = clean(message.segments[0].get(10)).strip()
        self.merges: list[Correction] = []
        self.before = ""
        self.pid: Segment | None = None
        self.begin_patient()

    @classmethod
    def takes(cls, code: str, trigger: str) -> bool:
        """Whether messages of this type are of this family."""
        return trigger in cls.messages.get(code, ())

    def compiled(self, code: str, trigger: str, ctx: MappingContext) -> Mapping[str, Program]:
        """The segment maps of this message type, with the operator's lines."""
        return ctx.operator.programs(code, trigger, self.maps) if ctx.operator else programs_of(self.maps)

    @staticmethod
    def event_of(_trigger: str) -> Event:
        """What the trigger says about the visit of PV1: nothing, it is told in passing."""
        return Event()

    def begin_patient(self) -> None:
        """Forget what belonged to the patient before."""
        self.patient: Draft | None = None
        self.visit: Draft | None = None
        self.noted: Draft | None = None
        self.coverage: Draft | None = None

    def run(self) -> Conversion:
        for segment in self.message.segments:
            self._take(segment)
        self.finish()
        self._provenance()
        scribe = self.scribe
        resources = scribe.resources()
        event_at = times.moment(self.event_text, scribe.zone)
        return Conversion(resources, self.merges, event_at, dict(scribe.unmapped), scribe.issues)

    def finish(self) -> None:
        """What can be told only behind the last segment."""

    def _take(self, segment: Segment) -> None:
        name = segment.name
        if name == "PID":
            self._pid(segment)
        elif name in _ANSWERED_ELSEWHERE:
            pass
        elif (handler := self.handlers.get(name)) is None or (self.patient is None and name not in self.early):
            self.scribe.unmapped[name] += 1
            self.noted = None
        else:
            handler(self, segment)
        if name not in _ABOUT_THE_ONE_BEFORE:
            self.before = name

    # --- who and where ---

    def _pid(self, pid: Segment) -> None:
        self.begin_patient()
        self.pid = pid
        key = self.patient_key(pid)
        draft = self.patient = self.scribe.draft("Patient", key)
        self.programs["PID[Patient]"].run(pid, draft, self.scribe)
        _settle(draft.resource)
        if len(pid) > 20:
            clinical.mother(pid, draft, self.scribe)

    def patient_key(self, pid: Segment) -> str:
        """Authority and number of the first usable identifier, a medical record number (MR) before others.

        Without any, the message stands alone: nobody else is taken for this patient.
        """
        found = [number for at in (3, 2, 4) for number in self.identifiers_of(pid, at)]
        if not found:
            self.scribe.issue("no-identifier", "PID-3")
            return f"unidentified|{self.control_id}|{clean(self.message.timestamp)}"
        return key_of(preferred(found))

    def identifiers_of(self, segment: Segment, number: int) -> Iterator[Resource]:
        for rep in segment.valued(number):
            if found := cx_identifier(rep, self.scribe):
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
        if in_passing := key is None:
            if len(pv1) > 2:
                scribe.issue("visit-without-number", "PV1-19")
            key = self.key_in_passing(pv1) if any(pv1.valued(number) for number in (*PLACES, DESTINATION)) else None
            if key is None:
                return
        draft = self.visit = scribe.draft("Encounter", key)
        draft.resource["subject"] = self.patient.reference
        self.programs["PV1[Encounter]"].run(pv1, draft, scribe)
        tell_visit(draft, pv1, self.event, times.date_time(self.event_text, scribe.zone), scribe)
        if in_passing:
            draft.resource["status"] = "unknown"  # no later message could end it

    def key_in_passing(self, pv1: Segment) -> str | None:
        """What names the visit that PV1 tells a place of and no number; None where it is not to be told."""
        return None

    def _pv2(self, pv2: Segment) -> None:
        if self.visit:
            self.programs["PV2[Encounter]"].run(pv2, self.visit, self.scribe)
        else:
            self.scribe.unmapped["PV2"] += 1
        self.noted = None

    # --- about the patient ---

    def _nk1(self, nk1: Segment) -> None:
        assert self.patient
        clinical.next_of_kin(nk1, self.programs, self.patient, self.scribe)
        self.noted = None

    def _in1(self, in1: Segment) -> None:
        assert self.patient
        self.coverage = clinical.insurance(in1, self.programs, self.patient, self.scribe)
        self.noted = None

    def _al1(self, al1: Segment) -> None:
        assert self.patient
        clinical.allergy(al1, self.programs["AL1[AllergyIntolerance]"], self.patient, self.scribe)
        self.noted = None

    def _dg1(self, dg1: Segment) -> None:
        assert self.patient
        clinical.diagnosis(dg1, self.programs["DG1[Condition]"], self.patient, self.visit, self.scribe)
        self.noted = None

    def _rol(self, rol: Segment) -> None:
        """ROL and PRT say who takes part in what the segment before them told."""
        about = self.about()
        if about is None or not roles.tell(about, roles.read(rol, self.scribe), self):
            self.scribe.unmapped[rol.name] += 1

    def about(self) -> Draft | None:
        """What the segment before became, where somebody can take part in it."""
        if self.before in ("PV1", "PV2"):
            return self.visit or self.patient
        return self.patient if self.before in ("PID", "PD1") else None

    def _nte(self, nte: Segment) -> None:
        """A note belongs to the segment before it; where that has no place for notes, it is counted."""
        if self.noted is None:
            self.scribe.unmapped["NTE"] += 1
        else:
            note(nte, self.noted, self.scribe)

    # --- where it comes from ---

    def _provenance(self) -> None:
        """One Provenance for the message: sent by whom, when, what kind of event, with its control id."""
        scribe, message = self.scribe, self.message
        if not scribe.drafts:
            return  # a message without a patient may say nothing that has a place here
        targets = [draft.reference for draft in scribe.drafts.values()]
        draft = scribe.draft("Provenance", f"{self.control_id}|{clean(message.timestamp)}")
        sent = _senders(message.segments[0], scribe) or [("author", {"display": scribe.source})]
        resource = draft.resource
        resource["target"] = targets
        if happened := times.date_time(self.event_text, scribe.zone):
            resource["occurredDateTime"] = happened
        resource["recorded"] = scribe.ctx.received_at.isoformat()
        resource["activity"] = {
            "coding": [{"system": f"{clinical.TERMINOLOGY}v2-0003", "code": self.trigger}],
        }
        resource["agent"] = [
            {"type": clinical.concept("provenance-participant-type", kind), "who": who} for kind, who in sent
        ]
        assembler = clinical.concept("provenance-participant-type", "assembler")
        resource["agent"] += [{"type": assembler, "who": self._software(sft).reference} for sft in message.all("SFT")]
        if evn := message.first("EVN"):
            _tell_event(evn, resource, scribe)
        if self.pid and len(self.pid) > 33 and (rep := first_repetition(self.pid, 34)):
            updated_by = authority(part(rep, 1), part(rep, 2), part(rep, 3), scribe)
            performer = clinical.concept("provenance-participant-type", "performer")
            resource["agent"] += [{"type": performer, "who": who} for who in (updated_by,) if who]
        if self.control_id:
            number = {
                "type": {"coding": [{"system": V2_0203, "code": "MSG"}]},
                "system": scribe.authority(clean(message.sending_application).strip(), ""),
                "value": self.control_id,
            }
            resource["entity"] = [{"role": "source", "what": {"identifier": number}}]

    def _software(self, sft: Segment) -> Draft:
        """SFT[Device]: the software that wrote the message (v2.5.1 §2.15.12). Key: vendor, product and version."""
        told = "|".join(clean(sft.get(number)).strip() for number in (1, 3, 2))
        draft = self.scribe.draft("Device", f"software|{told}")
        self.programs["SFT[Device]"].run(sft, draft, self.scribe)
        return draft


def _senders(msh: Segment, scribe: Scribe) -> list[tuple[str, Resource]]:
    """Who answers for the message (MSH-22), else the sending facility (MSH-4; guide: MSH[Provenance-Source]), which
    otherwise has brought it.

    MSH-17 is the facility's country (guide: MSH[MessageHeader]), where its address is not known better.
    """
    rep = first_repetition(msh, 4)
    facility = authority(part(rep, 1), part(rep, 2), part(rep, 3), scribe) if rep else None
    if facility and (country := clean(msh.get(17)).strip() if len(msh) > 16 else ""):
        draft = scribe.draft_of(facility)
        draft.resource.setdefault("address", [{"country": country}])
        draft.unless["address"] = ("*",)
    responsible = first_repetition(msh, 22) if len(msh) > 21 else None
    author = organization(responsible, scribe) if responsible else None
    if author is None:
        return [("author", facility)] if facility else []
    return [("author", author), *([("informant", facility)] if facility else [])]


def _tell_event(evn: Segment, provenance: Resource, scribe: Scribe) -> None:
    """EVN-4 why, EVN-5 who entered it (guide: EVN[Provenance]): named by number, a typist is no party to the care."""
    reason = first_repetition(evn, 4)
    if reason and (told := codeable_concept(reason, scribe, "EventReason")):
        provenance["reason"] = [told]
    operator = first_repetition(evn, 5)
    if operator and (who := known_person(operator, scribe)):
        kind = clinical.concept("provenance-participant-type", "enterer")
        provenance["agent"].append({"type": kind, "who": who})


def _event_time(message: Message) -> str:
    """EVN-2 (or EVN-6, when it happened), else MSH-7."""
    evn = message.first("EVN")
    told = (evn.get(6).strip() or evn.get(2).strip()) if evn else ""
    return told or message.timestamp.strip()


def _settle(patient: Resource) -> None:
    """Of a choice the more exact stands: a date of death before a yes, a birth order before a yes."""
    if "deceasedDateTime" in patient:
        patient.pop("deceasedBoolean", None)
    if "multipleBirthInteger" in patient:
        patient.pop("multipleBirthBoolean", None)
    if "_birthDate" in patient and not (patient.get("birthDate") and _has_time(patient["_birthDate"])):
        del patient["_birthDate"]
    if len(patient.get("extension", ())) > 1:
        patient["extension"] = _one_of_each(patient["extension"])


def _has_time(birth: Resource) -> bool:
    """Whether patient-birthTime is one: `05/15/1980` is longer than YYYYMMDD, but says no hour."""
    return any("T" in extension.get("valueDateTime", "") for extension in birth["extension"])


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


Reading.handlers = {
    "PD1": Reading._pd1,
    "PV1": Reading._pv1,
    "PV2": Reading._pv2,
    "NK1": Reading._nk1,
    "IN1": Reading._in1,
    "AL1": Reading._al1,
    "DG1": Reading._dg1,
    "NTE": Reading._nte,
    "ROL": Reading._rol,
    "PRT": Reading._rol,
}
