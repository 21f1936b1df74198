"""The register of every route and channel that can carry patient data, each with its gate.

An entry point takes its routes from here, so a route that is not registered does not exist; a test walks the register
and proves of each surface with patient data that it refuses strangers (401) and falls silent when audit cannot be
written (503).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Gate(StrEnum):
    """What guards a surface."""

    DISCLOSE = "exchange.disclose"
    INGEST = "exchange.ingest"
    RECEIVE = "exchange.receive_message"
    OPERATOR = "operator on the data folder; recorded in the audit log"
    NONE = "carries no patient data"


@dataclass(frozen=True, slots=True)
class Surface:
    """One way in or out. `path` uses {placeholders}; for channels other than HTTP it names the command or protocol."""

    name: str
    channel: str
    method: str
    path: str
    gate: Gate
    because: str = ""

    @property
    def carries_patient_data(self) -> bool:
        """Whether a patient's data can pass."""
        return self.gate is not Gate.NONE


def _http(name: str, method: str, path: str, gate: Gate, because: str = "") -> Surface:
    return Surface(name, "http", method, path, gate, because)


SURFACES: tuple[Surface, ...] = (
    _http("fhir.capabilities", "GET", "/fhir/metadata", Gate.NONE, "what the server can do"),
    _http("fhir.everything", "GET", "/fhir/Patient/{id}/$everything", Gate.DISCLOSE),
    _http("fhir.search", "GET", "/fhir/{type}", Gate.DISCLOSE),
    _http("fhir.search_post", "POST", "/fhir/{type}/_search", Gate.DISCLOSE),
    _http("fhir.create", "POST", "/fhir/{type}", Gate.INGEST),
    _http("fhir.read", "GET", "/fhir/{type}/{id}", Gate.DISCLOSE),
    _http("fhir.update", "PUT", "/fhir/{type}/{id}", Gate.INGEST),
    _http("fhir.delete", "DELETE", "/fhir/{type}/{id}", Gate.INGEST),
    _http("fhir.history", "GET", "/fhir/{type}/{id}/_history", Gate.DISCLOSE),
    _http("fhir.vread", "GET", "/fhir/{type}/{id}/_history/{version}", Gate.DISCLOSE),
    _http("fhir.bundle", "POST", "/fhir", Gate.INGEST, "batch and transaction; their reads pass the gate out"),
    _http("healthsync.patient", "GET", "/api/v1/healthsync/patients/{id}", Gate.DISCLOSE),
    _http("metrics", "GET", "/metrics", Gate.NONE, "counts by code; the label filter drops anything else"),
    _http("livez", "GET", "/livez", Gate.NONE, "alive or not"),
    _http("readyz", "GET", "/readyz", Gate.NONE, "ready or not"),
    Surface("mllp.receive", "mllp", "MLLP", "HL7 v2 messages in, acknowledgements out", Gate.RECEIVE),
    Surface("cli.messages.show", "cli", "run", "healthsync messages show", Gate.OPERATOR),
    Surface("cli.messages.list", "cli", "run", "healthsync messages list", Gate.NONE, "control ids, types and states"),
    Surface("cli.messages.replay", "cli", "run", "healthsync messages replay", Gate.INGEST),
    Surface("cli.audit", "cli", "run", "healthsync audit", Gate.NONE, "references and codes; queries stay sealed"),
)


def surface(name: str) -> Surface:
    """The registered surface of this name. Raises KeyError when it was never registered."""
    return _BY_NAME[name]


_BY_NAME = {entry.name: entry for entry in SURFACES}
