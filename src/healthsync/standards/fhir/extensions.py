"""Extensions of the core specification: where they may stand and what they may hold (extensibility.html)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

from healthsync.standards.fhir.definitions import extensions, json_name
from healthsync.standards.fhir.fhirpath import types
from healthsync.standards.fhir.outcome import Issue, error

_LATER_CONTEXTS = {
    "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type": ("ElementDefinition.type",),
    "http://hl7.org/fhir/StructureDefinition/regex": ("ElementDefinition.type",),
    "http://hl7.org/fhir/StructureDefinition/capabilitystatement-expectation": ("Element",),
    "http://hl7.org/fhir/StructureDefinition/display": ("string",),
    "http://hl7.org/fhir/StructureDefinition/structuredefinition-normative-version": ("Element",),
    "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status": ("Element",),
}
"""Where HL7 itself puts extensions in R4 packages, against the contexts it published; later versions allow it."""

_INDEX = re.compile(r"\[\d+\]")


def faults(extension: dict[str, Any], holder: str, content: str, kind: str, path: str) -> Iterator[Issue]:
    """What is wrong with an extension whose definition is part of R4.

    `holder` is the path of the element that is extended as the definitions write it (`Patient.birthDate`), `content`
    what it is described by (`Questionnaire.item` for an item of an item), `kind` its type, `path` where the extension
    stands.
    """
    facts = extensions().get(extension.get("url", ""))
    if facts is None:
        return
    contexts = frozenset(facts["contexts"]).union(_LATER_CONTEXTS.get(extension["url"], ()))
    if facts["contexts"] and not _stands_in(contexts, (holder, content, kind), path):
        allowed = ", ".join(sorted(contexts)[:5])
        yield error("structure", f"this extension may not stand here, only in: {allowed}", path)
    given = next((name for name in extension if name.startswith("value")), None)
    if given is None:
        return
    if "types" not in facts:
        yield error("structure", "this extension has extensions of its own and no value", path)
    elif given not in {json_name("value[x]", kind) for kind in facts["types"]}:
        wanted = ", ".join(facts["types"][:8])
        yield error("structure", f"the value of this extension must be of the type {wanted}", f"{path}.value")


def unknown_modifier(extension: dict[str, Any], known: Collection[str], path: str) -> Iterator[Issue]:
    """extensibility.html#modifierExtension: who does not know what it changes may not process the element."""
    url = extension.get("url", "")
    if not extensions().get(url, {}).get("modifier") and url not in known:
        told = "this modifierExtension is not known here; load the package that defines it, or send the data without it"
        yield error("extension", told, path)


def _stands_in(contexts: frozenset[str], holder: tuple[str, str, str], path: str) -> bool:
    if contexts & _names(*holder):
        return True
    here = _INDEX.sub("", path.rpartition(".")[0])
    return any(here == context or here.endswith(f".{context}") for context in contexts)


@cache
def _names(holder: str, content: str, kind: str) -> frozenset[str]:
    """Every context that means this element; `Observation.value[x]` is written so in some definitions."""
    return frozenset({holder, f"{holder}[x]", content, kind, "Element"}) | types.ancestors(kind)
