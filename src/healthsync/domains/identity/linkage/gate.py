"""The person gate of `identity.person_gate`, asked for arrays of pairs. Pure.

What needs the texts of a pair is only looked at where the levels leave it open; the rules themselves are asked once
for each combination of levels and answers that occurs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from healthsync.domains.identity.linkage.comparing import LEVELS, Comparer, Comparison
from healthsync.domains.identity.person_gate import Evidence, reason_codes, reasons_of

__all__ = ["reason_codes", "reasons_against"]

_SIZES = tuple(len(LEVELS[name]) + 1 if name in LEVELS else 2 for name in Evidence._fields)


def reasons_against(comparer: Comparer, compared: Comparison) -> NDArray[np.int8]:
    """What keeps each pair from being certain, 0 for nothing: a sum of the bits of REASONS."""
    levels = compared.levels
    none = np.zeros(len(compared), np.int8)

    def of(field: str) -> NDArray[np.int8]:
        return levels.get(field, none)

    given, family, born, same_ssn = of("given"), of("family"), of("birth_date"), of("ssn") == 1
    elsewhere = (of("phone") == 1) | (of("phone_moved") == 1) | (of("email") == 1) | _among(of("address"), 1, 2)
    short, swapped, dated = _among(given, 2, 3, 4), family == 4, _among(born, 1, 2, 3)
    personal = same_ssn.copy()
    halves = (given == 1) & dated & comparer.may_be_halves(compared.left, compared.right)
    at = np.flatnonzero(~personal & (short | swapped | (born == 2) | halves))
    personal[at] = comparer.is_personal(compared.left[at], compared.right[at])
    own = personal | _among(of("middle"), 1, 2, 3)
    joined = given == 2
    at = np.flatnonzero(joined)
    joined[at] = comparer.joined(compared.left[at], compared.right[at])
    two_names = comparer.borne_names_differ(compared.left, compared.right) & ~swapped & ~joined
    two_names |= comparer.born_together(compared.left, compared.right) & (given > 1) & (given != 4)
    another = halves
    generations, one_year = (np.zeros(len(compared), bool) for _ in range(2))
    for answers, open_, is_so in (
        (another, (given == 2) & ~joined & ~own & dated, comparer.usual_pet_form),
        (another, (given == 3) & ~own & dated, comparer.could_be_another),
        (another, swapped & ~personal & dated, comparer.swapped_names_differ),
        (generations, ((born == 2) & ~own) | (same_ssn & (born == 6)), comparer.a_generation_apart),
        (one_year, (born == 4) & (given == 1) & elsewhere, comparer.born_in_one_year),
    ):
        at = np.flatnonzero(open_)
        if len(at):
            answers[at] |= is_so(compared.left[at], compared.right[at])
    evidence = (
        given, of("middle"), family, born, of("ssn"), of("suffix") == 2, of("sex") == 2, elsewhere,
        (of("insurance") == 4) | (of("mother_family") == 3), personal, two_names, another, generations, one_year,
        of("birth_order") == 2,
    )  # fmt: skip
    return _judged([part.astype(np.intp) for part in evidence])


def _judged(evidence: list[NDArray[np.intp]]) -> NDArray[np.int8]:
    """The reasons of pairs, given the arrays of what Evidence says of each."""
    codes = np.ravel_multi_index(evidence, _SIZES)
    occurs = np.zeros(np.prod(_SIZES), bool)
    occurs[codes] = True
    at = np.flatnonzero(occurs)
    table = np.zeros(len(occurs), np.int8)
    each = zip(*(part.tolist() for part in np.unravel_index(at, _SIZES)), strict=True)
    table[at] = [reasons_of(Evidence._make(one)) for one in each]
    return table[codes]


def _among(levels: NDArray[np.int8], *wanted: int) -> NDArray[np.bool_]:
    return np.isin(levels, wanted)
