"""Invented people in households, with the errors of registration desks: a file of which the truth is known. Pure.

Households have couples, children, twins (some with names that look alike), fathers and sons of one name, and people who
live alone. Some are registered a second and third time: misspelt, with a pet form, an initial, names swapped, after a
move, a marriage, with parts missing. Names are drawn by their frequency in the US census of 1990, and from short lists
of names of other origins. Nobody here is real.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from itertools import accumulate

from healthsync.domains.identity.nicknames import full_names

COLUMNS = (
    "id", "given", "middle", "family", "suffix", "birth_date", "sex", "ssn", "street", "city", "state", "postal_code",
    "phone", "email", "truth", "truth_household", "truth_role", "truth_origin",
)  # fmt: skip
"""The columns of a generated file; what begins with `truth` is never evidence."""

_OTHER_ORIGINS = {
    "vietnamese": ("anh binh chi dung hanh hoa huong lan linh long mai minh nam ngoc phuong quang thao thu trang",
                   "nguyen tran le pham huynh hoang phan vu vo dang bui do ho ngo duong ly"),
    "chinese": ("wei fang na min jing li qiang lei jun yang yong yan jie juan tao ming chao xiu xia ping",
                "wang li zhang liu chen yang huang zhao wu zhou xu sun ma zhu hu guo he lin gao"),
    "arabic": ("mohammed ahmed ali omar hassan hussein khalid yusuf ibrahim fatima aisha maryam khadija zainab",
               "khan ahmed ali hassan hussein mahmoud ibrahim saleh nasser haddad khoury mansour al-masri abdallah"),
    "indian": ("amit anil arjun deepak rahul sanjay vijay ravi priya anjali kavita neha pooja sunita lakshmi divya",
               "patel singh kumar sharma gupta shah reddy rao mehta joshi desai iyer nair das chowdhury"),
    "slavic": ("ivan dmitri sergei andrei mikhail oleg pavel olga svetlana natalia tatiana katarzyna jan piotr",
               "ivanov petrov smirnov kowalski nowak novak kovacs horvat popov sokolov wojciechowski zielinski"),
}  # fmt: skip
_LOOK_ALIKES = {
    "M": "jayden/jaylen eric/erik john/jon ronald/donald marcus/marco brian/ryan jordan/jaden dylan/dillon",
    "F": "maria/mary tara/tamara anna/hanna carol/carla kayla/kaylee christina/christine tina/gina ella/bella",
}
_STREETS = (  # noqa: SIM905 - easier to read as words
    "Oak Maple Cedar Pine Elm Washington Lake Hill Park Walnut Spring North Ridge Church Willow Mill Sunset Railroad "
    "Jackson Lincoln Jefferson Highland Forest Cherry Meadow River Dogwood Franklin Chestnut Center Adams Valley Birch "
    "Locust Poplar Madison Laurel Magnolia Sycamore Hickory Spruce Monroe Union Prospect Grove Orchard Summit College"
).split()
_KINDS = ("Street", "St", "Avenue", "Ave", "Road", "Rd", "Lane", "Drive", "Court", "Place")
_TOWNS = (  # noqa: SIM905 - easier to read as words
    "Springfield Franklin Clinton Madison Georgetown Salem Fairview Greenville Bristol Chester Arlington Ashland Dover "
    "Oxford Jackson Burlington Manchester Milton Newport Auburn Centerville Clayton Dayton Lexington Milford Riverside"
).split()
_STATES = "AL AZ CA CO FL GA IL IN KY MA MD MI MN MO NC NJ NY OH OR PA TN TX VA WA WI".split()  # noqa: SIM905
_PROVIDERS = ("mail.example", "post.example", "inbox.example.org", "letters.example.net")
_NEIGHBOURS = {letter: near for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
               for letter, near in zip(row, row[1:] + row[-2], strict=True)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Errors:
    """How often each thing happens to a repeated registration, as a share."""

    typo: float = 0.12
    nickname: float = 0.08
    initial: float = 0.02
    swapped: float = 0.01
    moved: float = 0.20
    married: float = 0.04
    birth_date: float = 0.04
    ssn: float = 0.03
    missing: float = 0.08
    missing_ssn: float = 0.30


@dataclass(frozen=True, slots=True)
class Person:
    """One record as it was registered; `truth` tells who it is."""

    given: str
    middle: str
    family: str
    suffix: str
    birth_date: date
    sex: str
    ssn: str
    street: str
    city: str
    state: str
    postal_code: str
    phone: str
    email: str
    truth: str
    household: str
    role: str
    origin: str
    written_date: str = ""
    id: str = ""

    def row(self) -> tuple[str, ...]:
        """The values of COLUMNS."""
        return (
            self.id, self.given, self.middle, self.family, self.suffix,
            self.written_date or self.birth_date.isoformat(),
            self.sex, self.ssn, self.street, self.city, self.state, self.postal_code, self.phone, self.email,
            self.truth, self.household, self.role, self.origin,
        )  # fmt: skip


@dataclass
class Population:
    """A generator of records: the same seed gives the same people."""

    seed: int = 1
    errors: Errors = field(default_factory=Errors)
    today: date = date(2026, 1, 1)
    twins: float = 0.03
    look_alike_twins: float = 0.10
    juniors: float = 0.08

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - invented people need no secret
        self._used_ssns: set[str] = set()

    def records(self, size: int, *, repeated: float = 0.2) -> list[Person]:
        """About `size` records, `repeated` of which are second and further registrations, in random order."""
        people: list[Person] = []
        wanted = round(size * (1 - repeated))
        number = 0
        while len(people) < wanted:
            people += self.household(f"H{number}")
            number += 1
        people = people[:wanted]
        again = [self.registered_again(self._chance.choice(people)) for _ in range(size - wanted)]
        everyone = people + again
        self._chance.shuffle(everyone)
        return [replace(person, id=f"R{at:07}") for at, person in enumerate(everyone)]

    def household(self, name: str) -> list[Person]:
        """The people of one address."""
        chance = self._chance
        origin = chance.choice(sorted(_OTHER_ORIGINS)) if chance.random() < 0.12 else "census"
        family = self._family(origin)
        home = self._home()
        adults = [self._person(name, 0, "adult", origin, family, home, sex=chance.choice("MF"), age=(20, 90))]
        if chance.random() < 0.55:
            first = adults[0]
            age = (self.today - first.birth_date).days // 365
            other = self._person(
                name, 1, "adult", origin, family if chance.random() < 0.85 else self._family(origin), home,
                sex="F" if first.sex == "M" else "M", age=(max(18, age - 6), age + 6),
            )  # fmt: skip
            adults.append(other)
        members = list(adults)
        parent = min(adults, key=lambda person: person.birth_date)
        parent_age = (self.today - parent.birth_date).days // 365
        for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 2, 3, 4))):
            members += self._children(name, len(members), origin, home, adults, parent_age)
        return members

    def _children(
        self, name: str, at: int, origin: str, home: tuple[str, str, str, str, str], adults: Sequence[Person], age: int
    ) -> list[Person]:
        chance = self._chance
        of_age = (max(0, age - 40), max(1, age - 20))
        family = adults[0].family
        first = self._person(name, at, "sibling", origin, family, home, sex=chance.choice("MF"), age=of_age)
        father = next((adult for adult in adults if adult.sex == "M" and adult.family == family), None)
        if father and first.sex == "M" and chance.random() < self.juniors:
            told = chance.random() < 0.6
            return [replace(first, given=father.given, role="junior", suffix="Jr" if told else "")]
        if chance.random() >= self.twins:
            return [first]
        second = self._person(name, at + 1, "twin", origin, family, home, sex=chance.choice("MF"), age=of_age)
        second = replace(second, birth_date=first.birth_date)
        if chance.random() < self.look_alike_twins:
            one, other = chance.choice(_LOOK_ALIKES[first.sex].split()).split("/")
            first = replace(first, given=one, role="look-alike", email="")
            return [first, replace(second, given=other, role="look-alike", email="", sex=first.sex)]
        while second.given[:3] == first.given[:3]:
            second = replace(second, given=self._given(origin, second.sex))
        return [replace(first, role="twin"), second]

    def registered_again(self, person: Person) -> Person:
        """The same person at another desk, on another day."""
        chance, often = self._chance, self.errors
        changed: dict[str, str] = {}
        if chance.random() < often.married and person.sex == "F":
            new = self._family(person.origin)
            changed["family"] = f"{person.family}-{new}" if chance.random() < 0.3 else new
        if chance.random() < often.moved:
            home = self._home()
            changed |= dict(zip(("street", "city", "state", "postal_code"), home[:4], strict=True))
            changed["phone"] = home[4] if chance.random() < 0.6 else person.phone
        forms = nickname_forms(person.given)
        if forms and chance.random() < often.nickname:
            changed["given"] = chance.choice(forms)
        elif chance.random() < often.initial:
            changed["given"] = person.given[:1]
        if chance.random() < 0.5 and person.middle:
            changed["middle"] = chance.choice((person.middle[:1], ""))
        for name in ("given", "family", "street", "city"):
            if chance.random() < often.typo:
                changed[name] = self._mistyped(changed.get(name) or getattr(person, name))
        if chance.random() < often.ssn and person.ssn:
            changed["ssn"] = self._digit_mistyped(person.ssn)
        if chance.random() < often.missing_ssn:
            changed["ssn"] = ""
        for name in ("street", "postal_code", "phone", "email", "sex", "suffix"):
            if chance.random() < often.missing:
                changed[name] = ""
        if chance.random() < often.swapped:
            changed["given"], changed["family"] = (
                changed.get("family", person.family), changed.get("given", person.given),
            )  # fmt: skip
        return replace(person, **changed, written_date=self._date_again(person.birth_date))

    def _date_again(self, born: date) -> str:
        chance, often = self._chance, self.errors
        text = born.isoformat()
        kind = chance.random()
        if kind < often.birth_date / 4:
            return f"{born.year}-{born.day:02}-{born.month:02}" if born.day <= 12 else text
        if kind < often.birth_date * 3 / 4:
            at = chance.choice((2, 3, 6, 8, 9))
            return text[:at] + chance.choice("0123456789" if at != 6 else "012") + text[at + 1 :]
        if kind < often.birth_date:
            return str(born.year)
        return "" if kind > 1 - often.missing / 4 else text

    def _person(
        self, household: str, at: int, role: str, origin: str, family: str,
        home: tuple[str, str, str, str, str], *, sex: str, age: tuple[int, int],
    ) -> Person:  # fmt: skip
        chance = self._chance
        given = self._given(origin, sex)
        born = self.today - timedelta(days=chance.randrange(age[0] * 365, max(age[1], age[0] + 1) * 365))
        own_phone = self._phone() if chance.random() < 0.4 else home[4]
        email = (
            f"{given}.{family}{chance.randrange(10_000)}@{chance.choice(_PROVIDERS)}" if chance.random() < 0.5 else ""
        )
        return Person(
            given, self._given(origin, sex) if chance.random() < 0.5 else "", family, "", born, sex,
            self._ssn() if chance.random() < 0.8 else "", *home[:4], own_phone, email,
            f"{household}-{at}", household, role, origin,
        )  # fmt: skip

    def _home(self) -> tuple[str, str, str, str, str]:
        chance = self._chance
        town = chance.randrange(600)
        street = f"{chance.randrange(1, 2000)} {chance.choice(_STREETS)} {chance.choice(_KINDS)}"
        place = f"{_TOWNS[town % len(_TOWNS)]}", _STATES[town % len(_STATES)], f"{10_000 + town * 131:05}"
        return street, place[0], place[1], place[2], self._phone()

    def _phone(self) -> str:
        chance = self._chance
        return f"({chance.randrange(201, 989)}) {chance.randrange(200, 999)}-{chance.randrange(10_000):04}"

    def _ssn(self) -> str:
        while True:
            area = self._chance.choice((self._chance.randrange(1, 665), self._chance.randrange(667, 899)))
            number = f"{area:03}{self._chance.randrange(1, 99):02}{self._chance.randrange(1, 9999):04}"
            if number not in self._used_ssns:
                self._used_ssns.add(number)
                return number

    def _given(self, origin: str, sex: str) -> str:
        if origin != "census":
            return self._chance.choice(_OTHER_ORIGINS[origin][0].split())
        names, shares = _census_given(sex)
        return names[min(bisect(shares, self._chance.random() * shares[-1]), len(names) - 1)]

    def _family(self, origin: str) -> str:
        if origin != "census":
            return self._chance.choice(_OTHER_ORIGINS[origin][1].split())
        names, shares = _census_family()
        return names[min(bisect(shares, self._chance.random() * shares[-1]), len(names) - 1)]

    def _mistyped(self, text: str) -> str:
        """One letter left out, doubled, replaced by its neighbour on the keyboard, or two swapped."""
        chance = self._chance
        if len(text) < 3:
            return text
        at = chance.randrange(1, len(text) - 1)
        kind = chance.randrange(4)
        if kind == 0:
            return text[:at] + text[at + 1 :]
        if kind == 1:
            return text[:at] + text[at] + text[at:]
        if kind == 2:
            return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        return text[:at] + _NEIGHBOURS.get(text[at].lower(), text[at]) + text[at + 1 :]

    def _digit_mistyped(self, number: str) -> str:
        at = self._chance.randrange(len(number))
        return number[:at] + self._chance.choice("123456789") + number[at + 1 :]


@cache
def nickname_forms(name: str) -> tuple[str, ...]:
    """The pet forms of a name."""
    return tuple(sorted(form for form, names in full_names().items() if name in names))


@cache
def _census_given(sex: str) -> tuple[list[str], list[int]]:
    rows = [(name, int(women), int(men)) for name, women, men in _rows("given_names.tsv")]
    borne = [(name, women if sex == "F" else men) for name, women, men in rows if (women if sex == "F" else men)]
    return [name for name, _ in borne], list(accumulate(share for _, share in borne))


@cache
def _census_family() -> tuple[list[str], list[int]]:
    borne = [(name, int(share)) for name, share in _rows("family_names.tsv")]
    return [name for name, _ in borne], list(accumulate(share for _, share in borne))


def _rows(name: str) -> Iterator[list[str]]:
    text = files("healthsync.domains.identity.linkage").joinpath("data", name).read_text(encoding="utf-8")
    return (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
