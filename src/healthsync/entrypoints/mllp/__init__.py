"""HL7 v2 over TCP: frames in, a flow called, the answers back in the order of the frames."""

from healthsync.entrypoints.mllp.server import MllpServer
from healthsync.entrypoints.mllp.tls import tls_context

__all__ = ["MllpServer", "tls_context"]
