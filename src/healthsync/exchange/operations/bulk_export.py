"""$export: everything that a client may see, as files of NDJSON (Bulk Data Access IG 2.0, export).

    (1) read the request strictly; (2) who may have what: roles by type, members of the group; (3) one event, one job
    (4) type by type, in an order that no update changes, file by file; each batch through the gate out
    (5) a file, its audit events and the place to go on from are one commit: only then can anyone fetch it

Consent and roles are those of the moment at which a batch is read; the download asks again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import parse_qsl

from healthsync.domains.access import Interaction, Requester, RolePolicy, granted, purpose_of_use
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.errors import InvalidInput, NotFound, NotSupported, Refused
from healthsync.exchange.disclose import Disclose, Refusal, Selection, StreamedBatch
from healthsync.exchange.offer import Offer
from healthsync.exchange.operations.jobs import OPERATOR, reference, requester_document, requester_of
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import Job, JobFile, JobTable
from healthsync.infrastructure.objects import Objects, SealedLines
from healthsync.standards.fhir import json, query, references
from healthsync.standards.fhir.compartments import is_patient_data
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.outcome import Issue

KIND, INTERACTION = "bulk-export", "$export"
VIEWS = frozenset({"AuditEvent", "Person"})
"""Types that show what other parts of the hub hold; they are no records, and are not exported."""

OUTPUT_FORMATS = frozenset({"application/fhir+ndjson", "application/ndjson", "ndjson"})
_DELETIONS_IN_A_BUNDLE = 100
_PATIENTS_AT_ONCE = 500
_FILTER_REFUSED = frozenset({"_count", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total"})

Level = Literal["system", "patient", "group"]
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is asked for. `types` None: every type; `elements` as written, `Type.element` or `element`."""

    types: tuple[str, ...] | None = None
    since: datetime | None = None
    filters: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    elements: tuple[str, ...] = ()
    patients: tuple[str, ...] | None = None


def read_request(pairs: Pairs, level: Level, *, lenient: bool) -> ExportRequest:
    """The parameters of $export. Raises InvalidInput or NotSupported for what is not understood or not done.

    With `lenient` (Prefer: handling=lenient) what is not supported is passed over; what is wrong is refused always.
    """
    types: list[str] = []
    filters: list[tuple[str, tuple[tuple[str, str], ...]]] = []
    elements: list[str] = []
    patients: list[str] = []
    since = None
    for name, value in pairs:
        match name:
            case "_outputFormat":
                if value.replace(" ", "+") not in OUTPUT_FORMATS:
                    raise InvalidInput("_outputFormat: this hub writes application/fhir+ndjson", code="not-supported")
            case "_since":
                since = _instant(value)
            case "_type":
                types += [part.strip() for part in value.split(",") if part.strip()]
            case "_typeFilter":
                filters.append(_filter(value, lenient=lenient))
            case "_elements":
                elements += [part.strip() for part in value.split(",") if part.strip()]
            case "patient" if level != "system":
                patients += _patients(value)
            case "_format" | "_pretty":
                continue
            case _ if not lenient:
                known = "_type, _since, _typeFilter, _elements, _outputFormat and, in a POST for patients, patient"
                shown = name if name.replace("_", "").isalnum() and len(name) < 40 else "?"
                raise NotSupported(f"$export does not take the parameter {shown} here; it takes {known}")
    _check_types(types, level, lenient=lenient)
    return ExportRequest(
        tuple(dict.fromkeys(types)) if types else None,
        since,
        tuple(filters),
        tuple(elements),
        tuple(dict.fromkeys(patients)) if patients else None,
    )


