"""A unit code spelled out, as the functional tests of UCUM do it."""

from __future__ import annotations

from healthsync.standards.ucum.grammar import Factor, Term, Unit, parse


def describe(code: str) -> str | None:
    """`(milligram) / (deciliter)` for `mg/dL`, `(unity)` for the empty code; None when the code is no UCUM code."""
    if not code:
        return "(unity)"
    term = parse(code)
    return None if term is None else _term(term)


def _term(term: Term) -> str:
    (first_divides, first), *rest = term.parts
    text = "1 / " + _part(first) if first_divides else _part(first)
    return text + "".join(f" {'/' if divides else '*'} {_part(part)}" for divides, part in rest)


def _part(part: Factor | Unit | Term) -> str:
    if isinstance(part, Factor):
        return str(part.value)
    if isinstance(part, Term):
        return f"({_term(part)})"
    name = (part.prefix.name if part.prefix else "") + part.atom.name
    return f"({name})" if part.exponent == 1 else f"({name} ^ {part.exponent})"
