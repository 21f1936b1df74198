"""First names that may be one: pet forms by a table, and the names that people really bear. Pure."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from healthsync.domains.identity.demographics import normalised_name


@cache
def nickname_groups() -> dict[str, tuple[int, ...]]:
    """The groups (lines of `nicknames.txt`) that a normalised first name belongs to, its own before others'."""
    groups: dict[str, list[int]] = {}
    for number, names in enumerate(_lines("nicknames.txt")):
        for at, name in enumerate(dict.fromkeys(map(normalised_name, names.split()))):
            of_name = groups.setdefault(name, [])
            of_name.insert(0 if at == 0 else len(of_name), number)
    return {name: tuple(numbers) for name, numbers in groups.items()}


@cache
def known_first_names() -> frozenset[str]:
    """Names that are borne, not misspelt: the US census of 1990 and every form of the nickname table."""
    census = (line.split("\t")[0] for line in _lines("given_names.tsv"))
    return frozenset(census) | nickname_groups().keys()


def _lines(name: str) -> list[str]:
    text = files("healthsync.domains.identity.linkage").joinpath("data", name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
