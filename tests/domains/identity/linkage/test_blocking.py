"""Every key finds exactly the pairs that share its values."""

from datetime import date
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.identity.linkage import standardise
from healthsync.domains.identity.linkage.blocking import candidates

NAMES = ("Boris", "Karl", "Dora", "Magnus", "Petra")  # no two sound alike
rows = st.lists(
    st.fixed_dictionaries({
        "given": st.sampled_from(NAMES),
        "family": st.sampled_from(NAMES),
        "birth_date": st.sampled_from(("1980-04-03", "1980-04-05", "1991-12-30", "")),
        "ssn": st.sampled_from(("212-45-6789", "412-45-9981", "")),
    }),
    max_size=12,
)  # fmt: skip


def shared(key: str, one: dict[str, str], other: dict[str, str]) -> bool:
    parts = key.split("+")
    words = len({one["given"], one["family"]} & {other["given"], other["family"]})
    same = all(one[part] and one[part] == other[part] for part in parts if part != "word")
    return same and words >= parts.count("word")


@pytest.mark.parametrize("key", ["ssn", "word", "word+word", "word+birth_date", "given+family", "birth_date"])
@given(rows)
def test_a_key_finds_the_pairs_that_share_its_values_and_no_others(key: str, found: list[dict[str, str]]) -> None:
    raw = {name: [row[name] for row in found] for name in ("given", "family", "birth_date", "ssn")}
    records = standardise(raw, [f"{at:02}" for at in range(len(found))], [0] * len(found), today=date(2026, 11, 27))
    left, right = candidates(records, [key], cap=99, pairs_per_record=99, pairs_per_key=9999, telling=9999).pairs
    expected = [(a, b) for (a, one), (b, other) in combinations(enumerate(found), 2) if shared(key, one, other)]
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == expected


def test_two_words_in_common_are_one_key() -> None:
    raw = {"given": ["Karl", "Karl"], "family": ["Magnus", "Magnus"]}
    records = standardise(raw, ["1", "2"], [0, 0], today=date(2026, 11, 27))
    left, _ = candidates(records, ["word"], cap=9, pairs_per_record=0, pairs_per_key=99, telling=0).pairs
    assert not len(left)
