"""fhir-kit-client (npm): kit.mjs does everything that it offers in one process; each test looks at one part of its report.

`tools/install_peers.sh` puts it beside the checkout; without it, or without node, these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import Server

_SCRIPT = Path(__file__).with_name("kit.mjs")
PEERS = Path(__file__).resolve().parents[2] / ".peers" / "node_modules"
"""Where `tools/install_peers.sh` puts packages of npm."""

EXPECTED: dict[str, Any] = {
    "capability": "4.0.1",
    "create": [201, True, "1"],
    "read": True,
    "update": "2",
    "vread": "male",
    "patch": "female",
    "history": ["3", "2", "1"],
    "type_history": "history",
    "system_history": "history",
    "search_and_pages": [[2, 2, 1], 5],
    "post_search": 5,
    "system_search": 1,
    "compartment_search": 1,
    "conditional_create": [201, 200],
    "conditional_update": "unknown",
    "version_conflict": 412,
    "not_modified": 304,
    "batch": ["batch-response", ["200", "404", "200"]],
    "transaction": ["transaction-response", ["201", "201"]],
    "resolve": True,
    "operation_on_an_instance": "Bundle",
    "operation_on_a_type": "OperationOutcome",
    "delete": [410, "OperationOutcome"],
    "unauthorized": 401,
}


@pytest.fixture(scope="module")
def report(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script found."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (PEERS / "fhir-kit-client").is_dir():
        pytest.skip("fhir-kit-client is not here; run tools/install_peers.sh")
    folder = tmp_path_factory.mktemp("kit")
    (folder / "node_modules").symlink_to(PEERS)
    script = Path(shutil.copy(_SCRIPT, folder))
    done = subprocess.run(
        [node, script], capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "FHIR_BASE": server.base, "FHIR_KEY": server.key},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("part", EXPECTED)
def test_fhir_kit_client_gets_what_it_asks_for(report: dict[str, Any], part: str) -> None:
    assert report[part] == {"ok": EXPECTED[part]}


def test_every_part_of_the_report_is_looked_at(report: dict[str, Any]) -> None:
    assert set(report) == set(EXPECTED)
