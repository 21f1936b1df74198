"""What operators see: logs, metrics and traces, none of which may carry a patient's values.

    log = logger(__name__)
    log.info("message accepted", channel="mercy", sequence=17)

Everything passes an allow-list (`phi_filter`): a key that is not named there is withheld, and so is a value that has
not the shape of its key. Exceptions leave their class, the place in our code, and the text only of our own errors.
"""

from healthsync.infrastructure.telemetry import metrics
from healthsync.infrastructure.telemetry.logs import Logger, configure, logger
from healthsync.infrastructure.telemetry.traces import span

__all__ = ["Logger", "configure", "logger", "metrics", "span"]
