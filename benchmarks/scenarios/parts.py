"""The parts by themselves, in this process: where CPU time goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import cycle
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks import messages
from benchmarks.harness import Load, Options, Result, measure, scenario, time_calls
from benchmarks.inside import open_fresh_hub, process_all, receive
from benchmarks.processes import CpuMeter
from healthsync.domains.audit import Action, AuditEvent, Outcome
from healthsync.domains.privacy import DataKey, SealingPolicy, seal_resource, unseal_members
from healthsync.domains.records import RecordIndex
from healthsync.infrastructure.crypto import BlindIndex
from healthsync.standards.fhir import json, validate
from healthsync.standards.hl7v2 import AckCode, Message, MllpDecoder, build_ack, frame
from healthsync.standards.maps import MappingContext, convert

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
_CONTEXT = MappingContext(
    source="bench",
    resource_id=lambda resource_type, key: f"{abs(hash((resource_type, key))):032x}",
    timezone=ZoneInfo("UTC"),
    received_at=_NOW,
)


@scenario("parts")
async def parts(options: Options) -> AsyncIterator[Result]:
    """CPU time of codec, conversion, validation, indexing, sealing; of ingest as a whole; of audit commits."""
    many = range(1, 1001)  # what recurs from message to message is remembered: not all of it does
    for name, raws in (
        ("ADT 1 kB", [messages.adt(n) for n in many]),
        ("ORU 30 OBX", [messages.oru(n, n) for n in many]),
    ):
        framed, parsed, turns = frame(raws[0]), Message.parse(raws[0]), cycle(raws)
        calls = {
            "deframe and parse": lambda raw=framed: Message.parse(_deframe(raw)),
            "acknowledge": lambda parsed=parsed: build_ack(parsed, AckCode.AA, control_id="1", now=_NOW),
            "convert": lambda turns=turns: convert(Message.parse(next(turns)), _CONTEXT),
        }
        for step, call in calls.items():
            yield time_calls("parts", f"{step}, {name}", call, options)
    for resource in _samples():
        for step, call in _resource_calls(resource).items():
            yield time_calls("parts", f"{step}, {resource['resourceType']}", call, options)
    async for result in _ingest_and_audit(options):
        yield result


def _deframe(framed: bytes) -> bytes:
    (raw,) = MllpDecoder(max_message_bytes=1 << 20).feed(framed)
    assert isinstance(raw, bytes)
    return raw


def _samples() -> list[dict[str, Any]]:
    """A Patient and an Observation as the hub stores them."""
    patient = convert(Message.parse(messages.adt(1)), _CONTEXT).resources
    results = convert(Message.parse(messages.oru(1, 1)), _CONTEXT).resources
    meta = {"versionId": "1", "lastUpdated": "2026-11-25T12:00:00.000Z"}
    return [
        {**next(m.resource for m in mapped if m.resource["resourceType"] == kind), "meta": meta}
        for kind, mapped in (("Patient", patient), ("Observation", results))
    ]


def _resource_calls(resource: dict[str, Any]) -> dict[str, Any]:
    index = RecordIndex(BlindIndex(bytes(32)))
    policy, key = SealingPolicy.load(), DataKey("patient/1", 1, bytes(range(32)))
    sealed = seal_resource(policy, resource, key=key, hub_id="bench")
    reference = f"{resource['resourceType']}/{resource['id']}"
    return {
        "validate": lambda: validate.structure(resource),
        "index rows": lambda: index.rows(resource),
        "write JSON": lambda: json.dump(resource),
        "seal": lambda: seal_resource(policy, resource, key=key, hub_id="bench"),
        "open": lambda: unseal_members(sealed, reference=reference, version=1, key=key, hub_id="bench"),
    }


async def _ingest_and_audit(options: Options) -> AsyncIterator[Result]:
    async with open_fresh_hub() as hub:
        patients = range(1, options.sized(200) + 1)
        await receive(hub, messages.adts(1, len(patients)))
        await process_all(hub)
        count, first = options.sized(200), 1_000_000
        least: float | None = None
        for _ in range(options.repeats):
            first += count
            await receive(hub, messages.orus(first, count, patients))
            started = time.process_time()
            assert await process_all(hub) == count
            spent = (time.process_time() - started) / count
            least = spent if least is None else min(least, spent)
        assert least is not None
        yield Result(
            "parts", "process an ORU with 30 OBX, hub side", least * 1e6, "µs CPU", details={"messages": count}
        )

        event = AuditEvent(
            action=Action.READ, interaction="read", outcome=Outcome.PERMITTED, client="bench", roles=("physician",),
            purpose_of_use="TREAT", entities=("Patient/1",), patients=("Patient/1",), consent_mode="enforced",
        )  # fmt: skip
        for together in (1, 16, 64, 256):

            async def commit(together: int = together) -> Load:
                rounds = max(1, options.sized(4000 if together > 1 else 400) // together)
                started = time.perf_counter()
                for _ in range(rounds):
                    await asyncio.gather(*(hub.audit.record_and_commit(event) for _ in range(together)))
                return Load(rounds * together, time.perf_counter() - started)

            yield await measure("parts", f"audit events committed, {together} at a time", commit, options=options,
                                cpu=CpuMeter(), unit="/s", warm_up=commit)  # fmt: skip
