"""The person gate: which pairs may be linked without a person looking at them. Pure.

A score adds up what two records share, and relatives share a lot: a score alone links twins and Jr with Sr. *Personal*
is what relatives do not share: the SSN, a whole middle name, an e-mail address with the first name in it. Certain is
only a pair of which the first name (as written, as a pet form, misspelt, swapped with the family name, as an initial
beside one family name and something personal) and the birth date (as written; mistyped or in part, if address,
telephone or e-mail agree too, and then, beside one first name as written, another day or month of one year as well:
nobody has two children of one name in a year) agree, or the SSN does beside one of them (and the first names are not
two). Another family or middle name needs one of address, telephone, e-mail and SSN beside it, and no other insurance
number or mother's name. And nothing contradicts:

    ssn-conflict           two social security numbers more than a typing error apart
    suffix-conflict        two generations (Jr, Sr)
    twin-suspected         one birth date (or nearly), and two first names: both really borne (Eric and Erik too); or,
                           while nothing personal and no initial of a middle name agrees, a name and its pet form that
                           are both borne, or one misspelt (or swapped with the family name) so that it could be a third
                           name of that sex; or one first name and two middle names (María Rosa and María Elena) without
                           one SSN; or any two, where a record says that it is of a child of a multiple birth; or two
                           places in the order of birth
    sex-conflict           two sexes, and first names that are not written alike
    generations-suspected  a birth date mistyped so that one could be the other's parent, and nothing personal agrees
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from healthsync.domains.identity.linkage.comparing import Comparer, Comparison

REASONS = (
    "demographics-differ", "ssn-conflict", "suffix-conflict", "twin-suspected", "sex-conflict", "generations-suspected",
)  # fmt: skip
"""Why a pair is not certain, as bits of a number: 1, 2, 4 …"""


def reasons_against(comparer: Comparer, compared: Comparison) -> NDArray[np.int8]:
    """What keeps each pair from being certain, 0 for nothing: a sum of the bits of REASONS."""
    levels = compared.levels
    none = np.zeros(len(compared), np.int8)
    given, family = levels.get("given", none), levels.get("family", none)
    born, ssn = levels.get("birth_date", none), levels.get("ssn", none)
    suffix, sex = levels.get("suffix", none), levels.get("sex", none)
    elsewhere = (
        (levels.get("phone", none) == 1)
        | (levels.get("phone_moved", none) == 1)
        | (levels.get("email", none) == 1)
        | _among(levels.get("address", none), 1, 2)
    )
    same_ssn = ssn == 1
    personal = same_ssn.copy()
    at = np.flatnonzero(~personal & (_among(given, 2, 3, 4) | (family == 4) | (born == 2)))
    personal[at] = comparer.is_personal(compared.left[at], compared.right[at])
    own = personal | _among(levels.get("middle", none), 1, 2, 3)
    named = _among(given, 1, 2, 3) | (family == 4) | ((given == 4) & _among(family, 1, 2) & personal)
    agrees = (named & ((born == 1) | (_among(born, 2, 3) & elsewhere))) | (
        same_ssn & (named | (_among(born, 1, 2) & (given < 7)) | ((given == 0) & (born == 0)))
    )
    day_off = (born == 4) & (given == 1) & _among(family, 1, 2, 3) & elsewhere
    at = np.flatnonzero(day_off)
    if len(at):
        agrees[at] |= comparer.born_in_one_year(compared.left[at], compared.right[at])
    others = (levels.get("insurance", none) == 4) | (levels.get("mother_family", none) == 3)
    doubtful = ((family == 7) | (levels.get("middle", none) == 5)) & (~elsewhere | others) & ~same_ssn
    names_differ = comparer.borne_names_differ(compared.left, compared.right) & (family != 4)
    names_differ |= comparer.born_together(compared.left, compared.right) & (given > 1) & (given != 4)
    names_differ |= (levels.get("middle", none) == 5) & ~same_ssn
    generations = np.zeros(len(compared), bool)
    for found, suspected, is_so in (
        (names_differ, (given == 2) & ~own & _among(born, 1, 2, 3), comparer.usual_pet_form),
        (names_differ, (given == 3) & ~own & _among(born, 1, 2, 3), comparer.could_be_another),
        (names_differ, (family == 4) & ~personal & _among(born, 1, 2, 3), comparer.swapped_names_differ),
        (generations, (born == 2) & ~own, comparer.a_generation_apart),
    ):
        at = np.flatnonzero(suspected)
        if len(at):
            found[at] |= is_so(compared.left[at], compared.right[at])
    twins = (_among(born, 1, 2, 3) & names_differ & ~(same_ssn & (given == 3))) | (levels.get("birth_order", none) == 2)
    return (
        (~agrees | doubtful) * 1
        + (ssn == 4) * 2
        + (suffix == 2) * 4
        + twins * 8
        + ((sex == 2) & (given != 1)) * 16
        + generations * 32
    ).astype(np.int8)


def reason_codes(reasons: int) -> tuple[str, ...]:
    """The codes of a sum of bits."""
    return tuple(code for at, code in enumerate(REASONS) if reasons & (1 << at))


def _among(levels: NDArray[np.int8], *wanted: int) -> NDArray[np.bool_]:
    return np.isin(levels, wanted)
