"""Messages beside the FHIR they become; `python -m tests.standards.maps.golden_pairs` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthsync.standards.fhir import validate

from .golden_pairs import GOLDEN, converted, expected_path, rendered

MESSAGES = sorted(GOLDEN.glob("*.hl7"))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda path: path.stem)
def test_a_golden_message_becomes_its_golden_resources(message: Path) -> None:
    conversion = converted(message.read_text(encoding="utf-8"))
    assert rendered(conversion) == expected_path(message).read_text(encoding="utf-8")


@pytest.mark.parametrize("message", MESSAGES, ids=lambda path: path.stem)
def test_golden_resources_are_structurally_valid(message: Path) -> None:
    for mapped in converted(message.read_text(encoding="utf-8")).resources:
        assert validate.structure(mapped.resource) == []


def test_a_resend_gives_the_same_resources() -> None:
    for message in MESSAGES:
        text = message.read_text(encoding="utf-8")
        assert rendered(converted(text)) == rendered(converted(text))
