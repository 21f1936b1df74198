"""The syntax of unit terms (UCUM §§3-14): a code becomes a tree of components, or nothing when it is no UCUM code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from healthsync.standards.ucum.table import Atom, Prefix, table

MAX_LENGTH = 256
"""Longest code that is read, in characters; the longest in use have about sixty."""

MAX_NESTING = 32
"""Deepest parentheses that are read."""

_COMPONENT = re.compile(
    r"""
      (?P<factor>[0-9]{1,30}) (?![0-9*^+\-\[A-Za-z_%'"])
    | (?P<symbol> 10[*^] | (?: \[[!-Z\\^-z|~]*\] | [!#-'*,:-Z\\^-z|~] )+ )  (?P<exponent>[+-]?[0-9]{1,2})?
    """,
    re.VERBOSE,
)
_ANNOTATION = re.compile(r"\{[!-z|~]*\}")


@dataclass(frozen=True, slots=True)
class Factor:
    """A plain number in a term, as in `4.[pi]`."""

    value: int


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit with its prefix and exponent, as in `km2`."""

    prefix: Prefix | None
    atom: Atom
    exponent: int


@dataclass(frozen=True, slots=True)
class Term:
    """Components in the order written; True beside one that divides."""

    parts: tuple[tuple[bool, Factor | Unit | Term], ...]


UNITY = Factor(1)


@lru_cache(maxsize=10_000)
def parse(code: str) -> Term | None:
    """The tree of a code; None when it is no UCUM code (case-sensitive) or longer than `MAX_LENGTH`."""
    if not code or len(code) > MAX_LENGTH:
        return None
    try:
        term, end = _term(code, 0, 0)
    except _NotUcum:
        return None
    return term if end == len(code) else None


def is_valid(code: str) -> bool:
    """Whether a code is a UCUM code."""
    return parse(code) is not None


class _NotUcum(Exception):
    """The text at hand does not follow the grammar."""


def _term(code: str, at: int, depth: int) -> tuple[Term, int]:
    """`/a` or `a`, followed by `.b` or `/b` (§7.4: evaluated from left to right)."""
    divides = code.startswith("/", at)
    parts: list[tuple[bool, Factor | Unit | Term]] = []
    at += divides
    while True:
        component, at = _component(code, at, depth)
        parts.append((divides, component))
        if at == len(code) or code[at] not in "./":
            return Term(tuple(parts)), at
        divides = code[at] == "/"
        at += 1


def _component(code: str, at: int, depth: int) -> tuple[Factor | Unit | Term, int]:
    if code.startswith("(", at):
        return _parenthesis(code, at + 1, depth + 1)
    if (annotation := _ANNOTATION.match(code, at)) is not None:
        return UNITY, annotation.end()  # §12: an annotation alone is the unity
    match = _COMPONENT.match(code, at)
    if match is None:
        raise _NotUcum
    factor = match["factor"]
    component = Factor(int(factor)) if factor else _unit(match["symbol"], int(match["exponent"] or 1))
    annotation = _ANNOTATION.match(code, match.end())
    return component, (annotation or match).end()


def _parenthesis(code: str, at: int, depth: int) -> tuple[Term, int]:
    if depth > MAX_NESTING:
        raise _NotUcum
    term, at = _term(code, at, depth)
    if not code.startswith(")", at):
        raise _NotUcum
    return term, at + 1


def _unit(symbol: str, exponent: int) -> Unit:
    """§11: the whole symbol if it is a unit, else a prefix before a metric unit."""
    known = table()
    if (atom := known.atoms.get(symbol)) is not None:
        return Unit(None, atom, exponent)
    for length in (1, 2):
        prefix, atom = known.prefixes.get(symbol[:length]), known.atoms.get(symbol[length:])
        if prefix is not None and atom is not None and atom.is_metric:
            return Unit(prefix, atom, exponent)
    raise _NotUcum
