"""What the hub made of it all, asked through its own doors: its API, its event log, its audit log, its files."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from healthsync.bootstrap import Hub
from healthsync.entrypoints.demo.delivery import Api
from healthsync.entrypoints.demo.house import MARK, cluster_of
from healthsync.entrypoints.demo.leaks import Leak, LeakScanner
from healthsync.entrypoints.demo.summary import Audit, Leaks, Reads
from healthsync.exchange.administration.inspect_messages import InspectMessages
from healthsync.exchange.administration.verify_audit import verify_audit
from healthsync.exchange.events import EventName
from healthsync.infrastructure.database.dump import tables_as_text

PATIENCE_SECONDS = 60
"""How long the wait goes on while nothing moves."""

COUNTED = (
    "Patient", "RelatedPerson", "Encounter", "Observation", "DiagnosticReport", "Condition", "AllergyIntolerance",
    "Coverage", "MedicationRequest", "Practitioner", "Location", "Organization", "Provenance",
)  # fmt: skip
_EVENT_PAGE = 500
_REFUSED = "4"
"""http://hl7.org/fhir/audit-event-outcome: minor failure."""


async def count_messages(hub: Hub, state: str | None = None) -> int:
    """Messages in store, in one state or in all."""
    flow = InspectMessages(database=hub.database, messages=hub.messages, data_keys=hub.data_keys, audit=hub.audit)
    return await flow.counted(state=state, source=None)


async def wait_until_processed(hub: Hub, progress: Callable[[int], None]) -> dict[str, int]:
    """Wait while messages wait; `progress(left)` is told how many. Returns the number of messages by state."""
    left, moved_at = -1, time.monotonic()
    while (waiting := await count_messages(hub, "accepted")) > 0:
        if waiting != left:
            left, moved_at = waiting, time.monotonic()
        if time.monotonic() - moved_at > PATIENCE_SECONDS:
            break
        progress(waiting)
        await asyncio.sleep(0.1)
    progress(waiting)
    return {state: await count_messages(hub, state) for state in ("accepted", "processed", "dead")}


async def count_resources(physician: Api) -> dict[str, int]:
    """Resources by type, as many as a physician may see."""
    counts = {}
    for resource_type in COUNTED:
        answer = await physician.get(f"/fhir/{resource_type}?_summary=count")
        counts[resource_type] = answer.body.get("total", 0) if answer.status == 200 else 0
    return counts


async def read_everything(physician: Api, patient_id: str) -> tuple[int, list[dict[str, Any]]]:
    """Patient/$everything with all its pages: the status, and the resources."""
    path: str | None = f"/fhir/Patient/{patient_id}/$everything?_count=200"
    resources: list[dict[str, Any]] = []
    while path:
        answer = await physician.get(path)
        if answer.status != 200:
            return answer.status, []
        resources += [entry["resource"] for entry in answer.body.get("entry", ())]
        following = [link["url"] for link in answer.body["link"] if link["relation"] == "next"]
        path = f"/fhir/{following[0].partition('/fhir/')[2]}" if following else None
    return 200, resources


async def read_as_all(
    hub: Hub, physician: Api, researcher: Api, *, researcher_id: str, shown: str, opted_out: str | None
) -> Reads:
    """The permitted read and the two refused ones, and whether the refusals were recorded."""
    permitted = await physician.get(f"/fhir/Patient/{shown}")
    refused = await researcher.get(f"/fhir/Patient/{shown}")
    hidden = await physician.get(f"/fhir/Patient/{opted_out}") if opted_out else None
    async with hub.database.connection() as tx:
        rows = await hub.audit.search(tx, agent=researcher_id)
        if opted_out:
            rows += await hub.audit.search(tx, patient=f"Patient/{opted_out}")
    recorded = sum(row.entry["outcome"] == _REFUSED for row in rows)
    return Reads(permitted.status, refused.status, hidden.status if hidden else None, recorded)


async def count_alerts(hub: Hub) -> int:
    """Announcements of critical results in the event log."""
    count, page = 0, _EVENT_PAGE
    while page == _EVENT_PAGE:
        async with hub.database.transaction() as tx:
            events = await hub.events.take(tx, "demo", [EventName.ALERT_CRITICAL_LAB], limit=_EVENT_PAGE)
        page = len(events)
        count += page
    return count


async def prove_audit(hub: Hub) -> Audit:
    """Verify the audit log, after the sequencer has caught up (it needs about a second)."""
    report = await verify_audit(hub.audit)
    for _ in range(50):
        if not report.waiting:
            break
        await asyncio.sleep(0.1)
        report = await verify_audit(hub.audit)
    lines = (hub.settings.audit.heads_path / "heads.jsonl").read_text(encoding="utf-8").splitlines()
    root = json.loads(lines[-1])["root_hash"] if lines else ""
    return Audit(report.holds and report.signed_size > 0, report.events, report.signed_size, root, report.sentence())


async def look_for_leaks(hub: Hub, folder: Path, admin: Api, needles: Sequence[str]) -> Leaks:
    """Look for the people's values in every table, in PostgreSQL's files and write-ahead log, in the data folder
    (but for the file with the truth) and in the metrics."""
    scanner = LeakScanner(needles)
    searched = _Searched(scanner)
    async for table, rows in tables_as_text(hub.database):
        searched.data(rows, table)
        await asyncio.sleep(0)
    metrics = await admin.get("/metrics")
    searched.data(metrics.content, "metrics")
    cluster = cluster_of(folder)
    for root in [folder, *([cluster] if cluster and not cluster.is_relative_to(folder) else [])]:
        for path in _files(root):
            if path != folder / MARK:
                searched.file(path, root)
                await asyncio.sleep(0)
    control = {leak.needle for leak in scanner.scan_file(folder / MARK)} == set(range(scanner.needles))
    return Leaks(scanner.needles, control, searched.bytes, [_shown(leak) for leak in searched.found])


class _Searched:
    """What was looked through, and what was found."""

    def __init__(self, scanner: LeakScanner) -> None:
        self._scanner = scanner
        self.bytes = 0
        self.found: list[Leak] = []

    def data(self, content: bytes, where: str) -> None:
        self.bytes += len(content)
        self.found += self._scanner.scan(content, where)

    def file(self, path: Path, root: Path) -> None:
        with suppress(FileNotFoundError):
            self.bytes += path.stat().st_size
            self.found += self._scanner.scan_file(path, str(path.relative_to(root)))


def _files(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())


def _shown(leak: Leak) -> Mapping[str, Any]:
    return {"where": leak.where, "offset": leak.offset, "form": leak.form, "needle": leak.needle}
