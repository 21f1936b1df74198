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
    SEALS = "exchange.applications: the role is asked, what comes is sealed and recorded"
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


_OWN_STATE = "state and counts of the caller's own subscriptions"
_APP = "/api/v1/healthsync/applications/{application}"
_OF_THE_CALLER = "looks at what the caller sent and at nothing else; each call is recorded"
_SOCKET = "opens a socket for the caller's own subscriptions; each notification passes the gate"


def _operation(name: str, path: str, gate: Gate, because: str = "", *, instance: bool = False) -> list[Surface]:
    """An operation that changes nothing is asked by GET and by POST (operations.html), maybe of an instance too."""
    surfaces = [
        _http(name, "GET", f"/fhir/{path}", gate, because),
        _http(f"{name}.post", "POST", f"/fhir/{path}", gate, because),
    ]
    if instance:
        resource_type, _, operation = path.partition("/")
        surfaces += _operation(f"{name}.instance", f"{resource_type}/{{id}}/{operation}", gate, because)
    return surfaces


_WHERE_TO = "addresses, states and counts of destinations, for administrators; no message content"
_NO_CONTENT = "control ids, types, states and reasons, for administrators"
_PATHS_ONLY = "names elements and counts, never values, for administrators; recorded"
_WHO_IS_WHO = "references, codes and which fields agree, for stewards; each look and act is recorded"
_MODELS = "numbers, codes and names of sources, nothing of a patient, for administrators; recorded"
_IDENTITY = "/api/v1/healthsync/identity"
_CODES_ONLY = "says what codes mean; needs a client's credential all the same"
_LOCAL_CODES = "codes and counts for an administrator, nothing of a patient; changes are audited"


