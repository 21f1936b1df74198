"""HealthSync: a health information exchange hub that a hospital network starts with one command.

What programs import stands here and is loaded when it is used: `from healthsync import HealthSync, HL7Parser`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from healthsync.sdk import (
        Ack,
        AsyncHealthSync,
        Event,
        HealthSync,
        HL7Component,
        HL7Field,
        HL7Message,
        HL7Parser,
        HL7Repetition,
        HL7Segment,
        Publication,
    )
    from healthsync.sdk import interop as HealthcareInterop  # noqa: N812 - the name of the requirements

__all__ = [
    "Ack",
    "AsyncHealthSync",
    "Event",
    "HL7Component",
    "HL7Field",
    "HL7Message",
    "HL7Parser",
    "HL7Repetition",
    "HL7Segment",
    "HealthSync",
    "HealthcareInterop",
    "Publication",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"healthsync has no attribute {name!r}")
    from healthsync import sdk

    if name == "HealthcareInterop":
        from healthsync.sdk import interop

        return interop
    return getattr(sdk, name)
