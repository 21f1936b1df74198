"""May this requester do this with this type at all? Which elements does he see? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from healthsync.domains.access.errors import PurposeNotAllowed
from healthsync.domains.access.model import Interaction, Requester, RolePolicy, StreamRight
from healthsync.errors import InvalidInput

_SCOPE = re.compile(r"^(patient|user|system)/([A-Z][A-Za-z]+|\*)\.(\*|read|write|c?r?u?d?s?)$")
_V1_LETTERS = {"*": "cruds", "read": "rs", "write": "cud"}

PURPOSE_WORDS = {
    "treatment": "TREAT",
    "payment": "HPAYMT",
    "operations": "HOPERAT",
    "healthcare_operations": "HOPERAT",
    "research": "HRESCH",
    "emergency": "ETREAT",
    "public_health": "PUBHLTH",
}
"""The words that requests use beside the codes of v3-ActReason."""


def parse_scopes(scope: str) -> dict[str, frozenset[str]]:
    """The resource scopes of a token (SMART App Launch 2.2 §7), by type; other scopes (openid …) are passed over.

    `patient/` scopes need a patient in the launch context, which this hub does not yet bind: they give nothing.
    """
    granted_letters: dict[str, set[str]] = {}
    for word in scope.split():
        match = _SCOPE.match(word)
        if match and match[1] != "patient":
            granted_letters.setdefault(match[2], set()).update(_V1_LETTERS.get(match[3], match[3]))
    return {resource_type: frozenset(letters) for resource_type, letters in granted_letters.items()}


def granted(policy: RolePolicy, requester: Requester, interaction: Interaction, resource_type: str) -> bool:
    """Whether any role gives the interaction and, where the token has scopes, the scopes leave it."""
    by_role = any(_allows(policy.interactions.get(role, {}), interaction, resource_type) for role in requester.roles)
    return by_role and (requester.scopes is None or _allows(requester.scopes, interaction, resource_type))


def _allows(letters_by_type: Mapping[str, frozenset[str]], interaction: Interaction, resource_type: str) -> bool:
    return interaction in letters_by_type.get(resource_type, ()) or interaction in letters_by_type.get("*", ())


def may_use_streams(policy: RolePolicy, requester: Requester, right: StreamRight) -> bool:
    """Whether any role gives the right. Only to API keys: scopes of a token cannot say what a message holds."""
    return requester.user is None and any(right in policy.streams.get(role, ()) for role in requester.roles)


def visible_elements(policy: RolePolicy, requester: Requester, resource_type: str) -> frozenset[str] | None:
    """The elements that the requester's roles show of a type together; None when a role shows all of it."""
    shown: set[str] = set()
    for role in requester.roles:
        if not _allows(policy.interactions.get(role, {}), Interaction.READ, resource_type):
            continue
        limit = policy.elements.get(role, {}).get(resource_type)
        if limit is None:
            return None
        shown |= limit
    return frozenset(shown)


def purpose_of_use(policy: RolePolicy, roles: Iterable[str], asked: str | None) -> str:
    """The purpose of a request: what it asks for, else the first of its roles.

    Raises InvalidInput for an unknown word and PurposeNotAllowed when no role includes the purpose.
    """
    allowed = [purpose for role in roles for purpose in policy.purposes.get(role, ())]
    if not allowed:
        raise PurposeNotAllowed("the roles of this client allow no purpose of use")
    if asked is None or not asked.strip():
        return allowed[0]
    code = PURPOSE_WORDS.get(asked.strip().lower(), asked.strip().upper())
    known = {purpose for purposes in policy.purposes.values() for purpose in purposes} | set(PURPOSE_WORDS.values())
    if code not in known:
        raise InvalidInput(
            "X-Purpose is not a purpose of use; send a v3-ActReason code such as TREAT, HPAYMT or HOPERAT", code="value"
        )
    if code not in allowed:
        raise PurposeNotAllowed(f"purpose of use {code} is not open to the roles of this client")
    return code
