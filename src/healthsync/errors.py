"""The error tree.

    HealthSyncError                 every error that we raise on purpose
    ├── ConfigurationError          a setting, key or file is wrong; the message names it and the remedy
    ├── InvalidInput                what was sent cannot be understood or breaks a rule (FHIR issue code in `code`)
    ├── NotFound                    nothing stands under this reference, or the requester may not know that it does
    ├── Conflict                    the state in store contradicts the request (version, duplicate)
    ├── Refused                     authentication, authorisation or consent says no
    ├── NotSupported                understood, but this hub does not do it
    └── Unavailable                 a part that the hub depends on does not answer (database, audit, keys)

Messages carry codes and references, never a patient's values: they end in logs and in answers to strangers.
"""

from __future__ import annotations


class HealthSyncError(Exception):
    """Base of every error raised on purpose. `code` is a FHIR issue-type code (http://hl7.org/fhir/issue-type)."""

    code = "exception"


class ConfigurationError(HealthSyncError):
    """A setting, key or file is wrong; the message names it and the remedy."""

    code = "invalid"


class InvalidInput(HealthSyncError):
    """What was sent cannot be understood or breaks a rule."""

    code = "invalid"

    def __init__(self, message: str, *, code: str = "invalid", expression: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.expression = expression


class NotFound(HealthSyncError):
    """Nothing stands under this reference, or the requester may not know that it does."""

    code = "not-found"


class Conflict(HealthSyncError):
    """The state in store contradicts the request."""

    code = "conflict"


class Refused(HealthSyncError):
    """Authentication, authorisation or consent says no."""

    code = "forbidden"


class NotSupported(HealthSyncError):
    """Understood, but this hub does not do it."""

    code = "not-supported"


class Unavailable(HealthSyncError):
    """A part that the hub depends on does not answer."""

    code = "transient"
