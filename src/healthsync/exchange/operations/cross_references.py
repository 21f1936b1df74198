"""Patient/$ihe-pix (IHE PIXm, ITI-83): the other numbers of the person who bears a number, through the gate out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from healthsync.domains.access import Requester
from healthsync.errors import InvalidInput
from healthsync.exchange.disclose import CrossReferences, Disclose, NotCrossReferenced, Refusal
from healthsync.standards.fhir.parameters import Parameters
from healthsync.standards.fhir.query_values import split, unescape

MOST_DOMAINS = 50
"""Domains that one question may name."""

_SERVED = ("sourceIdentifier", "targetSystem")


class CrossReference:
    """Finds corresponding identifiers."""

    def __init__(self, disclose: Disclose) -> None:
        self._disclose = disclose

    async def __call__(
        self, requester: Requester, asked: Parameters, own_base: str
    ) -> CrossReferences | NotCrossReferenced | Refusal:
        """The identifiers that correspond to `sourceIdentifier`, of the domains `targetSystem` or of all.

        `own_base`, the address of this FHIR server, is a domain too: its numbers are `Patient/[id]`. Raises
        InvalidInput for a question without one number of one domain.
        """
        asked.only(_SERVED)
        system, value = _number(asked)
        targets = list(dict.fromkeys(map(_target, asked.all("targetSystem"))))
        if len(targets) > MOST_DOMAINS:
            raise InvalidInput(f"targetSystem names {MOST_DOMAINS} domains at most", code="too-costly")
        return await self._disclose.cross_references(
            requester,
            value.removeprefix("Patient/") if system == own_base else (system, value),
            [each for each in targets if each != own_base] if targets else None,
            interaction="$ihe-pix",
            asked=urlencode([("sourceIdentifier", f"{system}|{value}"), *(("targetSystem", each) for each in targets)]),
            with_all_patients=own_base in targets,
        )


def _number(asked: Parameters) -> tuple[str, str]:
    """System and value of the number that is known: a token, or an Identifier."""
    values = asked.all("sourceIdentifier")
    if len(values) == 1:
        value = values[0]
        if isinstance(value, Mapping):
            found = value.get("system"), value.get("value")
        else:
            parts = [unescape(part) for part in split(value, "|")] if isinstance(value, str) else []
            found = (parts[0], "|".join(parts[1:])) if parts else (None, None)
        if all(isinstance(part, str) and part for part in found):
            return str(found[0]), str(found[1])
    raise InvalidInput(
        "sourceIdentifier is one number with its authority, system|value", code="required", expression=_SERVED[0]
    )


def _target(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInput("targetSystem is the URI of an assigning authority", code="value", expression=_SERVED[1])
    return value
