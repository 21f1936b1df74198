"""$import and `healthsync import`: NDJSON into the repository, through the gate in.

    (1) what others refer to first: patients and what belongs to nobody; then the rest, reading the files again
    (2) a portion of lines is one submission, one commit with the place to go on from
    (3) a portion that is refused is halved until the line at fault stands alone: it is rejected, the rest goes in

Resources keep their ids, an import repeated changes nothing. Several processes share the portions (`import_crew`).
"""

from __future__ import annotations

import gc
import os
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from healthsync.domains.access import Interaction, Requester, RolePolicy, granted
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.errors import Conflict, HealthSyncError, InvalidInput, Refused, Unavailable
from healthsync.exchange.ingest import Hidden, Incoming, Ingest, InvalidResource, Submission
from healthsync.exchange.operations.import_crew import Crew, Helper, Portion, Start, beginning, is_done, moved
from healthsync.exchange.operations.jobs import OPERATOR, reference, requester_document, requester_of
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Database, Transaction, is_deadlock
from healthsync.infrastructure.jobs import ClaimLost, Job, JobTable, require_allowed
from healthsync.infrastructure.objects import lines_at, lines_of
from healthsync.infrastructure.telemetry import logger
from healthsync.standards.fhir import json
from healthsync.standards.fhir.compartments import is_patient_data
from healthsync.standards.fhir.outcome import Issue, error, from_error

KIND, INTERACTION = "bulk-import", "$import"
OPERATOR_KIND = "import-files"
"""Imports of the command line: worked off by its own processes, since files are where it is."""

PORTION_LINES = 250
PORTION_BYTES = 4 * 1024 * 1024
LARGE_BYTES = 8 * 1024 * 1024
"""Of files from which on an import is worth the start of all its processes at once."""
_PORTIONS_BETWEEN_SEARCHES = 20
_ATTEMPTS = 5
FIRST, SECOND = 1, 2
_PASSES = (FIRST, SECOND)
"""What others refer to, and the rest."""
_TYPE = re.compile(rb'"resourceType"\s*:\s*"([A-Za-z]{1,40})"')
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


_log = logger(__name__)


class RemoteLines(Protocol):
    """Reads lines of a URL."""

    def __call__(self, url: str, offset: int) -> AsyncIterator[tuple[bytes, int]]:
        """Each line with the offset behind it, from `offset` on."""
        ...


@dataclass(frozen=True, slots=True)
class ImportSources:
    """From where `$import` may read: a folder, hosts by https; and imports of one client at the same time."""

    folder: Path | None
    hosts: Collection[str]
    most_running: int


@dataclass(slots=True)
class _Line:
    """One line and what it became."""

    number: int
    offset: int
    resource: dict[str, Any] | None = None
    issue: Issue | None = None