def read_parameters(resource: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The pairs in a Parameters resource. Raises InvalidInput for a value that is no text, instant or reference."""
    if resource.get("resourceType") != "Parameters" or not isinstance(resource.get("parameter", []), list):
        raise InvalidInput("the body must be a Parameters resource", code="structure")
    pairs = []
    for position, entry in enumerate(resource.get("parameter", [])):
        values = [value for name, value in entry.items() if name.startswith("value")] if isinstance(entry, dict) else []
        value = values[0] if len(values) == 1 else None
        if isinstance(value, dict):
            value = value.get("reference")
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, str) or not isinstance(entry.get("name"), str):
            raise InvalidInput(
                "each parameter has a name and one value: a text, an instant or a reference",
                code="value",
                expression=f"Parameters.parameter[{position}]",
            )
        pairs.append((entry["name"], value))
    return pairs


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidInput("_since is an instant with a time zone, such as 2026-01-31T00:00:00Z", code="value")
    return at.astimezone(UTC)


def _filter(text: str, *, lenient: bool) -> tuple[str, tuple[tuple[str, str], ...]]:
    resource_type, mark, rest = text.partition("?")
    pairs = parse_qsl(rest, keep_blank_values=True)
    if not mark or resource_type not in resource_types() or not pairs:
        raise InvalidInput("_typeFilter is a search such as Observation?category=laboratory", code="value")
    if refused := sorted({name for name, _ in pairs} & _FILTER_REFUSED):
        raise NotSupported(f"_typeFilter selects resources; it does not take {refused[0]}")
    query.parse(resource_type, pairs, lenient=lenient)
    return resource_type, tuple(pairs)


def _patients(text: str) -> list[str]:
    found = []
    for part in text.split(","):
        kind, _, id_ = part.strip().rpartition("/")
        if kind != "Patient" or not references.parse(part.strip()).is_address:
            raise InvalidInput("patient is a reference such as Patient/123", code="value")
        found.append(id_)
    return found


def _check_types(types: list[str], level: Level, *, lenient: bool) -> None:
    for name in list(types):
        if name in resource_types() and name not in VIEWS and (level == "system" or is_patient_data(name)):
            continue
        if not lenient:
            shown = name if name.isalpha() and len(name) < 40 else "?"
            raise InvalidInput(f"_type: {shown} is no type that this export can hold", code="not-supported")
        types.remove(name)
        if not types:
            raise InvalidInput("_type names no type that this export can hold", code="not-supported")


@dataclass(slots=True)
class _Draft:
    """A file that is being filled."""

    lines: SealedLines
    count: int = 0
    line_count: int = 0
    size: int = 0
    patients: set[int] = field(default_factory=set)
    events: list[AuditEvent] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)

    def add(self, batch: StreamedBatch, text: bytes) -> None:
        self.lines.add(text)
        self.count += batch.count
        self.line_count += text.count(b"\n")
        self.size += len(text)
        self.patients |= batch.patient_keys
        self.events.append(batch.event)
        self.issues += [_issue_json(issue) for issue in batch.issues]


@dataclass(frozen=True, slots=True)
class ExportLimits:
    """Bytes of NDJSON after which a file ends, the level of gzip, and exports of one client at the same time."""

    file_bytes: int
    gzip_level: int
    most_running: int


class BulkExport:
    """Starts exports, and runs them in a worker (`Handler` of kind `bulk-export`)."""

    def __init__(
        self,
        *,
        database: Database,
        table: JobTable,
        objects: Objects,
        disclose: Disclose,
        audit: AuditService,
        roles: RolePolicy,
        offer: Offer,
        limits: ExportLimits,
    ) -> None:
        self._database, self._table, self._objects, self._disclose = database, table, objects, disclose
        self._audit, self._roles, self._offer, self._limits = audit, roles, offer, limits

    def operator(self, user: str, role: str, purpose: str | None) -> Requester:
        """An operator who exports in a role, for a purpose of it. Raises InvalidInput or PurposeNotAllowed."""
        if not self._roles.knows(role):
            known = ", ".join(sorted(self._roles.interactions))
            raise InvalidInput(f"no role is named so; roles are {known}", code="value")
        return Requester(OPERATOR, (role,), purpose_of_use(self._roles, (role,), purpose), user=user)

    async def start(
        self,
        requester: Requester,
        level: Level,
        pairs: Pairs,
        *,
        url: str,
        asked: str,
        group: str | None = None,
        lenient: bool = False,
        webhook: str | None = None,
        claimed: bool = False,
    ) -> Job:
        """Check a request and queue it (with `claimed`: for the caller to run).

        `url` is what the manifest repeats, `asked` what the audit log seals.

        Raises InvalidInput, NotSupported, Refused (a type that the roles do not open), NotFound (the group) or
        TooManyJobs.
        """
        request = read_request(pairs, level, lenient=lenient)  # (1)
        types = await self._types(requester, request, level, lenient=lenient)  # (2)
        patients = await self._members(requester, group, request, lenient=lenient) if group else request.patients
        document = {
            "requester": requester_document(requester),
            "level": level,
            "types": types,
            "patients": patients,
            "since": request.since.isoformat() if request.since else None,
            "filters": request.filters,
            "elements": request.elements,
            "url": url,
        }
        async with self._database.transaction() as tx:  # (3)
            job = await self._table.add(
                tx,
                KIND,
                requester.client_id,
                document,
                webhook=webhook,
                most_unfinished=self._limits.most_running,
                claimed=claimed,
            )
            entities = [reference(job), *([f"Group/{group}"] if group else [])]
            event = audit_event(requester, Action.EXECUTE, INTERACTION, Outcome.PERMITTED, entities, query=asked)
            await self._audit.record(tx, event)
        return job

    async def __call__(self, job: Job) -> Mapping[str, Any]:
        """Run an export from where it stands (4), (5)."""
        position = job.position or await self._begin(job)
        for number, (purpose, kind) in enumerate(position["units"]):
            while position["unit"] == number:
                position = await self._next_file(job, purpose, kind, position)
        return {"transaction_time": position["time"]}

    async def _begin(self, job: Job) -> dict[str, Any]:
        time = await self._table.settled_until()
        types, since = job.request["types"], job.request["since"]
        units = [("output", kind) for kind in await self._disclose.present(types)]
        if since:
            gone = await self._disclose.present(types, deleted_since=datetime.fromisoformat(since))
            units += [("deleted", kind) for kind in gone]
        begun = {"time": time.isoformat(timespec="milliseconds"), "units": units}
        position = {**begun, "unit": 0, "slice": 0, "after": 0, "file": 1}
        async with self._database.transaction() as tx:
            await self._table.advance(tx, job, position)
        return position

    async def _next_file(self, job: Job, purpose: str, kind: str, position: Mapping[str, Any]) -> dict[str, Any]:
        """Fill one file and commit it with its events and the next position. A type without resources makes none."""
        name = f"{job.id}/{position['file']}-{job.attempts}.ndjson.gz.sealed"
        draft = _Draft(SealedLines(job.key, name, self._limits.gzip_level))
        place = await self._fill(draft, job, purpose, kind, position)
        following = (
            {**position, **place} if place else {**position, "unit": position["unit"] + 1, "slice": 0, "after": 0}
        )
        file = None
        if draft.count:
            size = await self._objects.put(name, draft.lines.end())
            patients = sorted(draft.patients)
            file = JobFile(position["file"], purpose, kind, name, draft.line_count, size, patients)
            following["file"] += 1
        async with self._database.transaction() as tx:
            if file is not None:
                await self._table.add_file(tx, job, file)
            await self._audit.record_many(tx, draft.events)
            await self._table.add_issues(tx, job, draft.issues)
            done = draft.count if purpose == "output" else 0
            await self._table.advance(tx, job, following, step=kind, done=done, rejected=len(draft.issues))
        return following

    async def _fill(
        self, draft: _Draft, job: Job, purpose: str, kind: str, position: Mapping[str, Any]
    ) -> dict[str, int] | None:
        """Read until the file is full; the place to go on from, None when the type has come to its end."""
        after = position["after"]
        for number, patients in enumerate(_slices(job.request["patients"])):
            if number < position["slice"]:
                continue
            async with aclosing(self._batches(job, purpose, kind, patients, after)) as batches:
                async for batch in batches:
                    draft.add(batch, batch.text if purpose == "output" else _deletions(batch.references))
                    if draft.size >= self._limits.file_bytes:
                        return {"slice": number, "after": batch.position}
            after = 0
        return None

    def _batches(
        self, job: Job, purpose: str, kind: str, patients: Sequence[str] | None, after: int
    ) -> AsyncGenerator[StreamedBatch, None]:
        request = job.request
        selection = Selection(
            resource_type=kind,
            since=datetime.fromisoformat(request["since"]) if request["since"] else None,
            patients=patients,
            of_patients_only=request["level"] != "system",
            deleted=purpose == "deleted",
            filters=[query.parse(kind, pairs) for name, pairs in request["filters"] if name == kind]
            if purpose == "output"
            else [],
            elements=_elements_of(kind, request["elements"]),
        )
        return self._disclose.stream(
            requester_of(request["requester"]), selection, after=after, interaction=INTERACTION, entity=reference(job)
        )

    async def _types(self, requester: Requester, request: ExportRequest, level: Level, *, lenient: bool) -> list[str]:
        """The types to export: those asked for, or all that the roles open and the hub offers."""
        if request.types is None:
            wanted = [t for t in resource_types() if t not in VIEWS and (level == "system" or is_patient_data(t))]
            return sorted(kind for kind in wanted if self._opens(requester, kind))
        closed = [kind for kind in request.types if not self._opens(requester, kind)]
        if closed and not (lenient and len(closed) < len(request.types)):
            event = audit_event(requester, Action.EXECUTE, INTERACTION, Outcome.REFUSED, [closed[0]], reason="role")
            await self._audit.record_and_commit(event)
            raise Refused(f"the roles of this client do not allow exporting {closed[0]}")
        return [kind for kind in request.types if kind not in closed]

    def _opens(self, requester: Requester, kind: str) -> bool:
        return self._offer.includes(kind) and granted(self._roles, requester, Interaction.READ, kind)

    async def _members(self, requester: Requester, group: str, request: ExportRequest, *, lenient: bool) -> list[str]:
        """The patients of a group that the requester may see; `patient` parameters narrow them down."""
        found = await self._disclose.read(requester, "Group", group)
        if isinstance(found, Refusal):
            if found.code == "forbidden":
                raise Refused(found.because)
            raise NotFound(found.because)
        members = _active_members(json.parse(found.text.encode()))
        if request.patients is None:
            return members
        strangers = set(request.patients) - set(members)
        if strangers and not lenient:
            raise InvalidInput("patient names someone who is no member of the group", code="value")
        return [patient for patient in request.patients if patient not in strangers]


def _active_members(group: Mapping[str, Any]) -> list[str]:
    entries = [entry for entry in group.get("member", ()) if not entry.get("inactive", False)]
    targets = [entry.get("entity", {}).get("reference", "") for entry in entries]
    return list(dict.fromkeys(t.removeprefix("Patient/") for t in targets if t.startswith("Patient/")))


def _slices(patients: Sequence[str] | None) -> Iterable[Sequence[str] | None]:
    """Patients in portions; one portion of everyone when none are named."""
    if patients is None:
        return [None]
    return [patients[start : start + _PATIENTS_AT_ONCE] for start in range(0, len(patients), _PATIENTS_AT_ONCE)]


def _elements_of(kind: str, elements: Sequence[str]) -> tuple[str, ...]:
    """The elements that are wanted of a type: `Patient.name` says something about patients only."""
    return tuple(name.rpartition(".")[2] for name in elements if "." not in name or name.partition(".")[0] == kind)


def _deletions(gone: Sequence[str]) -> bytes:
    """Bundles of DELETE entries, one a line (Bulk Data 2.0, `deleted`)."""
    pages = (gone[start : start + _DELETIONS_IN_A_BUNDLE] for start in range(0, len(gone), _DELETIONS_IN_A_BUNDLE))
    return b"".join(
        json.dump(
            {
                "resourceType": "Bundle",
                "type": "transaction",
                "entry": [{"request": {"method": "DELETE", "url": one}} for one in page],
            }
        )
        + b"\n"
        for page in pages
    )


def _issue_json(issue: Issue) -> dict[str, Any]:
    return {name: getattr(issue, name) for name in ("severity", "code", "expression", "diagnostics")}
