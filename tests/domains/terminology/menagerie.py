"""The resources that the tests of terminology ask about: a small code system, and value sets over it."""

from __future__ import annotations

from typing import Any

ANIMALS = "http://example.org/CodeSystem/animals"


def animals() -> dict[str, Any]:
    """A code system with nesting, a second parent, properties, designations, an abstract and a retired concept."""
    return {
        "resourceType": "CodeSystem",
        "id": "animals",
        "url": ANIMALS,
        "version": "1.2",
        "name": "Animals",
        "title": "Animals of the house",
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "property": [
            {"code": "legs", "type": "integer"},
            {"code": "parent", "type": "code", "uri": "http://hl7.org/fhir/concept-properties#parent"},
            {"code": "abstract", "type": "boolean", "uri": "http://hl7.org/fhir/concept-properties#notSelectable"},
            {"code": "inactive", "type": "boolean", "uri": "http://hl7.org/fhir/concept-properties#inactive"},
            {"code": "eats", "type": "Coding"},
        ],
        "concept": [
            {
                "code": "animal",
                "display": "Animal",
                "property": [{"code": "abstract", "valueBoolean": True}],
                "concept": [
                    {
                        "code": "mammal",
                        "display": "Mammal",
                        "property": [{"code": "legs", "valueInteger": 4}],
                        "concept": [
                            {
                                "code": "cat",
                                "display": "House cat",
                                "definition": "A cat that owns a house.",
                                "designation": [
                                    {"language": "de", "value": "Hauskatze"},
                                    {"language": "fr-CH", "value": "Chat"},
                                ],
                                "property": [
                                    {"code": "legs", "valueInteger": 4},
                                    {"code": "eats", "valueCoding": {"system": ANIMALS, "code": "mouse"}},
                                ],
                            },
                            {"code": "mouse", "display": "Mouse", "property": [{"code": "legs", "valueInteger": 4}]},
                            {"code": "bat", "display": "Bat", "property": [{"code": "parent", "valueCode": "flyer"}]},
                        ],
                    },
                    {"code": "flyer", "display": "What flies"},
                    {
                        "code": "dodo",
                        "display": "Dodo",
                        "property": [
                            {"code": "parent", "valueCode": "flyer"},
                            {"code": "inactive", "valueBoolean": True},
                        ],
                    },
                ],
            }
        ],
    }


def value_set(url: str, *includes: dict[str, Any], exclude: Any = (), **more: Any) -> dict[str, Any]:
    """A ValueSet of these parts."""
    compose = {"include": list(includes), **more}
    if exclude:
        compose["exclude"] = list(exclude)
    return {
        "resourceType": "ValueSet",
        "id": url.rpartition("/")[2],
        "url": url,
        "status": "active",
        "compose": compose,
    }


def filtered(prop: str, op: str, value: str) -> dict[str, Any]:
    """An include of the animals by one filter."""
    return {"system": ANIMALS, "filter": [{"property": prop, "op": op, "value": value}]}
