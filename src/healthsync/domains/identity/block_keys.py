"""The keys under which records meet that may be of one person: two that share none are not compared. Pure.

Each is made of several values, so that none tells by its frequency what it was made of (an SSN and an e-mail address are
near-unique by themselves). Names enter by sound, in either order, so that misspelt and swapped ones meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from healthsync.domains.identity.levels import sound_of
from healthsync.domains.identity.model import Demographics
from healthsync.domains.identity.nicknames import nickname_groups

VERSION = "1"
"""Of the keys; records that were keyed by another version are keyed anew when the hub starts."""

LOCKED = frozenset({"ssn", "sounds+birth-date"})
"""The keys on which two registrations of one new person wait for each other."""

MOST_VALUES = 4
"""Values of a field that take part in keys: an address book is no demographics."""

Key = tuple[str, ...]
"""The kind of key, and the values that it is made of."""


def block_keys(said: Demographics) -> list[Key]:
    """The keys of a record, each once and in order."""
    return sorted({*_of_numbers(said), *_of_names_and_dates(said), *_of_contacts(said), *_of_places(said)})


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
