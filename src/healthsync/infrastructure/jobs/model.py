"""Nouns of long work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from healthsync.errors import HealthSyncError


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class ClaimLost(HealthSyncError):
    """The job was cancelled, or given to another worker: this one stops and undoes what it has not committed."""

    code = "conflict"


class TooManyJobs(HealthSyncError):
    """The client has as many jobs of a kind at work as it may (HTTP 429)."""

    code = "throttled"


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stands; `key` (32 bytes) seals what belongs to it. Numbers count resources."""

    id: UUID
    kind: str
    state: JobState
    owner: str
    key: bytes
    request: Mapping[str, Any]
    position: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    step: str
    done: int
    rejected: int
    failure_code: str | None
    failure: str | None
    attempts: int
    claim: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    purged: bool


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file of a job in the object store; `bytes` as it lies there, sealed. `purpose`: output or deleted."""

    number: int
    purpose: str
    resource_type: str
    object: str
    lines: int
    bytes: int
    patient_keys: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """A webhook that is due."""

    id: UUID
    kind: str
    state: str
    owner: str
    webhook: str
    attempts: int
