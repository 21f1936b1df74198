"""How each source knows the people: its own numbers, and the mistakes that registration desks make. Pure, by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from random import Random

from healthsync.entrypoints.demo.names import without_accents
from healthsync.entrypoints.demo.population import Address, Person


@dataclass(frozen=True, slots=True)
class Source:
    """Somebody who sends: a hospital over MLLP, or the clinic (`application` None) over FHIR.

    `universal_id` is the OID of its numbers; a source without one sends the name of the authority only. `charset` is
    what MSH-18 says and its messages are written in.
    """

    name: str
    title: str
    application: str | None
    facility: str
    universal_id: str
    version: str
    charset: str
    number_form: str

    @property
    def system(self) -> str:
        """What FHIR knows its patient numbers by."""
        return f"urn:oid:{self.universal_id}" if self.universal_id else f"urn:healthsync:authority:{self.facility}"

    def writes(self, name: str) -> str:
        """What its character set leaves of a name."""
        return name if self.charset == "UNICODE UTF-8" else without_accents(name)


RIVERBEND = Source("riverbend", "Riverbend General Hospital", "RVB_ADT", "RIVERBEND",
                   "2.16.840.1.113883.19.5.11", "2.5.1", "UNICODE UTF-8", "RVB{:07d}")  # fmt: skip
NORTHGATE = Source("northgate", "Northgate Medical Center", "NGMC", "NORTHGATE",
                   "2.16.840.1.113883.19.5.12", "2.4", "8859/1", "NG-{:06d}-T")  # fmt: skip
HARBOR = Source("harbor", "Harbor Community Hospital", "HARBORCARE", "HARBORCOM",
                "", "2.3.1", "", "H{:07d}K")  # fmt: skip
CLINIC = Source("meadow-clinic", "Meadow Family Clinic", None, "MEADOW",
                "2.16.840.1.113883.19.5.40", "", "UNICODE UTF-8", "MFC-{:06d}")  # fmt: skip
HOSPITALS = (RIVERBEND, NORTHGATE, HARBOR)


@dataclass(frozen=True, slots=True)
class Registration:
    """One person in the books of one source. `duplicate_of` is the number under which he stood there already; when it
    `is_resolved`, the source finds out and says so (A40)."""

    source: Source
    number: str
    person: Person
    given: str
    middle: str
    family: str
    suffix: str
    born: date
    ssn: str | None
    phone: str
    address: Address
    duplicate_of: str | None = None
    is_resolved: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """(source, identifier system, number): what the ground truth is kept by."""
        return self.source.name, self.source.system, self.number


def register(persons: Sequence[Person], seed: int) -> tuple[Registration, ...]:
    """The books of all sources. Every person is in one at least."""
    chance = Random(f"{seed} registrations")  # noqa: S311
    numbers = {
        source.name: iter(chance.sample(range(100_000, 899_999), 2 * len(persons))) for source in (*HOSPITALS, CLINIC)
    }
    mothers = {p.household: p for p in reversed(persons) if p.sex == "F" and p.age() > 20}
    made: list[Registration] = []
    for place, person in enumerate(persons):
        is_first = place == 0
        for nth, source in enumerate(_sources(chance, person, is_first)):
            known = _true(source, person) if is_first else _known(chance, source, person, nth, mothers)
            first = replace(known, number=source.number_form.format(next(numbers[source.name])))
            made.append(first)
            is_simple = is_first or person.has_double or person.newborn or source is CLINIC
            if not is_simple and chance.random() < 0.06:
                again = _known(chance, source, person, nth, {})
                number = source.number_form.format(next(numbers[source.name]))
                made.append(replace(again, number=number, duplicate_of=first.number, is_resolved=chance.random() < 0.8))
    return tuple(made)


def _sources(chance: Random, person: Person, is_first: bool) -> Iterator[Source]:
    """Children are mostly seen in Harbor, the others elsewhere; the first person has been everywhere."""
    if is_first:
        yield from (*HOSPITALS, CLINIC)
        return
    preferred = [HARBOR, RIVERBEND] if person.age() < 18 else [RIVERBEND, NORTHGATE]
    if not person.newborn:
        chance.shuffle(preferred)
    number = chance.choices((1, 2, 3), (45, 40, 15))[0]
    yield from [*preferred, *(h for h in HOSPITALS if h not in preferred)][:number]
    if chance.random() < 0.35 and not person.newborn:
        yield CLINIC


def _true(source: Source, person: Person) -> Registration:
    """All that there is to know."""
    return Registration(
        source, "", person, person.given, person.middle, source.writes(person.family), person.suffix, person.born,
        person.ssn, person.phone, person.address,
    )  # fmt: skip


def _known(chance: Random, source: Source, person: Person, nth: int, mothers: Mapping[int, Person]) -> Registration:
    """What the `nth` source that meets a person writes down."""
    made = replace(_true(source, person), middle=_middle(chance, person))
    if person.has_double:  # only the number tells these apart, so nobody leaves it out
        return replace(made, middle="")
    if person.newborn:
        sex = "GIRL" if person.sex == "F" else "BOY"
        return replace(made, given=f"BABY {sex}" if nth == 0 else person.given, middle="", ssn=None)
    if person.maiden and nth == 0:
        made = replace(made, family=source.writes(person.maiden))
    if person.former_address and nth == 0:
        made = replace(made, address=person.former_address)
    made = _without_number(chance, made, mothers)
    return _mistaken(chance, made)


def _middle(chance: Random, person: Person) -> str:
    return chance.choices((person.middle, person.middle[0], ""), (30, 30, 40))[0]


def _without_number(chance: Random, made: Registration, mothers: Mapping[int, Person]) -> Registration:
    """No SSN, or for a child the mother's: the classic mistake of a desk."""
    is_child = made.person.age() < 18
    mother = mothers.get(made.person.household)
    if is_child and mother and chance.random() < 0.04:
        return replace(made, ssn=mother.ssn)
    return replace(made, ssn=None) if chance.random() < (0.45 if is_child else 0.2) else made


def _mistaken(chance: Random, made: Registration) -> Registration:
    """Typing errors, nicknames, half of a double name, a lost suffix, day for month."""
    if "-" in made.family and chance.random() < 0.4:
        made = replace(made, family=made.family.partition("-")[0])
    if made.suffix and chance.random() < 0.3:
        made = replace(made, suffix="")
    kind = chance.random()
    if kind < 0.04:
        return replace(made, given=_swapped(chance, made.given))
    if kind < 0.08:
        return replace(made, family=_swapped(chance, made.family))
    if kind < 0.13:
        return replace(made, given=made.person.nickname, middle="")
    if kind < 0.15 and made.ssn and made.born.day <= 12 and made.born.day != made.born.month:
        return replace(made, born=made.born.replace(month=made.born.day, day=made.born.month))
    return made


def _swapped(chance: Random, name: str) -> str:
    """Two neighbouring letters in each other's place, the first letter stays."""
    at = chance.randint(1, len(name) - 3)
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :]
