"""The golden record: what the source patients of a person say together. A projection, never stored. Pure.

identifier        all, each once, by authority, type and value
name              the most frequent (normalised), then the most recent; placeholders only if there is nothing else
birthDate, gender the most frequent, then the most recent
address, telecom  those of the most recent record that has any
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from healthsync.domains.identity.demographics import demographics_of

Patient = Mapping[str, Any]


def golden_record(members: Sequence[Patient]) -> dict[str, Any]:
    """A FHIR R4 Person of these Patient resources, linked to each; the order in which they are given does not count."""
    recent = sorted(members, key=_recency, reverse=True)
    born = [patient["birthDate"] for patient in recent if demographics_of(patient).birth_dates]
    record: dict[str, Any] = {
        "resourceType": "Person",
        "identifier": _once(_each(recent, "identifier"), _number),
        "name": _names(recent),
        "birthDate": _most_frequent(born or _each_one(recent, "birthDate"), str),
        "gender": _most_frequent([sex for sex in _each_one(recent, "gender") if sex != "unknown"], str),
        "telecom": _of_most_recent(recent, "telecom"),
        "address": _of_most_recent(recent, "address"),
        "active": True,
        "link": [{"target": {"reference": f"Patient/{patient['id']}"}} for patient in recent if "id" in patient],
    }
    return {element: value for element, value in record.items() if value}


def _recency(patient: Patient) -> tuple[str, str]:
    return patient.get("meta", {}).get("lastUpdated", ""), patient.get("id", "")


def _each(patients: Iterable[Patient], element: str) -> list[Any]:
    return [value for patient in patients for value in patient.get(element, ())]


def _each_one(patients: Iterable[Patient], element: str) -> list[Any]:
    return [patient[element] for patient in patients if patient.get(element)]


def _names(recent: Sequence[Patient]) -> list[Any]:
    names = _each(recent, "name")
    real = [name for name in names if _normalised(name)]
    chosen = _most_frequent(real, _normalised) or next(iter(names), None)
    return [chosen] if chosen else []


def _normalised(name: Mapping[str, Any]) -> Hashable:
    """What two spellings of a name have in common; false for a placeholder."""
    said = demographics_of({"name": [name]})
    return said.families | said.first_names and (said.families, said.first_names, said.generations)


def _number(identifier: Mapping[str, Any]) -> Hashable:
    codes = [coding.get("code") for coding in identifier.get("type", {}).get("coding", ())]
    return identifier.get("system"), tuple(codes[:1]), identifier.get("value")


def _once(values: Iterable[Any], key: Callable[[Any], Hashable]) -> list[Any]:
    first: dict[Hashable, Any] = {}
    for value in values:
        first.setdefault(key(value), value)
    return list(first.values())


def _most_frequent(values: Sequence[Any], key: Callable[[Any], Hashable]) -> Any:
    """The first of the values whose key is the most frequent: `values` stand in order of preference."""
    counts = Counter(key(value) for value in values)
    return max(values, key=lambda value: counts[key(value)], default=None)


def _of_most_recent(recent: Iterable[Patient], element: str) -> list[Any]:
    return next((list(patient[element]) for patient in recent if patient.get(element)), [])
