"""Sealing and opening of whole resources: the piece that both gates share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from healthsync.domains.privacy import (
    HUB_SCOPE,
    DataKey,
    DataKeys,
    SealedResource,
    SealingPolicy,
    seal_resource,
    unseal_members,
)
from healthsync.domains.records import StoredResource
from healthsync.errors import HealthSyncError
from healthsync.exchange.opened import Opened, OpenedResources
from healthsync.infrastructure.database import Beside, Transaction
from healthsync.standards.fhir import json
from healthsync.standards.fhir.packing import unpack


class KeyDestroyed(HealthSyncError):
    """The data key of this resource no longer exists: its sealed elements are gone for good."""

    code = "deleted"


class Vault:
    """Seals resources under the key of their patient, and opens them; what searches open it keeps for a while, at most
    `kept_bytes` of it."""

    def __init__(self, data_keys: DataKeys, policy: SealingPolicy, hub_id: str, kept_bytes: int = 0) -> None:
        self._data_keys, self._policy, self._hub_id = data_keys, policy, hub_id
        self._kept = OpenedResources(kept_bytes)

    @property
    def keys_beside(self) -> Beside:
        """What brings the keys along when rows are looked at that will be opened."""
        return self._data_keys.beside

    async def key_for(self, tx: Transaction, patient_key: int | None) -> DataKey:
        """The data key of a patient's resources, or of what belongs to no patient."""
        scope = HUB_SCOPE if patient_key is None else f"patient/{patient_key}"
        return await self._data_keys.for_scope(tx, scope)

    def fresh_key(self, patient_key: int) -> DataKey:
        """The key of a patient whose number was given out just now; `keep_keys` stores it."""
        return self._data_keys.fresh(f"patient/{patient_key}")

    def keep_keys(self, tx: Transaction, keys: Sequence[DataKey]) -> None:
        """Store fresh keys with what they sealed."""
        self._data_keys.keep(tx, keys)

    def seal(self, resource: Mapping[str, Any], key: DataKey) -> SealedResource:
        """Seal one resource, which carries `id` and `meta.versionId`."""
        return seal_resource(self._policy, resource, key=key, hub_id=self._hub_id)

    async def open_texts(self, tx: Transaction, rows: Sequence[StoredResource]) -> list[str]:
        """The JSON texts of stored resources. Raises SealBroken, or KeyDestroyed where a key is gone."""
        keys = await self._keys_of(tx, rows)
        return [self._open(row, keys) for row in rows]

    async def look(self, tx: Transaction, rows: Sequence[StoredResource]) -> list[Opened]:
        """The same for what may soon be looked at again. Without its key nothing is shown that was kept either."""
        keys = await self._keys_of(tx, rows)
        return [self._looked_at(row, keys) for row in rows]

    async def open(self, tx: Transaction, rows: Sequence[StoredResource]) -> list[dict[str, Any]]:
        """Stored resources as documents whose numbers are Decimals."""
        return [json.read_stored(text.encode()) for text in await self.open_texts(tx, rows)]

    async def _keys_of(self, tx: Transaction, rows: Sequence[StoredResource]) -> Mapping[tuple[str, int], DataKey]:
        sealed = {(r.key_scope, r.key_version) for r in rows if r.identity is not None or r.narrative is not None}
        return await self._data_keys.of_versions(tx, sealed) if sealed else {}

    def _open(self, row: StoredResource, keys: Mapping[tuple[str, int], DataKey]) -> str:
        key = self._key_of(row, keys)
        if key is None:
            return unpack(row.packed).decode()
        return unseal_members(row, reference=row.reference, version=row.version, key=key, hub_id=self._hub_id)

    def _looked_at(self, row: StoredResource, keys: Mapping[tuple[str, int], DataKey]) -> Opened:
        self._key_of(row, keys)
        return self._kept.of(row) or self._kept.keep(row, self._open(row, keys))

    @staticmethod
    def _key_of(row: StoredResource, keys: Mapping[tuple[str, int], DataKey]) -> DataKey | None:
        """The key of a row; None where nothing is sealed. Raises KeyDestroyed."""
        if row.identity is None and row.narrative is None:
            return None
        key = keys.get((row.key_scope, row.key_version))
        if key is None:
            raise KeyDestroyed(f"the key of {row.reference} was destroyed; its content cannot be shown any more")
        return key
