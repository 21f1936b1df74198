"""A hub with one protection missing, to learn what the protection costs; started by the scenario `fhir_tax` only.

    python -m benchmarks.fhir.without encryption serve --data FOLDER

Nothing in the hub can be configured so: this module puts other classes in the place of the hub's own before it is
built, in a process of its own, on a data folder that is thrown away. Protections: encryption (resources are stored
readable, and patients have no data key; index tokens stay keyed), consent (every row is permitted), audit (nothing is
recorded).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from healthsync import bootstrap
from healthsync.domains.audit import AuditEvent, AuditService
from healthsync.domains.consent import ConsentService
from healthsync.domains.privacy import HUB_SCOPE, DataKey, SealingPolicy
from healthsync.entrypoints.cli import main
from healthsync.exchange.vault import Vault
from healthsync.infrastructure.database import Transaction


class _ReadablePolicy(SealingPolicy):
    def class_of(self, resource_type: str, element: str, value: Any) -> None:
        return None


class _OpenVault(Vault):
    def __init__(self, data_keys: Any, policy: SealingPolicy, *others: Any, **named: Any) -> None:
        slots = {name: getattr(policy, name) for name in SealingPolicy.__slots__}
        super().__init__(data_keys, _ReadablePolicy(**slots), *others, **named)
        self._no_key = DataKey(HUB_SCOPE, 1, bytes(32))

    async def key_for(self, tx: Transaction, patient_key: int | None) -> DataKey:
        return self._no_key


class _NoConsent(ConsentService):
    def sql_predicate(self, patient_key: str, purpose: str, first_parameter: int) -> tuple[str, list[Any]]:
        return "true", []


class _NoAudit(AuditService):
    async def record_many(self, tx: Transaction, events: Iterable[AuditEvent]) -> None:
        return

    async def record_and_commit(self, event: AuditEvent) -> None:
        return


def _no_encryption() -> None:
    bootstrap.Vault = _OpenVault


def _no_consent() -> None:
    bootstrap.ConsentService = _NoConsent


def _no_audit() -> None:
    bootstrap.AuditService = _NoAudit


PROTECTIONS: dict[str, Callable[[], None]] = {
    "encryption": _no_encryption, "consent": _no_consent, "audit": _no_audit
}  # fmt: skip


if __name__ == "__main__":
    missing = sys.argv.pop(1)
    for name in PROTECTIONS if missing == "all" else (missing,):
        PROTECTIONS[name]()
    main()
