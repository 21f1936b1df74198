"""What a resource is found by, as rows: nothing of a person stands there in clear."""

from __future__ import annotations

from healthsync.domains.records import RecordIndex
from healthsync.infrastructure.crypto import BlindIndex


def test_a_person_contained_in_a_resource_whose_strings_are_clear_is_indexed_by_tokens_only():
    person = {
        "resourceType": "Practitioner",
        "id": "p",
        "name": [{"family": "Quennell", "given": ["Ottoline"]}],
        "birthDate": "1971-03-09",
        "address": [{"line": ["12 Elm Street"], "city": "Salem"}],
    }
    role = {"resourceType": "PractitionerRole", "id": "r", "contained": [person], "practitioner": {"reference": "#p"}}
    index = RecordIndex(BlindIndex(bytes(32)))
    rows = index.rows(role)
    assert (rows.strings, rows.dates) == (frozenset(), frozenset())
    assert len(rows.tokens) > len(index.rows({**role, "contained": []}).tokens), "it is found all the same"
