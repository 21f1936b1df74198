"""Who lives in the town: households with marriages, moves, twins, juniors and newborns. Pure, by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from random import Random
from typing import Any

from healthsync.entrypoints.demo import names

TODAY = date(2026, 3, 2)
"""The day on which the story ends: fixed, so that every run tells the same one."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a household lives."""

    line: str
    town: str
    postal_code: str
    state: str = "VT"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as she is: what sources know of her may differ.

    `nickname`, `maiden` and `former_address` are what else she is known by; `newborn` has no given name at his first
    registration; `twin` is the place in a multiple birth; `has_double` says that somebody else has the same name, sex
    and birth date, so that only the SSN tells them apart.
    """

    id: str
    sex: str
    given: str
    middle: str
    family: str
    born: date
    ssn: str
    phone: str
    address: Address
    suffix: str = ""
    maiden: str | None = None
    former_address: Address | None = None
    newborn: bool = False
    twin: int | None = None
    has_double: bool = False
    household: int = 0

    @property
    def nickname(self) -> str:
        """The short form of the given name."""
        return names.nickname(self.given)

    def age(self, on: date = TODAY) -> int:
        """In whole years."""
        return on.year - self.born.year - ((on.month, on.day) < (self.born.month, self.born.day))


@dataclass(slots=True)
class _Town:
    """What has been given away already: no two people share a number, and siblings no sound."""

    chance: Random
    persons: list[Person] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    household: int = 0

    def ssn(self) -> str:
        """A social security number that nobody has."""
        return self._unused(lambda: f"{self._between(401, 649)}{self._between(11, 98)}{self._between(1101, 9898)}")

    def phone(self) -> str:
        """A telephone number that nobody has."""
        return self._unused(lambda: f"802{self._between(220, 989)}{self._between(1100, 9899)}")

    def _between(self, low: int, high: int) -> int:
        return self.chance.randint(low, high)

    def _unused(self, make: Callable[[], str]) -> str:
        number = make()
        while number in self.taken:
            number = make()
        self.taken.add(number)
        return number

    def address(self) -> Address:
        """A new address."""
        street = self.chance.choice(names.STREETS)
        kind = self.chance.choice(("Lane", "Road", "Court"))
        line = f"{self.chance.randint(101, 989)} {street} {kind}"
        return Address(line, self.chance.choice(names.TOWNS), f"05{self.chance.randint(110, 899)}")

    def born(self, youngest: int, oldest: int) -> date:
        """The birth date of somebody between these ages."""
        days = self.chance.randint(youngest * 365 + 200, oldest * 365)
        return TODAY - timedelta(days=days)

    def given(self, sex: str, taken: tuple[str, ...] = ()) -> str:
        """A given name whose beginning no one of `taken` shares."""
        choices = names.FEMALE if sex == "F" else names.MALE
        return self.chance.choice([name for name in choices if name[:4] not in {one[:4] for one in taken}])

    def family(self) -> str:
        """A family name, now and then an accented one."""
        return self.chance.choice(names.ACCENTED if self.chance.random() < 0.08 else names.FAMILY)

    def person(self, sex: str, family: str, born: date, address: Address, **more: Any) -> Person:
        """Somebody new; `more` are fields of Person that are not left to chance."""
        given = more.pop("given", None) or self.given(sex)
        middle = more.pop("middle", None) or self.given(sex, (given,))
        made = Person(
            f"P{len(self.persons) + 1:04d}", sex, given, middle, family, born, self.ssn(), self.phone(), address,
            household=self.household,
        )  # fmt: skip
        self.persons.append(replace(made, **more))
        return self.persons[-1]


def populate(count: int, seed: int) -> tuple[Person, ...]:
    """The first `count` persons of the town of this seed.

    The first households show one hard case each, so that also a small town has them.
    """
    town = _Town(Random(seed))  # noqa: S311 chance that can be repeated is what is wanted
    cases = iter((_twins, _newborn, _marriage, _junior, _double, _move, _hyphenated))
    while len(town.persons) < count:
        town.household += 1
        (next(cases, None) or town.chance.choices(tuple(_OFTEN), tuple(_OFTEN.values()))[0])(town)
    kept = town.persons[:count]
    doubles = {(p.given, p.family, p.born) for p in kept if p.has_double}
    whole = {key for key in doubles if sum((p.given, p.family, p.born) == key for p in kept) > 1}
    return tuple(replace(p, has_double=(p.given, p.family, p.born) in whole) for p in kept)


def _couple(town: _Town, oldest: int = 78, **of_hers: Any) -> tuple[Person, Person]:
    family, address = town.family(), town.address()
    born = town.born(24, oldest)
    one = town.person("F", family, born, address, **of_hers)
    other = town.person("M", family, born + timedelta(days=town.chance.randint(-1200, 1200)), address)
    return one, other


def _parents(town: _Town) -> tuple[Person, Person]:
    return _couple(town, oldest=44)


def _children(town: _Town, parents: tuple[Person, Person], number: int) -> Iterator[Person]:
    taken = [parent.given for parent in parents]
    for _ in range(number):
        sex = town.chance.choice("FM")
        given = town.given(sex, tuple(taken))
        taken.append(given)
        yield town.person(
            sex, parents[0].family, town.born(1, max(2, parents[0].age() - 21)), parents[0].address, given=given
        )


def _family(town: _Town) -> None:
    list(_children(town, _parents(town), town.chance.randint(1, 3)))


def _single(town: _Town) -> None:
    town.person(town.chance.choice("FM"), town.family(), town.born(19, 92), town.address())


def _marriage(town: _Town) -> None:
    """She took his name lately; half the town still has the old one."""
    _couple(town, maiden=town.family())


def _move(town: _Town) -> None:
    former = town.address()
    _couple(town, former_address=former)


def _hyphenated(town: _Town) -> None:
    first, second = town.chance.sample(names.FAMILY, 2)
    town.person("F", f"{first}-{second}", town.born(22, 70), town.address())


def _junior(town: _Town) -> None:
    """Father and son of one name at one address."""
    family, address, given, middle = town.family(), town.address(), town.given("M"), town.given("M")
    town.person("M", family, town.born(48, 75), address, given=given, middle=middle, suffix="Sr")
    town.person("M", family, town.born(18, 27), address, given=given, middle=middle, suffix="Jr")


def _twins(town: _Town) -> None:
    """Same birth date, family and address; SSNs that differ by one."""
    mother, father = _parents(town)
    born = town.born(1, max(2, mother.age() - 21))
    first = town.given("F", (mother.given,))
    one = town.person("F", mother.family, born, mother.address, given=first, twin=1)
    sex = town.chance.choice("FM")
    second = town.given(sex, (first, mother.given, father.given))
    neighbour = f"{int(one.ssn) + 1:09d}"
    town.taken.add(neighbour)
    town.person(sex, mother.family, born, mother.address, given=second, twin=2, ssn=neighbour)


def _newborn(town: _Town) -> None:
    """Registered as BABY BOY before he has a name and a number."""
    mother, father = _parents(town)
    born = TODAY - timedelta(days=town.chance.randint(3, 9))
    sex = town.chance.choice("FM")
    given = town.given(sex, (mother.given, father.given))
    town.person(sex, mother.family, born, mother.address, given=given, newborn=True)


def _double(town: _Town) -> None:
    """Two strangers with the same name and birth date: what a name alone would take for one person."""
    one = town.person("M", town.family(), town.born(30, 60), town.address(), has_double=True)
    town.household += 1
    town.person("M", one.family, one.born, town.address(), given=one.given, has_double=True)


_OFTEN: dict[Callable[[_Town], object], int] = {
    _family: 30, _couple: 20, _single: 20, _marriage: 7, _move: 8, _hyphenated: 4, _junior: 3, _twins: 3, _newborn: 3,
}  # fmt: skip
"""How often each kind of household occurs, in relation to each other."""
