"""The agreement with the CDC's converter does not fall; see cdc_score.py for what is compared and what we do otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from .cdc_score import CLINICAL, DIRECTORY, ORDERS, score

RECORDED = {"clinical": 0.90, "directory": 0.49, "orders": 0.62}
"""2026-11-27, see docs/conformance/cdc-mapping-inventory.md. The rest of the clinical fields: CDC repeats next of kin as Patient.contact, takes names of authorities as they
stand for Identifier.system, and passes some v2 spellings through. It writes an Organization, Location and Practitioner for
each mention; we write one for each number or name."""


@pytest.mark.shared
def test_the_agreement_with_the_cdc_pairs_does_not_fall(shared_data: Path) -> None:
    result = score(shared_data / "hl7v2" / "cdc-mapping-inventory")
    assert result.pairs >= 219
    assert result.share(CLINICAL) >= RECORDED["clinical"]
    assert result.share(DIRECTORY) >= RECORDED["directory"]
    assert result.share(ORDERS) >= RECORDED["orders"]
