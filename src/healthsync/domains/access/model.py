"""Nouns of access."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache

import msgspec

from healthsync.shipped import shipped_yaml


class Interaction(StrEnum):
    """What can be done with a resource type, by the letters of SMART App Launch 2 scopes."""

    CREATE = "c"
    READ = "r"
    UPDATE = "u"
    DELETE = "d"
    SEARCH = "s"


class StreamRight(StrEnum):
    """What an application may do beside FHIR: whole messages, own topics and alerts cannot be shown in part."""

    HANDLE = "handle"
    """Register handlers, get messages and events, read topics."""
    PUBLISH = "publish"
    ALERT = "alert"
    SEE_ALERTS = "see-alerts"


@dataclass(frozen=True, slots=True)
class Client:
    """A registered application or person that holds an API key."""

    client_id: str
    name: str
    roles: tuple[str, ...]
    organisation: str | None
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RolePolicy:
    """What the roles give: interactions by resource type, visible elements by type, purposes of use."""

    interactions: Mapping[str, Mapping[str, frozenset[str]]]
    elements: Mapping[str, Mapping[str, frozenset[str]]]
    purposes: Mapping[str, tuple[str, ...]]
    streams: Mapping[str, frozenset[StreamRight]]

    @classmethod
    @cache
    def load(cls) -> RolePolicy:
        """The roles that ship with the hub (`roles.yaml`)."""
        document = shipped_yaml("healthsync.domains.access", "roles.yaml")["roles"]
        return cls(
            interactions={
                role: {
                    resource_type: frozenset(letters)
                    for letters, types in entry["may"].items()
                    for resource_type in types
                }
                for role, entry in document.items()
            },
            elements={
                role: {name: frozenset(shown) for name, shown in entry.get("elements", {}).items()}
                for role, entry in document.items()
            },
            purposes={role: tuple(entry["purposes"]) for role, entry in document.items()},
            streams={
                role: frozenset(map(StreamRight, entry.get("applications", ()))) for role, entry in document.items()
            },
        )

    def knows(self, role: str) -> bool:
        """Whether the role is defined."""
        return role in self.interactions


class Requester(msgspec.Struct, frozen=True):
    """Who asks, in which roles, what for. Made by `exchange.authenticate` only."""

    client_id: str
    roles: tuple[str, ...]
    purpose_of_use: str
    user: str | None = None
    organisation: str | None = None
    source_address: str | None = None
    scopes: Mapping[str, frozenset[str]] | None = None
    """What a token's SMART scopes leave of the roles; None when the credential carries no scopes."""
