"""The person gate: which pairs may be linked without a person looking at them, whatever they weigh. Pure.

A score adds up what two records share, and relatives share a lot: a score alone links twins and Jr with Sr. *Personal*
is what relatives do not share: the SSN, a whole middle name, an e-mail address with the first name in it. Certain is
only a pair of which the first name (as written, as a pet form, in another spelling, misspelt, swapped with the family
name, as an initial beside one family name and something personal) and the birth date agree, or the SSN does beside one
of them (and the first names are not two). A birth date may be mistyped or told in part if address, telephone or e-mail
agree too; and beside one first name as written and one home it may be another day or month of one year, since nobody
has two children of one name in it. Another family or middle name needs one of address, telephone, e-mail and SSN beside
it, and no other insurance number or mother's name. And nothing
contradicts:

    ssn-conflict           two social security numbers more than a typing error apart
    suffix-conflict        two generations (Jr, Sr)
    twin-suspected         one birth date (or nearly), and two first names: both really borne (Eric and Erik too); or,
                           while nothing personal and no initial of a middle name agrees, a name and its pet form that
                           are both borne, or one misspelt (or swapped with the family name) so that it could be a third
                           name of that sex or begins with another letter; or María alone beside María Rosa, who may be
                           María Elena; or one first name and two middle names without one SSN; or any two, where a
                           record says that it is of a child of a multiple birth; or two places in the order of birth
    sex-conflict           two sexes, and first names that are not written alike
    generations-suspected  by the birth dates one could be the other's parent, and they are one but for a typing error
                           and nothing personal agrees; or the SSN is one, and may be that of the parent

One set of rules for files (`linkage.gate` asks it for arrays of pairs) and for records as they arrive (`weighing`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

REASONS = (
    "demographics-differ", "ssn-conflict", "suffix-conflict", "twin-suspected", "sex-conflict", "generations-suspected",
)  # fmt: skip
"""What the gate may have against a pair, as bits of a number: 1, 2, 4 …"""


class Evidence(NamedTuple):
    """What the gate asks about a pair: levels as in `levels.LEVELS`, then yes or no."""

    given: int
    middle: int
    family: int
    birth_date: int
    ssn: int
    suffix_differs: bool
    sex_differs: bool
    elsewhere: bool
    """Telephone, e-mail or address agrees."""
    other_family: bool
    """Another insurance number, or another name of the mother."""
    personal: bool
    two_names: bool
    """The first names are two that people bear, or the two are of a multiple birth and their names differ."""
    another_name: bool
    """A pet form, a misspelt name or one swapped with the family name may be another one."""
    a_generation_apart: bool
    one_year: bool
    """Both were born in one year."""
    birth_orders_differ: bool


@lru_cache(65536)
def reasons_of(pair: Evidence) -> int:
    """What keeps a pair from being certain, 0 for nothing: a sum of the bits of REASONS."""
    given, middle, family, born = pair.given, pair.middle, pair.family, pair.birth_date
    same_ssn, elsewhere = pair.ssn == 1, pair.elsewhere
    own = pair.personal or middle in (1, 2, 3)
    named = given in (1, 2, 3) or family == 4 or (given == 4 and family in (1, 2) and pair.personal)
    agrees = (
        (named and (born == 1 or (born in (2, 3) and elsewhere)))
        or (given == 1 and family in (1, 2, 3) and born == 4 and elsewhere and pair.one_year)
        or (same_ssn and (named or (born in (1, 2) and given < 7) or (given == 0 and born == 0)))
    )
    doubtful = (family == 7 or middle == 5) and not same_ssn and (not elsewhere or pair.other_family)
    two_names = (pair.two_names and not (same_ssn and given in (3, 4, 5))) or (middle == 5 and not same_ssn)
    another = pair.another_name and not (pair.personal if family == 4 else own)
    found = (
        not agrees or doubtful,
        pair.ssn == 4,
        pair.suffix_differs,
        (born in (1, 2, 3) and (two_names or another)) or pair.birth_orders_differ,
        pair.sex_differs and given != 1,
        pair.a_generation_apart and ((born == 2 and not own) or (same_ssn and born == 6)),
    )
    return sum(1 << at for at, is_so in enumerate(found) if is_so)


def reason_codes(reasons: int) -> tuple[str, ...]:
    """The codes of a sum of bits."""
    return tuple(code for at, code in enumerate(REASONS) if reasons & (1 << at))
