"""The golden record: what the source patients of a person say together. A projection, never stored. Pure.

Which value survives is decided element by element by rules that are data (`survivorship.yaml`); with each element goes
where it comes from and which criterion decided. The order in which the records are given does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from healthsync.domains.identity.demographics import demographics_of
from healthsync.domains.identity.survivorship import Criterion, Rule, Rules, shipped_rules

Patient = Mapping[str, Any]

SURVIVORSHIP = "urn:healthsync:survivorship"
"""Address of the extension that tells where an element comes from."""

_OF_PERSON = frozenset({"identifier", "name", "telecom", "gender", "birthDate", "address", "extension"})
_ASSURANCE = {"IDI-Patient-L1": 1, "IDI-Patient-L2": 2}


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A Patient of a source; `trust` in that source, and the elements for which a person chose this record."""

    patient: Patient
    trust: int = 0
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Survivor:
    """Where an element of the golden record comes from: the record's reference, and the criterion that decided (None:
    nothing else was said)."""

    element: str
    source: str
    because: Criterion | None


@dataclass(frozen=True, slots=True)
class GoldenRecord:
    """The elements that survived, where they come from, and references to the records, youngest first."""

    elements: Mapping[str, Any]
    survivors: tuple[Survivor, ...]
    records: tuple[str, ...]

    def as_person(self) -> dict[str, Any]:
        """A FHIR R4 Person, linked to each record."""
        elements = {name: value for name, value in self.elements.items() if name in _OF_PERSON}
        links = [{"target": {"reference": reference}} for reference in self.records]
        return self._resource("Person", elements, links)

    def as_patient(self) -> dict[str, Any]:
        """A FHIR R4 Patient that points to each record (`seealso`)."""
        links = [{"other": {"reference": reference}, "type": "seealso"} for reference in self.records]
        return self._resource("Patient", self.elements, links)

    def _resource(self, resource_type: str, elements: Mapping[str, Any], links: Sequence[Any]) -> dict[str, Any]:
        told = [_told(survivor) for survivor in self.survivors if _written(survivor.element, elements)]
        resource = {"resourceType": resource_type, "extension": told, **elements, "active": True, "link": list(links)}
        return {name: value for name, value in resource.items() if value not in (None, [])}


