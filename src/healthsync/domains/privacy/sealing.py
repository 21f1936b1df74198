"""Which elements are sealed, and the splitting and joining of a resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from healthsync.domains.privacy.model import DataKey, Sealed, SealedResource, SensitivityClass
from healthsync.infrastructure.crypto import open_sealed, seal
from healthsync.standards.fhir import json
from healthsync.standards.fhir.packing import pack, unpack

_CLEAR = "clear"
_DOCUMENT_HEAD = ("resourceType", "id", "meta")


@dataclass(frozen=True, slots=True)
class SealingPolicy:
    """The reviewed policy, compiled: which class an element belongs to."""

    types: Mapping[str, Mapping[str, str]]
    any_type: Mapping[str, str]
    parts: frozenset[str]
    free_text: frozenset[str]
    readable: Mapping[str, str]
    not_looked_into: Mapping[str, str]

    @classmethod
    @cache
    def load(cls) -> SealingPolicy:
        """The policy that ships with the hub."""
        document = yaml.safe_load(
            files("healthsync.domains.privacy").joinpath("policy.yaml").read_text(encoding="utf-8")
        )
        return cls(
            types=document["types"],
            any_type=document["any"],
            parts=frozenset(document["parts"]),
            free_text=frozenset(document["free_text"]),
            readable=document["readable"],
            not_looked_into=document["not_looked_into"],
        )

    def class_of(self, resource_type: str, element: str, value: Any) -> SensitivityClass | None:
        """The class that `element` of `resource_type` is sealed under, or None when it may stay readable."""
        named = self.types.get(resource_type, {})
        verdict = named.get(element.removeprefix("_")) or named.get("*") or self.any_type.get(element.removeprefix("_"))
        if verdict is not None:
            return None if verdict == _CLEAR else SensitivityClass(verdict)
        told = element not in self.not_looked_into and self._tells(element, value)
        return SensitivityClass.NARRATIVE if told else None

    def _tells(self, name: str, value: Any) -> bool:
        """Whether an element is, or has inside it, something that a person wrote or that names one."""
        if isinstance(value, str):
            return name.removeprefix("_") in self.free_text
        if isinstance(value, list):
            return any(self._tells(name, item) for item in value)
        if not isinstance(value, dict):
            return False
        return any(self._part_tells(value, part, child) for part, child in value.items())

    def _part_tells(self, holder: dict[str, Any], part: str, child: Any) -> bool:
        if part == "display" and ("code" in holder or "system" in holder):
            return False  # Coding.display repeats a dictionary; a Reference may consist of a person's name alone
        if part == "text" and holder.get("coding"):
            return False  # CodeableConcept.text beside a code names the code
        return part in self.parts or (part not in self.not_looked_into and self._tells(part, child))


def _associated_data(hub_id: str, reference: str, version: int, sensitivity: str, key: DataKey) -> bytes:
    return f"{hub_id}|{reference}|{version}|{sensitivity}|{key.scope}|{key.version}".encode()


def members_of(resource: Mapping[str, Any], names: Iterable[str]) -> str:
    """The JSON text of some members, without braces: `"status":"final","code":{…}`."""
    return json.dump({name: resource[name] for name in names})[1:-1].decode()


def seal_resource(policy: SealingPolicy, resource: Mapping[str, Any], *, key: DataKey, hub_id: str) -> SealedResource:
    """Split and seal a resource that carries its `id` and `meta.versionId`."""
    resource_type = resource["resourceType"]
    split: dict[SensitivityClass | None, list[str]] = {None: [n for n in _DOCUMENT_HEAD if n in resource]}
    for name, value in resource.items():
        if name not in _DOCUMENT_HEAD:
            split.setdefault(policy.class_of(resource_type, name, value), []).append(name)
    reference, version = f"{resource_type}/{resource['id']}", int(resource["meta"]["versionId"])

    def sealed(sensitivity: SensitivityClass) -> bytes | None:
        if sensitivity not in split:
            return None
        place = _associated_data(hub_id, reference, version, sensitivity, key)
        return seal(key.subkey(sensitivity), pack(members_of(resource, split[sensitivity]).encode()), place)

    return SealedResource(
        packed=pack(b"{" + members_of(resource, split[None]).encode() + b"}"),
        identity=sealed(SensitivityClass.IDENTITY),
        narrative=sealed(SensitivityClass.NARRATIVE),
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
