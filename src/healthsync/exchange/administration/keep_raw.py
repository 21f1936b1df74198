"""The raw zone: how long bytes are kept, and archives of them.

Bytes of a source and a day go together, with their key, and only when nothing of them waits or is a dead letter. Before
they go the audit log knows it. What the messages were, and what became of them, stays known.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import structs

from healthsync.domains.audit import Action, AuditEvent, AuditService
from healthsync.domains.messages import Arrival, DayOfRaw, MessageService, RawTerm, control_id_of, key_scope, type_of
from healthsync.domains.privacy import DataKeys
from healthsync.errors import Conflict, InvalidInput
from healthsync.exchange.ports import KeyProvider
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.objects.sealed import SealedLines, open_lines
from healthsync.infrastructure.telemetry import logger
from healthsync.standards.hl7v2 import Hl7SyntaxError, Message

FORMAT = "healthsync-raw-zone/1"
MANIFEST = "manifest.json"

_PAGE = 500
_READ_BYTES = 256 * 1024
_GZIP_LEVEL = 1
_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Retired:
    """A source and a day whose term is over. `because` says why its bytes are still there; None: they are gone."""

    source: str
    day: date
    messages: int
    because: str | None = None


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of an archive: all that a source sent on a day. `sha256` is that of the file as it lies there."""

    path: str
    source: str
    day: date
    messages: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Brought:
    """What an archive brought: messages that were here, that have their bytes again, that are new."""

    known: int
    bytes: int
    new: int


