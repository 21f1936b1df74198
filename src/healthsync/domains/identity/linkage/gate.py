"""The person gate: which pairs may be linked without a person looking at them. Pure.

A score adds up what two records share, and relatives share a lot: a score alone links twins and Jr with Sr. Certain is
only a pair of which the first name (as written, as a pet form, misspelt, swapped with the family name, as an initial
beside one middle and one family name) and the birth date (as written; mistyped or in part, if address, telephone or
e-mail agree too) agree, or the SSN does beside one of them (and the first names are not two). Another family or middle
name needs one of address, telephone, e-mail and SSN beside it, and no other insurance number or mother's name. And
nothing contradicts:

    ssn-conflict      two social security numbers more than a typing error apart
    suffix-conflict   two generations (Jr, Sr)
    twin-suspected    one birth date (or nearly), and two first names: both really borne (Eric and Erik too), or one
                      misspelt so that it could be a third name, while no SSN or middle name agrees, or any two, where a
                      record says that it is of a child of a multiple birth; or two places in the order of birth
    sex-conflict      two sexes, and first names that are not written alike
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from healthsync.domains.identity.linkage.comparing import Comparer, Comparison

REASONS = ("demographics-differ", "ssn-conflict", "suffix-conflict", "twin-suspected", "sex-conflict")
"""Why a pair is not certain, as bits of a number: 1, 2, 4 …"""


def reasons_against(comparer: Comparer, compared: Comparison) -> NDArray[np.int8]:
    """What keeps each pair from being certain, 0 for nothing: a sum of the bits of REASONS."""
    levels = compared.levels
    none = np.zeros(len(compared), np.int8)
    given, family = levels.get("given", none), levels.get("family", none)
    born, ssn = levels.get("birth_date", none), levels.get("ssn", none)
    suffix, sex = levels.get("suffix", none), levels.get("sex", none)
    elsewhere = (
        (levels.get("phone", none) == 1) | (levels.get("email", none) == 1) | _among(levels.get("address", none), 1, 2)
    )
    middle_agrees = _among(levels.get("middle", none), 1, 2, 3)
    named = _among(given, 1, 2, 3) | (family == 4) | ((given == 4) & _among(family, 1, 2) & middle_agrees)
    same_ssn = ssn == 1
    agrees = (named & ((born == 1) | (_among(born, 2, 3) & elsewhere))) | (
        same_ssn & (named | (_among(born, 1, 2) & (given < 7)) | ((given == 0) & (born == 0)))
    )
    others = (levels.get("insurance", none) == 4) | (levels.get("mother_family", none) == 3)
    doubtful = ((family == 7) | (levels.get("middle", none) == 5)) & (~elsewhere | others) & ~same_ssn
    names_differ = comparer.borne_names_differ(compared.left, compared.right) & (family != 4)
    names_differ |= comparer.born_together(compared.left, compared.right) & (given > 1) & (given != 4)
    own = same_ssn | middle_agrees
    at = np.flatnonzero((given == 3) & _among(born, 1, 2, 3) & ~own)
    if len(at):
        names_differ[at] |= comparer.could_be_another(compared.left[at], compared.right[at])
    twins = (_among(born, 1, 2, 3) & names_differ & ~(same_ssn & (given == 3))) | (levels.get("birth_order", none) == 2)
    return (
        (~agrees | doubtful) * 1 + (ssn == 4) * 2 + (suffix == 2) * 4 + twins * 8 + ((sex == 2) & (given != 1)) * 16
    ).astype(np.int8)


def reason_codes(reasons: int) -> tuple[str, ...]:
    """The codes of a sum of bits."""
    return tuple(code for at, code in enumerate(REASONS) if reasons & (1 << at))


def _among(levels: NDArray[np.int8], *wanted: int) -> NDArray[np.bool_]:
    return np.isin(levels, wanted)