def golden_record(records: Sequence[SourceRecord], rules: Rules | None = None) -> GoldenRecord:
    """What these records of one person say together."""
    recent = sorted(records, key=lambda record: _recency(record.patient), reverse=True)
    elements: dict[str, Any] = {}
    survivors: list[Survivor] = []
    for element, rule in (rules or shipped_rules()).items():
        candidates = _candidates(element, recent)
        if not candidates:
            continue
        if rule.keep == "all":
            elements[element] = _once((value for candidate in candidates for value in _listed(candidate)), _number)
            survivors += [Survivor(element, each, None) for each in dict.fromkeys(c.reference for c in candidates)]
            continue
        chosen, because = _chosen(rule, candidates)
        elements[chosen.member] = [chosen.value] if chosen.listed and rule.keep == "one" else chosen.value
        survivors.append(Survivor(element, chosen.reference, because))
    references = tuple(_reference(record.patient) for record in recent if "id" in record.patient)
    return GoldenRecord(elements, tuple(survivors), references)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A value of one record: one entry of a list, a whole list, or a simple value."""

    element: str
    member: str
    """Name of the member that holds it: `deceasedDateTime` for `deceased`."""
    value: Any
    listed: bool
    record: SourceRecord

    @property
    def reference(self) -> str:
        return _reference(self.record.patient)


def _candidates(element: str, records: Iterable[SourceRecord]) -> list[_Candidate]:
    """In order of recency; for names each name by itself, else what a record says of the element."""
    found: list[_Candidate] = []
    for record in records:
        for member in _members(element, record.patient):
            value = record.patient[member]
            if element == "name":
                found += [_Candidate(element, member, name, True, record) for name in value]
            else:
                found.append(_Candidate(element, member, value, isinstance(value, list), record))
    return found


def _members(element: str, patient: Patient) -> list[str]:
    """The members of a Patient that tell the element."""
    if element in ("deceased", "multipleBirth"):
        return [name for name in patient if name.startswith(element) and patient[name] not in (None, False)]
    return [element] if patient.get(element) else []


def _chosen(rule: Rule, candidates: Sequence[_Candidate]) -> tuple[_Candidate, Criterion | None]:
    """The best candidate, and the first criterion by which it stands before one that says something else."""
    counts = Counter(_same(candidate) for candidate in candidates)
    best, because = list(candidates), None
    for criterion in rule.order:
        if len({_same(candidate) for candidate in best}) == 1 and criterion != "recent":
            continue
        scores = [_SCORES[criterion](candidate, counts) for candidate in best]
        kept = [candidate for candidate, score in zip(best, scores, strict=True) if score == max(scores)]
        if len({_same(c) for c in kept}) < len({_same(c) for c in best}):
            because = criterion
        best = kept
    return best[0], because


def _same(candidate: _Candidate) -> Hashable:
    """What two candidates have in common that say the same."""
    value = candidate.value
    if candidate.element == "name":
        return _normalised(value) or repr(value)
    return value if isinstance(value, Hashable) else repr(value)


def _is_real(candidate: _Candidate, _counts: Counter[Hashable]) -> bool:
    match candidate.element:
        case "name":
            return bool(_normalised(candidate.value))
        case "birthDate":
            return bool(demographics_of({"birthDate": candidate.value}).birth_dates)
        case _:
            return candidate.value != "unknown"


_SCORES: Mapping[Criterion, Callable[[_Candidate, Counter[Hashable]], Any]] = {
    "pinned": lambda candidate, _: candidate.element in candidate.record.pinned,
    "real": _is_real,
    "verified": lambda candidate, _: _assurance(candidate.record.patient),
    "trusted": lambda candidate, _: candidate.record.trust,
    "exact": lambda candidate, _: not isinstance(candidate.value, bool),
    "frequent": lambda candidate, counts: counts[_same(candidate)],
    "complete": lambda candidate, _: _parts(candidate.value),
    "recent": lambda candidate, _: _recency(candidate.record.patient),
}


def _assurance(patient: Patient) -> int:
    """The identity assurance level that the record claims by its profile, 0 where none."""
    profiles = patient.get("meta", {}).get("profile", ())
    return max(
        (_ASSURANCE.get(str(profile).rpartition("/")[2].partition("|")[0], 0) for profile in profiles), default=0
    )


def _parts(value: Any) -> int:
    """How many things a value says."""
    if isinstance(value, Mapping):
        return sum(_parts(part) for part in value.values())
    return sum(map(_parts, value)) if isinstance(value, list) else 1


def _recency(patient: Patient) -> tuple[str, str]:
    return patient.get("meta", {}).get("lastUpdated", ""), patient.get("id", "")


def _reference(patient: Patient) -> str:
    return f"Patient/{patient.get('id', '')}"


def _listed(candidate: _Candidate) -> list[Any]:
    return candidate.value if candidate.listed else [candidate.value]


def _normalised(name: Mapping[str, Any]) -> Hashable:
    """What two spellings of a name have in common; false for a placeholder."""
    said = demographics_of({"name": [name]})
    return said.families | said.first_names and (said.families, said.first_names, said.generations)


def _number(identifier: Any) -> Hashable:
    if not isinstance(identifier, Mapping) or "value" not in identifier:
        return repr(identifier)
    codes = [coding.get("code") for coding in identifier.get("type", {}).get("coding", ())]
    return identifier.get("system"), tuple(codes[:1]), identifier.get("value")


def _once(values: Iterable[Any], key: Callable[[Any], Hashable]) -> list[Any]:
    first: dict[Hashable, Any] = {}
    for value in values:
        first.setdefault(key(value), value)
    return list(first.values())


def _written(element: str, elements: Mapping[str, Any]) -> bool:
    return any(name.startswith(element) for name in elements)


def _told(survivor: Survivor) -> dict[str, Any]:
    """The extension for one survivor."""
    parts = [
        {"url": "element", "valueCode": survivor.element},
        {"url": "source", "valueReference": {"reference": survivor.source}},
    ]
    if survivor.because:
        parts.append({"url": "because", "valueCode": survivor.because})
    return {"url": SURVIVORSHIP, "extension": parts}
