"""Devices and what they measure: IHE PCD-01 (ORU^R01 with codes of ISO/IEEE 11073-10101).

OBX-4 says where a measurement stands in the device: MDS.VMD.CHANNEL.METRIC, `1.3.1.150456`; a node of the tree itself
is an OBX without a value whose levels below are 0 (IHE PCD TF-2 §B.8.4). Nodes become Devices, one inside the other,
metrics DeviceMetrics, where the equipment is named (OBX-18); what nobody can name again is no resource of its own.
"""

from __future__ import annotations

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.datatypes import device
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.scribe import Draft, Scribe, clean

_METRIC = 4
"""The level of OBX-4 on which metrics stand; below it are facets of a metric."""


class Containment:
    """The tree of the device that the OBX of one patient in one message tell of."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, ...], Draft] = {}

    def node(self, obx: Segment, scribe: Scribe) -> bool:
        """Take an OBX that is a node of the device, not a measurement."""
        path = _path(obx)
        if path is None or obx.get(2) or obx.raw_field(5) or len(path) >= _METRIC:
            return False
        number = _equipment(obx, scribe)
        above = self._above(path)
        if number is None and above is None:
            scribe.unmapped["OBX-4"] += 1
            return True
        draft = number or scribe.draft("Device", f"{above.key}|{'.'.join(path)}")  # type: ignore[union-attr]
        scribe.path = "OBX-3"
        if (rep := first_repetition(obx, 3)) and (found := codeable_concept(rep, scribe)):
            draft.resource["type"] = found
        draft.resource["status"] = "active"
        if above and above is not draft:
            draft.resource["parent"] = above.reference
        self._nodes[path] = draft
        return True

    def tell(self, obx: Segment, draft: Draft, scribe: Scribe) -> None:
        """What measured: the metric of the device (OBX-4), else the device of OBX-18."""
        path = _path(obx)
        if path is None:
            return
        owner = self._above(path) or _equipment(obx, scribe)
        if owner is None:
            return
        draft.resource["device"] = self._metric(obx, path, owner, scribe) if len(path) >= _METRIC else owner.reference

    def _metric(self, obx: Segment, path: tuple[str, ...], owner: Draft, scribe: Scribe) -> Resource:
        draft = scribe.draft("DeviceMetric", f"{owner.key}|{'.'.join(path[:_METRIC])}")
        if len(path) == _METRIC:
            told = draft.resource
            for number, element in ((3, "type"), (6, "unit")):
                if (rep := first_repetition(obx, number)) and (found := codeable_concept(rep, scribe)):
                    told[element] = found
            told["category"] = "measurement"
            root = self._nodes.get(path[:1], owner)
            told["source"] = root.reference
            if root is not owner:
                told["parent"] = owner.reference
        return draft.reference if "type" in draft.resource else self._forget(draft, owner, scribe)

    @staticmethod
    def _forget(draft: Draft, owner: Draft, scribe: Scribe) -> Resource:
        """A facet whose metric was not told before it: the device measured it."""
        del scribe.drafts["DeviceMetric", draft.key]
        return owner.reference

    def _above(self, path: tuple[str, ...]) -> Draft | None:
        return next((self._nodes[path[:n]] for n in range(len(path) - 1, 0, -1) if path[:n] in self._nodes), None)


def _path(obx: Segment) -> tuple[str, ...] | None:
    """`1.3.1.150456` in its levels, trailing zeros left out; None where OBX-3 is no MDC code."""
    if "MDC" not in (obx.get(3, 1, 3), obx.get(3, 1, 6)):
        return None
    levels = clean(obx.get(4)).strip().split(".")
    while levels and levels[-1] in ("0", ""):
        levels.pop()
    return tuple(levels) if levels and all(level.isdigit() for level in levels) else None


def _equipment(obx: Segment, scribe: Scribe) -> Draft | None:
    """The Device of OBX-18."""
    rep = first_repetition(obx, 18)
    scribe.path = "OBX-18"
    reference = device(rep, scribe) if rep else None
    return scribe.draft_of(reference) if reference else None
