"""Check configuration documents without starting or contacting anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from healthsync.errors import ConfigurationError, InvalidInput
from healthsync.settings.documents import DOCUMENTS, Document, Names
from healthsync.settings.loading import LoadedSettings, read_settings, warnings_of
from healthsync.settings.reading import InvalidSettings, Node, Problem, Reader, later_keys, parse
from healthsync.standards.logical_tables import LogicalTables

_Document = TypeVar("_Document", bound=Document)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one file."""

    file: Path
    kind: str
    understood: list[str] = field(default_factory=list)
    not_yet_in_effect: Mapping[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def correct(self) -> bool:
        """Whether the file can be used as it stands."""
        return not self.problems


def check_documents(
    files: list[Path], *, environ: Mapping[str, str] | None = None, insecure_development: bool = False
) -> list[Report]:
    """Check each file; a dictionary (`tables:`) among them extends ours for the others."""
    roots: dict[Path, Node | Report] = {path: _parsed(path) for path in files}
    tables = LogicalTables.load()
    reports = {}
    for path, root in roots.items():
        if isinstance(root, Node) and "tables" in root.value:
            reports[path], tables = _check_dictionary(path, root, tables)
    for path, root in roots.items():
        if isinstance(root, Report):
            reports[path] = root
        elif path not in reports:
            reports[path] = _check(path, root, tables, environ, insecure_development)
    return [reports[path] for path in files]


def read_document(path: Path, kind: type[_Document]) -> _Document:
    """A configuration document that the hub works by. Raises ConfigurationError with every fault."""
    try:
        root = parse(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {_why(error)}") from None
    reader = Reader(folder=path.parent)
    document = reader.read(kind, root, "")
    if document is not None:
        list(document.describe(Names(LogicalTables.load(), reader)))
    if reader.problems or document is None:
        raise InvalidSettings(reader.problems)
    return document


def _parsed(path: Path) -> Node | Report:
    try:
        root = parse(path.read_text(encoding="utf-8"), path.name)
    except InvalidSettings as error:
        return Report(path, "unreadable", problems=error.problems)
    except (OSError, UnicodeDecodeError) as error:
        return Report(path, "unreadable", problems=[Problem("", str(path), f"cannot be read: {_why(error)}")])
    if not isinstance(root.value, dict):
        return Report(path, "unknown", problems=[Problem("", root.at, f"needs one of these at the top: {_tops()}")])
    return root


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is not UTF-8 text"


def _tops() -> str:
    return ", ".join(("healthsync", *DOCUMENTS, "tables"))


def _check(
    path: Path, root: Node, tables: LogicalTables, environ: Mapping[str, str] | None, insecure_development: bool
) -> Report:
    if "healthsync" in root.value:
        return _check_settings(path, environ, insecure_development)
    kind = next((DOCUMENTS[name] for name in root.value if name in DOCUMENTS), None)
    if kind is None:
        top = next(iter(root.value), "")
        return Report(
            path, "unknown", problems=[Problem(top, root.at, f"no document is known by this key; known: {_tops()}")]
        )
    reader = Reader(folder=path.parent)
    document = reader.read(kind, root, "")
    understood = list(document.describe(Names(tables, reader))) if document is not None else []
    name = next(name for name in root.value if name in DOCUMENTS)
    return Report(path, name, understood, later_keys(kind, reader.written), reader.problems)


def _check_settings(path: Path, environ: Mapping[str, str] | None, insecure_development: bool) -> Report:
    try:
        loaded = read_settings(path, environ=environ, insecure_development=insecure_development)
    except InvalidSettings as error:
        return Report(path, "healthsync", problems=error.problems)
    except ConfigurationError as error:
        return Report(path, "healthsync", problems=[Problem("", str(path), str(error))])
    return Report(path, "healthsync", list(_settings_sentences(loaded)), loaded.not_yet_in_effect())


def _settings_sentences(loaded: LoadedSettings) -> Iterator[str]:
    settings = loaded.settings
    mllp, http, encryption = settings.mllp, settings.http, settings.hipaa.encryption
    database = "an own PostgreSQL, supervised" if settings.database.url is None else "the PostgreSQL of database.url"
    yield f"hub {settings.hub.name}, times without offset in {settings.hub.time_zone}"
    yield f"HL7 v2 on {mllp.host}:{mllp.port}, {_tls(mllp.tls.enabled)}, {settings.hl7.ack_mode} acknowledgement"
    yield f"FHIR {settings.fhir.version} on {http.host}:{http.port}{settings.fhir.base_path}, {_tls(http.tls)}"
    yield f"data in {database}; sealed with {encryption.algorithm}, keys by {encryption.key_provider}"
    yield f"consent {settings.consent.policy}; audit {'on' if settings.hipaa.audit.enabled else 'OFF'}"
    yield from (f"warning: {warning}" for warning in warnings_of(settings))


def _tls(present: object) -> str:
    return "TLS" if present else "no TLS"


def _check_dictionary(path: Path, root: Node, tables: LogicalTables) -> tuple[Report, LogicalTables]:
    try:
        extended = LogicalTables.load(root.plain())
    except InvalidInput as error:
        return Report(path, "tables", problems=[Problem("tables", root.at, str(error))]), tables
    names = ", ".join(root.plain()["tables"])
    return Report(path, "tables", [f"extends the dictionary of logical tables: {names}"]), extended
