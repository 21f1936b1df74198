"""What an application did with data outside the hub, written into the hub's audit log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from healthsync.domains.access import Requester, RolePolicy, purpose_of_use
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.errors import InvalidInput

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_ACTIONS = {"create": Action.CREATE, "read": Action.READ, "update": Action.UPDATE, "delete": Action.DELETE}
_MOST_BYTES = 64_000


class NoteUse:
    """The flow."""

    def __init__(self, audit: AuditService, roles: RolePolicy) -> None:
        self._audit, self._roles = audit, roles

    async def __call__(self, requester: Requester, note: Mapping[str, Any]) -> None:
        """Record a note. `action` is a code; `resource` and `resource_id` name what was used; `purpose` is a purpose of
        use. All of the note, `destination` and `user` among it, is sealed beside them, since it may name a person.

        Raises InvalidInput, or PurposeNotAllowed for a purpose that the roles do not include.
        """
        action, resource, id_ = note.get("action"), note.get("resource"), note.get("resource_id")
        if not isinstance(action, str) or not _CODE.fullmatch(action):
            raise InvalidInput("action is a code such as sync", code="value", expression="action")
        if resource is not None and not (isinstance(resource, str) and _CODE.fullmatch(resource)):
            raise InvalidInput("resource is a type such as Patient", code="value", expression="resource")
        if id_ is not None and not (isinstance(id_, str) and _ID.fullmatch(id_)):
            raise InvalidInput("resource_id is the id of a resource", code="value", expression="resource_id")
        sealed = msgspec.json.encode(note, order="deterministic").decode()
        if len(sealed) > _MOST_BYTES:
            raise InvalidInput(f"a note has {_MOST_BYTES} bytes at most", code="too-long")
        purpose = note.get("purpose")
        if purpose is not None:
            purpose = purpose_of_use(self._roles, requester.roles, purpose if isinstance(purpose, str) else "?")
        entity = f"{resource}/{id_}" if resource and id_ else resource
        await self._audit.record_and_commit(
            AuditEvent(
                action=_ACTIONS.get(action, Action.EXECUTE),
                interaction=f"application:{action}",
                outcome=Outcome.PERMITTED,
                client=requester.client_id,
                user=requester.user,
                organisation=requester.organisation,
                roles=requester.roles,
                purpose_of_use=purpose or requester.purpose_of_use,
                entities=(entity,) if entity else (),
                patients=(f"Patient/{id_}",) if resource == "Patient" and id_ else (),
                source_address=requester.source_address,
                query=sealed,
            )
        )
