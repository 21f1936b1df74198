"""Prometheus metrics in a registry of the hub's own (nothing of other libraries slips in).

Ask for a metric at import time of the module that counts; asking twice gives the same one. Labels obey the allow-list
of the PHI filter: an unknown label name is a programming error and raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from healthsync.infrastructure.telemetry.phi_filter import ALLOWED_KEYS

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

disable_created_metrics()  # a second series for each counter that nobody reads
_registry = CollectorRegistry()
_metrics: dict[str, Counter | Gauge | Histogram] = {}
_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)


def counter(name: str, help: str, labels: Sequence[str] = ()) -> Counter:
    """Something that only grows; Prometheus shows it with the suffix `_total`."""
    return _once(Counter, name, labels, lambda: Counter(name, help, labels, registry=_registry))


def gauge(name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
    """Something that rises and falls."""
    return _once(Gauge, name, labels, lambda: Gauge(name, help, labels, registry=_registry))


def histogram(name: str, help: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = SECONDS) -> Histogram:
    """How a quantity is distributed; seconds unless `buckets` say otherwise."""
    return _once(Histogram, name, labels, lambda: Histogram(name, help, labels, buckets=buckets, registry=_registry))


def render() -> bytes:
    """Everything counted so far, in the text format that Prometheus scrapes (`CONTENT_TYPE`)."""
    return generate_latest(_registry)


def _once(kind: type[_Metric], name: str, labels: Sequence[str], make: Callable[[], _Metric]) -> _Metric:
    if unknown := sorted(set(labels) - ALLOWED_KEYS):
        raise ValueError(f"metric {name}: the PHI filter does not know the labels {unknown}")
    found = _metrics.get(name) or _metrics.setdefault(name, make())
    if not isinstance(found, kind):
        raise ValueError(f"metric {name} exists as a {type(found).__name__.lower()}")
    return found
