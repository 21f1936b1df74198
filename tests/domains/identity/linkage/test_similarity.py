"""What is left unmeasured because of its letters is unlike, whatever the texts."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA, JaroWinkler

from healthsync.domains.identity.linkage.similarity import jaro_winkler, one_letter_apart, words_in_common
from healthsync.domains.identity.linkage.standardising import each_two, encode

# Few letters, and letters that have one bit (a and !), so that many texts are nearly alike
texts = st.lists(st.text("abcde! 0ñ", min_size=1, max_size=9).map(str.strip), min_size=2, max_size=8)


def every_two(values: Sequence[str]):
    column = encode(values)
    one, other = (side.ravel().astype(np.int32) for side in np.meshgrid(column.codes, column.codes))
    return column, one, other


def told(column, one, other, measure):
    texts = [*column.values, ""]
    return [measure(texts[a], texts[b]) for a, b in zip(one.tolist(), other.tolist(), strict=True)]


@given(texts, st.sampled_from((0.8, 0.88, 0.92)))
def test_names_are_as_alike_as_their_letters_say(values: list[str], least: float) -> None:
    column, one, other = every_two(values)
    expected = told(column, one, other, lambda a, b: JaroWinkler.similarity(a, b, score_cutoff=least))
    assert jaro_winkler(column, one, column, other, least).tolist() == pytest.approx(expected)


@given(texts)
def test_texts_are_one_letter_apart_or_not(values: list[str]) -> None:
    column, one, other = every_two(values)
    expected = told(column, one, other, lambda a, b: OSA.distance(a, b) <= 1)
    assert one_letter_apart(column, one, other).tolist() == expected


@given(texts)
def test_words_in_common_do_not_depend_on_their_order(values: list[str]) -> None:
    column, one, other = every_two(values)
    expected = told(column, one, other, lambda a, b: fuzz.token_set_ratio(a, b, score_cutoff=85))
    assert words_in_common(column, one, other, 85).tolist() == pytest.approx(expected)


@given(st.lists(st.integers(1, 5), max_size=6))
def test_each_two_of_a_run_are_found_once(sizes: list[int]) -> None:
    starts = np.cumsum([0, *sizes])[:-1]
    one, other = each_two(starts, np.array(sizes, np.int64))
    expected = {(a, b) for start, size in zip(starts.tolist(), sizes, strict=True)
                for a in range(start, start + size) for b in range(a + 1, start + size)}  # fmt: skip
    assert len(one) == len(expected)
    assert set(zip(one.tolist(), other.tolist(), strict=True)) == expected
