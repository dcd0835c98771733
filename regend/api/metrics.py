"""What the daemon counts about itself, for Prometheus. Local: nothing is sent anywhere."""

from __future__ import annotations

import json

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from regend import events
from regend.jobs.history import StoredEvent

_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The counters of one daemon, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.started = Counter(
            "regend_jobs_started", "Jobs accepted", ["type"], registry=self.registry
        )
        self.completed = Counter("regend_jobs_completed", "Jobs completed", registry=self.registry)
        self.failed = Counter("regend_jobs_failed", "Jobs failed", registry=self.registry)
        self.cancelled = Counter("regend_jobs_cancelled", "Jobs cancelled", registry=self.registry)
        self.model_latency = Histogram(
            "regend_model_latency_seconds",
            "Duration of one generation",
            registry=self.registry,
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
        )
        self.event_latency = Histogram(
            "regend_event_latency_seconds",
            "From commit to fan-out of the newest event of a batch",
            registry=self.registry,
            buckets=_LATENCY_BUCKETS,
        )
        self.request_latency = Histogram(
            "regend_request_seconds",
            "Duration of a request",
            ["method", "status"],
            registry=self.registry,
            buckets=_LATENCY_BUCKETS,
        )
        self.connections = Gauge(
            "regend_active_connections", "Open WebSocket streams", registry=self.registry
        )
        self.queued_writes = Gauge(
            "regend_store_queued_writes", "Writes that wait for the disk", registry=self.registry
        )
        self.running = Gauge("regend_jobs_running", "Jobs under way", registry=self.registry)

    def count(self, stored: StoredEvent) -> None:
        """Count what an event tells."""
        match stored.event.type:
            case events.JOB_CREATED:
                self.started.labels(json.loads(stored.event.data)["type"]).inc()
            case events.JOB_COMPLETED:
                self.completed.inc()
            case events.JOB_FAILED:
                self.failed.inc()
            case events.JOB_CANCELLED:
                self.cancelled.inc()
            case events.MODEL_COMPLETE:
                self.model_latency.observe(json.loads(stored.event.data)["elapsed_s"])

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
