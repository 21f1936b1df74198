"""Everything that a write would do, and then undone: what `$validate` with a mode asks for."""

from __future__ import annotations

from typing import Any, Literal

from healthsync.domains.access import Interaction, Requester
from healthsync.errors import HealthSyncError, Refused, Unavailable
from healthsync.exchange.disclose import Withheld
from healthsync.exchange.ingest import Incoming, InvalidResource, Key
from healthsync.exchange.interactions.write import Write, as_sent, deletion
from healthsync.infrastructure.database import Transaction
from healthsync.standards.fhir.outcome import Issue, error, from_error

Kind = Literal["create", "update", "delete"]

_NEEDED = {"create": Interaction.CREATE, "update": Interaction.UPDATE, "delete": Interaction.DELETE}


class _Undone(Exception):
    """Ends the rehearsal: nothing of it stays."""


class Rehearsal:
    """Writes that leave no trace."""

    def __init__(self, write: Write) -> None:
        self._write = write

    async def authorise(self, requester: Requester, kind: Kind, resource_type: str) -> None:
        """Raises Refused, after recording it, for who may not do this in earnest."""
        await self._write.authorise(requester, _NEEDED[kind], resource_type)

    async def __call__(
        self, requester: Requester, kind: Kind, resource_type: str, id_: str | None, resource: dict[str, Any] | None
    ) -> list[Issue]:
        """What the gate would say. Raises Withheld or Refused for what the requester may not see, Unavailable."""
        issues: list[Issue] = []
        try:
            async with self._write.unit() as tx:
                if kind == "delete" and not await self._is_here(tx, requester, (resource_type, id_ or "")):
                    issues = [error("not-found", "there is no such resource to delete, or it is deleted already")]
                else:
                    incoming = self._incoming(kind, resource_type, id_, resource or {})
                    stored = await self._write.submit(tx, requester, kind, [incoming])
                    issues = [issue for one in stored for issue in one.warnings]
                    await tx.flush()
                raise _Undone
        except _Undone:
            return issues
        except InvalidResource as problem:
            return problem.issues
        except (Refused, Withheld, Unavailable):
            raise
        except HealthSyncError as problem:
            return [from_error(problem)]

    async def _is_here(self, tx: Transaction, requester: Requester, key: Key) -> bool:
        known = (await self._write.states(tx, requester, [key])).get(key)
        return known is not None and known.is_here

    def _incoming(self, kind: Kind, resource_type: str, id_: str | None, resource: dict[str, Any]) -> Incoming:
        if kind == "delete":
            return deletion(resource_type, id_ or "")
        if kind == "create":
            return Incoming(self._write.new(resource), "create")
        return Incoming(as_sent({**resource, "id": id_}), "update")
