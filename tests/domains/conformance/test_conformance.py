"""Packages in the database, and the profiles that follow them."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from healthsync.domains.conformance import ConformanceService
from healthsync.errors import Conflict, NotFound
from healthsync.infrastructure.database import Database
from healthsync.standards.fhir import json
from healthsync.standards.fhir.profiles import read

URL = "http://example.org/fhir/StructureDefinition/named"
NAMED: dict[str, Any] = {
    "resourceType": "StructureDefinition",
    "url": URL,
    "version": "1.0.0",
    "kind": "resource",
    "type": "Patient",
    "derivation": "constraint",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
    "description": "for people to read",
    "differential": {"element": [{"path": "Patient"}, {"path": "Patient.name", "min": 1}]},
}
MODIFIER: dict[str, Any] = {
    "resourceType": "StructureDefinition",
    "url": "http://example.org/fhir/StructureDefinition/not-really",
    "kind": "complex-type",
    "type": "Extension",
    "derivation": "constraint",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension",
    "differential": {"element": [{"path": "Extension", "isModifier": True}]},
}
PARAMETER = {"resourceType": "SearchParameter", "url": "http://example.org/sp", "code": "a"}


class TickingClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


def package(version: str = "1.0.0", *resources: dict[str, Any], **manifest: Any) -> bytes:
    whole = io.BytesIO()
    files = [{"name": "example.guide", "version": version, **manifest}, *(resources or (NAMED, MODIFIER, PARAMETER))]
    with tarfile.open(fileobj=whole, mode="w:gz") as packed:
        for position, content in enumerate(files):
            data = json.dump(content)
            info = tarfile.TarInfo("package/package.json" if position == 0 else f"package/{position}.json")
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return whole.getvalue()


@pytest.fixture
def clock() -> TickingClock:
    return TickingClock()


@pytest.fixture
def service(clock: TickingClock) -> ConformanceService:
    return ConformanceService(clock)


async def test_a_package_is_loaded_listed_and_removed(service: ConformanceService, database: Database) -> None:
    async with database.transaction() as tx:
        loaded = await service.add(
            tx, read(package(dependencies={"hl7.fhir.r4.core": "4.0.1", "other.guide": "2.0.0"}))
        )
        assert (loaded.name, loaded.version) == ("example.guide", "1.0.0")
        assert await service.missing(tx, loaded) == ["other.guide 2.0.0"]
        (listed,) = await service.packages(tx)
        assert listed == loaded
        assert listed.counts == {"SearchParameter": 1, "StructureDefinition": 2}
        assert await service.remove(tx, "example.guide") == [listed]
        assert await service.packages(tx) == []


async def test_the_resources_of_a_package_are_kept_as_they_came(
    service: ConformanceService, database: Database
) -> None:
    async with database.transaction() as tx:
        await service.add(tx, read(package()))
        rows = await tx.fetch("SELECT url, content, compact FROM conformance_resource ORDER BY url")
    by_url = {row["url"]: row for row in rows}
    assert json.parse(by_url[URL]["content"].encode()) == NAMED
    assert "description" not in json.parse(by_url[URL]["compact"].encode())
    assert by_url[PARAMETER["url"]]["compact"] is None


async def test_the_same_version_is_not_loaded_twice_but_another_is(
    service: ConformanceService, database: Database
) -> None:
    async with database.transaction() as tx:
        await service.add(tx, read(package()))
        with pytest.raises(Conflict):
            await service.add(tx, read(package()))
        await service.add(tx, read(package("1.1.0")))
        assert [loaded.version for loaded in await service.packages(tx)] == ["1.0.0", "1.1.0"]
        await service.remove(tx, "example.guide", "1.0.0")
        assert [loaded.version for loaded in await service.packages(tx)] == ["1.1.0"]


async def test_what_is_not_there_cannot_be_removed(service: ConformanceService, database: Database) -> None:
    async with database.transaction() as tx:
        await service.add(tx, read(package()))
        for name, version in (("nothing", None), ("example.guide", "9")):
            with pytest.raises(NotFound):
                await service.remove(tx, name, version)


async def test_compiled_profiles_follow_the_packages_within_a_second(
    service: ConformanceService, clock: TickingClock, database: Database
) -> None:
    other = ConformanceService(clock)
    async with database.transaction() as tx:
        assert not (await service.profiles(tx)).is_loaded(URL)
    async with database.transaction() as tx:
        await other.add(tx, read(package()))
    async with database.transaction() as tx:
        assert not (await service.profiles(tx)).is_loaded(URL)  # it looks once a second
        clock.time += timedelta(seconds=1)
        profiles = await service.profiles(tx)
        assert profiles.is_loaded(URL)
        assert profiles.modifiers == {MODIFIER["url"]}
        assert [issue.code for issue in profiles.check({"resourceType": "Patient", "active": True}, URL)] == [
            "structure"
        ]
        clock.time += timedelta(seconds=1)
        assert await service.profiles(tx) is profiles
        await other.remove(tx, "example.guide")
        clock.time += timedelta(seconds=1)
        assert not (await service.profiles(tx)).is_loaded(URL)
