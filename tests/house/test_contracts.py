"""The import contracts hold, and each of them can break: a violation of every contract is planted in a copy of the code."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    one["name"] for one in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
]

PLANTED = {
    "Five bands": ("infrastructure/clock.py", "import healthsync.exchange.ports"),
    "Domains do not know": ("domains/consent/decision.py", "import healthsync.domains.audit"),
    "Inside a domain": ("domains/identity/store.py", "import healthsync.domains.identity.service"),
    "Only a domain's service": ("domains/identity/matching.py", "import healthsync.domains.identity.store"),
    "Domains are reached": ("entrypoints/cli/version.py", "import healthsync.domains.identity"),
    "Two gates": ("exchange/authenticate.py", "import healthsync.domains.records"),
    "The vault opens": ("exchange/authenticate.py", "import healthsync.exchange.vault"),
    "Only the gate out": ("exchange/authenticate.py", "import healthsync.exchange.finding"),
    "Only the message flows": ("exchange/ingest.py", "import healthsync.domains.messages"),
    "Only stores and infrastructure": ("exchange/disclose.py", "import asyncpg"),
    "Flows stand above": ("exchange/ingest.py", "import healthsync.exchange.interactions.bundle"),
    "Entry points are independent": ("entrypoints/web/answers.py", "import healthsync.entrypoints.mllp"),
    "Standards are pure": ("standards/hl7v2/mllp.py", "import asyncio"),
    "Frameworks of web": ("domains/access/service.py", "import starlette"),
    "No cycles": ("standards/fhir/json.py", "import healthsync.standards.fhir.validate"),
}


def lint(folder: Path) -> dict[str, str]:
    """The verdict on each contract, KEPT or BROKEN."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    verdicts = re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE)
    assert len(verdicts) == len(NAMES), done.stdout + done.stderr
    return dict(verdicts)


def test_every_contract_is_kept():
    assert [name for name, verdict in lint(ROOT).items() if verdict != "KEPT"] == []


@pytest.fixture(scope="module")
def verdicts_with_plants(tmp_path_factory) -> dict[str, str]:
    """The verdicts on a copy of the code in which each contract is broken once."""
    copy = tmp_path_factory.mktemp("planted")
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.gz", "*.json"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for file, line in PLANTED.values():
        path = copy / "src" / "healthsync" / file
        path.write_text(path.read_text() + f"\n{line}\n")
    return lint(copy)


def test_every_contract_has_a_planted_violation():
    assert [name for name in NAMES if not any(name.startswith(start) for start in PLANTED)] == []


@pytest.mark.parametrize("start", PLANTED)
def test_a_planted_violation_breaks_its_contract(verdicts_with_plants, start):
    assert [verdict for name, verdict in verdicts_with_plants.items() if name.startswith(start)] == ["BROKEN"]
