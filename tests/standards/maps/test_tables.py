"""The data files: built from the guide, corrected with a reason."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from healthsync.standards.maps.families import FAMILIES
from healthsync.standards.maps.programs import programs_of
from healthsync.standards.maps.tables import tables

DATA = files("healthsync.standards.maps").joinpath("data")
TOOL = Path(__file__).parents[3] / "tools" / "build_v2_maps.py"


@pytest.mark.shared
def test_the_data_file_is_what_the_tool_makes_of_the_guide(shared_data: Path, tmp_path: Path) -> None:
    built = tmp_path / "maps.json"
    subprocess.run([sys.executable, TOOL, shared_data / "v2-to-fhir-mappings", built], check=True, capture_output=True)
    assert built.read_text(encoding="utf-8") == DATA.joinpath("v2_to_fhir.json").read_text(encoding="utf-8")


def test_every_override_says_why() -> None:
    for file in DATA.joinpath("overrides").iterdir():
        overrides = yaml.safe_load(file.read_text(encoding="utf-8"))
        for name, fields in overrides.get("segments", {}).items():
            for field, entry in fields.items():
                assert entry["because"], (name, field)
                assert isinstance(entry["rows"], list), (name, field)
        for event, entry in overrides.get("events", {}).items():
            assert re.match("§", entry["section"]), event


def test_every_map_of_every_family_compiles() -> None:
    for family in FAMILIES:
        assert set(programs_of(family.maps)) == set(family.maps)


def test_every_code_of_a_required_binding_is_one_of_fhirs() -> None:
    concepts = tables().concepts
    assert {row[1] for row in concepts["AdministrativeSex"].values()} == {"male", "female", "other", "unknown"}
    assert {row[1] for row in concepts["TelecommunicationEquipmentType"].values()} <= {
        "phone", "fax", "email", "pager", "url", "sms", "other",
    }  # fmt: skip
    assert {row[1] for row in concepts["ResultStatus[Non-Queries]"].values()} <= {
        "registered", "partial", "preliminary", "final", "amended", "corrected", "appended", "cancelled",
    }  # fmt: skip