class KeepRaw:
    """The flows. `keep_days` is the term of sources that have none of their own; None: for good."""

    def __init__(
        self,
        *,
        database: Database,
        messages: MessageService,
        data_keys: DataKeys,
        audit: AuditService,
        keyring: KeyProvider,
        clock: Clock,
        keep_days: int | None,
    ) -> None:
        self._database, self._messages, self._data_keys = database, messages, data_keys
        self._audit, self._keyring, self._clock, self._keep_days = audit, keyring, clock, keep_days

    # Terms.

    async def terms(self) -> list[RawTerm]:
        """Terms and holds that differ from the setting, by source."""
        async with self._database.connection() as tx:
            return list((await self._messages.terms(tx)).values())

    async def keep(self, source: str, days: int | None, by: AuditEvent) -> None:
        """Keep the bytes of a source for so many days; None: as the setting says."""
        if days is not None and days < 1:
            raise InvalidInput("bytes are kept for one day at least", code="value")
        async with self._database.transaction() as tx:
            term = await self._messages.term(tx, source)
            await self._change(tx, replace(term, keep_days=days), by)

    async def hold(self, source: str, reason: str | None, by: AuditEvent) -> None:
        """Set a legal hold (a code, such as a case number), or release it with None."""
        async with self._database.transaction() as tx:
            term = await self._messages.term(tx, source)
            await self._change(tx, replace(term, hold_reason=reason), by)

    async def _change(self, tx: Transaction, term: RawTerm, by: AuditEvent) -> None:
        await self._audit.record(tx, structs.replace(by, action=Action.UPDATE, entities=(f"Partner/{term.source}",)))
        await self._messages.set_term(tx, replace(term, changed_by=by.user or "unknown"), self._clock.now())

    async def retire(self, by: AuditEvent, *, dry_run: bool = False) -> list[Retired]:
        """Destroy what is past its term; answers what was due, and of what is still there why."""
        today = self._clock.now().date()
        async with self._database.connection() as tx:
            terms = await self._messages.terms(tx)
            days = await self._messages.days(tx)
        shortest = min([t.keep_days for t in terms.values() if t.keep_days] + [self._keep_days or _FOR_GOOD])
        found: list[Retired] = []
        for day in days:
            if (today - day).days <= shortest:
                break
            found += await self._retire_day(day, today, by, dry_run)
        return found

    async def _retire_day(self, day: date, today: date, by: AuditEvent, dry_run: bool) -> list[Retired]:
        async with self._database.transaction() as tx:
            held = await self._messages.sources_of_day(tx, day)
            terms = {each.source: await self._messages.term(tx, each.source) for each in held}
            judged = [
                (each, _why_kept(each, terms[each.source]))
                for each in held
                if (today - day).days > (terms[each.source].keep_days or self._keep_days or _FOR_GOOD)
            ]
            going = [each for each, because in judged if because is None]
            if going and not dry_run:
                await self._destroy(tx, day, going, by, whole=len(going) == len(held))
        return [Retired(each.source, day, each.messages, because) for each, because in judged]

    async def _destroy(
        self, tx: Transaction, day: date, going: Sequence[DayOfRaw], by: AuditEvent, *, whole: bool
    ) -> None:
        entities = tuple(f"RawMessages/{each.source}/{day}" for each in going)
        await self._audit.record(tx, structs.replace(by, action=Action.DELETE, entities=entities))
        await self._messages.destroy(tx, day, [each.source for each in going], self._clock.now(), whole=whole)
        for each in going:
            await self._data_keys.destroy(tx, key_scope(each.source, day))
            if not await self._messages.has_old_bytes(tx, each.source):
                await self._data_keys.destroy(tx, f"messages/{each.source}")
            _log.info("bytes of messages were destroyed at the end of their term", source=each.source,
                      count=each.messages)  # fmt: skip

    # Archives.

    async def export(
        self,
        folder: Path,
        by: AuditEvent,
        *,
        source: str | None = None,
        since: date | None = None,
        until: date | None = None,
        plain: bool = False,
    ) -> list[ArchiveFile]:
        """Write a file for each source and day into a new folder, and a manifest beside them.

        Files are sealed under a key of the archive, which the key provider wraps: only a hub with its keyring opens
        them. With `plain` they hold what patients' messages say, in the clear. Each file is recorded before its first
        byte. Raises Conflict when the folder holds an archive already.
        """
        if (folder / MANIFEST).exists():
            raise Conflict(f"{folder} holds an archive already; name a new folder")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key, archive = os.urandom(32), os.urandom(8).hex()
        files: list[ArchiveFile] = []
        async with self._database.connection() as tx:
            days = [d for d in await self._messages.days(tx) if (not since or d >= since) and (not until or d < until)]
        for day in days:
            async with self._database.connection() as tx:
                held = await self._messages.sources_of_day(tx, day, source)
            files += [await self._export_day(folder, each, by, None if plain else (key, archive)) for each in held]
        self._write_manifest(folder, files, None if plain else (key, archive))
        return files

    async def _export_day(
        self, folder: Path, held: DayOfRaw, by: AuditEvent, seal: tuple[bytes, str] | None
    ) -> ArchiveFile:
        name = f"{held.source}/{held.day}.ndjson" + (".sealed" if seal else "")
        entity = f"RawMessages/{held.source}/{held.day}"
        await self._audit.record_and_commit(structs.replace(by, action=Action.READ, entities=(entity,)))
        path = folder / name
        path.parent.mkdir(exist_ok=True, mode=0o700)
        with _private(path) as file:
            target = _Target(file, SealedLines(seal[0], f"{seal[1]}/{name}", _GZIP_LEVEL) if seal else None)
            count = 0
            async for line in self._lines(held.source, held.day):
                target.write(line)
                count += 1
            target.end()
        return ArchiveFile(name, held.source, held.day, count, target.bytes, target.hash.hexdigest())

    async def _lines(self, source: str, day: date) -> AsyncIterator[bytes]:
        after = 0
        while True:
            async with self._database.connection() as tx:
                page = await self._messages.page_of_day(tx, source, day, after, _PAGE)
                places = {message.key for message, _, _ in page if message.key}
                keys = await self._data_keys.of_versions(tx, places)
            for message, control_id, state in page:
                content = self._messages.open(message, keys)
                yield msgspec.json.encode({
                    "sequence": message.sequence,
                    "received_at": message.received_at.isoformat(),
                    "source": source,
                    "type": message.type,
                    "control_id": control_id,
                    "state": state,
                    "digest": message.digest.hex(),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "content": base64.b64encode(content).decode(),
                }) + b"\n"  # fmt: skip
            if len(page) < _PAGE:
                return
            after = page[-1][0].sequence

    def _write_manifest(self, folder: Path, files: Sequence[ArchiveFile], seal: tuple[bytes, str] | None) -> None:
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "hub": self._keyring.hub_id,
            "made_at": self._clock.now().isoformat(),
            "sealed": None,
            "files": [asdict(file) | {"day": str(file.day)} for file in files],
        }
        if seal is not None:
            version, wrapped = self._keyring.wrap(seal[0])
            manifest["sealed"] = {"archive": seal[1], "key_version": version, "key": base64.b64encode(wrapped).decode()}
        manifest["proof"] = self._proof(manifest)
        with _private(folder / MANIFEST) as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")

    def _proof(self, manifest: dict[str, Any]) -> str:
        """What only this hub can write beside a manifest: that of another hub is taken by its hashes alone."""
        told = {name: value for name, value in manifest.items() if name != "proof"}
        key = self._keyring.derive("raw zone archive")
        return hmac.new(key, msgspec.json.encode(told, order="sorted"), "sha256").hexdigest()

    async def restore(self, folder: Path, by: AuditEvent) -> Brought:
        """Bring an archive back. Raises InvalidInput for one that is damaged, before anything of the file is stored.

        What is here stays as it is; bytes that were destroyed come back; what is new waits, dead, for a replay.
        """
        manifest = _manifest(folder)
        if manifest["hub"] == self._keyring.hub_id and not hmac.compare_digest(
            self._proof(manifest), str(manifest.get("proof"))
        ):
            raise InvalidInput(f"{MANIFEST} was changed after this hub wrote it", code="security")
        sealed = manifest["sealed"]
        key = self._keyring.unwrap(sealed["key_version"], base64.b64decode(sealed["key"])) if sealed else None
        counts = {"known": 0, "bytes": 0, "new": 0}
        for entry in manifest["files"]:
            path = _inside(folder, entry["path"])
            _check(path, entry["sha256"])
            data = _pieces(path)
            name = f"{sealed['archive']}/{entry['path']}" if sealed else ""
            text = open_lines(key, name, data, compressed=False) if key is not None else data
            batch: list[dict[str, Any]] = []
            async for line in _split(text):
                batch.append(msgspec.json.decode(line))
                if len(batch) == _PAGE:
                    await self._restore_batch(batch, entry, by, counts)
                    batch = []
            await self._restore_batch(batch, entry, by, counts)
        return Brought(**counts)

    async def _restore_batch(
        self, batch: Sequence[dict[str, Any]], entry: dict[str, Any], by: AuditEvent, counts: dict[str, int]
    ) -> None:
        async with self._database.transaction() as tx:
            entities = (f"RawMessages/{entry['source']}/{entry['day']}",)
            await self._audit.record(tx, structs.replace(by, action=Action.CREATE, entities=entities))
            for told in batch:
                arrival = self._arrival(told)
                key = await self._data_keys.for_scope(tx, arrival.key_scope)
                digest = bytes.fromhex(told["digest"])
                outcome = await self._messages.restore(tx, arrival, digest, key, self._clock.now())
                counts[outcome.value] += 1

    def _arrival(self, told: dict[str, Any]) -> Arrival:
        content = base64.b64decode(told["content"])
        if hashlib.sha256(content).hexdigest() != told["sha256"]:
            raise InvalidInput(f"message {told['sequence']} of the archive was changed", code="security")
        message = None
        with suppress(Hl7SyntaxError):
            message = Message.parse(content)
        return Arrival(
            source=told["source"],
            received_at=datetime.fromisoformat(told["received_at"]),
            control_id=control_id_of(message) if message else "",
            type=type_of(message),
            raw=content,
            size_bytes=len(content),
            lanes=self._messages.lanes(told["source"], message) if message else (),
            acknowledgement=None,
        )


