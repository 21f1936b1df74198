"""A sealed value opens only whole, in its place and under its key."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthsync.infrastructure.crypto import SealBroken, open_sealed, seal

KEY = bytes(range(32))


@given(plaintext=st.binary(max_size=400), place=st.binary(max_size=60))
def test_what_was_sealed_opens_again_in_its_place(plaintext, place):
    sealed = seal(KEY, plaintext, place)
    assert open_sealed(KEY, sealed, place) == plaintext
    assert len(sealed) == len(plaintext) + 28


def test_the_same_value_sealed_twice_looks_different():
    assert seal(KEY, b"value", b"place") != seal(KEY, b"value", b"place")


def test_every_flipped_bit_breaks_the_seal():
    sealed = seal(KEY, b"a value of some length", b"place")
    for position in range(len(sealed) * 8):
        damaged = bytearray(sealed)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(SealBroken):
            open_sealed(KEY, bytes(damaged), b"place")


@settings(max_examples=50)
@given(cut=st.integers(min_value=0, max_value=32))
def test_a_shortened_value_breaks_the_seal(cut):
    sealed = seal(KEY, b"value", b"place")
    with pytest.raises(SealBroken):
        open_sealed(KEY, sealed[:cut], b"place")


def test_two_swapped_ciphertexts_break_their_seals_and_never_show_another_patients_value():
    first, second = b"hub|Patient|1|name|v1", b"hub|Patient|2|name|v1"
    sealed = {first: seal(KEY, b"one", first), second: seal(KEY, b"two", second)}
    for place, moved in ((first, sealed[second]), (second, sealed[first])):
        with pytest.raises(SealBroken) as caught:
            open_sealed(KEY, moved, place)
        assert caught.value.code == "security"
        assert caught.value.__cause__ is None


def test_another_key_breaks_the_seal():
    with pytest.raises(SealBroken):
        open_sealed(os.urandom(32), seal(KEY, b"value", b"place"), b"place")


@pytest.mark.parametrize("length", [0, 16, 24, 33])
def test_a_key_of_another_length_is_refused_instead_of_giving_weaker_encryption(length):
    with pytest.raises(TypeError, match="32 bytes"):
        seal(bytes(length), b"value", b"place")
