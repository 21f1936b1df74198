"""What a source knows of a person as HL7 v2 segments. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from healthsync.entrypoints.demo.population import Address, Person
from healthsync.entrypoints.demo.registrations import Registration, Source
from healthsync.standards.hl7v2 import MessageBuilder, timestamp

Fields = Mapping[int, Any]
DOCTORS = {
    "riverbend": (("D4401", "Okafor", "Ada"), ("D4402", "Lindqvist", "Boj"), ("D4403", "Moreau", "Luc")),
    "northgate": (("7-118", "Haddad", "Noor"), ("7-131", "Sato", "Ken")),
    "harbor": (("HC21", "Ferrari", "Pia"), ("HC22", "Nowak", "Jan")),
}
"""Number, family and given name of those who treat; none of them lives in the town."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A stay or an appointment: `kind` is PV1-2 (I, E, O); `place` ward, room and bed."""

    number: str
    kind: str
    place: tuple[str, str, str]
    doctor: tuple[str, str, str]
    admitted: datetime
    previous: tuple[str, str, str] | None = None
    discharged: datetime | None = None

    def moved(self, place: tuple[str, str, str]) -> Visit:
        """The visit after a transfer."""
        return replace(self, place=place, previous=self.place)


def message(source: Source, code: str, trigger: str, structure: str, control_id: str, at: datetime) -> MessageBuilder:
    """A message of a source, with its header and, for ADT, EVN."""
    builder = MessageBuilder(
        code, trigger, structure if source.version != "2.3.1" else "",
        control_id=control_id, at=at, sending_application=source.application, sending_facility=source.facility,
        receiving_application="HEALTHSYNC", receiving_facility="HIE", version=source.version, charset=source.charset,
    )  # fmt: skip
    return builder.segment("EVN", {1: trigger, 2: timestamp(at)}) if code == "ADT" else builder


def pid(known: Registration, formerly: str | None = None) -> Fields:
    """PID; `formerly` is a family name that was given up at a marriage."""
    names = [[known.family, known.given, known.middle, known.suffix, "", "", "L"]]
    if formerly:
        names.append([formerly, known.given, "", "", "", "", "M"])
    fields: dict[int, Any] = {
        1: 1,
        3: [numbered(known.source, known.number)],
        5: names,
        7: f"{known.born:%Y%m%d}",
        8: known.person.sex,
        11: [_address(known.address)],
        13: [_phone(known.phone)],
        19: known.ssn,
    }
    if known.person.twin:
        fields |= {24: "Y", 25: known.person.twin}
    return fields


def numbered(source: Source, number: str, kind: str = "MR") -> list[Any]:
    """CX: a number, its authority, its type."""
    authority = [source.facility, source.universal_id, "ISO"] if source.universal_id else source.facility
    return [number, "", "", authority, kind]


def pv1(source: Source, visit: Visit) -> Fields:
    """PV1."""
    fields: dict[int, Any] = {
        1: 1,
        2: visit.kind,
        3: [[*visit.place, source.facility]],
        7: [[*visit.doctor, "", "", "Dr", "", "", source.facility]],
        19: [numbered(source, visit.number, "VN")],
        44: timestamp(visit.admitted),
    }
    if visit.previous:
        fields[6] = [[*visit.previous, source.facility]]
    if visit.discharged:
        fields |= {36: "01", 45: timestamp(visit.discharged)}
    return fields


def next_of_kin(source: Source, relative: Person, relationship: tuple[str, str]) -> Fields:
    """NK1."""
    return {
        1: 1,
        2: [[source.writes(relative.family), relative.given, "", "", "", "", "L"]],
        3: [[*relationship, "HL70063"]],
        4: [_address(relative.address)],
        5: [_phone(relative.phone)],
    }


def insurance(known: Registration, payer: tuple[str, str], policy: str) -> Fields:
    """IN1."""
    return {1: 1, 2: [["STD", "Standard plan"]], 3: [[payer[0], "", "", "NAIC"]], 4: payer[1],
            17: [["SEL", "Self", "HL70063"]], 36: policy}  # fmt: skip


def allergy(code: str, name: str, severity: str, reaction: str) -> Fields:
    """AL1, with an RxNorm ingredient."""
    return {1: 1, 2: "DA", 3: [[code, name, "RXNORM"]], 4: severity, 5: reaction}


def diagnosis(code: str, name: str, at: datetime) -> Fields:
    """DG1, with an ICD-10-CM code."""
    return {1: 1, 3: [[code, name, "I10C"]], 5: timestamp(at), 6: "A"}


def merged(source: Source, number: str) -> Fields:
    """MRG: the number that goes out of use."""
    return {1: [numbered(source, number)]}


def _address(address: Address) -> list[str]:
    return [address.line, "", address.town, address.state, address.postal_code, "USA", "H"]


def _phone(digits: str) -> list[str]:
    return [f"({digits[:3]}){digits[3:6]}-{digits[6:]}", "PRN", "PH"]
