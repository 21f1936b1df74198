"""Vaccines: RXA of VXU as an Immunization, what its OBX tell of the dose in it (guide: VXU_V04, RXA[Immunization])."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import numbers
from healthsync.standards.maps.clinical import UNKNOWN, coded_key
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import ei_identifier
from healthsync.standards.maps.medications import AMOUNT_UNKNOWN, quantity
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.orders import Order
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part
from healthsync.standards.maps.tables import tables

NO_VACCINE = "998"
"""CVX of an ORC group that gives no dose: it carries evidence of immunity or a forecast (CDC guide §2.4)."""

_NO_NUMBER = "9999"
"""ORC-3 of a group that has none (CDC guide, ORC-3)."""

_NEW = "00"
_SHEET = "Vaccine Information Statement"


def is_dose(rxa: Segment) -> bool:
    """Whether RXA tells of a dose, given or not."""
    return rxa.get(5) != NO_VACCINE


def immunization(
    rxa: Segment, order: Order, programs: Mapping[str, Program], patient: Draft, visit: Draft | None, scribe: Scribe
) -> Draft:
    """RXA[Immunization]. Key: filler number (ORC-3), else placer number, else patient, vaccine and date.

    A second RXA under the same number is a dose of its own.
    """
    named = f"{patient.key}|{coded_key(rxa, 5, scribe)}|{clean(rxa.get(3))}"
    key = _number(order, scribe) or named
    if scribe.known("Immunization", key):
        key = named
    draft = scribe.draft("Immunization", key)
    resource = draft.resource
    _tell_status(rxa, draft)
    programs["RXA[Immunization]"].run(rxa, draft, scribe)
    if order.orc:
        programs["ORC[Immunization]"].run(order.orc, draft, scribe)
        _leave_no_number(resource)
    resource.setdefault("vaccineCode", UNKNOWN)
    _tell_occurrence(rxa, resource, scribe)
    _tell_source(rxa, resource, scribe)
    if rxa.get(6).strip() != AMOUNT_UNKNOWN and (dose := quantity(rxa, 6, 7, scribe)):
        resource["doseQuantity"] = dose
    resource["patient"] = patient.reference
    if visit:
        resource["encounter"] = visit.reference
    return draft


def _number(order: Order, scribe: Scribe) -> str | None:
    if order.orc is None:
        return None
    for at in (3, 2):
        rep = first_repetition(order.orc, at)
        if rep and part(rep, 1) != _NO_NUMBER and (found := ei_identifier(rep, scribe)):
            return f"{found['system']}|{found['value']}"
    return None


def _leave_no_number(resource: Resource) -> None:
    numbers_of = [number for number in resource.pop("identifier", ()) if number["value"] != _NO_NUMBER]
    if numbers_of:
        resource["identifier"] = numbers_of


_NOT_BESIDE = {"completed": ("statusReason",), "not-done": ("doseQuantity",)}
"""What an earlier message of the dose may have told that its status excludes."""


def _tell_status(rxa: Segment, draft: Draft) -> None:
    """RXA-20 and RXA-21 (guide); a dose without completion status was given."""
    concept = tables().concepts["CompletionStatus"].get(rxa.get(20))
    draft.resource["status"] = concept[1] if concept else "completed"
    draft.cleared += _NOT_BESIDE.get(draft.resource["status"], ())
    if rxa.get(21) == "D":
        draft.resource["status"], draft.action = "entered-in-error", "entered-in-error"


def _tell_occurrence(rxa: Segment, resource: Resource, scribe: Scribe) -> None:
    scribe.path = "RXA-3"
    if when := scribe.date_time(clean(rxa.get(3)).strip()):
        resource["occurrenceDateTime"] = when
    else:
        resource["occurrenceString"] = "unknown"


def _tell_source(rxa: Segment, resource: Resource, scribe: Scribe) -> None:
    """RXA-9: its code of NIP001 says whether the sender gave the dose; other repetitions are notes."""
    scribe.path = "RXA-9"
    for rep in rxa.field(9).repetitions:
        if not rep.raw or rep.is_null:
            continue
        if part(rep, 3) == "NIP001":
            resource["primarySource"] = part(rep, 1) == _NEW
            if part(rep, 1) != _NEW and (origin := codeable_concept(rep, scribe)):
                resource["reportOrigin"] = origin
        elif text := part(rep, 9) or part(rep, 2) or part(rep, 1):
            resource.setdefault("note", []).append({"text": text})


class Details:
    """The OBX of one dose: what they tell of it, by their LOINC code."""

    def __init__(self, draft: Draft, scribe: Scribe) -> None:
        self._resource = draft.resource
        self._scribe = scribe
        self._sheets: dict[str, Resource] = {}

    def takes(self, obx: Segment) -> bool:
        """Write what an OBX tells of the dose; False for one that is a result of its own."""
        what = tables().vaccine_observations.get(obx.get(3))
        rep = first_repetition(obx, 5)
        if what is None or rep is None or obx.get(11) in ("D", "W", "X"):
            return False
        self._scribe.path = "OBX-5"
        return _TOLD[what](self, obx)

    def _concept(self, element: str, obx: Segment, *, many: bool) -> bool:
        rep = first_repetition(obx, 5)
        found = codeable_concept(rep, self._scribe) if rep else None
        if found is None:
            return False
        if many:
            known = self._resource.setdefault(element, [])
            known += [] if found in known else [found]
        else:
            self._resource[element] = found
        return True

    def _sheet(self, element: str, obx: Segment) -> bool:
        """Information given to the patient: the OBX of one sheet share OBX-4."""
        rep = first_repetition(obx, 5)
        assert rep
        if element == "documentType":
            value = part(rep, 2) or part(rep, 1)
        else:
            value = self._scribe.date_time(part(rep, 1)) or ""
        if not value:
            return False
        name = clean(obx.get(4))
        if name not in self._sheets or element in self._sheets[name].keys() - {"documentType"}:
            self._sheets[name] = {"documentType": _SHEET}  # imm-1: required, and what these OBX are about
            self._resource.setdefault("education", []).append(self._sheets[name])
        self._sheets[name][element] = value
        return True

    def _dose(self, element: str, obx: Segment) -> bool:
        number = numbers.positive_int(obx.get(5))
        text = clean(obx.get(5)).strip()
        if not text:
            return False
        protocol = self._resource.setdefault("protocolApplied", [{}])[0]
        if number:
            protocol[f"{element}PositiveInt"] = number
        else:
            protocol[f"{element}String"] = text
        protocol.setdefault("doseNumberString", "unknown") if element != "doseNumber" else protocol.pop(
            "doseNumberString" if number else "doseNumberPositiveInt", None
        )
        return True


_TOLD: dict[str, Callable[[Details, Segment], bool]] = {
    "eligibility": lambda details, obx: details._concept("programEligibility", obx, many=True),
    "funding": lambda details, obx: details._concept("fundingSource", obx, many=False),
    "information_about": lambda details, obx: details._sheet("documentType", obx),
    "information_document": lambda details, obx: details._sheet("documentType", obx),
    "information_published": lambda details, obx: details._sheet("publicationDate", obx),
    "information_presented": lambda details, obx: details._sheet("presentationDate", obx),
    "dose_number": lambda details, obx: details._dose("doseNumber", obx),
    "doses_in_series": lambda details, obx: details._dose("seriesDoses", obx),
}
