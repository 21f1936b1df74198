"""What is not offered is open to no one, whatever his credential says."""

from __future__ import annotations

import pytest

from healthsync.errors import InvalidInput
from healthsync.exchange.offer import NotOffered, Offer

CRUDS, READS = frozenset("cruds"), frozenset("rs")


@pytest.mark.parametrize(
    ("types", "scopes", "left"),
    [
        (None, None, None),
        (None, {"Patient": READS}, {"Patient": READS}),
        ({"Patient"}, None, {"Patient": CRUDS}),
        ({"Patient"}, {"*": READS}, {"Patient": READS}),
        ({"Patient"}, {"*": READS, "Patient": frozenset("u")}, {"Patient": frozenset("rsu")}),
        ({"Patient"}, {"Observation": CRUDS}, {"Patient": frozenset()}),
    ],
)
def test_a_credential_opens_no_type_that_is_not_offered(types, scopes, left):
    assert Offer(types, None).narrowed(scopes) == left


def test_a_type_that_is_not_offered_is_not_found_and_an_interaction_not_allowed():
    offer = Offer(frozenset({"Patient"}), frozenset({"read", "update", "search"}))
    offer.check("Patient", "read")
    offer.check(None, "search")
    with pytest.raises(InvalidInput) as refused:
        offer.check("Observation", "read")
    assert refused.value.code == "not-found"
    with pytest.raises(NotOffered) as not_allowed:
        offer.check("Patient", "patch")
    assert not_allowed.value.allow == ("GET", "PUT")
