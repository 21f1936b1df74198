"""Read healthsync.yaml once: file, then environment, then command line, each over the one before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from healthsync.errors import ConfigurationError
from healthsync.settings.reading import InvalidSettings, Node, Problem, Reader, keys_of, later_keys, parse
from healthsync.settings.tree import Settings

FILE_NAME = "healthsync.yaml"
PREFIX = "HEALTHSYNC_"
LOOPBACK = ("127.0.0.1", "::1", "localhost")

SWITCHES = {
    "compliance.hipaa.enabled": "sealing, access control, consent and audit",
    "compliance.hipaa.audit.enabled": "the record of every access",
    "compliance.hipaa.audit.tamper_proof": "the proof that the record was not changed",
}


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and what their reader noticed."""

    settings: Settings
    folder: Path
    written: Mapping[str, Any]

    def not_yet_in_effect(self) -> dict[str, str]:
        """The written keys whose capability is still to come, with the reason."""
        return later_keys(Settings, self.written)


def load_settings(
    source: Path | None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    insecure_development: bool = False,
) -> Settings:
    """The settings of the hub whose file or data folder is `source` (None: defaults only).

    `environ` is the process environment unless given; `HEALTHSYNC_HTTP__PORT=8081` sets `http.port`. `overrides` are
    command-line options by dotted key and outrank both. Raises InvalidSettings with every fault at once, and
    ConfigurationError when there is no file.
    """
    return read_settings(
        source, environ=environ, overrides=overrides, insecure_development=insecure_development
    ).settings


def read_settings(
    source: Path | None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    insecure_development: bool = False,
) -> LoadedSettings:
    """As `load_settings`, with what was written by the operator beside it: for `config check`."""
    environ = os.environ if environ is None else environ  # noqa: TID251 - the one place that reads it
    path = _file(source) if source else None
    document = _document(path) if path else Node({}, "defaults")
    folder = (path.parent if path else Path()).resolve()
    reader = Reader(folder=folder, environ=environ)
    _overlay(document, _from_environment(environ, reader))
    _overlay(document, {key: Node(value, "command line") for key, value in (overrides or {}).items()})
    settings = reader.read(Settings, document, "")
    if settings is not None and not insecure_development:
        reader.problems += _refused_switches(settings, reader)
    if reader.problems:
        raise InvalidSettings(reader.problems)
    return LoadedSettings(_resolved(settings, folder), folder, reader.written)


def warnings_of(settings: Settings) -> list[str]:
    """What an operator must hear at every start."""
    warnings = []
    if settings.development:
        warnings.append("development is on: unknown partners on this machine are admitted; never for real patients")
    if not settings.hipaa.enabled or not settings.hipaa.audit.enabled:
        warnings.append("INSECURE: HIPAA controls or the audit log are switched off; never for real patients")
    if settings.http.tls is None and settings.http.host not in LOOPBACK:
        warnings.append(f"plain HTTP on {settings.http.host}: put a TLS proxy in front or set http.tls")
    if not settings.mllp.tls.enabled and settings.mllp.host not in LOOPBACK:
        warnings.append(f"plain MLLP on {settings.mllp.host}: messages can be read on the network; set hl7.mllp.tls")
    return warnings


def require_startable(settings: Settings) -> None:
    """Refuse to serve with settings whose silent neglect would be unsafe. Raises ConfigurationError.

    `config check` accepts these documents; a hub must not run as if it did what they say.
    """
    provider = settings.hipaa.encryption.key_provider
    if provider != "local":
        raise ConfigurationError(
            f"compliance.hipaa.encryption.key_provider: “{provider}” is not built yet; set it to local, or wait: "
            "a hub never keeps keys in another place than its settings say"
        )


def _file(source: Path) -> Path:
    path = source if source.suffix in {".yaml", ".yml"} and not source.is_dir() else source / FILE_NAME
    if not path.is_file():
        raise ConfigurationError(f"no settings at {path}; run: healthsync init {path.parent}")
    return path


def _document(path: Path) -> Node:
    try:
        root = parse(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"{path} cannot be read: {why}") from None
    if not isinstance(root.value, dict) or list(root.value) != ["healthsync"]:
        raise InvalidSettings([Problem("", root.at, "the file must have one block at the top: `healthsync:`")])
    node = root.value["healthsync"]
    return Node({}, node.at) if node.value is None else node


def environment_with(overrides: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that shall see other values of some dotted keys: secrets are no arguments."""
    named = {PREFIX + key.upper().replace(".", "__"): value for key, value in overrides.items()}
    return {**os.environ, **named}  # noqa: TID251 - the one place that reads it


def _from_environment(environ: Mapping[str, str], reader: Reader) -> dict[str, Node]:
    found = {}
    for name, text in sorted(environ.items()):
        key = name.removeprefix(PREFIX).lower().replace("__", ".")
        if name.startswith(PREFIX) and ("__" in name or key in keys_of(Settings)):
            found[key] = _scalar_of(text, name, key, reader)
    return found


def _scalar_of(text: str, name: str, key: str, reader: Reader) -> Node:
    try:
        return Node(parse(text, name).value if text else None, f"environment {name}")
    except InvalidSettings as error:
        reader.problems += [Problem(key, f"environment {name}", problem.message) for problem in error.problems]
        return Node(None, f"environment {name}")


def _overlay(document: Node, values: Mapping[str, Node]) -> None:
    if not isinstance(document.value, dict):
        return  # the reader says what belongs there
    for key, node in values.items():
        *blocks, last = key.split(".")
        block = document
        for name in blocks:
            inner = block.value.get(name)
            if inner is None or not isinstance(inner.value, dict):
                inner = block.value[name] = Node({}, node.at)
            block = inner
        block.value[last] = node


def _refused_switches(settings: Settings, reader: Reader) -> list[Problem]:
    """Safety is not switched off by a line in a file alone."""
    return [
        Problem(
            key,
            reader.positions.get(key, "settings"),
            f"false would switch off {what}; set it to true, or start with --insecure-development "
            "(never for real patients)",
        )
        for key, what in SWITCHES.items()
        if _value(settings, key) is False
    ]


def _value(settings: Any, key: str) -> Any:
    for name in key.split("."):
        settings = getattr(settings, name)
    return settings


def _resolved(block: Any, folder: Path) -> Any:
    """Default paths start at the folder too."""
    changes = {}
    for entry in fields(block):
        value = getattr(block, entry.name)
        if isinstance(value, Path) and not value.is_absolute():
            changes[entry.name] = folder / value
        elif is_dataclass(value) and not isinstance(value, type):
            changes[entry.name] = _resolved(value, folder)
    return replace(block, **changes) if changes else block
