"""List/$find (list-operation-find.html): the List that says what is on a functional list of a patient."""

from __future__ import annotations

from urllib.parse import urlencode

from healthsync.domains.access import Requester
from healthsync.errors import InvalidInput, NotFound
from healthsync.exchange.disclose import Disclose, Disclosed, Refusal
from healthsync.standards.fhir import references
from healthsync.standards.fhir.current_lists import CURRENT_LISTS
from healthsync.standards.fhir.parameters import Parameters
from healthsync.standards.fhir.query import parse


class FindList:
    """The operation, through the gate out."""

    def __init__(self, disclose: Disclose) -> None:
        self._disclose = disclose

    async def __call__(self, requester: Requester, asked: Parameters) -> Disclosed | Refusal:
        """The newest List that is kept for `name` (with or without `$`) of `patient`. Raises InvalidInput, NotFound."""
        asked.only(("patient", "name"))
        patient, name = asked.text("patient"), f"${(asked.text('name') or '').removeprefix('$')}"
        if not patient or references.parse(target := f"Patient/{patient.removeprefix('Patient/')}").target != target:
            raise InvalidInput("patient is the id of a Patient", code="required")
        if name not in CURRENT_LISTS:
            raise InvalidInput(f"name is one of {', '.join(CURRENT_LISTS)}", code="value")
        pairs = CURRENT_LISTS[name].kept_for(target)
        page = await self._disclose.search(
            requester,
            parse("List", pairs),
            after=None,
            count=1,
            asked=urlencode(pairs),
            with_total=False,
            interaction="$find",
        )
        if isinstance(page, Refusal):
            return page
        if not page.entries:
            raise NotFound("nobody keeps such a List; a search with _list goes by the state of what is there")
        return page.entries[0]
