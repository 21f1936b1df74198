"""The cases from public bug reports that are about messages, played on conversion and merging alone (no hub)."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json as fhir_json
from healthsync.standards.hl7v2 import Message, MllpDecoder, split_batch
from healthsync.standards.maps import convert, merged

from .golden_pairs import context

UNIQUE = "u42"


class Store:
    """Resources by reference, and the two searches that the cases use."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}

    def receive(self, stream: bytes) -> None:
        for frame in MllpDecoder(max_message_bytes=1 << 20).feed(stream):
            if not isinstance(frame, bytes):
                continue
            for raw in split_batch(frame):
                try:
                    conversion = convert(Message.parse(raw), context())
                except InvalidInput:
                    continue
                for mapped in conversion.resources:
                    self.resources[mapped.reference] = merged(self.resources.get(mapped.reference), mapped)

    def search(self, query: str) -> dict[str, Any]:
        kind, _, rest = query.partition("?")
        ((name, value),) = parse_qsl(rest)
        found = [r for r in self.resources.values() if r["resourceType"] == kind and value in _tokens(r, name)]
        entries = [{"resource": json.loads(fhir_json.dump(resource))} for resource in found]
        return {"entry": entries} if entries else {}


def _tokens(resource: dict[str, Any], name: str) -> list[str]:
    if name == "identifier":
        return [number["value"] for number in resource.get("identifier", ())]
    return [coding["code"] for coding in resource.get("code", {}).get("coding", ())]


@pytest.mark.shared
def test_the_message_cases_hold(shared_data: Path) -> None:
    folder = shared_data.parent / "cases"
    spec = importlib.util.spec_from_file_location("run_cases", folder / "run_cases.py")
    assert spec and spec.loader
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    for path in sorted([*folder.glob("M*.json"), *folder.glob("I*.json")]):
        store = Store()
        case = json.loads(re.sub(r"\{\{u\}\}", UNIQUE, path.read_text(encoding="utf-8")))
        for step in case["steps"]:
            if "mllp" in step:
                text = step["mllp"].replace("\n", "\r").encode(step.get("encoding", "utf-8"))
                store.receive(b"\x0b" + text + b"\x1c\r")
            elif "path" in step:
                answer = store.search(step["path"])
                faults = [check for check in step.get("expect", ()) if not runner.holds(answer, check)]
                assert not faults, (path.stem, step["path"], faults)
