"""People who do not exist, each value of whom is so peculiar that it cannot stand anywhere by chance."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

_BEGINNINGS = "Quaz Vrend Thulg Ximb Plonk Zwerf Grizh Brusk Fjolt Snarv".split()  # noqa: SIM905
_ENDINGS = "ibulon orvath ekkenby øwski umphries ándorin yckmann osterval".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Person:
    """One seeded person; every text field is a value that must not be readable anywhere."""

    family: str
    given: str
    middle: str
    maiden: str
    kin: str
    born: date
    mrn: str
    old_mrn: str
    ssn: str
    visit: str
    account: str
    licence: str
    policy: str
    phone: str
    kin_phone: str
    email: str
    street: str
    city: str
    remark: str
    finding: str

    def needles(self) -> Iterator[str | date]:
        """What to look for."""
        yield from (getattr(self, name) for name in self.__slots__)
        yield from (f"{self.born:{form}}" for form in ("%d.%m.%Y", "%d/%m/%Y", "%m-%d-%Y", "%Y/%m/%d", "%B %d, %Y"))
        yield f"{self.ssn[:3]}-{self.ssn[3:5]}-{self.ssn[5:]}"
        yield f"{self.given} {self.family}"
        yield f"{self.family}^{self.given}"
        yield f"{self.family}, {self.given}"


def persons(count: int, seed: int) -> list[Person]:
    """The same people for the same seed."""
    return [_person(random.Random(f"{seed}/{n}")) for n in range(count)]


def _person(chance: random.Random) -> Person:
    def name() -> str:
        return chance.choice(_BEGINNINGS) + chance.choice(_ENDINGS) + chance.choice("aeiou")

    def number(digits: int) -> str:
        return str(chance.randrange(10 ** (digits - 1), 10**digits))

    return Person(
        family=name(), given=name(), middle=name(), maiden=name(), kin=name(),
        born=date(1931, 1, 1) + timedelta(days=chance.randrange(25_000)),
        mrn=f"MRN{number(9)}", old_mrn=f"OLD{number(9)}", ssn=number(9), visit=f"VISIT{number(8)}",
        account=f"ACC{number(9)}", licence=f"DL{number(9)}", policy=f"POL{number(9)}",
        phone=f"617{number(7)}", kin_phone=f"508{number(7)}", email=f"{name()}@{name()}.example".lower(),
        street=f"{number(4)} {name()} Lane", city=f"{name()}ville", remark=f"wept about {name()} the gardener",
        finding=f"tattoo of {name()} on the left arm",
    )  # fmt: skip


def admission(person: Person, control_id: str, facility: str, *, trigger: str = "A01", type: str = "ADT") -> bytes:
    """An admission that says everything about a person."""
    p = person
    name, born = f"{p.family}^{p.given}^{p.middle}", f"{p.born:%Y%m%d}"
    address, kin = f"{p.street}^^{p.city}^MA^02139", f"{p.kin}^{p.given}"
    return _message(
        f"MSH|^~\\&|ADT|{facility}|HUB|HIE|20260301120000+0000||{type}^{trigger}^ADT_A01|{control_id}|P|2.5.1||||||UNICODE UTF-8",
        f"EVN|{trigger}|20260301120000+0000",
        f"PID|1|{p.account}|{p.mrn}^^^{facility}^MR~{p.ssn}^^^USA^SS|{p.licence}|{name}|{p.maiden}^{p.given}|{born}|F"
        f"|{p.maiden}^{p.given}|2106-3|{address}||{p.phone}^PRN^PH~^NET^Internet^{p.email}|{p.kin_phone}|en|M|"
        f"|{p.account}^^^{facility}^AN|{p.ssn}|{p.licence}^MA|||{p.city}",
        f"PD1||||{p.remark}",
        f"NK1|1|{kin}|SPO|{address}|{p.kin_phone}",
        f"PV1|1|I|WARD^12^1||||||||||||||||{p.visit}^^^{facility}^VN",
        f"PV2|||^{p.remark}",
        f"AL1|1|DA|^{p.remark}|SV|{p.finding}",
        f"DG1|1||^{p.finding}|{p.finding}|20260301|A",
        f"IN1|1|PLAN|INS|Insurance||||||||||||{kin}|SPO|{born}|{address}|||||||||||||||||{p.policy}",
        f"GT1|1||{kin}||{address}|{p.kin_phone}||{born}",
        f"NTE|1||{p.remark}",
        f"ZPD|{p.family}|{p.ssn}|{p.remark}",
    )


def result(person: Person, control_id: str, facility: str) -> bytes:
    """A laboratory report with text about a person in every place that takes text."""
    p = person
    return _message(
        f"MSH|^~\\&|LAB|{facility}|HUB|HIE|20260301130000+0000||ORU^R01^ORU_R01|{control_id}|P|2.5.1||||||UNICODE UTF-8",
        f"PID|1||{p.mrn}^^^{facility}^MR||{p.family}^{p.given}||{p.born:%Y%m%d}|F",
        f"NTE|1||{p.remark}",
        f"PV1|1|I|WARD^12^1||||||||||||||||{p.visit}^^^{facility}^VN",
        f"OBR|1||{control_id}^LAB|11502-2^Report^LN|||20260301115900+0000||||||{p.remark}||||||||||20260301120000+0000||LAB|F",
        f"NTE|1||{p.family} {p.given}: {p.remark}",
        f"OBX|1|ST|11502-2^Report^LN|1|{p.finding}||||||F",
        f"OBX|2|TX|11502-2^Report^LN|2|{p.given} {p.family} called {p.phone}||||||F",
        f"OBX|3|FT|11502-2^Report^LN|3|{p.finding}\\.br\\{p.remark}||||||F",
        f"OBX|4|NM|718-7^Hemoglobin^LN|4|not a number: {p.finding}|g/dL|||||F",
        f"NTE|1||{p.remark}",
    )


def merge(person: Person, control_id: str, facility: str) -> bytes:
    """A merge of a former number into the present one."""
    p = person
    return _message(
        f"MSH|^~\\&|ADT|{facility}|HUB|HIE|20260301140000+0000||ADT^A40^ADT_A39|{control_id}|P|2.5.1||||||UNICODE UTF-8",
        "EVN|A40|20260301140000+0000",
        f"PID|1||{p.mrn}^^^{facility}^MR||{p.family}^{p.given}||{p.born:%Y%m%d}|F",
        f"MRG|{p.old_mrn}^^^{facility}^MR||||||{p.maiden}^{p.given}",
    )


def _message(*segments: str) -> bytes:
    return "".join(f"{segment}\r" for segment in segments).encode()


def patient(person: Person) -> dict[str, Any]:
    """A FHIR Patient with everything that a person has, and a narrative that repeats it."""
    p = person
    name, address = (
        {"family": p.family, "given": [p.given, p.middle]},
        {"line": [p.street], "city": p.city, "postalCode": "02139"},
    )
    return {
        "resourceType": "Patient",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{p.given} {p.family}, {p.born:%d.%m.%Y}, {p.remark}</div>',
        },
        "identifier": [
            {"system": "urn:oid:1.2.3.4", "value": p.mrn, "assigner": {"display": p.remark}},
            {"system": "http://hl7.org/fhir/sid/us-ssn", "value": p.ssn},
        ],
        "name": [{**name, "text": f"{p.given} {p.family}"}, {"use": "maiden", "family": p.maiden}],
        "gender": "female",
        "birthDate": p.born.isoformat(),
        "telecom": [{"system": "phone", "value": p.phone}, {"system": "email", "value": p.email}],
        "address": [{**address, "text": f"{p.street}, {p.city}"}],
        "contact": [{"name": {"family": p.kin}, "telecom": [{"system": "phone", "value": p.kin_phone}], "address": address}],
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName", "valueString": p.maiden}],
    }  # fmt: skip


def about(person: Person, patient_id: str) -> Iterator[dict[str, Any]]:
    """Resources of a patient that hold free text and displays."""
    p, subject = person, {"reference": f"Patient/{patient_id}", "display": f"{person.given} {person.family}"}
    concept = {"text": p.finding}
    yield {"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "11502-2"}]},
           "subject": subject, "valueString": p.finding, "note": [{"text": p.remark}]}  # fmt: skip
    yield {"resourceType": "Condition", "code": concept, "subject": subject, "note": [{"text": p.remark}]}
    yield {"resourceType": "RelatedPerson", "patient": subject, "name": [{"family": p.kin, "given": [p.given]}], "birthDate": p.born.isoformat(),
           "telecom": [{"system": "phone", "value": p.kin_phone}], "address": [{"line": [p.street], "city": p.city}]}  # fmt: skip
    yield {"resourceType": "AllergyIntolerance", "patient": subject, "code": {"text": p.remark},
           "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}]},
           "reaction": [{"manifestation": [concept], "description": p.remark}]}  # fmt: skip
    yield {
        "resourceType": "Coverage",
        "status": "active",
        "beneficiary": subject,
        "subscriberId": p.policy,
        "payor": [{"display": p.kin}],
    }
    yield {
        "resourceType": "Communication",
        "status": "completed",
        "subject": subject,
        "payload": [{"contentString": p.remark}],
    }
    yield {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": concept,
        "subject": subject,
        "conclusion": p.finding,
    }
    yield {"resourceType": "Encounter", "status": "finished", "class": {"code": "IMP"}, "subject": subject,
           "identifier": [{"system": "urn:oid:1.2.3.5", "value": p.visit}], "reasonCode": [concept]}  # fmt: skip
