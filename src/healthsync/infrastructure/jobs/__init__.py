"""Long work: a table of jobs that workers claim, carry on from where they stand, and end.

A job belongs to a client, runs in any worker process, and keeps where it stands in the same commit as what it has done.
A worker that falls silent loses its claim: another goes on from the last commit, and the first can write nothing more.
What was asked for, the position and the result are sealed under a key of the job; when its
time is over, key and files go.
"""

from healthsync.infrastructure.jobs.addresses import require_allowed
from healthsync.infrastructure.jobs.model import ClaimLost, Job, JobFile, JobState, Notice, TooManyJobs
from healthsync.infrastructure.jobs.notices import DeliverNotices, secret_of, signature
from healthsync.infrastructure.jobs.table import JobTable

__all__ = [
    "ClaimLost",
    "DeliverNotices",
    "Job",
    "JobFile",
    "JobState",
    "JobTable",
    "Notice",
    "TooManyJobs",
    "require_allowed",
    "secret_of",
    "signature",
]
