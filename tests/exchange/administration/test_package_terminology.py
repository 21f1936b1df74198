"""The terminology of a FHIR package is there as soon as the package is, and goes with it."""

from __future__ import annotations

import io
import json
import tarfile

from healthsync.domains.terminology import Coding
from healthsync.exchange.administration.manage_packages import ManagePackages

COLOURS = "http://example.org/CodeSystem/colours"


def _package(*resources: dict) -> bytes:
    manifest = {"name": "example.colours", "version": "1.0.0", "fhirVersions": ["4.0.1"]}
    files = {"package.json": manifest, **{f"{r['resourceType']}-{r['id']}.json": r for r in resources}}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, document in files.items():
            data = json.dumps(document).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


async def test_a_package_brings_its_value_sets_and_takes_them_along(hub):
    packages = ManagePackages(
        database=hub.database,
        conformance=hub.conformance,
        terminology=hub.terminology,
        audit=hub.audit,
        own_parameters=hub.own_parameters,
    )
    system = {"resourceType": "CodeSystem", "id": "c", "url": COLOURS, "status": "active", "content": "complete"}
    system["concept"] = [{"code": "red"}, {"code": "blue"}]
    warm = {"resourceType": "ValueSet", "id": "w", "url": "http://example.org/ValueSet/warm", "status": "active"}
    warm["compose"] = {"include": [{"system": COLOURS, "concept": [{"code": "red"}]}]}
    await packages.add(_package(system, warm), "operator")
    async with hub.database.connection() as tx:
        assert await hub.terminology.members(tx, warm["url"]) == {(COLOURS, "red")}
        assert (await hub.terminology.validate_in_system(tx, [Coding(COLOURS, "blue")])).result
    await packages.remove("example.colours", None, "operator")
    async with hub.database.connection() as tx:
        assert await hub.terminology.members(tx, warm["url"]) is None