SURFACES: tuple[Surface, ...] = (
    _http("fhir.capabilities", "GET", "/fhir/metadata", Gate.NONE, "what the server can do"),
    _http("fhir.options", "OPTIONS", "/fhir", Gate.NONE, "what the server can do"),
    _http("fhir.everything", "GET", "/fhir/{type}/{id}/$everything", Gate.DISCLOSE),
    _http("fhir.everything_post", "POST", "/fhir/{type}/{id}/$everything", Gate.DISCLOSE),
    _http("fhir.golden", "GET", "/fhir/Patient/{id}/$golden", Gate.DISCLOSE),
    _http("fhir.match", "POST", "/fhir/Patient/$match", Gate.DISCLOSE),
    _http("fhir.idi_match", "POST", "/fhir/Patient/$idi-match", Gate.DISCLOSE),
    _http("fhir.search_system", "GET", "/fhir", Gate.DISCLOSE),
    _http("fhir.search_system_post", "POST", "/fhir/_search", Gate.DISCLOSE),
    _http("fhir.search_compartment", "GET", "/fhir/{compartment}/{id}/{type}", Gate.DISCLOSE),
    _http("fhir.search_compartment_post", "POST", "/fhir/{compartment}/{id}/{type}/_search", Gate.DISCLOSE),
    _http("fhir.search", "GET", "/fhir/{type}", Gate.DISCLOSE),
    _http("fhir.search_post", "POST", "/fhir/{type}/_search", Gate.DISCLOSE),
    _http("fhir.create", "POST", "/fhir/{type}", Gate.INGEST),
    _http("fhir.read", "GET", "/fhir/{type}/{id}", Gate.DISCLOSE),
    _http("fhir.update", "PUT", "/fhir/{type}/{id}", Gate.INGEST),
    _http("fhir.patch", "PATCH", "/fhir/{type}/{id}", Gate.INGEST),
    _http("fhir.delete", "DELETE", "/fhir/{type}/{id}", Gate.INGEST),
    _http("fhir.update_where", "PUT", "/fhir/{type}", Gate.INGEST),
    _http("fhir.patch_where", "PATCH", "/fhir/{type}", Gate.INGEST),
    _http("fhir.delete_where", "DELETE", "/fhir/{type}", Gate.INGEST),
    _http("fhir.history", "GET", "/fhir/{type}/{id}/_history", Gate.DISCLOSE),
    _http("fhir.validate", "POST", "/fhir/{type}/$validate", Gate.DISCLOSE, "the answer names places, never values"),
    _http("fhir.validate_instance", "POST", "/fhir/{type}/{id}/$validate", Gate.DISCLOSE),
    _http("fhir.validate_stored", "GET", "/fhir/{type}/{id}/$validate", Gate.DISCLOSE),
    _http("fhir.meta", "GET", "/fhir/{type}/{id}/$meta", Gate.DISCLOSE),
    _http("fhir.meta_post", "POST", "/fhir/{type}/{id}/$meta", Gate.DISCLOSE),
    _http("fhir.meta_type", "GET", "/fhir/{type}/$meta", Gate.DISCLOSE),
    _http("fhir.meta_type_post", "POST", "/fhir/{type}/$meta", Gate.DISCLOSE),
    _http("fhir.meta_system", "GET", "/fhir/$meta", Gate.DISCLOSE),
    _http("fhir.meta_system_post", "POST", "/fhir/$meta", Gate.DISCLOSE),
    _http("fhir.meta_add", "POST", "/fhir/{type}/{id}/$meta-add", Gate.INGEST),
    _http("fhir.meta_delete", "POST", "/fhir/{type}/{id}/$meta-delete", Gate.INGEST),
    _http("fhir.history_type", "GET", "/fhir/{type}/_history", Gate.DISCLOSE),
    _http("fhir.history_system", "GET", "/fhir/_history", Gate.DISCLOSE),
    _http("fhir.vread", "GET", "/fhir/{type}/{id}/_history/{version}", Gate.DISCLOSE),
    _http("fhir.bundle", "POST", "/fhir", Gate.INGEST, "batch and transaction; their reads pass the gate out"),
    _http("healthsync.openapi", "GET", "/api/v1/healthsync/openapi.json", Gate.NONE, "what this API can do"),
    _http("healthsync.messages", "GET", "/api/v1/healthsync/messages", Gate.NONE, _NO_CONTENT),
    _http("healthsync.message", "GET", "/api/v1/healthsync/messages/{id}", Gate.NONE, _NO_CONTENT),
    _http("healthsync.messages_replay", "POST", "/api/v1/healthsync/messages/replay", Gate.INGEST),
    _http("healthsync.message_copy", "POST", "/api/v1/healthsync/messages/{id}/copy", Gate.INGEST),
    _http("healthsync.message_compare", "POST", "/api/v1/healthsync/messages/{id}/compare", Gate.NONE, _PATHS_ONLY),
    _http("healthsync.quality", "GET", "/api/v1/healthsync/quality", Gate.NONE, "points, ids of rules and counts"),
    _http("identity.tasks", "GET", f"{_IDENTITY}/review", Gate.NONE, _WHO_IS_WHO),
    _http("identity.task", "GET", f"{_IDENTITY}/review/{{id}}", Gate.NONE, _WHO_IS_WHO),
    _http("identity.records", "GET", f"{_IDENTITY}/review/{{id}}/records", Gate.DISCLOSE),
    _http("identity.decide", "POST", f"{_IDENTITY}/review/{{id}}", Gate.NONE, _WHO_IS_WHO),
    _http("identity.merge", "POST", f"{_IDENTITY}/merge", Gate.NONE, _WHO_IS_WHO),
    _http("identity.unmerge", "POST", f"{_IDENTITY}/unmerge", Gate.NONE, _WHO_IS_WHO),
    _http("identity.split", "POST", f"{_IDENTITY}/split", Gate.NONE, _WHO_IS_WHO),
    _http("identity.doubles", "GET", f"{_IDENTITY}/doubles", Gate.NONE, _WHO_IS_WHO),
    _http("identity.merge_doubles", "POST", f"{_IDENTITY}/doubles", Gate.NONE, _WHO_IS_WHO),
    _http("identity.pin", "POST", f"{_IDENTITY}/pins", Gate.NONE, _WHO_IS_WHO),
    _http("identity.unpin", "DELETE", f"{_IDENTITY}/pins", Gate.NONE, _WHO_IS_WHO),
    _http("identity.history", "GET", f"{_IDENTITY}/history/{{id}}", Gate.NONE, _WHO_IS_WHO),
    _http("identity.report", "GET", f"{_IDENTITY}/report", Gate.NONE, "references and counts; recorded"),
    _http("identity.rematch", "POST", f"{_IDENTITY}/rematch", Gate.INGEST),
    _http("identity.learn", "POST", f"{_IDENTITY}/models", Gate.DISCLOSE),
    _http("identity.models", "GET", f"{_IDENTITY}/models", Gate.NONE, _MODELS),
    _http("identity.use_model", "PUT", f"{_IDENTITY}/models/active", Gate.NONE, _MODELS),
    _http("fhir.merge", "POST", "/fhir/Patient/$merge", Gate.INGEST),
    _http("healthsync.search", "GET", "/api/v1/healthsync/{collection}", Gate.DISCLOSE),
    _http("healthsync.create", "POST", "/api/v1/healthsync/{collection}", Gate.INGEST),
    _http("healthsync.read", "GET", "/api/v1/healthsync/{collection}/{id}", Gate.DISCLOSE),
    _http("healthsync.update", "PUT", "/api/v1/healthsync/{collection}/{id}", Gate.INGEST),
    _http("fhir.export_system", "GET", "/fhir/$export", Gate.DISCLOSE),
    _http("fhir.export_system_post", "POST", "/fhir/$export", Gate.DISCLOSE),
    _http("fhir.export_patient", "GET", "/fhir/Patient/$export", Gate.DISCLOSE),
    _http("fhir.export_patient_post", "POST", "/fhir/Patient/$export", Gate.DISCLOSE),
    _http("fhir.export_group", "GET", "/fhir/Group/{id}/$export", Gate.DISCLOSE),
    _http("fhir.export_group_post", "POST", "/fhir/Group/{id}/$export", Gate.DISCLOSE),
    _http("fhir.import", "POST", "/fhir/$import", Gate.INGEST),
    _http("jobs.list", "GET", "/jobs", Gate.NONE, "states and counts of the client's own jobs"),
    _http("jobs.show", "GET", "/jobs/{id}", Gate.NONE, "state and counts, for the client that asked"),
    _http("jobs.cancel", "DELETE", "/jobs/{id}", Gate.NONE, "ends a job; nothing leaves"),
    _http("jobs.file", "GET", "/jobs/{id}/files/{file}", Gate.DISCLOSE, "what the gate let into the file, asked again"),
    _http("fhir.subscription_status", "GET", "/fhir/Subscription/{id}/$status", Gate.NONE, _OWN_STATE),
    _http("fhir.subscriptions_status", "GET", "/fhir/Subscription/$status", Gate.NONE, _OWN_STATE),
    _http("fhir.subscription_events", "GET", "/fhir/Subscription/{id}/$events", Gate.DISCLOSE),
    _http("fhir.subscription_token", "GET", "/fhir/Subscription/{id}/$get-ws-binding-token", Gate.NONE, _SOCKET),
    _http("fhir.subscriptions_token", "GET", "/fhir/Subscription/$get-ws-binding-token", Gate.NONE, _SOCKET),
    _http("fhir.subscription_status_post", "POST", "/fhir/Subscription/{id}/$status", Gate.NONE, _OWN_STATE),
    _http("fhir.subscriptions_status_post", "POST", "/fhir/Subscription/$status", Gate.NONE, _OWN_STATE),
    _http("fhir.subscription_events_post", "POST", "/fhir/Subscription/{id}/$events", Gate.DISCLOSE),
    _http("fhir.subscription_token_post", "POST", "/fhir/Subscription/{id}/$get-ws-binding-token", Gate.NONE, _SOCKET),
    _http("fhir.subscriptions_token_post", "POST", "/fhir/Subscription/$get-ws-binding-token", Gate.NONE, _SOCKET),
    *_operation("fhir.expand", "ValueSet/$expand", Gate.NONE, _CODES_ONLY, instance=True),
    *_operation("fhir.validate_in_value_set", "ValueSet/$validate-code", Gate.NONE, _CODES_ONLY, instance=True),
    *_operation("fhir.validate_in_code_system", "CodeSystem/$validate-code", Gate.NONE, _CODES_ONLY, instance=True),
    *_operation("fhir.lookup", "CodeSystem/$lookup", Gate.NONE, _CODES_ONLY),
    *_operation("fhir.subsumes", "CodeSystem/$subsumes", Gate.NONE, _CODES_ONLY, instance=True),
    *_operation("fhir.translate", "ConceptMap/$translate", Gate.NONE, _CODES_ONLY, instance=True),
    _http("fhir.batch_validate", "POST", "/fhir/ValueSet/$batch-validate-code", Gate.NONE, _CODES_ONLY),
    _http("fhir.closure", "POST", "/fhir/$closure", Gate.NONE, "codes of a table that the client keeps; no patient"),
    *_operation("fhir.docref", "DocumentReference/$docref", Gate.DISCLOSE),
    *_operation("fhir.ihe_pix", "Patient/$ihe-pix", Gate.DISCLOSE),
    *_operation("fhir.lastn", "Observation/$lastn", Gate.DISCLOSE),
    *_operation("fhir.find_list", "List/$find", Gate.DISCLOSE),
    *_operation("fhir.document", "Composition/{id}/$document", Gate.DISCLOSE),
    *_operation("fhir.graph", "{type}/{id}/$graph", Gate.DISCLOSE),
    _http("fhir.graphql", "GET", "/fhir/$graphql", Gate.DISCLOSE),
    _http("fhir.graphql_post", "POST", "/fhir/$graphql", Gate.DISCLOSE),
    _http("fhir.graphql_instance", "GET", "/fhir/{type}/{id}/$graphql", Gate.DISCLOSE),
    _http("fhir.graphql_instance_post", "POST", "/fhir/{type}/{id}/$graphql", Gate.DISCLOSE),
    _http("codes.maps", "GET", "/api/v1/healthsync/terminology/maps", Gate.NONE, _LOCAL_CODES),
    _http("codes.map", "GET", "/api/v1/healthsync/terminology/map", Gate.NONE, _LOCAL_CODES),
    _http("codes.add", "POST", "/api/v1/healthsync/terminology/map", Gate.NONE, _LOCAL_CODES),
    _http("codes.replace", "PUT", "/api/v1/healthsync/terminology/map", Gate.NONE, _LOCAL_CODES),
    _http("codes.remove", "DELETE", "/api/v1/healthsync/terminology/map", Gate.NONE, _LOCAL_CODES),
    _http("codes.work", "GET", "/api/v1/healthsync/terminology/untranslated", Gate.NONE, _LOCAL_CODES),
    _http("codes.settle", "POST", "/api/v1/healthsync/terminology/untranslated/{id}", Gate.NONE, _LOCAL_CODES),
    _http("applications.register", "PUT", f"{_APP}", Gate.NONE, "names of handlers and what they want; recorded"),
    _http("applications.states", "GET", f"{_APP}", Gate.NONE, "counts of the client's own handlers"),
    _http("applications.lease", "POST", f"{_APP}/lease", Gate.DISCLOSE),
    _http("applications.renew", "POST", f"{_APP}/renew", Gate.NONE, "leases of the client's own instances"),
    _http("applications.settle", "POST", f"{_APP}/settle", Gate.SEALS),
    _http("applications.dead", "GET", f"{_APP}/dead", Gate.NONE, "references and codes of the client's own deliveries"),
    _http("applications.replay", "POST", f"{_APP}/replay", Gate.NONE, "nothing leaves; the lease is asked again"),
    _http("streams.publish", "POST", "/api/v1/healthsync/streams/{topic}", Gate.SEALS),
    _http("streams.read", "GET", "/api/v1/healthsync/streams/{topic}", Gate.DISCLOSE),
    _http("alerts.send", "POST", "/api/v1/healthsync/alerts", Gate.SEALS),
    _http("alerts.list", "GET", "/api/v1/healthsync/alerts", Gate.DISCLOSE),
    _http("audit.note", "POST", "/api/v1/healthsync/audit", Gate.SEALS),
    _http("integrations.openapi", "GET", "/api/integrations/openapi.json", Gate.NONE, "what this API can do"),
    _http("integrations.fhir_patient", "POST", "/api/integrations/fhir/patient", Gate.DISCLOSE),
    _http("integrations.import_patient", "POST", "/api/integrations/fhir/patient/import", Gate.INGEST),
    _http("integrations.hl7_adt", "POST", "/api/integrations/hl7/adt", Gate.DISCLOSE),
    _http("integrations.hl7_parse", "POST", "/api/integrations/hl7/parse", Gate.DISCLOSE, _OF_THE_CALLER),
    _http("destinations.list", "GET", "/destinations", Gate.NONE, _WHERE_TO),
    _http("destinations.add", "POST", "/destinations", Gate.NONE, _WHERE_TO),
    _http("destinations.show", "GET", "/destinations/{name}", Gate.NONE, _WHERE_TO),
    _http("destinations.remove", "DELETE", "/destinations/{name}", Gate.NONE, _WHERE_TO),
    _http("destinations.pause", "POST", "/destinations/{name}/pause", Gate.NONE, _WHERE_TO),
    _http("destinations.resume", "POST", "/destinations/{name}/resume", Gate.NONE, _WHERE_TO),
    _http("destinations.deliveries", "GET", "/destinations/{name}/deliveries", Gate.NONE, _WHERE_TO),
    _http("destinations.retry", "POST", "/destinations/{name}/retry", Gate.NONE, _WHERE_TO),
    _http("destinations.skip", "POST", "/destinations/{name}/skip", Gate.NONE, _WHERE_TO),
    _http("metrics", "GET", "/metrics", Gate.NONE, "counts by code; the label filter drops anything else"),
    _http("livez", "GET", "/livez", Gate.NONE, "alive or not"),
    _http("readyz", "GET", "/readyz", Gate.NONE, "ready or not"),
    Surface("subscriptions.websocket", "websocket", "WS", "/fhir/websocket", Gate.DISCLOSE),
    Surface("subscriptions.rest_hook", "http out", "POST, PUT", "the endpoint of a Subscription", Gate.DISCLOSE),
    Surface("subscriptions.email", "smtp out", "SMTP", "the mail address of a Subscription", Gate.DISCLOSE),
    Surface("mllp.send", "mllp out", "MLLP", "HL7 v2 messages to a destination", Gate.DISCLOSE),
    Surface("mllp.query", "mllp", "MLLP", "answers to HL7 v2 queries about patients", Gate.DISCLOSE),
    Surface("mllp.receive", "mllp", "MLLP", "HL7 v2 messages in, acknowledgements out", Gate.RECEIVE),
    Surface("cli.messages.show", "cli", "run", "healthsync messages show", Gate.OPERATOR),
    Surface("cli.messages.list", "cli", "run", "healthsync messages list", Gate.NONE, "control ids, types and states"),
    Surface("cli.messages.replay", "cli", "run", "healthsync messages replay", Gate.INGEST),
    Surface("cli.messages.edit", "cli", "run", "healthsync messages edit", Gate.OPERATOR),
    Surface("cli.messages.compare", "cli", "run", "healthsync messages compare", Gate.OPERATOR),
    Surface("cli.messages.export", "cli", "run", "healthsync messages export", Gate.OPERATOR),
    Surface("cli.messages.import", "cli", "run", "healthsync messages import", Gate.OPERATOR),
    Surface("cli.messages.retire", "cli", "run", "healthsync messages retire", Gate.NONE, "destroys; shows counts"),
    Surface("cli.messages.keep", "cli", "run", "healthsync messages keep, hold", Gate.NONE, "terms by source"),
    Surface("cli.quality", "cli", "run", "healthsync quality", Gate.NONE, "points, ids of rules and counts"),
    Surface("cli.destination", "cli", "run", "healthsync destination", Gate.NONE, _WHERE_TO),
    Surface("cli.destination.content", "cli", "run", "healthsync destination content", Gate.OPERATOR),
    Surface("cli.import", "cli", "run", "healthsync import", Gate.INGEST),
    Surface("cli.export", "cli", "run", "healthsync export", Gate.DISCLOSE),
    Surface("cli.jobs", "cli", "run", "healthsync jobs", Gate.NONE, "kinds, states and counts"),
    Surface("cli.terminology", "cli", "run", "healthsync terminology", Gate.NONE, "counts; codes stay where they are"),
    Surface(
        "cli.handlers", "cli", "run", "healthsync handlers", Gate.NONE, "counts, references and codes; nothing sealed"
    ),
    Surface("mllp.answer", "mllp", "MLLP", "application acknowledgements of handlers, to the sender", Gate.RECEIVE),
    Surface("cli.identity.steward", "cli", "run", "healthsync identity review, merge, …", Gate.NONE, _WHO_IS_WHO),
    Surface("cli.identity.rematch", "cli", "run", "healthsync identity rematch", Gate.INGEST),
    Surface("cli.identity.learn", "cli", "run", "healthsync identity learn", Gate.DISCLOSE),
    Surface("cli.identity.models", "cli", "run", "healthsync identity models", Gate.NONE, _MODELS),
    Surface("cli.identity.records", "cli", "run", "healthsync identity review show --values", Gate.DISCLOSE),
    Surface("cli.audit", "cli", "run", "healthsync audit", Gate.NONE, "references and codes; queries stay sealed"),
)


def surface(name: str) -> Surface:
    """The registered surface of this name. Raises KeyError when it was never registered."""
    return _BY_NAME[name]


_BY_NAME = {entry.name: entry for entry in SURFACES}

WRITING_OPERATIONS = frozenset(
    operation
    for entry in SURFACES
    if entry.gate is Gate.INGEST and (operation := entry.path.rpartition("/")[2]).startswith("$")
)
"""Operations of FHIR that change resources (`$meta-add`); all others only answer (OperationDefinition.affectsState)."""
