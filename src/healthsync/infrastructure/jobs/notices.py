"""Webhooks: tell a URL that a job has ended. No patient data, only id, kind and state.

The receiver proves the sender by `X-HealthSync-Signature: t=<seconds>,v1=<hex>`: HMAC-SHA-256 over `<seconds>.<body>`
under a secret of its client (`healthsync jobs secret CLIENT`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Sequence
from typing import Protocol

from healthsync.errors import InvalidInput, Refused, Unavailable
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.jobs.addresses import require_allowed
from healthsync.infrastructure.jobs.model import Notice
from healthsync.infrastructure.jobs.table import JobTable
from healthsync.infrastructure.telemetry import logger

MOST_ATTEMPTS = 8
BACKOFF_SECONDS = 5.0
TIMEOUT_SECONDS = 10.0

_log = logger(__name__)


class Sender(Protocol):
    """Sends HTTP requests."""

    async def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, timeout_seconds: float
    ) -> int:
        """The status of the answer. Raises Unavailable when none comes, Refused for an address that is not allowed."""
        ...

    async def close(self) -> None:
        """Close the connections that are kept."""
        ...


def secret_of(root: bytes, owner: str) -> str:
    """The secret that a client and the hub share for signatures, in hex."""
    return hmac.new(root, owner.encode(), hashlib.sha256).hexdigest()


def signature(secret: str, seconds: int, body: bytes) -> str:
    """The value of X-HealthSync-Signature."""
    mac = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={mac.hexdigest()}"


class DeliverNotices:
    """Calls the webhooks that are due; one that does not answer with 2xx is called again, later each time."""

    def __init__(
        self, jobs: JobTable, clock: Clock, sender: Sender, *, secret_root: bytes, hosts: Collection[str]
    ) -> None:
        self._jobs, self._clock, self._sender = jobs, clock, sender
        self._secret_root, self._hosts = secret_root, hosts

    async def __call__(self) -> int:
        """Returns how many were called."""
        due = await self._jobs.due_notices(BACKOFF_SECONDS)
        for notice in due:
            if await self._deliver(notice) or notice.attempts >= MOST_ATTEMPTS:
                await self._jobs.settle(notice)
        return len(due)

    def secret_of(self, owner: str) -> str:
        """The secret of a client."""
        return secret_of(self._secret_root, owner)

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._sender.close()

    async def _deliver(self, notice: Notice) -> bool:
        body = json.dumps({"id": str(notice.id), "kind": notice.kind, "state": notice.state}).encode()
        seconds = int(self._clock.now().timestamp())
        signed = signature(self.secret_of(notice.owner), seconds, body)
        headers = [("Content-Type", "application/json"), ("X-HealthSync-Signature", signed)]
        try:
            require_allowed(notice.webhook, self._hosts)  # the settings may have changed since
            status = await self._sender.send("POST", notice.webhook, headers, body, TIMEOUT_SECONDS)
        except (InvalidInput, Refused):
            _log.warning("a webhook is not allowed and is given up", kind=notice.kind)
            return True
        except Unavailable:
            _log.warning("a webhook does not answer", kind=notice.kind, attempt=notice.attempts)
            return False
        if 200 <= status < 300:
            return True
        _log.warning("a webhook refuses", kind=notice.kind, attempt=notice.attempts, status=status)
        return False
