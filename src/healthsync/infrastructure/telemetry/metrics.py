"""Prometheus metrics in a registry of the hub's own (nothing of other libraries slips in).

Ask for a metric at import time of the module that counts; asking twice gives the same one. Labels obey the allow-list
of the PHI filter: an unknown label name is a programming error and raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

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
    """Something of the whole hub that rises and falls, as any of its processes sees it."""
    return _once(Gauge, name, labels, lambda: Gauge(name, help, labels, registry=_registry))


def histogram(name: str, help: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = SECONDS) -> Histogram:
    """How a quantity is distributed; seconds unless `buckets` say otherwise."""
    return _once(Histogram, name, labels, lambda: Histogram(name, help, labels, buckets=buckets, registry=_registry))


def render(others: Iterable[Path] = ()) -> bytes:
    """Everything counted so far, in the text format that Prometheus scrapes (`CONTENT_TYPE`).

    `others` are the files of `write_snapshot` of further processes of this hub: their samples are added to ours. Gauges
    are not, since each process tells of the same thing: the largest is shown.
    """
    registry = CollectorRegistry()
    registry.register(_Together([_registry, *map(_read, others)]))
    return generate_latest(registry)


def write_snapshot(file: Path) -> None:
    """Leave what this process counted where the process that Prometheus asks can find it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    waiting = file.with_suffix(".new")
    waiting.write_bytes(generate_latest(_registry))
    waiting.replace(file)


def _read(file: Path) -> _Fixed:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:  # the process has just ended
        text = ""
    return _Fixed(list(text_string_to_metric_families(text)))


class _Fixed(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _Together(Collector):
    """The same metrics of several processes, sample by sample: counts added up, of gauges the largest."""

    def __init__(self, parts: Sequence[Collector | CollectorRegistry]) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        totals: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
        for family in (family for part in self._parts for family in part.collect()):
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                place = (family.name, sample.name, tuple(sample.labels.items()))
                before = totals.get(place, 0.0)
                totals[place] = max(before, sample.value) if family.type == "gauge" else before + sample.value
        for (family_name, name, labels), value in totals.items():
            families[family_name].add_sample(name, dict(labels), value)
        return families.values()


def _once(kind: type[_Metric], name: str, labels: Sequence[str], make: Callable[[], _Metric]) -> _Metric:
    if unknown := sorted(set(labels) - ALLOWED_KEYS):
        raise ValueError(f"metric {name}: the PHI filter does not know the labels {unknown}")
    found = _metrics.get(name) or _metrics.setdefault(name, make())
    if not isinstance(found, kind):
        raise ValueError(f"metric {name} exists as a {type(found).__name__.lower()}")
    return found