class BulkImport:
    """Starts imports, and runs them (`Handler` of the kinds `bulk-import` and `import-files`)."""

    def __init__(
        self,
        *,
        database: Database,
        table: JobTable,
        ingest: Ingest,
        audit: AuditService,
        roles: RolePolicy,
        sources: ImportSources,
        remote: RemoteLines,
        processes: int = 1,
    ) -> None:
        self._database, self._table, self._ingest, self._audit = database, table, ingest, audit
        self._roles, self._sources, self._remote = roles, sources, remote
        self._processes = processes
        self.start_helper: Start | None = None
        """How a process is started that helps (`helper` is what it does); None: this one does all."""
        self.helper = Helper(self._job_under, self._store)

    async def start(
        self, requester: Requester, body: Mapping[str, Any], *, url: str, webhook: str | None = None
    ) -> Job:
        """Check a request of a client and queue it: a Parameters resource or a manifest, with `input` as its sources.

        Raises Refused unless the roles let the client write every type, InvalidInput for a source that is not allowed.
        """
        if not all(granted(self._roles, requester, needed, "*") for needed in (Interaction.CREATE, Interaction.UPDATE)):
            await self._refuse(requester, "role")
            raise Refused("the roles of this client do not allow importing; it must be able to write every type")
        try:
            sources = [self._allowed(source) for source in read_sources(body)]
        except InvalidInput:
            await self._refuse(requester, "source")
            raise
        document = {
            "requester": requester_document(requester), "sources": sources, "source": requester.client_id,
            "url": url,
        }  # fmt: skip
        async with self._database.transaction() as tx:
            most = self._sources.most_running
            job = await self._table.add(tx, KIND, requester.client_id, document, webhook=webhook, most_unfinished=most)
            event = audit_event(requester, Action.EXECUTE, INTERACTION, Outcome.PERMITTED, [reference(job)])
            await self._audit.record(tx, event)
        return job

    async def start_files(
        self, files: Sequence[Path], operator: str, *, source: str, processes: int | None = None
    ) -> Job:
        """An import of the command line by some processes, claimed for the caller; one that was interrupted is taken up
        again.

        Raises Conflict when another process is at it.
        """
        document = {
            "operator": operator, "sources": [str(file.resolve()) for file in files], "source": source,
            "sizes": [file.stat().st_size for file in files],
            "processes": processes,
        }  # fmt: skip
        same = {name: document[name] for name in ("sources", "source", "sizes")}
        async with self._database.transaction() as tx:
            for job in await self._table.unfinished(tx, OPERATOR, OPERATOR_KIND):
                if {name: job.request.get(name) for name in same} == same:
                    break
            else:
                return await self._table.add(tx, OPERATOR_KIND, OPERATOR, document, claimed=True)
        taken = await self._table.claim_one(job.id)
        if taken is None:
            lease = int(self._table.lease.total_seconds())
            raise Conflict(f"these files are being imported by another process; if it died, wait {lease} seconds")
        return taken

    async def __call__(self, job: Job) -> Mapping[str, Any]:
        """Run an import from where it stands."""
        position = beginning() | dict(job.position or {})
        numbers = count(position["next"])
        processes = job.request.get("processes") or self._processes
        large = sum(job.request.get("sizes", ())) >= LARGE_BYTES
        crew = Crew(job, partial(self._store, job), self.start_helper, processes - 1, large=large)
        try:
            for pass_ in range(position["pass"], len(_PASSES)):
                portions = (
                    Portion(number, *portion)
                    async for portion in self._portions(job, pass_, position)
                    if not is_done(position, number := next(numbers))
                )
                async with aclosing(portions):
                    await crew.work(portions)  # all of a pass is in store before the next begins
        finally:
            await crew.close()
        return {"sources": len(job.request["sources"])}

    async def _portions(
        self, job: Job, pass_: int, position: Mapping[str, Any]
    ) -> AsyncIterator[tuple[int, list[tuple[int, int, bytes]], tuple[int, int, int, int]]]:
        """File, lines and place behind for the portions of a pass that are not known to be stored. Where a portion ends
        depends on nothing but the files and where it begins: each is the same when an interrupted import goes on."""
        begun = position["file"] if pass_ == position["pass"] else 0
        for file in range(begun, len(job.request["sources"])):
            is_begun = pass_ == position["pass"] and file == begun
            line, offset = (position["line"], position["offset"]) if is_begun else (0, 0)
            lines: list[tuple[int, int, bytes]] = []
            taken = 0
            async for text, behind in self._lines(job.request["sources"][file], offset):
                if text.strip() and _pass_of(text) == _PASSES[pass_]:
                    lines.append((line + 1, offset, text))
                    taken += len(text)
                line, offset = line + 1, behind
                if len(lines) >= PORTION_LINES or taken >= PORTION_BYTES:
                    yield file, lines, (pass_, file, line, offset)
                    lines, taken = [], 0
            if lines:
                yield file, lines, (pass_, file, line, offset)

    async def _job_under(self, id_: UUID, claim: UUID) -> Job:
        """A job that is still under this claim. Raises ClaimLost."""
        async with self._database.connection() as tx:
            job = await self._table.find(tx, id_)
        if job is None or job.claim != claim:
            raise ClaimLost(f"job {id_} was cancelled or is another worker's")
        return job

    async def _lines(self, source: str, offset: int) -> AsyncIterator[tuple[bytes, int]]:
        if source.startswith("https://"):
            require_allowed(source, self._sources.hosts)
            async for entry in self._remote(source, offset):
                yield entry
        else:
            for entry in lines_of(Path(source), offset):
                yield entry

    async def _store(self, job: Job, portion: Portion) -> None:
        """Bring a portion in, with its rejects and its number, in one commit; once, whoever does it. Raises
        ClaimLost."""
        with _no_search_for_cycles:
            await self._try_to_store(job, portion)

    async def _try_to_store(self, job: Job, portion: Portion) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            lines = [_read(*line) for line in portion.lines]
            try:
                async with self._database.transaction() as tx:
                    good = [line for line in lines if line.issue is None]
                    await self._submit(tx, job, good, last=attempt == _ATTEMPTS)
                    rejected = [line for line in lines if line.issue is not None]
                    source = Path(job.request["sources"][portion.file]).name
                    await self._table.add_issues(tx, job, [_reject(line, source, portion.file) for line in rejected])
                    await tx.flush()  # whoever holds the position waits for nothing any more
                    position = beginning() | dict(await self._table.hold_position(tx, job) or {})
                    if is_done(position, portion.number):
                        raise _StoredAlready
                    position = moved(position, portion)
                    await self._table.advance(tx, job, position, step=source_code(position),
                                              done=len(lines) - len(rejected), rejected=len(rejected))  # fmt: skip
                await self._ingest.report()
                return
            except _StoredAlready:
                return
            except Exception as problem:
                if not isinstance(problem, _Overtaken) and not is_deadlock(problem):
                    raise
                if attempt == _ATTEMPTS:
                    raise Unavailable("others write the same resources all the time; the import waits") from None
                cause = type(problem.__cause__ or problem).__name__
                _log.warning("a portion of an import is tried again", kind=job.kind, attempt=attempt, cause=cause)

    async def _submit(self, tx: Transaction, job: Job, lines: Sequence[_Line], *, last: bool) -> None:
        """(3). What is no line's fault, such as a deadlock, is tried again with the whole portion; only when it stays
        is the line rejected that it comes with."""
        if not lines:
            return
        try:
            async with tx.savepoint():
                await self._ingest(tx, self._submission(job, lines))
            return
        except (Unavailable, Conflict) as problem:
            if isinstance(problem, Unavailable) or not last:
                raise _Overtaken from problem
            issue = from_error(problem)
        except InvalidResource as problem:
            issue = problem.issues[0]
        except Hidden as problem:
            issue = from_error(problem)
            if len(lines) == 1:
                await self._audit.record(tx, _withheld(job, problem))
        except HealthSyncError as problem:
            issue = from_error(problem)
        except Exception as problem:
            if not last:
                raise _Overtaken from problem
            _log.error("a resource cannot be imported", kind=job.kind, exc_info=problem)
            issue = error("exception", "the hub failed on this resource; it was logged")
        if len(lines) == 1:
            lines[0].issue = issue
            return
        middle = len(lines) // 2
        await self._submit(tx, job, lines[:middle], last=last)
        await self._submit(tx, job, lines[middle:], last=last)

    def _submission(self, job: Job, lines: Sequence[_Line]) -> Submission:
        incoming = [Incoming(line.resource, "update") for line in lines if line.resource is not None]
        requester = None
        if "requester" in job.request:
            requester = requester_of(job.request["requester"])
            event = audit_event(requester, Action.UPDATE, INTERACTION, Outcome.PERMITTED, [reference(job)])
        else:
            event = AuditEvent(
                action=Action.UPDATE,
                interaction=OPERATOR_KIND,
                outcome=Outcome.PERMITTED,
                user=job.request["operator"],
                purpose_of_use="HOPERAT",
                entities=(reference(job),),
            )
        return Submission(job.request["source"], incoming, event, requester=requester)

    def _allowed(self, source: str) -> str:
        if "://" in source:
            return require_allowed(source, self._sources.hosts)
        folder = self._sources.folder
        if folder is None or not _FILE_NAME.fullmatch(source) or (folder / source).resolve().parent != folder.resolve():
            raise InvalidInput(
                "a source is the name of a file in the hub's import folder (bulk_data.import_folder), or an https "
                "address on a host of bulk_data.import_hosts",
                code="security",
            )
        return str((folder / source).resolve())

    async def _refuse(self, requester: Requester, reason: str) -> None:
        event = audit_event(requester, Action.EXECUTE, INTERACTION, Outcome.REFUSED, [], reason=reason)
        await self._audit.record_and_commit(event)


