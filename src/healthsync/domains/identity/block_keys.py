"""The keys under which records meet that may be of one person: two that share none are not compared. Pure.

Each is made of several values, so that none tells by its frequency what it was made of (an SSN and an e-mail address
are near-unique by themselves). Names enter by sound, in either order, so that misspelt and swapped ones meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

import jellyfish

from healthsync.domains.identity.levels import sound_of
from healthsync.domains.identity.model import Demographics
from healthsync.domains.identity.nicknames import nickname_groups
from healthsync.errors import InvalidInput

LARGEST_BLOCK = 100
"""Patients under one block key; a key that more have says nothing about a person."""

VERSION = "1"
"""Of the keys; records that were keyed by another version are keyed anew when the hub starts."""

LOCKED = frozenset({"ssn", "sounds+birth-date"})
"""The keys on which two registrations of one new person wait for each other."""

MOST_VALUES = 4
"""Values of a field that take part in keys: an address book is no demographics."""

Key = tuple[str, ...]
"""The kind of key, and the values that it is made of."""


Block = tuple[str, ...]
"""The columns of logical patients that make a key of a `patient_matching` document."""


def block_keys(said: Demographics, own: Sequence[Block] = ()) -> list[Key]:
    """The keys of a record, each once and in order; `own` adds keys that an operator's document names."""
    found = {*_of_numbers(said), *_of_names_and_dates(said), *_of_contacts(said), *_of_places(said)}
    return sorted(found.union(*(_of_columns(said, block) for block in own)))


def checked(blocks: Sequence[Sequence[str]]) -> tuple[Block, ...]:
    """Blocks of a document. Raises InvalidInput for a column that keys are not made of."""
    for column in (column for block in blocks for column in block):
        if column not in _COLUMNS:
            raise InvalidInput(f"{column} is no column that block keys are made of; there are {', '.join(_COLUMNS)}")
    return tuple(tuple(block) for block in blocks)


def version_of(own: Sequence[Block], authorities: str = "") -> str:
    """The version of the keys together with those that a document adds and with the names of authorities."""
    return "|".join((VERSION, *("+".join(block) for block in own), *filter(None, [authorities])))


def _of_columns(said: Demographics, block: Block) -> Iterator[Key]:
    columns = (sorted(_COLUMNS[column](said))[:MOST_VALUES] for column in block)
    for values in product(*columns):
        yield "own:" + "+".join(block), *values


def _of_numbers(said: Demographics) -> Iterator[Key]:
    for ssn in said.ssns:
        yield "ssn", ssn


def _of_names_and_dates(said: Demographics) -> Iterator[Key]:
    dates = [f"{born.year:04}{born.month:02}{born.day:02}" for born in said.birth_dates]
    for (family, first), born in product(sorted(said.names)[:MOST_VALUES], dates):
        sounds = sorted((_sound(family), _sound(first)))
        yield "sounds+birth-date", *sounds, born
        yield "sounds+birth-year", *sounds, born[:4]
        yield "sounds+birth-day", *sounds, born[4:]
        yield "initials+birth-date", *sorted((family[0], first[0])), born
    for first, born in product(sorted(said.first_names)[:MOST_VALUES], dates):
        yield "first-name+birth-date", full_first_name(first), born
    for family, born in product(sorted(said.families)[:MOST_VALUES], dates):
        yield "family+birth-date", _sound(family), born


def _of_places(said: Demographics) -> Iterator[Key]:
    codes = sorted({place.postal_code for place in said.addresses if place.postal_code})[:MOST_VALUES]
    for (family, first), code in product(sorted(said.names)[:MOST_VALUES], codes):
        yield "sounds+postal-code", *sorted((_sound(family), _sound(first))), code


def _of_contacts(said: Demographics) -> Iterator[Key]:
    initials = {first[0] for first in said.first_names}
    for phone, initial in product(sorted(said.phones)[:MOST_VALUES], initials):
        yield "phone+initial", phone[-7:], initial
    for email in sorted(said.emails)[:MOST_VALUES]:
        yield "email", email
    for place, initial in product(sorted(said.addresses)[:MOST_VALUES], initials):
        if place.street and (place.postal_code or place.city):
            yield "street+initial", place.house, place.street, place.postal_code or place.city, initial


def _sound(name: str) -> str:
    return sound_of(name) or name


def full_first_name(name: str) -> str:
    """What stands for a first name and its pet forms: kate → catherine; a form of several names goes to the first."""
    groups = nickname_groups().get(name)
    return f"#{groups[0]}" if groups else name


_COLUMNS: Mapping[str, Callable[[Demographics], set[str]]] = {
    "ssn": lambda said: set(said.ssns),
    "ssn_last4": lambda said: {ssn[-4:] for ssn in said.ssns},
    "last_name": lambda said: set(said.families),
    "last_name_soundex": lambda said: {jellyfish.soundex(family) for family in said.families},
    "first_name": lambda said: set(said.first_names),
    "dob": lambda said: {born.isoformat() for born in said.birth_dates},
    "dob_year": lambda said: {str(born.year) for born in said.birth_dates},
    "sex": lambda said: set(said.sexes),
    "zip": lambda said: {place.postal_code for place in said.addresses if place.postal_code},
    "city": lambda said: {place.city for place in said.addresses if place.city},
    "phone": lambda said: set(said.phones),
    "email": lambda said: set(said.emails),
}
"""What a record says of each column that an operator's keys may be made of."""
