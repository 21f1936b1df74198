"""Rows of packages and their resources, and of what stored resources define."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthsync.domains.conformance.model import LoadedPackage
from healthsync.infrastructure.database import Queries, Transaction
from healthsync.standards.fhir import json
from healthsync.standards.fhir.profiles import compact, is_modifier
from healthsync.standards.fhir.profiles.library import Entry

_SQL = Queries("healthsync.domains.conformance")


async def add(tx: Transaction, package: LoadedPackage, digest: bytes, resources: list[dict[str, Any]]) -> bool:
    """Write a package with its resources; False when this version is there already."""
    dependencies = json.dump(dict(package.dependencies)).decode()
    written = await tx.fetchval(
        _SQL.add_package, package.name, package.version, digest, dependencies, package.loaded_at
    )
    if written is None:
        return False
    rows = {(r["resourceType"], r["url"], r.get("version", "")): r for r in resources}
    for key, resource in rows.items():
        await tx.execute(
            _SQL.add_resource,
            package.name,
            package.version,
            *key,
            json.dump(resource).decode(),
            _compact(resource),
            is_modifier(resource),
        )
    await tx.execute(_SQL.raise_revision)
    return True


def _compact(resource: Mapping[str, Any]) -> str | None:
    small = compact(resource)
    return None if small is None else json.dump(small).decode()


async def packages(tx: Transaction) -> list[LoadedPackage]:
    """What is loaded, by name and version."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in await tx.fetch(_SQL.counts):
        counts.setdefault((row["package"], row["package_version"]), {})[row["resource_type"]] = row["resources"]
    return [
        LoadedPackage(
            row["name"],
            row["version"],
            row["loaded_at"],
            json.parse(row["dependencies"].encode()),
            counts.get((row["name"], row["version"]), {}),
        )
        for row in await tx.fetch(_SQL.packages)
    ]


async def remove(tx: Transaction, name: str, version: str) -> None:
    """Delete a package with its resources."""
    await tx.execute(_SQL.remove_package, name, version)
    await tx.execute(_SQL.raise_revision)


async def revision(tx: Transaction) -> int:
    """A number that every change of the packages raises."""
    return (await tx.look(_SQL.revision))[0]["revision"]


async def for_validation(tx: Transaction) -> list[Entry]:
    """The resources that the validator may need, unread; of one canonical and version, what was loaded last wins, and
    what a package brought over what is stored here."""
    rows = [*await tx.fetch(_SQL.stored_for_validation), *await tx.fetch(_SQL.for_validation)]
    return [Entry(row["resource_type"], row["url"], row["version"], row["compact"].encode()) for row in rows]


async def store(tx: Transaction, resource: Mapping[str, Any]) -> None:
    """Write what a stored resource defines."""
    await tx.execute(
        _SQL.store,
        resource["resourceType"],
        resource["id"],
        resource["url"],
        resource.get("version", ""),
        _compact(resource),
        is_modifier(resource),
    )
    await tx.execute(_SQL.raise_revision)


async def forget(tx: Transaction, resource_type: str, id_: str) -> None:
    """Delete what a stored resource defined, if it did."""
    if await tx.fetchval(_SQL.forget, resource_type, id_) is not None:
        await tx.execute(_SQL.raise_revision)


async def search_parameters(tx: Transaction) -> dict[str, dict[str, Any]]:
    """Url -> SearchParameter; what was loaded last wins."""
    return {row["url"]: json.parse(row["content"].encode()) for row in await tx.fetch(_SQL.search_parameters)}


async def modifiers(tx: Transaction) -> frozenset[str]:
    """The urls of modifier extensions that are defined here."""
    return frozenset(row["url"] for row in await tx.fetch(_SQL.modifiers))
