"""Which numbers MRG takes out of use, and in favour of which (HL7 v2.5.1 §3.3.34 ff., §3.4.9 MRG, §3.5.2).

The fields of MRG and their counterparts: MRG-1 and MRG-4 (PID-3, PID-2), MRG-2 (PID-4), MRG-3 (PID-18), MRG-5 (PV1-19),
MRG-6 (PV1-50). MRG-7, the prior name, stays in the record of the retired number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.accounts import account_key
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import cx_identifier, key_of, preferred
from healthsync.standards.maps.model import Correction, PatientLink, PatientMerge, RecordMerge, RecordMove, Resource
from healthsync.standards.maps.tables import Renumbering

if TYPE_CHECKING:
    from healthsync.standards.maps.reading import Reading


def numbers_of(reading: Reading, pid: Segment) -> tuple[Resource, ...]:
    """All numbers of a patient, those of the list (PID-3) first."""
    return tuple(number for at in (3, 2, 4) for number in reading.identifiers_of(pid, at))


def of_patient(reading: Reading, mrg: Segment, said: Renumbering) -> list[Correction]:
    """What MRG says of the patient of the PID before it and of his account."""
    return [
        *_patients(reading, mrg, said),
        *(_accounts(reading, mrg) if "account" in said.merges else ()),
        *(_moved_account(reading, said)),
    ]


def _patients(reading: Reading, mrg: Segment, said: Renumbering) -> Iterator[Correction]:
    assert reading.patient and reading.pid
    fields = (1, 4) if "patient" in (*said.merges, said.moves) else (2,) if "alternate" in said.merges else ()
    retired = [number for at in fields for number in reading.identifiers_of(mrg, at)]
    if not retired:
        return
    key = key_of(preferred(retired))
    if key != reading.patient.key:
        yield from _retired(reading, retired)
    elif said.moves == "patient":
        yield from _moved_patient(reading, mrg)
    else:
        reading.scribe.issue("merge-into-itself", "MRG-1")


def _retired(reading: Reading, retired: list[Resource]) -> Iterator[PatientMerge]:
    """A merge for each record that goes out of use: a second number of one kind and authority is one of its own.

    PID-3 may repeat the numbers that go: they do not name the survivor. What else stands in both stays in use.
    """
    assert reading.patient and reading.pid
    gone = {key_of(number) for number in retired}
    survivors = numbers_of(reading, reading.pid)
    if shared := gone & {key_of(number) for number in survivors}:
        if shared == gone:
            survivors = tuple(number for number in survivors if key_of(number) not in gone)
            patient = reading.patient.resource
            patient["identifier"] = [number for number in patient["identifier"] if key_of(number) not in gone]
        else:
            retired = [number for number in retired if key_of(number) not in shared]
    records: list[list[Resource]] = [[]]
    kinds: set[tuple[str, str]] = set()
    for number in retired:
        kind = number["system"], str(number.get("type"))
        if kind in kinds:
            records.append([number])
        else:
            kinds.add(kind)
            records[0].append(number)
    identify = reading.scribe.ctx.resource_id
    for numbers in records:
        key = key_of(preferred(numbers))
        yield PatientMerge(
            reading.patient.key,
            reading.patient.resource["id"],
            survivors,
            key,
            identify("Patient", key),
            tuple(numbers),
        )


def _moved_patient(reading: Reading, mrg: Segment) -> Iterator[Correction]:
    """The number of PID-3 was filed under the person of MRG-4 and belongs to that of PID-2."""
    assert reading.pid
    moved = tuple(reading.identifiers_of(reading.pid, 3))
    if wrong := tuple(reading.identifiers_of(mrg, 4)):
        yield PatientLink("unlink", moved, wrong)
    if right := tuple(reading.identifiers_of(reading.pid, 2)):
        yield PatientLink("link", moved, right)


def _accounts(reading: Reading, mrg: Segment) -> Iterator[Correction]:
    assert reading.pid
    survivor, retired = account_key(reading.pid, 18, reading.scribe), account_key(mrg, 3, reading.scribe)
    if survivor and retired and survivor != retired:
        yield _merge(reading, "Account", survivor, retired)


def _moved_account(reading: Reading, said: Renumbering) -> Iterator[Correction]:
    assert reading.pid
    if said.moves == "account" and (key := account_key(reading.pid, 18, reading.scribe)):
        yield _move(reading, "Account", key)


def of_visit(reading: Reading, pv1: Segment, mrg: Segment, said: Renumbering) -> list[Correction]:
    """What the MRG before says of the visit of PV1."""
    found: list[Correction] = []
    if reading.visit is None:
        reading.scribe.unmapped["MRG"] += 1
        return found
    survivor = reading.visit.key
    numbers = _visit_numbers(reading, mrg, ((5, "visit"), (6, "alternate")))
    retired = next((key for key in numbers if key.partition("|")[0] == survivor.partition("|")[0]), None)
    if retired and retired != survivor:
        found.append(_merge(reading, "Encounter", survivor, retired))
    if said.moves == "visit":
        found.append(_move(reading, "Encounter", survivor))
    return found


def _visit_numbers(reading: Reading, segment: Segment, fields: Iterable[tuple[int, str]]) -> Iterator[str]:
    for number, kind in fields:
        if (rep := first_repetition(segment, number)) and (found := cx_identifier(rep, reading.scribe)):
            yield f"{kind}|{key_of(found)}"


def _merge(reading: Reading, kind: Literal["Encounter", "Account"], survivor: str, retired: str) -> RecordMerge:
    identify = reading.scribe.ctx.resource_id
    return RecordMerge(kind, identify(kind, survivor), identify(kind, retired))


def _move(reading: Reading, kind: Literal["Encounter", "Account"], key: str) -> RecordMove:
    assert reading.patient and reading.pid
    patient = reading.patient.resource["id"]
    return RecordMove(kind, reading.scribe.ctx.resource_id(kind, key), patient, numbers_of(reading, reading.pid))
