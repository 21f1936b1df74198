"""Data keys: made on first use, wrapped by the key provider, kept unwrapped in memory only."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Protocol

from healthsync.domains.privacy import store
from healthsync.domains.privacy.model import DataKey
from healthsync.errors import Unavailable
from healthsync.infrastructure.database import Beside, Transaction

_FIRST_VERSION = 1


class KeyWrapping(Protocol):
    """What data keys need from a key provider."""

    def wrap(self, key: bytes) -> tuple[int, bytes]:
        """Wrap a data key; returns the version of the wrapping key and the wrapped bytes."""
        ...

    def unwrap(self, version: int, wrapped: bytes) -> bytes:
        """Unwrap a data key."""
        ...


class DataKeys:
    """The data keys of this hub, by scope."""

    def __init__(self, keyring: KeyWrapping, *, cached_keys: int = 50_000) -> None:
        self._keyring = keyring
        self._cached_keys = cached_keys
        self._newest: OrderedDict[str, DataKey] = OrderedDict()
        self._by_version: OrderedDict[tuple[str, int], DataKey] = OrderedDict()
        self.beside = Beside(store.KEY_COLUMNS, store.KEY_JOINED, self._take)
        """What brings along the keys of sealed contents that are looked at, for `of_versions` to know."""

    async def for_scope(self, tx: Transaction, scope: str) -> DataKey:
        """The key that new writes of `scope` use; made when there is none.

        A new key enters the cache only after the commit: a key whose row was rolled back must seal nothing.
        """
        if (known := self._newest.get(scope)) is not None:
            return known
        row = await store.newest_key(tx, scope)
        if row is None:
            fresh = os.urandom(32)
            await store.add_key(tx, scope, _FIRST_VERSION, *self._keyring.wrap(fresh))
            row = await store.newest_key(tx, scope)  # ours, or that of a transaction which was first
            if row is None:
                raise Unavailable("a data key vanished while it was made")
        key = DataKey(scope, row["version"], self._keyring.unwrap(row["wrapped_by"], row["wrapped"]))
        tx.after_commit(lambda: self._remember(key, newest=True))
        return key

    @staticmethod
    def fresh(scope: str) -> DataKey:
        """A key for a scope that nobody else can know yet; what it sealed can be read once `keep` was committed."""
        return DataKey(scope, _FIRST_VERSION, os.urandom(32))

    def keep(self, tx: Transaction, keys: Sequence[DataKey]) -> None:
        """Store fresh keys, wrapped, at the end of the unit of work."""
        store.add_keys(tx, [(key.scope, key.version, *self._keyring.wrap(key.key)) for key in keys])
        for key in keys:
            tx.after_commit(partial(self._remember, key, newest=True))

    async def of_versions(self, tx: Transaction, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], DataKey]:
        """The keys under which things were sealed. A key that was destroyed is absent from the answer."""
        found = {place: key for place in wanted if (key := self._by_version.get(place)) is not None}
        missing = [place for place in set(wanted) if place not in found]
        if missing:
            for row in await store.keys_of_scopes(tx, missing):
                place = row["scope"], row["version"]
                found[place] = self._unwrapped(place, row)
        return found

    def _take(self, rows: Sequence[Any]) -> None:
        for row in rows:
            place = row["key_scope"], row["key_version"]
            if row["permitted"] and row["wrapped"] is not None and place not in self._by_version:
                self._unwrapped(place, row)

    def _unwrapped(self, place: tuple[str, int], row: Any) -> DataKey:
        key = DataKey(*place, self._keyring.unwrap(row["wrapped_by"], row["wrapped"]))
        self._remember(key, newest=False)
        return key

    async def destroy(self, tx: Transaction, scope: str) -> bool:
        """Destroy every key of a scope: what it sealed can be read by nobody any more, nor in a copy of the data.

        Other processes may hold the key in memory for as long as they run. Returns whether there was one.
        """
        versions = await store.destroy_keys(tx, scope)
        self._newest.pop(scope, None)
        for version in versions:
            self._by_version.pop((scope, version), None)
        return bool(versions)

    def _remember(self, key: DataKey, *, newest: bool) -> None:
        self._by_version[key.scope, key.version] = key
        if newest:
            self._newest[key.scope] = key
        for cache in (self._newest, self._by_version):
            while len(cache) > self._cached_keys:
                cache.popitem(last=False)