def _withheld(job: Job, hidden: Hidden) -> AuditEvent:
    """A client's import would have changed what consent withholds from him."""
    requester = requester_of(job.request["requester"])
    entity = "/".join(hidden.key)
    return audit_event(requester, Action.UPDATE, INTERACTION, Outcome.REFUSED, [entity], reason="consent")


class _Overtaken(Exception):
    """Another transaction wrote the same resource: the portion is tried again."""


class _StoredAlready(Exception):
    """By a process that ended before it could say so."""


class _NoSearchForCycles:
    """What a portion makes, hundreds of thousands of objects, has next to no cycles and is freed with it: looking for
    some meanwhile takes an eighth of the time and finds nothing. The next search comes when no portion is at work, or
    behind `_PORTIONS_BETWEEN_SEARCHES`."""

    def __init__(self) -> None:
        self._at_work = self._since = 0
        self._was_enabled = False

    def __enter__(self) -> None:
        if not self._at_work:
            self._was_enabled = gc.isenabled()
            gc.disable()
            self._since = 0
        self._at_work += 1

    def __exit__(self, *_: object) -> None:
        self._at_work -= 1
        self._since += 1
        if not self._was_enabled:
            return
        if not self._at_work:
            gc.enable()
        elif self._since % _PORTIONS_BETWEEN_SEARCHES == 0:
            gc.collect()


