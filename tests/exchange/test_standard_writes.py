"""What clients write and imports read gets standard codes and canonical quantities, where the operator asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.access import Requester
from healthsync.exchange.administration.operators import Actor
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.settings import load_settings
from healthsync.standards.fhir import json
from healthsync.standards.units import TRANSLATION

ADMIN = Requester("ward", ("admin",), "TREAT")
OPERATOR = Actor("operator")


async def hub_with(database: Database, folder: Path, written: str) -> Hub:
    """A hub that knows what everybody's GLU means."""
    (folder / "in").mkdir()
    (folder / "healthsync.yaml").write_text(
        f"healthsync: {{fhir: {{{written}}}, bulk_data: {{import_folder: {folder / 'in'}}}}}"
    )
    overrides = {"audit.heads_path": str(folder / "heads"), "development": True}
    hub = build_hub(
        load_settings(folder, environ={}, overrides=overrides), InsecureDevelopmentKeyring(), database, SystemClock()
    )
    await hub.manage_codes.add(OPERATOR, None, b"code,target\nGLU,2345-7\n", "m.csv", target="LOINC")
    return hub


def glucose(patient: str, code: str = "GLU") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"code": code}]},
        "valueQuantity": {"value": 5.5, "unit": "mmol/L"},
    }


async def written(hub: Hub, code: str = "GLU") -> dict[str, Any]:
    patient = await hub.write.create(ADMIN, {"resourceType": "Patient", "active": True})
    return dict((await hub.write.create(ADMIN, glucose(patient.id, code))).resource)


def is_beside(observation: Any) -> bool:
    """Whether the standard code and the canonical quantity stand there; what was sent must in any case."""
    sent, *added = observation["code"]["coding"]
    value = observation["valueQuantity"]
    assert sent == {"code": "GLU"}
    assert (float(value["value"]), value["unit"]) == (5.5, "mmol/L")
    told = [each["valueQuantity"] for each in value.get("extension", ()) if each["url"] == TRANSLATION]
    assert bool(added) is bool(told)
    if told:
        assert [(each["system"], each["code"]) for each in added] == [("http://loinc.org", "2345-7")]
        assert (float(told[0]["value"]), told[0]["code"]) == (99.1, "mg/dL")
    return bool(told)


@pytest.mark.shows("fhir.standardise")
@pytest.mark.parametrize(("setting", "stands"), [("standardise: true", True), ("standardise: false", False)])
async def test_a_write_gets_them_beside_what_was_sent_where_the_operator_asks(
    database: Database, tmp_path: Path, setting: str, stands: bool
) -> None:
    hub = await hub_with(database, tmp_path, setting)
    assert is_beside(await written(hub)) is stands
    await hub.close()


async def test_what_is_written_again_makes_no_version_with_or_without_what_was_added(
    database: Database, tmp_path: Path
) -> None:
    hub = await hub_with(database, tmp_path, "standardise: true")
    patient = await hub.write.create(ADMIN, {"resourceType": "Patient", "active": True})
    first = await hub.write.update(ADMIN, {**glucose(patient.id), "id": "o"})
    read = {name: value for name, value in first.resource.items() if name != "meta"}
    for body in ({**glucose(patient.id), "id": "o"}, json.parse(json.dump(read))):
        again = await hub.write.update(ADMIN, body)
        assert is_beside(again.resource)
        assert (again.outcome, again.version) == ("unchanged", 1)
    await hub.close()


async def test_a_code_that_no_map_translates_becomes_work(database: Database, tmp_path: Path) -> None:
    hub = await hub_with(database, tmp_path, "standardise: true")
    await written(hub, "UNHEARD")
    (item,) = await hub.manage_codes.items(state="open", source=None, limit=9)
    assert (item.code, item.partner, item.element) == ("UNHEARD", "ward", "Observation.code")
    await hub.close()


async def test_an_import_gets_them_too(database: Database, tmp_path: Path) -> None:
    hub = await hub_with(database, tmp_path, "standardise: true")
    lines = [{"resourceType": "Patient", "id": "p", "active": True}, {**glucose("p"), "id": "o"}]
    (tmp_path / "in" / "all.ndjson").write_bytes(b"\n".join(json.dump(line) for line in lines))
    await hub.bulk_import.start(ADMIN, {"input": [{"url": "all.ndjson"}]}, url="x")
    assert await hub.jobs.run_next()
    assert is_beside(json.parse((await hub.disclose.read(ADMIN, "Observation", "o")).text.encode()))  # type: ignore[union-attr]
    await hub.close()
