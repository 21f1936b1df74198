"""Keyed tokens: equal only for equal values of one kind, and as short as they claim to be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.infrastructure.crypto import BlindIndex

LEAKAGE = Path(__file__).parents[3] / "docs" / "security" / "leakage.md"
INDEX = BlindIndex(bytes(range(32)))
text = st.text(st.characters(), max_size=40)  # with lone surrogates


@given(value=text)
def test_a_token_is_stable_fits_a_bigint_and_differs_between_kinds_and_keys(value):
    token = INDEX.token("family", value)
    assert token == BlindIndex(bytes(range(32))).token("family", value)
    assert -(2**63) <= token < 2**63
    assert token != INDEX.token("given", value)
    assert token != BlindIndex(bytes(32)).token("family", value)


def test_kinds_do_not_run_into_values():
    assert INDEX.token("ab", "c") != INDEX.token("a", "bc")


def test_full_tokens_use_all_of_their_64_bits():
    tokens = [INDEX.token("identifier", str(number)) for number in range(4000)]
    assert len(set(tokens)) == 4000
    for bit in range(64):
        share = sum(token >> bit & 1 for token in tokens) / 4000
        assert 0.45 < share < 0.55


@pytest.mark.parametrize("bits", [1, 8, 10, 12])
def test_truncated_tokens_fall_evenly_into_exactly_that_many_buckets(bits):
    values = 40 * 2**bits
    buckets = Counter(INDEX.truncated("family", str(number), bits) for number in range(values))
    assert len(buckets) == 2**bits
    chi_squared = sum((count - 40) ** 2 / 40 for count in buckets.values())
    freedom = 2**bits - 1
    assert abs(chi_squared - freedom) < 5 * (2 * freedom) ** 0.5  # five standard deviations


def test_truncated_tokens_of_different_kinds_or_lengths_tell_nothing_of_each_other():
    buckets = {}
    for number in range(2000):
        value = str(number)
        buckets.setdefault(INDEX.truncated("family", value, 4), set()).add(INDEX.truncated("given", value, 4))
    assert {len(others) for others in buckets.values()} == {16}
    assert INDEX.truncated("family", "x", 8) != INDEX.truncated("family", "x", 9)


@pytest.mark.parametrize("bits", [0, -1, 64])
def test_a_length_that_is_no_truncation_is_refused(bits):
    with pytest.raises(ValueError, match="1 to 63"):
        INDEX.truncated("family", "x", bits)


def test_a_digest_recognises_bytes_and_has_a_kind_of_its_own():
    assert INDEX.digest("message", b"\x00x") == INDEX.digest("message", b"\x00x")
    assert len(INDEX.digest("message", b"")) == 16
    assert INDEX.digest("message", b"x") != INDEX.digest("other", b"x")


def surnames() -> list[int]:
    """How many of about 200,000 records carry the surname of each rank: Zipf-Mandelbrot, the first has 0.73 %."""
    weights = [1 / (rank + 16) for rank in range(1, 50_001)]
    total = sum(weights)
    return [max(1, round(200_000 * weight / total)) for weight in weights]


def leakage(counts: list[int], bits: int | None) -> str:
    """The row of the table: what an attacker gets who knows the exact ranking of the surnames, and sees the tokens."""
    tokens = [
        INDEX.token("family", str(n)) if bits is None else INDEX.truncated("family", str(n), bits)
        for n in range(len(counts))
    ]
    records: Counter[int] = Counter()
    for token, count in zip(tokens, counts, strict=True):
        records[token] += count
    first_name = {token: name for name, token in reversed(list(enumerate(tokens)))}
    ranking = sorted(records, key=lambda token: (-records[token], first_name[token]))
    right = [name for name, token in enumerate(ranking) if tokens[name] == token]
    recovered = sum(counts[name] for name in right) / sum(counts)
    precision = sum(count * count / records[token] for token, count in zip(tokens, counts, strict=True)) / sum(counts)
    top = sum(name < 100 for name in right)
    names = len(counts) / len(records)
    return f"| {bits or '64 (full)'} | {names:.1f} | {recovered:.1%} | {top} | {precision:.2f} |"


def test_the_published_table_of_leakage_is_what_our_generator_leaks():
    published = LEAKAGE.read_text()
    counts = surnames()
    for bits in (None, 20, 16, 14, 12, 10, 8):
        assert leakage(counts, bits) in published.splitlines()
