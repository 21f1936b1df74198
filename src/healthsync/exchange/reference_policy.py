"""Reference integrity: what a reference to a resource that is not here means (fhir.reference_integrity).

Judged are literal references to resources of this hub: `Type/id`, or the same behind the hub's public address. Logical
references (an identifier only), urns, addresses of other servers and canonicals pass. So does what arrives in the same
submission: resources of one transaction may point at each other in a circle. A reference that contradicts its own
`type` is a mistake and no matter of arrival: it is refused under every policy but `off`.

Decision 18 says why the default is to warn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

import msgspec

from healthsync.infrastructure.telemetry import metrics
from healthsync.standards.fhir import references, validate
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.outcome import Issue, error

Key = tuple[str, str]
Existing = Callable[[Sequence[Key]], Awaitable[set[Key]]]
"""Tells which of (type, id) exist and are not deleted."""
Known = Callable[[Sequence[Key]], Awaitable[Collection[Key]]]
"""Tells which of (type, id) were ever here, deleted or not."""

PLACEHOLDER = {"system": "urn:healthsync:tag", "code": "placeholder", "display": "not received yet"}
"""Tag of a resource that stands for one which has not arrived."""

NOT_STORED = frozenset({"AuditEvent", "Person"})
"""Views of other parts of the hub: the repository cannot tell whether one exists."""

_LEAST: Mapping[str, Callable[[str], dict[str, Any]]] = {
    # org-1 wants a name or an identifier, and the id of a reference is all that is known.
    "Organization": lambda id_: {"identifier": [{"system": "urn:healthsync:placeholder", "value": id_}]},
}

_dangling = metrics.counter(
    "healthsync_references_dangling",
    "References to resources that are not here, in writes that were stored.",
    ("mode",),
)


class ReferenceIntegrity(StrEnum):
    """What a reference to a missing resource meets."""

    ENFORCE = "enforce"
    """The write is refused (422), and so is deleting what others refer to (409)."""

    WARN = "warn"
    """It is stored, with a warning. A missing patient is created as under `placeholder`: a record lies in somebody's
    compartment, or the gate could not tell whose consent and key it falls under."""

    PLACEHOLDER = "placeholder"
    """What is missing is created, empty and tagged; where that is not possible the write is refused (422)."""

    OFF = "off"
    """Nobody looks."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """A literal reference to a resource of this hub, and where it stands."""

    expression: str
    key: Key


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a submission: refused for `faults`, or stored with `warnings` and together with `stand_ins`."""

    faults: list[Issue] = []
    warnings: dict[Key, tuple[Issue, ...]] = {}
    stand_ins: list[dict[str, Any]] = []


