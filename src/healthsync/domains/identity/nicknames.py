"""First names that may be one: pet forms by a table, and the names that people really bear. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from itertools import groupby

from healthsync.domains.identity.values import normalised_name

IN_TWO = frozenset(
    "maria jose juan ana luz mary jean abdul abdel muhammad mohammed mohamed mohammad mohamad md".split()  # noqa: SIM905
)
"""First names that are often the first of two, which sisters may share: María Rosa and María Elena."""

BORNE = 20
"""From how many of 100,000 people on a first name is one that is borne, and not one misspelt."""


@cache
def nickname_groups() -> dict[str, tuple[int, ...]]:
    """The groups (lines of `nicknames.txt`) that a normalised first name belongs to, its own before others'."""
    groups: dict[str, list[int]] = {}
    for number, (name, pet_forms, sisters) in enumerate(_table()):
        groups.setdefault(name, []).insert(0, number)
        for other in (*pet_forms, *sisters):
            groups.setdefault(other, []).append(number)
    return {name: tuple(dict.fromkeys(numbers)) for name, numbers in groups.items()}


@cache
def full_names() -> dict[str, frozenset[str]]:
    """The names that a pet form is short for: kate → catherine."""
    found: dict[str, set[str]] = {}
    for name, pet_forms, _ in _table():
        for form in pet_forms:
            found.setdefault(form, set()).add(name)
    return {form: frozenset(names) for form, names in found.items()}


@cache
def census_shares(sex: str = "") -> dict[str, int]:
    """How many of 100,000 women (female) or of 100,000 men bear a first name, whichever is more (US census of 1990)."""
    rows = (line.split("\t") for line in _lines("given_names.tsv"))
    counted = ((name, {"female": int(women), "male": int(men)}) for name, women, men in rows)
    return {name: of.get(sex, max(of.values())) for name, of in counted}


@cache
def later_names() -> frozenset[str]:
    """First names that became usual after that census."""
    return frozenset(normalised_name(name) for line in _lines("later_names.txt") for name in line.split())


@cache
def borne_names() -> frozenset[str]:
    """First names that people really bear: of the census of 1990, and those that became usual since."""
    return later_names() | census_shares().keys()


@cache
def usual_names(sex: str = "") -> frozenset[str]:
    """First names of which BORNE of 100,000 (women, men, or either) have one, and those that became usual since."""
    return later_names() | {name for name, share in census_shares(sex).items() if share >= BORNE}


@cache
def spellings() -> dict[str, int]:
    """The line of `spellings.txt` on which a name stands: one name, written in Latin letters in several ways."""
    return {normalised_name(name): at for at, line in enumerate(_lines("spellings.txt")) for name in line.split()}


def is_spelling(one: str, other: str) -> bool:
    """Whether two first names are one, written in two ways."""
    known = spellings()
    return one in known and known[one] == known.get(other)


def is_one_name(one: str, other: str) -> bool:
    """Whether one of two first names is short for the other, or another spelling of it."""
    full = full_names()
    return one in full.get(other, ()) or other in full.get(one, ()) or is_spelling(one, other)


def begin_unlike(one: str, other: str) -> bool:
    """Whether two names begin with two letters that were not swapped. Who writes a name rarely errs in its first letter
    (Pollock and Zamora, CACM 1984): Farah is not Sarah misspelt."""
    return one[0] != other[0] and sorted(one[:2]) != sorted(other[:2])


def may_stand_for(odd: str, known: str, others: Iterable[str]) -> bool:
    """Whether a misspelt name may as well be one of `others` as the one that is known.

    Not, if it has the letters of the known one, swapped or doubled, and not those of the other (Daneille is Danielle
    and not Danelle), or begins like the known one and unlike the other; nor is a spelling of the known one another.
    """
    slip, alike = _is_slip(odd, known), not begin_unlike(odd, known)
    return any(
        name != known
        and not is_one_name(name, known)
        and (not slip or _is_slip(odd, name))
        and not (alike and begin_unlike(odd, name))
        for name in others
    )


def _is_slip(odd: str, name: str) -> bool:
    """Whether letters were only swapped, or written once for twice or twice for once."""
    return sorted(odd) == sorted(name) or [*_once(odd)] == [*_once(name)]


def _once(name: str) -> Iterator[str]:
    return (letter for letter, _ in groupby(name))


def shares_a_name(one: str, other: str) -> bool:
    """Whether two middle names have a word in common that is no initial."""
    return any(len(word) > 1 for word in {*one.split()} & {*other.split()})


def names_one_of(email: str, first_names: Iterable[str]) -> bool:
    """Whether one of the first names (no initial) stands in an e-mail address."""
    return any(len(name) > 2 and name in email.partition("@")[0] for name in first_names)


@cache
def family_shares() -> dict[str, float]:
    """The share of people who bear a family name (US census of 1990)."""
    rows = (line.split("\t") for line in _lines("family_names.tsv"))
    return {normalised_name(name): int(people) / 100_000 for name, people in rows}


def _table() -> list[tuple[str, list[str], list[str]]]:
    """(name, its pet forms, names of the same root) of each line."""
    found = []
    for line in _lines("nicknames.txt"):
        forms, _, sisters = line.partition("|")
        name, *pet_forms = map(normalised_name, forms.split())
        found.append((name, pet_forms, [normalised_name(sister) for sister in sisters.split()]))
    return found


def _lines(name: str) -> list[str]:
    text = files("healthsync.domains.identity.linkage").joinpath("data", name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
