"""The story of the town as messages: what each hospital sends, in its order, and what the clinic posts. Pure, by seed.

admission or registration (A01, A04, A28) → transfer (A02) → results (R01) with critical values → corrections (OBX-11 C)
→ discharge (A03); marriages, moves and names of newborns (A08, A31); duplicates put right (A40); exact resends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any

from healthsync.entrypoints.demo import bundles, segments
from healthsync.entrypoints.demo.laboratory import PANELS, Panel
from healthsync.entrypoints.demo.population import TODAY, Person, populate
from healthsync.entrypoints.demo.registrations import CLINIC, HOSPITALS, Registration, Source, register
from healthsync.entrypoints.demo.segments import DOCTORS, Visit
from healthsync.standards.hl7v2 import MessageBuilder, timestamp

EASTERN = timezone(timedelta(hours=-5))
"""Vermont in winter."""

_WARDS = ("MED", "SURG", "ICU", "TELE", "OBS")
_DIAGNOSES = (
    ("I10", "Essential (primary) hypertension"), ("E11.9", "Type 2 diabetes mellitus without complications"),
    ("J18.9", "Pneumonia, unspecified organism"), ("N39.0", "Urinary tract infection, site not specified"),
    ("I50.9", "Heart failure, unspecified"), ("K35.80", "Unspecified acute appendicitis"),
    ("J45.909", "Unspecified asthma, uncomplicated"), ("R07.9", "Chest pain, unspecified"),
)  # fmt: skip
_ALLERGIES = (
    ("7980", "penicillin G", "SV", "anaphylaxis"), ("1191", "aspirin", "MO", "wheeze"),
    ("10180", "sulfamethoxazole", "MI", "rash"), ("2670", "codeine", "MO", "nausea"),
)  # fmt: skip
_PAYERS = (("P0101", "Commonwealth Mutual"), ("P0202", "Blue Lake Health Plan"), ("P0303", "State Employees Fund"))


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One message of a hospital as it goes over the wire."""

    source: Source
    at: datetime
    kind: str
    raw: bytes
    is_resend: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that will be sent, and what is true.

    `truth` says who is behind each (source, identifier system, number); `opted_out` and `shown` are such keys: somebody
    who objected to any use of his data, and somebody with a story worth showing.
    """

    persons: tuple[Person, ...]
    registrations: tuple[Registration, ...]
    dispatches: Mapping[str, tuple[Dispatch, ...]]
    bundles: tuple[dict[str, Any], ...]
    truth: Mapping[tuple[str, str, str], str]
    opted_out: tuple[str, str, str] | None
    shown: tuple[str, str, str]
    critical_results: int
    needles: tuple[str, ...]

    @property
    def messages(self) -> int:
        """How many go over the wire, resends too."""
        return sum(map(len, self.dispatches.values()))

    @property
    def resends(self) -> int:
        """How many of them are exact repetitions."""
        return sum(one.is_resend for sent in self.dispatches.values() for one in sent)


def tell(count: int, seed: int) -> Scenario:
    """The story of a town of `count` people."""
    persons = populate(count, seed)
    registrations = register(persons, seed)
    teller = _Teller(persons, {known.number: known for known in registrations}, seed)
    for known in registrations:
        if known.source is not CLINIC:
            teller.tell(known)
    in_clinic = [known for known in registrations if known.source is CLINIC]
    opted_out = next((known for known in reversed(in_clinic) if known.person.id != persons[0].id), None)
    posted, numbers = bundles.post_all(in_clinic, opted_out, Random(f"{seed} clinic"))  # noqa: S311
    return Scenario(
        persons=persons,
        registrations=registrations,
        dispatches={source.name: teller.in_order(source) for source in HOSPITALS},
        bundles=posted,
        truth={known.key: known.person.id for known in registrations},
        opted_out=opted_out.key if opted_out else None,
        shown=registrations[0].key,
        critical_results=teller.critical_results,
        needles=_needles(persons, registrations, [*teller.numbers, *numbers]),
    )


def _needles(
    persons: Sequence[Person], registrations: Sequence[Registration], numbers: Sequence[str]
) -> tuple[str, ...]:
    """Every value of a person that must not stand readable anywhere.

    Not among them: middle initials, postal codes and house numbers alone (too short to be told from chance), and birth
    dates of newborns, which are also dates of care.
    """
    found: dict[str, None] = {}
    for person in persons:
        words = [person.given, person.middle, person.nickname, *person.family.split("-")]
        words += [person.maiden] if person.maiden else []
        for address in filter(None, (person.address, person.former_address)):
            words += [address.line, address.line.split()[1], address.town]
        found.update(dict.fromkeys([*words, person.ssn, person.phone]))
        if not person.newborn:
            found[str(person.born)] = None
    for known in registrations:
        found.update(dict.fromkeys([known.number, known.given, *known.family.split("-")]))
        if not known.person.newborn:
            found[str(known.born)] = None
    found.update(dict.fromkeys(numbers))
    return tuple(needle for needle in found if not needle.startswith("BABY "))


@dataclass(slots=True)
class _Teller:
    """Writes the messages of one registration after the other; the order between them comes from their times."""

    persons: Sequence[Person]
    by_number: Mapping[str, Registration]
    seed: int
    chance: Random = field(init=False)
    sent: dict[str, list[tuple[datetime, str, Any]]] = field(init=False)
    counters: Counter[str] = field(default_factory=Counter)
    critical_results: int = 0
    numbers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = Random(f"{self.seed} story")  # noqa: S311
        self.sent = {source.name: [] for source in HOSPITALS}

    def in_order(self, source: Source) -> tuple[Dispatch, ...]:
        """The messages of a source by time, each with its control id; some are sent a second time."""
        made: list[Dispatch] = []
        ordered = sorted(self.sent[source.name], key=lambda entry: entry[0])
        for place, (at, kind, write) in enumerate(ordered, 1):
            raw = write(f"{source.facility[:3]}{place:06d}")
            made.append(Dispatch(source, at, kind, raw))
            if place % 61 == 7:  # the acknowledgement was lost on the way: sent again, byte for byte
                made.append(Dispatch(source, at, kind, raw, is_resend=True))
        return tuple(made)

    def tell(self, known: Registration) -> None:
        """What happens to one person in one hospital."""
        chance = self.chance
        arrives = self._arrival(known)
        if (
            known.duplicate_of is None
            and chance.random() < 0.1
            and not self._is_first(known)
            and not known.person.newborn
        ):
            self._adt(known, "A28", "ADT_A05", arrives, self._about(known, arrives))
            left = arrives
        else:
            left = self._visit(known, arrives)
        self._later(known, left + timedelta(hours=chance.randint(2, 20)))

    def _arrival(self, known: Registration) -> datetime:
        days = 1 if known.person.newborn else self.chance.randint(3, 12)
        if known.person.newborn:
            return datetime.combine(known.born, time(self.chance.randint(6, 18), 12), EASTERN)
        if known.duplicate_of:  # after the first registration
            days = 2
        hour, minute = self.chance.randint(6, 21), self.chance.randint(0, 59)
        return datetime.combine(TODAY - timedelta(days=days), time(hour, minute), EASTERN)

    def _is_first(self, known: Registration) -> bool:
        return known.person.id == self.persons[0].id

    def _visit(self, known: Registration, arrives: datetime) -> datetime:
        """Admission, results, perhaps a transfer, discharge; returns when it ended."""
        chance, source = self.chance, known.source
        kind = "I" if self._is_first(known) or known.person.newborn else chance.choices("IEO", (35, 30, 35))[0]
        visit = Visit(self._number(source, "V"), kind, self._place(kind), chance.choice(DOCTORS[source.name]), arrives)
        trigger = "A01" if kind == "I" else "A04"
        self._adt(known, trigger, "ADT_A01", arrives, self._admission(known, visit))
        at = self._results(known, visit, arrives + timedelta(hours=1, minutes=chance.randint(0, 40)))
        if kind == "I" and (chance.random() < 0.4 or self._is_first(known)):
            at += timedelta(minutes=35)
            visit = visit.moved(self._place(kind))
            self._adt(known, "A02", "ADT_A02", at, {"PID": segments.pid(known), "PV1": segments.pv1(source, visit)})
        at += timedelta(hours=chance.randint(3, 20))
        if kind != "O":
            visit = replace(visit, previous=None, discharged=at)
            self._adt(known, "A03", "ADT_A03", at, {"PID": segments.pid(known), "PV1": segments.pv1(source, visit)})
        return at

    def _place(self, kind: str) -> tuple[str, str, str]:
        ward = {"I": self.chance.choice(_WARDS), "E": "ED", "O": "AMB"}[kind]
        return ward, f"{self.chance.randint(1, 29):02d}", self.chance.choice("AB")

    def _later(self, known: Registration, at: datetime) -> None:
        """What the source learns afterwards (A31), and a duplicate put right (A40)."""
        if known.duplicate_of is None:
            now = _learned(known)
            if now != known:
                formerly = known.family if now.family != known.family else None
                self._adt(now, "A31", "ADT_A05", at, {"PID": segments.pid(now, formerly)})
        elif known.is_resolved:
            survivor = _learned(self.by_number[known.duplicate_of])
            fields = {"PID": segments.pid(survivor), "MRG": segments.merged(known.source, known.number)}
            self._adt(survivor, "A40", "ADT_A39", at + timedelta(hours=3), fields)

    def _admission(self, known: Registration, visit: Visit) -> dict[str, Any]:
        about = self._about(known, visit.admitted)
        told = {"PID": about.pop("PID")}
        if relative := about.pop("NK1", None):
            told["NK1"] = relative
        told["PV1"] = segments.pv1(known.source, visit)
        return told | about

    def _about(self, known: Registration, at: datetime) -> dict[str, Any]:
        """PID and what stands behind it: next of kin, allergy, diagnosis, insurance."""
        chance = self.chance
        told: dict[str, Any] = {"PID": segments.pid(known)}
        if relative := self._relative(known.person):
            told["NK1"] = segments.next_of_kin(known.source, *relative)
        if chance.random() < 0.3 or self._is_first(known):
            told["AL1"] = segments.allergy(*chance.choice(_ALLERGIES))
        if not known.person.newborn:
            told["DG1"] = segments.diagnosis(*chance.choice(_DIAGNOSES), at)
        if chance.random() < 0.6:
            policy = f"POL{chance.randint(1_000_000, 9_899_999)}W"
            self.numbers.append(policy)
            told["IN1"] = segments.insurance(known, chance.choice(_PAYERS), policy)
        return told

    def _relative(self, person: Person) -> tuple[Person, tuple[str, str]] | None:
        others = [p for p in self.persons if p.household == person.household and p.id != person.id and p.age() > 18]
        if not others:
            return None
        is_child = person.age() < 18
        mother = next((p for p in others if p.sex == "F"), None)
        if is_child and mother:
            return mother, ("MTH", "Mother")
        return others[0], ("SPO", "Spouse") if not is_child and not person.suffix else ("FAM", "Family member")

    def _results(self, known: Registration, visit: Visit, at: datetime) -> datetime:
        """One or two panels of a visit, one of them perhaps corrected."""
        chance = self.chance
        number = 2 if self._is_first(known) else chance.choices((0, 1, 2), (20, 55, 25))[0]
        for place, panel in enumerate(chance.sample(PANELS, number)):
            drawn, at = at, at + timedelta(minutes=chance.randint(40, 120))
            alarming = chance.random() < 0.08 or (self._is_first(known) and place == 0)
            values = self._values(panel, alarming)
            self.critical_results += sum(test.interpretation(values[test.code]) in ("HH", "LL") for test in panel.tests)
            order = self._number(known.source, "L")
            self._oru(known, visit, panel, order, values, drawn, at)
            if chance.random() < 0.06 and not alarming:
                test = panel.tests[0]
                corrected = values | {test.code: test.usual_value(chance)}
                at += timedelta(minutes=50)
                self._oru(known, visit, panel, order, corrected, drawn, at, corrects=test.code)
        return at

    def _values(self, panel: Panel, alarming: bool) -> dict[str, Decimal]:
        values = {test.code: test.usual_value(self.chance) for test in panel.tests}
        if alarming:
            test = self.chance.choice(panel.tests)
            values[test.code] = test.critical_value(self.chance)
        return values

    def _number(self, source: Source, letter: str) -> str:
        self.counters[source.name + letter] += 1
        number = f"{source.facility[:2]}{letter}{40_000 + self.counters[source.name + letter]:06d}"
        self.numbers.append(number)
        return number

    def _adt(self, known: Registration, trigger: str, structure: str, at: datetime, told: Mapping[str, Any]) -> None:
        def write(control_id: str) -> bytes:
            message = segments.message(known.source, "ADT", trigger, structure, control_id, at)
            for name, fields in told.items():
                message.segment(name, fields)
            return message.encode()

        self.sent[known.source.name].append((at, trigger, write))

    def _oru(
        self,
        known: Registration,
        visit: Visit,
        panel: Panel,
        order: str,
        values: Mapping[str, Decimal],
        drawn: datetime,
        at: datetime,
        corrects: str | None = None,
    ) -> None:
        def write(control_id: str) -> bytes:
            message = segments.message(known.source, "ORU", "R01", "ORU_R01", control_id, at)
            message.segment("PID", segments.pid(known)).segment("PV1", segments.pv1(known.source, visit))
            _report(message, known.source, panel, order, values, drawn, at, corrects)
            return message.encode()

        self.sent[known.source.name].append((at, "R01", write))


def _learned(known: Registration) -> Registration:
    """What a source knows after the name of a newborn, a marriage or a move has reached it."""
    person, source = known.person, known.source
    if person.newborn:
        return replace(known, given=person.given, ssn=person.ssn)
    if person.maiden and known.family == source.writes(person.maiden):
        return replace(known, family=source.writes(person.family))
    return replace(known, address=person.address)


def _report(
    message: MessageBuilder,
    source: Source,
    panel: Panel,
    order: str,
    values: Mapping[str, Decimal],
    drawn: datetime,
    at: datetime,
    corrects: str | None,
) -> None:
    """OBR and OBX of one panel; with `corrects` (a code) as a correction of that result."""
    message.segment("OBR", {1: 1, 3: [[order, f"{source.facility}_LAB"]], 4: [[panel.code, panel.name, "LN"]],
                            7: timestamp(drawn), 22: timestamp(at), 24: panel.section,
                            25: "C" if corrects else "F"})  # fmt: skip
    for place, test in enumerate(panel.tests, 1):
        value = values[test.code]
        flag = test.interpretation(value)
        message.segment("OBX", {1: place, 2: "NM", 3: [[test.code, test.name, "LN"]], 5: value,
                                6: [[test.unit, "", "UCUM"]], 7: test.reference_range, 8: flag,
                                11: "C" if corrects == test.code else "F", 14: timestamp(drawn)})  # fmt: skip


def stories(scenario: Scenario) -> Iterator[tuple[str, Counter[str]]]:
    """Per source, how many messages of each kind."""
    for name, sent in scenario.dispatches.items():
        yield name, Counter(dict(sorted(Counter(one.kind for one in sent).items())))