@dataclass(frozen=True, slots=True)
class ReferencePolicy:
    """The policy of a hub whose public FHIR address is `base`. `by_type`: what the references of single types meet."""

    mode: ReferenceIntegrity
    base: str
    by_type: Mapping[str, ReferenceIntegrity] = field(default_factory=dict)

    def mode_of(self, resource_type: str) -> ReferenceIntegrity:
        """What the references of a type meet."""
        return self.by_type.get(resource_type, self.mode)

    async def judge(
        self,
        arriving: Mapping[Key, dict[str, Any] | None],
        written: Mapping[Key, bytes],
        patients: Collection[str],
        existing: Existing,
        known: Known,
    ) -> Verdict:
        """The verdict on resources that arrive together, and their JSON; one that is about to be deleted is None.

        `patients` are those whom the gate has found already: only `enforce` asks whether they were deleted.
        """
        judged = {
            key: resource
            for key, resource in arriving.items()
            if resource is not None and self.mode_of(key[0]) is not ReferenceIntegrity.OFF
        }
        found = {key: references.texts(resource, written[key]) for key, resource in judged.items()}
        may_contradict = [judged[key] for key in judged if references.may_state_types(written[key])]
        if faults := [fault for resource in may_contradict for fault in _contradictions(resource)]:
            return Verdict(faults)
        targets = {target for key, each in found.items() for target in self._asked(key, each, patients)}
        missing = await _missing(targets, arriving, existing)
        if not missing:
            return Verdict()
        dangling = {key: self._pointers(resource, missing) for key, resource in judged.items()}
        return await self._verdict({key: each for key, each in dangling.items() if each}, arriving, known)

    async def _verdict(
        self, dangling: Mapping[Key, list[Pointer]], arriving: Mapping[Key, dict[str, Any] | None], known: Known
    ) -> Verdict:
        faults: list[Issue] = []
        warnings: dict[Key, tuple[Issue, ...]] = {}
        possible = await self._possible(dangling, arriving, known)
        for key, pointers in dangling.items():
            match self.mode_of(key[0]):
                case ReferenceIntegrity.WARN:
                    warnings[key] = tuple(map(_warning, pointers))
                case ReferenceIntegrity.PLACEHOLDER:
                    faults.extend(_fault(one) for one in pointers if one.key not in possible)
                case _:
                    faults.extend(map(_fault, pointers))
        if faults:
            return Verdict(faults)
        if warnings:
            _dangling.labels(mode=ReferenceIntegrity.WARN.value).inc(sum(map(len, warnings.values())))
        return Verdict(warnings=warnings, stand_ins=[stand_in(*key) for key in sorted(possible)])

    async def _possible(
        self, dangling: Mapping[Key, list[Pointer]], arriving: Mapping[Key, dict[str, Any] | None], known: Known
    ) -> set[Key]:
        """The missing resources that may get a placeholder: never one that was here before, or goes now."""
        wanted = {
            one.key
            for key, pointers in dangling.items()
            for one in pointers
            if one.key not in arriving and _stands_in(self.mode_of(key[0]), one.key[0])
        }
        return wanted.difference(await known(sorted(wanted)) if wanted else ())

    def in_use(self, referrers: Sequence[tuple[str, int]]) -> str | None:
        """Why something that others refer to may not go; None when none of their types enforces it.

        Types and counts, never ids: the requester may not see each of them.
        """
        kept = [(name, count) for name, count in referrers if self.mode_of(name) is ReferenceIntegrity.ENFORCE]
        if not kept:
            return None
        listed = ", ".join(f"{count} {name}" for name, count in kept)
        return f"other resources refer to it ({listed}); delete or change them first, or all in one transaction"

    @property
    def keeps_referenced(self) -> bool:
        """Whether what others refer to may ever not be deleted."""
        return ReferenceIntegrity.ENFORCE in (self.mode, *self.by_type.values())

    def _asked(self, key: Key, found: Sequence[str], patients: Collection[str]) -> Iterator[Key]:
        """The targets of a resource that must be looked for."""
        settled = patients if self.mode_of(key[0]) is not ReferenceIntegrity.ENFORCE else ()
        for text in found:
            target = self._target(text)
            if target is not None and not (target[0] == "Patient" and target[1] in settled):
                yield target

    def _target(self, text: str) -> Key | None:
        """The resource of this hub that a reference names, if it names one."""
        parsed = references.parse(text)
        if parsed.type is None or parsed.id is None or parsed.type in NOT_STORED:
            return None
        here = parsed.kind is references.Kind.RELATIVE or parsed.base == self.base
        return (parsed.type, parsed.id) if here else None

    def _pointers(self, resource: dict[str, Any], missing: set[Key]) -> list[Pointer]:
        """Where a resource names one of those that are missing."""
        return [
            Pointer(path, target)
            for path, each in _placed(resource, resource["resourceType"])
            if (target := self._target(each["reference"])) in missing and target
        ]


def _stands_in(mode: ReferenceIntegrity, resource_type: str) -> bool:
    """Whether a policy makes up what is missing of this type."""
    if mode is ReferenceIntegrity.WARN:
        return resource_type == "Patient"
    return mode is ReferenceIntegrity.PLACEHOLDER and can_stand_in(resource_type)


async def _missing(targets: set[Key], arriving: Mapping[Key, dict[str, Any] | None], existing: Existing) -> set[Key]:
    """The targets that will not be here when the submission is stored."""
    leaving = {key for key in targets if key in arriving and arriving[key] is None}
    outside = sorted(key for key in targets if key not in arriving)
    return leaving | set(outside).difference(await existing(outside) if outside else ())


def _placed(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every Reference with a literal, contained resources included, and its FHIRPath: walked only when something may
    have to be said about one."""
    if type(value) is dict:
        if type(value.get("reference")) is str:
            yield path, value
        for name, child in value.items():
            yield from _placed(child, f"{path}.{name}")
    elif type(value) is list:
        for position, child in enumerate(value):
            yield from _placed(child, f"{path}[{position}]")


def _contradictions(resource: dict[str, Any]) -> Iterator[Issue]:
    """References whose `type` names another type than the literal beside it (references.html#Reference.type)."""
    told = "the type of a reference must be that of the resource which it names"
    for path, each in _placed(resource, resource["resourceType"]):
        if _contradicts(each):
            yield error("business-rule", told, path)


def _contradicts(reference: dict[str, Any]) -> bool:
    if type(reference.get("type")) is not str:
        return False
    written, stated = references.parse(reference["reference"]).type, reference["type"].rpartition("/")[2]
    return written != stated and written in resource_types() and stated in resource_types()


def stand_in(resource_type: str, id_: str) -> dict[str, Any]:
    """The least resource that may stand under a reference, tagged as a placeholder."""
    least = _LEAST.get(resource_type, lambda _: {})(id_)
    return {"resourceType": resource_type, "id": id_, "meta": {"tag": [PLACEHOLDER]}, **least}


@cache
def can_stand_in(resource_type: str) -> bool:
    """Whether an empty resource of the type is a valid one; most need elements that nobody can make up."""
    return not any(issue.is_error for issue in validate.structure(stand_in(resource_type, "x")))


def _fault(pointer: Pointer) -> Issue:
    told = f"this {pointer.key[0]} is not here; send it first, or both in one transaction"
    return error("business-rule", told, pointer.expression)


def _warning(pointer: Pointer) -> Issue:
    return Issue("warning", "not-found", pointer.expression, f"this {pointer.key[0]} is not here yet")
