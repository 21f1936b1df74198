"""What this hub offers to clients of its REST API (`fhir.capabilities`, `fhir.supported_resources`).

Settlement 3: the configuration restricts what clients may use, directly or inside a Bundle, and what the
CapabilityStatement says. It never restricts what partners send in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from healthsync.errors import InvalidInput, NotSupported
from healthsync.settings.tree import Fhir

_METHODS = {
    "search": "GET",
    "create": "POST",
    "read": "GET",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "vread": "GET",
    "history": "GET",
}
_AT_ONE_ADDRESS = (
    ("search", "create"),
    ("read", "update", "patch", "delete"),
    ("vread",),
    ("history",),
)


_ALL_LETTERS = frozenset("cruds")


class NotOffered(NotSupported):
    """This hub is configured not to do this (HTTP 405); `allow` are the methods that the address does take."""

    def __init__(self, message: str, allow: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allow = allow


@dataclass(frozen=True, slots=True)
class Offer:
    """The types and interactions that are open to clients; None where nothing is restricted."""

    types: frozenset[str] | None
    interactions: frozenset[str] | None

    @classmethod
    def of(cls, settings: Fhir) -> Offer:
        """The offer that the settings make."""
        types, interactions = settings.supported_resources, settings.capabilities
        return cls(
            frozenset(types) if types is not None else None,
            frozenset(interactions) if interactions is not None else None,
        )

    def check(self, resource_type: str | None, interaction: str) -> None:
        """Raises InvalidInput (`not-found`) for a type, NotOffered for an interaction that is not open."""
        if resource_type is not None and not self.includes(resource_type):
            raise InvalidInput(f"this hub does not offer {resource_type}", code="not-found")
        if self.interactions is not None and interaction not in self.interactions:
            raise NotOffered(f"this hub does not offer {interaction}", self._allowed_beside(interaction))

    def narrowed(self, scopes: Mapping[str, frozenset[str]] | None) -> Mapping[str, frozenset[str]] | None:
        """The scopes of a credential without the types that are not open.

        So a type that is not offered stays away from includes, chains, $everything and whatever else goes from one
        resource to another, by the same rule as one that the client may not see.
        """
        if self.types is None:
            return scopes
        everywhere = _ALL_LETTERS if scopes is None else scopes.get("*", frozenset())
        return {name: everywhere | (scopes or {}).get(name, frozenset()) for name in self.types}

    def _allowed_beside(self, interaction: str) -> tuple[str, ...]:
        """What RFC 9110 §15.5.6 wants to know: the methods that the same address takes."""
        beside = next((group for group in _AT_ONE_ADDRESS if interaction in group), ())
        return tuple(_METHODS[one] for one in beside if one in (self.interactions or ()))

    def includes(self, resource_type: str) -> bool:
        """Whether clients may see the type at all."""
        return self.types is None or resource_type in self.types
