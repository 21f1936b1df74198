"""The verbs of consent: record, withdraw, decide, and the same decision as SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from healthsync.domains.consent import store
from healthsync.domains.consent.decision import PATIENT_REQUEST, ConsentPolicy, Decision, decide
from healthsync.domains.consent.model import Directive, compile_consent
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Transaction


class ConsentService:
    """Directives of patients, under one policy for those who said nothing."""

    def __init__(self, clock: Clock, policy: ConsentPolicy) -> None:
        self._clock = clock
        self.policy = policy
        self._has_met_any = False

    async def record(
        self, tx: Transaction, consent: Mapping[str, Any], given_for: int, person: Sequence[int]
    ) -> Directive | None:
        """Compile a stored Consent of source patient `given_for` for all source patients of the person.

        A consent that is no longer active loses its directive. Returns what holds now.
        """
        directive = compile_consent(consent)
        await store.withdraw(tx, str(consent["id"]))
        if directive is not None:
            await store.add(tx, directive, given_for, person)
        return directive

    async def align(self, tx: Transaction, person: Sequence[int]) -> None:
        """After links changed: each source patient of a person is protected by what any of them decided.

        Until the first directive is met, nobody looks for some who can make sure when he writes that there are none.
        """
        members = list(person)
        if (self._has_met_any or not tx.is_guarded) and await store.any_given(tx, members):
            self._has_met_any = True
            await store.align(tx, members)
        elif tx.is_guarded:
            store.none_given(tx, members)

    async def decision(self, tx: Transaction, patient_key: int, purpose: str) -> Decision:
        """Decide for one patient, with the reason."""
        directives = await store.directives(tx, patient_key)
        return decide(directives, purpose, self._clock.now(), self.policy)

    def sql_predicate(self, patient_key: str, purpose: str, first_parameter: int) -> tuple[str, list[Any]]:
        """The same decision as a condition on the SQL expression `patient_key`, with its parameters.

        A row that belongs to no patient (NULL) is permitted. Parameters are numbered from `first_parameter`.
        """
        if purpose == PATIENT_REQUEST:
            return "true", []
        return store.predicate(patient_key, first_parameter, opt_in=self.policy is ConsentPolicy.OPT_IN), [
            purpose,
            self._clock.now(),
        ]
