"""What the demonstration found, and which of its promises held. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that must be so, and whether it was."""

    text: str
    held: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a patient's timeline."""

    at: str
    source: str
    what: str
    alarming: bool = False


@dataclass(frozen=True, slots=True)
class Messages:
    """HL7 v2 through the hub. `sent` counts the exact repetitions (`resent`) too."""

    sent: int
    resent: int
    acknowledged: int
    stored: int
    processed: int
    dead: int
    seconds: float
    processed_seconds: float
    by_source: Mapping[str, Mapping[str, int]]
    refusals: Sequence[str]

    @property
    def rate(self) -> float:
        """Messages per second, from the first one sent until all were stored as FHIR."""
        return self.stored / self.processed_seconds if self.processed_seconds else 0.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who was found to be who."""

    records: int
    persons_true: int
    persons_found: int
    precision: float
    recall: float
    false_links: int
    missed_links: int
    to_review: int


@dataclass(frozen=True, slots=True)
class Reads:
    """HTTP status of reading as somebody; `opted_out` is None when nobody objected. `refusals_audited` counts the
    refusals that stand in the audit log."""

    physician: int
    researcher: int
    opted_out: int | None
    refusals_audited: int


@dataclass(frozen=True, slots=True)
class Audit:
    """The proof of the audit log."""

    holds: bool
    events: int
    signed: int
    root: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Leaks:
    """Looking for the people's values in the database, its files, logs and metrics. `control` says that all of them
    were found where they do stand, in the file with the truth: a search that finds nothing must be able to find."""

    values: int
    control: bool
    bytes_searched: int
    found: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Summary:
    """All that is shown at the end."""

    seed: int
    messages: Messages
    bundles: int
    bundles_stored: int
    resources: Mapping[str, int]
    identity: Identity
    reads: Reads
    critical_results: int
    critical_alerts: int
    audit: Audit
    leaks: Leaks
    timeline: Sequence[Moment]
    start_seconds: float
    memory_bytes: int | None
    next: Mapping[str, str] = field(default_factory=dict)
    first_start_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Whether every promise held."""
        return all(promise.held for promise in promises(self))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        listed = [{"promise": promise.text, "held": promise.held} for promise in promises(self)]
        return {"held": self.held, "promises": listed, **asdict(self)}


def promises(s: Summary) -> tuple[Promise, ...]:
    """What the hub must have done, in the order in which it is shown."""
    m = s.messages
    return (
        Promise(f"{m.sent} messages sent, each acknowledged after it was on the disk", m.acknowledged == m.sent),
        Promise(f"{m.resent} exact repetitions recognised, nothing stored twice", m.stored == m.sent - m.resent),
        Promise(f"{m.stored} messages stored as FHIR, none dead", m.processed == m.stored and m.dead == 0),
        Promise(f"{s.bundles} FHIR transactions of the clinic stored", s.bundles_stored == s.bundles),
        Promise("no two people taken for one", s.identity.false_links == 0),
        Promise(f"{s.critical_results} critical results, each announced", s.critical_alerts == s.critical_results),
        Promise("a physician reads a patient across hospitals", s.reads.physician == 200 and bool(s.timeline)),
        Promise("a researcher is refused the same patient", s.reads.researcher == 403),
        Promise("a patient who objected is shown to nobody", s.reads.opted_out in (404, None)),
        Promise("every refusal stands in the audit log", s.reads.refusals_audited >= _refusals(s.reads)),
        Promise(f"audit log of {s.audit.events} events verified against its signed heads", s.audit.holds),
        Promise(
            f"none of {s.leaks.values} names, numbers, dates, phones and addresses readable in "
            f"{s.leaks.bytes_searched / 1e6:.0f} MB of database, files, logs and metrics",
            not s.leaks.found and s.leaks.control,
        ),
    )


def _refusals(reads: Reads) -> int:
    return 1 if reads.opted_out is None else 2


def timeline(resources: Iterable[Mapping[str, Any]], titles: Mapping[str, str]) -> list[Moment]:
    """The clinical story in resources of one patient, oldest first; `titles` names the sources."""
    found = (moment for resource in resources for moment in _moments(resource, titles))
    return sorted(found, key=lambda moment: moment.at)


def _moments(resource: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[Moment]:
    tell = _TELLERS.get(resource["resourceType"])
    source = resource.get("meta", {}).get("source", "").rpartition(":")[2]
    for at, what, alarming in tell(resource) if tell else ():
        if at:
            yield Moment(at[:16].replace("T", " "), titles.get(source, source), what, alarming)


def _encounter(encounter: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    period = encounter.get("period", {})
    kind = {"IMP": "admitted", "EMER": "emergency visit", "AMB": "appointment"}.get(encounter["class"]["code"], "visit")
    yield period.get("start", ""), kind, False
    if encounter["class"]["code"] != "AMB":
        yield period.get("end", ""), "discharged", False
    for place in encounter.get("location", ()):
        since = place.get("period", {}).get("start", "")
        if since != period.get("start"):
            yield since, "transferred", False


def _observation(observation: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    flags = {c["code"] for concept in observation.get("interpretation", ()) for c in concept.get("coding", ())}
    category = {c["code"] for concept in observation.get("category", ()) for c in concept.get("coding", ())}
    critical = bool(flags & {"HH", "LL"})
    if critical or "vital-signs" in category:
        quantity = observation.get("valueQuantity", {})
        value = f"{_name(observation['code'])} {quantity.get('value', '')} {quantity.get('unit', '')}"
        yield observation.get("effectiveDateTime", ""), f"{value} — critical" if critical else value, critical


def _report(report: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    corrected = ", corrected" if report.get("status") in ("corrected", "amended") else ""
    yield (
        report.get("issued", ""),
        f"{_name(report['code'])}: {len(report.get('result', ()))} results{corrected}",
        False,
    )


def _condition(condition: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    yield (
        condition.get("recordedDate") or condition.get("onsetDateTime", ""),
        f"diagnosis {_name(condition['code'])}",
        False,
    )


def _order(order: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    yield order.get("authoredOn", ""), f"prescribed {_name(order.get('medicationCodeableConcept', {}))}", False


_TELLERS = {
    "Encounter": _encounter,
    "Observation": _observation,
    "DiagnosticReport": _report,
    "Condition": _condition,
    "MedicationRequest": _order,
}


def _name(concept: Mapping[str, Any]) -> str:
    coding = (concept.get("coding") or [{}])[0]
    shown = concept.get("text") or coding.get("display") or coding.get("code", "?")
    return str(shown).partition(" [")[0]
