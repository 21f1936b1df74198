"""Metrics in a registry of our own, and spans that show codes only."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry import trace

from healthsync.infrastructure.telemetry import metrics, span, traces


def test_what_was_counted_is_rendered_for_prometheus():
    counter = metrics.counter("test_accepted", "Accepted.", ["channel"])
    counter.labels("mercy").inc(2)
    metrics.gauge("test_waiting", "Waiting.").set(3)
    metrics.histogram("test_seconds", "Duration.").observe(0.02)
    text = metrics.render().decode()
    assert 'test_accepted_total{channel="mercy"} 2.0' in text
    assert "test_waiting 3.0" in text
    assert 'test_seconds_bucket{le="0.025"} 1.0' in text
    assert "python_info" not in text


def test_asking_twice_gives_the_same_metric_and_another_kind_is_a_mistake():
    assert metrics.counter("test_same", "x") is metrics.counter("test_same", "x")
    with pytest.raises(ValueError, match="exists as a counter"):
        metrics.gauge("test_same", "x")


def test_a_label_that_the_phi_filter_does_not_know_is_a_mistake():
    with pytest.raises(ValueError, match="does not know the labels"):
        metrics.counter("test_leak", "x", ["patient_name"])


class Recorder(trace.NonRecordingSpan):
    """A span that keeps what it is given, in place of the SDK."""

    def __init__(self) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.seen: list[object] = []

    def set_status(self, status, description=None) -> None:
        self.seen.append((status, description))


class Tracer(trace.NoOpTracer):
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def start_as_current_span(self, name: str, *_: Sequence[object], **options):  # type: ignore[override]
        self.recorder.seen.append((name, options["attributes"], options["record_exception"]))
        return trace.use_span(self.recorder, record_exception=False, set_status_on_exception=False)


def test_a_span_shows_permitted_codes_and_of_an_exception_only_the_class(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(traces, "_tracer", Tracer(recorder))
    monkeypatch.setattr(traces, "_is_listened_to", lambda: True)
    with pytest.raises(ValueError), span("ingest", interaction="create", family="Smith", sequence=1, state=None):
        raise ValueError("Smith")
    assert recorder.seen == [
        ("ingest", {"healthsync.interaction": "create", "healthsync.sequence": 1}, False),
        (trace.StatusCode.ERROR, "ValueError"),
    ]


def test_without_the_sdk_a_span_does_nothing():
    with span("ingest", interaction="create") as current:
        assert not current.is_recording()


def test_what_several_processes_see_of_one_thing_is_told_once(tmp_path):
    waiting = metrics.gauge("test_seen_by_two", "What waits.")
    waiting.set(5)
    metrics.write_snapshot(tmp_path / "1.prom")
    waiting.set(3)
    assert "test_seen_by_two 5.0" in metrics.render([tmp_path / "1.prom"]).decode()


def test_the_counts_of_other_processes_are_added_to_ours(tmp_path):
    counted = metrics.counter("test_added_up", "Counted in two processes.", ("outcome",))
    counted.labels(outcome="accepted").inc(2)
    metrics.write_snapshot(tmp_path / "1.prom")
    counted.labels(outcome="accepted").inc(3)
    text = metrics.render([tmp_path / "1.prom", tmp_path / "gone.prom"]).decode()
    assert 'test_added_up_total{outcome="accepted"} 7.0' in text
