"""The SDK: what a program imports to handle messages and events of a hub (docs/sdk.md).

    hs = HealthSync(api_key=…)            or AsyncHealthSync: the same, awaited

    @hs.on_hl7("ORU^R01")                 every result, once it is processed
    def handle(message): …

    hs.run()                              remotely, over HTTP; or inside the hub: healthsync serve --app module:hs

Both faces stand on one core, and the core asks the hub over its REST API, also inside the hub: one set of gates,
roles and audit records. Importing this takes neither web framework nor database driver.
"""

from healthsync.sdk.client import AsyncHealthSync
from healthsync.sdk.face import HealthSync
from healthsync.sdk.model import Ack, Event, HL7Message, Publication
from healthsync.sdk.parser import HL7Component, HL7Field, HL7Parser, HL7Repetition, HL7Segment

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
    "Publication",
]
