"""What can go wrong in the repository."""

from healthsync.errors import Conflict


class VersionConflict(Conflict):
    """Someone else wrote the resource in between (HTTP 409; a message is tried again)."""

    code = "conflict"