_FOR_GOOD = timedelta.max.days


def _why_kept(held: DayOfRaw, term: RawTerm) -> str | None:
    if term.hold_reason is not None:
        return f"legal hold {term.hold_reason}"
    if held.unsettled:
        return f"{held.unsettled} messages wait or are dead letters"
    return None


class _Target:
    """A file that is written, sealed or not, with its hash."""

    def __init__(self, file: BinaryIO, lines: SealedLines | None) -> None:
        self._file, self._lines, self._written = file, lines, 0
        self.hash, self.bytes = hashlib.sha256(), 0

    def write(self, line: bytes) -> None:
        """One more line."""
        if self._lines is None:
            self._put(line)
        else:
            self._lines.add(line)
            self._drain(self._lines)

    def end(self) -> None:
        """What waits goes too, and onto the disk."""
        if self._lines is not None:
            self._lines.end()
            self._drain(self._lines)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _drain(self, lines: SealedLines) -> None:
        """The parts that are whole; their places stay counted."""
        for place in range(self._written, len(lines.parts)):
            self._put(lines.parts[place])
            lines.parts[place] = b""
        self._written = len(lines.parts)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.hash.update(data)
        self.bytes += len(data)


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    except (OSError, msgspec.DecodeError):
        raise InvalidInput(f"{folder} holds no archive: {MANIFEST} is missing or damaged", code="structure") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InvalidInput(f"{folder / MANIFEST} is not of the form {FORMAT}", code="structure")
    return manifest


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InvalidInput("a file of the archive lies outside its folder", code="security")
    return path


def _check(path: Path, sha256: str) -> None:
    found = hashlib.sha256()
    try:
        for piece in _blocks(path):
            found.update(piece)
    except OSError:
        raise InvalidInput(f"{path.name} of the archive is missing", code="not-found") from None
    if found.hexdigest() != sha256:
        raise InvalidInput(f"{path.name} of the archive was changed or cut: its hash is another", code="security")


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            yield piece


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    for piece in _blocks(path):
        yield piece


async def _split(text: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    waiting = b""
    async for piece in text:
        *lines, waiting = (waiting + piece).split(b"\n")
        for line in lines:
            yield line