_no_search_for_cycles = _NoSearchForCycles()


def read_sources(body: Mapping[str, Any]) -> list[str]:
    """The inputs of a Parameters resource (`input` with part `url`) or of a JSON manifest (`input[].url`).

    Raises InvalidInput when there are none, or for another format than NDJSON.
    """
    if body.get("resourceType") == "Parameters":
        parameters = [entry for entry in _list(body.get("parameter")) if isinstance(entry, dict)]
        formats = [_value(entry) for entry in parameters if entry.get("name") == "inputFormat"]
        inputs = [
            {part.get("name"): _value(part) for part in _list(entry.get("part")) if isinstance(part, dict)}
            for entry in parameters
            if entry.get("name") == "input"
        ]
    else:
        formats = [body["inputFormat"]] if "inputFormat" in body else []
        inputs = [entry for entry in _list(body.get("input")) if isinstance(entry, dict)]
    if any(one not in ("application/fhir+ndjson", "application/ndjson") for one in formats):
        raise InvalidInput("inputFormat: this hub reads application/fhir+ndjson", code="not-supported")
    urls = [entry.get("url") for entry in inputs]
    if not urls or not all(isinstance(url, str) and url for url in urls):
        raise InvalidInput("name the files to import: input with a url each", code="required")
    return [str(url) for url in urls]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _value(entry: Mapping[str, Any]) -> Any:
    return next((value for name, value in entry.items() if name.startswith("value")), None)


def _pass_of(text: bytes) -> int:
    """1 for a patient and for what belongs to no patient, 2 for the rest.

    The first resourceType in a line is nearly always the outermost; where something was written before it, the line is
    read to know.
    """
    kind = _TYPE.search(text)
    if kind is None:
        return SECOND  # no resource; rejected once, in the second pass
    name = kind[1].decode()
    if b"{" in text[: kind.start()].lstrip()[1:]:
        try:
            name = str(json.parse(text.strip()).get("resourceType"))
        except HealthSyncError:
            return SECOND
    return FIRST if name == "Patient" or not is_patient_data(name) else SECOND


async def write_rejects(table: JobTable, job: Job, files: Sequence[Path], target: Path) -> int:
    """Write the rejected lines of an import of the command line to `target` (0600), in their order: file, line, issue
    and the resource.

    Returns how many there are; without any no file is made. The resources are read again from `files`.
    """
    rejected = [issue async for issue in table.issues(job)]
    if not rejected:
        return 0
    rejected.sort(key=lambda issue: (issue["file"], issue["offset"]))
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        for number, file in enumerate(files):
            here = [issue for issue in rejected if issue["file"] == number]
            for issue, text in zip(here, lines_at(file, [issue["offset"] for issue in here]), strict=True):
                out.write(json.dump(_mendable(file.name, issue, text)) + b"\n")
    return len(rejected)


def _mendable(file: str, issue: Mapping[str, Any], text: bytes) -> dict[str, Any]:
    told = {name: issue[name] for name in ("code", "expression", "diagnostics") if issue[name] is not None}
    try:
        content: dict[str, Any] = {"resource": json.parse(text.strip())}
    except HealthSyncError:
        content = {"text": text.decode("utf-8", "replace").rstrip("\n")}
    return {"file": file, "line": issue["line"], "issue": told, **content}


def source_code(position: Mapping[str, Any]) -> str:
    """What is being worked on, as a code for the progress."""
    return f"pass {position['pass'] + 1} file {position['file'] + 1}"


def _read(number: int, offset: int, text: bytes) -> _Line:
    line = _Line(number, offset)
    try:
        line.resource = json.parse(text.strip())
        kind, id_ = line.resource.get("resourceType"), line.resource.get("id")
        if not isinstance(kind, str) or not isinstance(id_, str):
            raise InvalidInput("a resource has a resourceType and an id", code="required")
    except HealthSyncError as problem:
        line.issue = from_error(problem)
    return line


def _reject(line: _Line, source: str, file: int) -> dict[str, Any]:
    """Where a line stands and what is wrong with it, without its content."""
    issue = line.issue or error("exception", "not stored")
    return {
        "severity": "error",
        "code": issue.code,
        "expression": issue.expression,
        "diagnostics": f"line {line.number} of {source}: {issue.diagnostics}",
        "file": file,
        "line": line.number,
        "offset": line.offset,
    }
