"""Which elements are sealed, and the splitting and joining of a resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from healthsync.domains.privacy.model import DataKey, Sealed, SealedResource, SensitivityClass
from healthsync.infrastructure.crypto import open_sealed, seal
from healthsync.shipped import shipped_yaml
from healthsync.standards.fhir import json
from healthsync.standards.fhir.packing import pack, unpack

_CLEAR = "clear"
_DOCUMENT_HEAD = ("resourceType", "id", "meta")
_CLASSES = {_CLEAR: None, **{each.value: each for each in SensitivityClass}}
_HOLDERS = frozenset({dict, list})
_NOTHING_NAMED: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class SealingPolicy:
    """The reviewed policy, compiled: which class an element belongs to."""

    types: Mapping[str, Mapping[str, str]]
    any_type: Mapping[str, str]
    parts: frozenset[str]
    free_text: frozenset[str]
    readable: Mapping[str, str]
    not_looked_into: Mapping[str, str]
    telling: frozenset[str]
    """What tells something where it is a text: `parts` and `free_text`."""

    @classmethod
    @cache
    def load(cls) -> SealingPolicy:
        """The policy that ships with the hub."""
        document = shipped_yaml("healthsync.domains.privacy", "policy.yaml")
        return cls(
            types=document["types"],
            any_type=document["any"],
            parts=frozenset(document["parts"]),
            free_text=frozenset(document["free_text"]),
            readable=document["readable"],
            not_looked_into=document["not_looked_into"],
            telling=frozenset({*document["parts"], *document["free_text"]}),
        )

    def class_of(self, resource_type: str, element: str, value: Any) -> SensitivityClass | None:
        """The class that `element` of `resource_type` is sealed under, or None when it may stay readable."""
        return self._class_of(self.types.get(resource_type, _NOTHING_NAMED), element, value)

    def split(self, resource: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
        """The names of a resource's elements: readable, of class identity, of class narrative. Those of the head of a
        document come first and are always readable."""
        readable = [name for name in _DOCUMENT_HEAD if name in resource]
        identity: list[str] = []
        narrative: list[str] = []
        named = self.types.get(resource["resourceType"], _NOTHING_NAMED)
        for name, value in resource.items():
            if name not in _DOCUMENT_HEAD:
                found = self._class_of(named, name, value)
                names = readable if found is None else identity if found is SensitivityClass.IDENTITY else narrative
                names.append(name)
        return readable, identity, narrative

    def _class_of(self, named: Mapping[str, str], element: str, value: Any) -> SensitivityClass | None:
        name = element.removeprefix("_")
        verdict = named.get(name) or named.get("*") or self.any_type.get(name)
        if verdict:
            return _CLASSES[verdict]
        told = element not in self.not_looked_into and self._tells(element, value)
        return SensitivityClass.NARRATIVE if told else None

    def _tells(self, name: str, value: Any) -> bool:
        """Whether an element is, or has inside it, something that a person wrote or that names one. Each write pays for
        this walk: plain loops."""
        kind = type(value)
        if kind is dict:
            for part, child in value.items():
                of_child = type(child)
                if of_child is str:
                    told = part in self.telling
                elif part in self.parts:
                    told = True
                else:
                    told = of_child in _HOLDERS and part not in self.not_looked_into and self._tells(part, child)
                if told and not _repeats_a_dictionary(value, part):
                    return True
        elif kind is list:
            for item in value:
                if self._tells(name, item):
                    return True
        elif kind is str:
            return name.removeprefix("_") in self.free_text
        return False


def _repeats_a_dictionary(holder: dict[str, Any], part: str) -> bool:
    """Coding.display tells what the code means, as CodeableConcept.text beside a code does. The display of a Reference
    may be a person's name."""
    if part == "display":
        return "code" in holder or "system" in holder
    return part == "text" and bool(holder.get("coding"))


def _associated_data(hub_id: str, reference: str, version: int, sensitivity: str, key: DataKey) -> bytes:
    return f"{hub_id}|{reference}|{version}|{sensitivity}|{key.scope}|{key.version}".encode()


def members_of(resource: Mapping[str, Any], names: Iterable[str]) -> bytes:
    """The JSON text of some members, without braces: `"status":"final","code":{…}`."""
    return json.dump({name: resource[name] for name in names})[1:-1]


def seal_resource(policy: SealingPolicy, resource: Mapping[str, Any], *, key: DataKey, hub_id: str) -> SealedResource:
    """Split and seal a resource that carries its `id` and `meta.versionId`."""
    readable, identity, narrative = policy.split(resource)
    reference, version = f"{resource['resourceType']}/{resource['id']}", int(resource["meta"]["versionId"])

    def sealed(sensitivity: SensitivityClass, names: list[str]) -> bytes | None:
        if not names:
            return None
        place = _associated_data(hub_id, reference, version, sensitivity, key)
        return seal(key.subkey(sensitivity), pack(members_of(resource, names)), place)

    return SealedResource(
        packed=pack(b"{" + members_of(resource, readable) + b"}"),
        identity=sealed(SensitivityClass.IDENTITY, identity),
        narrative=sealed(SensitivityClass.NARRATIVE, narrative),
        key_scope=key.scope,
        key_version=key.version,
    )


def unseal_members(sealed: Sealed, *, reference: str, version: int, key: DataKey, hub_id: str) -> str:
    """The whole resource as JSON text. Raises SealBroken when any part was changed or moved."""
    parts = [unpack(sealed.packed)[:-1].decode()]
    for sensitivity, ciphertext in (
        (SensitivityClass.IDENTITY, sealed.identity),
        (SensitivityClass.NARRATIVE, sealed.narrative),
    ):
        if ciphertext is not None:
            place = _associated_data(hub_id, reference, version, sensitivity, key)
            parts.append(unpack(open_sealed(key.subkey(sensitivity), ciphertext, place)).decode())
    return ",".join(parts) + "}"
