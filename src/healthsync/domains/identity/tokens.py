"""Keyed tokens of a record: what the index keeps instead of its values. Pure, given the key.

Identifiers and SSNs are near-unique, so each may have a full token. A name or a birth date alone never has one (equal
tokens would show how often each occurs): they meet only in the composites of `block_keys`. A fingerprint is salted with
the patient key, so that it compares a record with its own past and with nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from healthsync.domains.identity.block_keys import LOCKED, Block, block_keys
from healthsync.domains.identity.demographics import personal_identifiers
from healthsync.domains.identity.model import Demographics, PatientIdentifier, Tokens
from healthsync.infrastructure.crypto.blind_index import BlindIndex

PERSONAL_FIELDS = frozenset({"ssns", "families", "first_names", "birth_dates", "sexes"})
FURTHER_FIELDS = frozenset({"middles", "family_words", "addresses", "phones", "emails", "subscribers"})
"""Fields of which a record need only be told whether anything changed."""

OVERLAY_FIELDS = 2
"""So many personal fields that change at once mean another person under the old number (one: marriage, correction)."""

_FIELDS = Demographics.__struct_fields__
_SEPARATOR = "\x1f"


def tokens_of(
    index: BlindIndex, patient_key: int, source: str, demographics: Demographics, own_keys: Sequence[Block] = ()
) -> Tokens:
    """The tokens under which a record is found; `own_keys` are keys that an operator's document adds."""
    keys = [(kind, _token_of(index, kind, *values)) for kind, *values in block_keys(demographics, own_keys)]
    identifiers = sorted(demographics.identifiers, key=lambda identifier: (identifier.value, identifier.type))
    return Tokens(
        patient_key=patient_key,
        identifiers=tuple(_identifier_token(index, source, identifier) for identifier in identifiers),
        types=tuple(identifier.type for identifier in identifiers),
        shared_identifiers=tuple(_identifier_token(index, source, one) for one in identifiers if one.authority),
        block_keys=tuple(sorted({token for _, token in keys})),
        locked=tuple(token for kind, token in keys if kind in LOCKED),
    )


def identifier_tokens(
    index: BlindIndex, source: str, identifiers: Iterable[Mapping[str, Any]]
) -> tuple[list[int], list[str]]:
    """Tokens and types of the FHIR identifiers that name a person, in order."""
    personal = list(personal_identifiers(identifiers))
    return [_identifier_token(index, source, identifier) for identifier in personal], [one.type for one in personal]


def fingerprint_of(index: BlindIndex, patient_key: int, demographics: Demographics) -> tuple[str, ...]:
    """One entry `field:token` for each value of a record, and one for all values of each of FURTHER_FIELDS."""
    entries = []
    for name in _FIELDS:
        values = getattr(demographics, name)
        if name in FURTHER_FIELDS:
            values = [repr(sorted(values))] if values else ()
        for value in values:
            token = index.token("identity/fingerprint", f"{patient_key}{_SEPARATOR}{name}{_SEPARATOR}{value}")
            entries.append(f"{name}:{token & (1 << 64) - 1:016x}")
    return tuple(sorted(entries))


def contradicted(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """The personal fields whose values all changed between two fingerprints; a missing one did not change."""
    old, new = _by_field(before), _by_field(after)
    return tuple(sorted(name for name in PERSONAL_FIELDS & old.keys() & new.keys() if old[name].isdisjoint(new[name])))


def _by_field(fingerprint: Sequence[str]) -> dict[str, set[str]]:
    by_field: dict[str, set[str]] = {}
    for entry in fingerprint:
        by_field.setdefault(entry.partition(":")[0], set()).add(entry)
    return by_field


def _identifier_token(index: BlindIndex, source: str, identifier: PatientIdentifier) -> int:
    """A number without authority means something only to the source that sent it."""
    authority = identifier.authority or f"{_SEPARATOR}{source}"
    return index.token("identity/identifier", f"{authority}{_SEPARATOR}{identifier.value}")


def _token_of(index: BlindIndex, kind: str, *values: str) -> int:
    return index.token(f"identity/{kind}", _SEPARATOR.join(values))
