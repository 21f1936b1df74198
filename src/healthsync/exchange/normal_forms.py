"""What a message told, in the forms in which the hub compares: after the conversion, before the gate. Pure.

Nothing that was sent is lost or changed in meaning: canonical quantities stand beside the values that were measured
(decision 27), and a name, number or address in normal form keeps what was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from healthsync.standards.maps import Conversion, MappedResource, MappingIssue
from healthsync.standards.normalise import Conventions, normalised_resource
from healthsync.standards.units import canonical_quantities


def in_normal_forms(conversion: Conversion, conventions: Conventions) -> Conversion:
    """The conversion with canonical quantities, and as the contract with its source asks.

    Issues of units are filed under OBX-6, where they were sent: `unit-unknown`, `implausible-quantity` and the others
    of `canonical_quantities`.
    """
    issues = list(conversion.issues)

    def standard(mapped: MappedResource) -> MappedResource:
        resource = mapped.resource
        if mapped.type == "Observation":
            resource, found = canonical_quantities(resource)
            issues.extend(MappingIssue(code, "OBX-6") for code in found)
        resource = normalised_resource(resource, conventions)
        return mapped if resource is mapped.resource else replace(mapped, resource=resource)

    return replace(conversion, resources=[standard(mapped) for mapped in conversion.resources], issues=issues)


ConventionsOf = Callable[[str], Conventions]
"""The contract with a source, by its name."""
