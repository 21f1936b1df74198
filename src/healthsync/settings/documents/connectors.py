"""`connectors`: the systems that the hub talks to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from healthsync.settings.documents.names import Names
from healthsync.settings.reading import setting

PLUGINS = {"fhir_connector.FHIRConnector": "fhir-r4", "hl7_connector.HL7Connector": "hl7v2"}
INTERVAL = re.compile(r"[1-9]\d*[smhd]")


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a connector acts."""

    type: Literal["poll", "listen", "cron", "webhook"] = setting("What starts it.")
    interval: str | None = setting("Of a poll: 30s, 5m, 1h, 1d.", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.type == "poll" and not INTERVAL.fullmatch(self.interval or ""):
            yield "interval", "a poll needs an interval such as 30s, 5m, 1h or 1d"


@dataclass(frozen=True, slots=True)
class Connector:
    """A system that the hub talks to."""

    id: str = setting("Name of the connector.")
    type: Literal["fhir-r4", "hl7v2"] = setting("What it speaks.")
    config: dict[str, Any] = setting("Address and options of the transport.")
    schedule: Schedule = setting("When it acts.")
    plugin: str | None = setting("An alias in the registry of connectors; no code is imported by name.", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.plugin is not None and PLUGINS.get(self.plugin) != self.type:
            known = ", ".join(f"{name} ({kind})" for name, kind in PLUGINS.items())
            yield "plugin", f"“{self.plugin}” is not the alias of a {self.type} connector; known: {known}"
        needed = {"fhir-r4": ("endpoint",), "hl7v2": ("host", "port")}[self.type]
        for name in needed:
            if name not in self.config:
                yield "config", f"a {self.type} connector needs {name}"


@dataclass(frozen=True, slots=True)
class ConnectorsDocument:
    """The systems that the hub talks to."""

    connectors: tuple[Connector, ...] = setting(
        "The systems that the hub talks to.",
        later="outbound connectors are not built yet; partners can send to the hub",
    )

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each connector."""
        for at, connector in enumerate(self.connectors):
            if connector.id in [other.id for other in self.connectors[:at]]:
                names.fault(f"connectors[{at}].id", f"“{connector.id}” stands twice; ids are unique")
            config = connector.config
            peer = config.get("endpoint") or f"{config.get('host')}:{config.get('port')}"
            how = f"every {connector.schedule.interval}" if connector.schedule.interval else connector.schedule.type
            if connector.schedule.type == "listen":
                how, peer = "listens", f"{peer} (the peer that may connect)"
            yield f"connector {connector.id}: {connector.type}, {peer}, {how}"
