"""What a run spends, told to others while it goes on: OpenTelemetry spans and metrics, and a file that Prometheus reads.

Off unless asked for (``monitor.otel=true``, ``monitor.prometheus=FILE``). Names and numbers only: no text of a prompt or an
answer, no id of a document. OpenTelemetry's names for generative AI are still in development and changed twice in 2026, so all
of them stand in the two tables here. Their metrics for tokens come in two shapes: the histogram that backends read today, or,
with ``OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental``, the counters that replace it. There is no agreed name for
what a call cost: ``llmc.cost.usd`` is ours, with ``llmc.cost.source`` beside it.

    OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 llmc compress ... monitor.otel=true
    llmc compress ... monitor.prometheus=/var/lib/node_exporter/textfile/llmc.prom
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from llmc import money
from llmc.errors import UsageError
from llmc.ledger.rows import Document, Event, Run

if TYPE_CHECKING:
    from llmc.schema import RunConfig

NEW_NAMES = "gen_ai_latest_experimental"
WRITE_SECONDS = 5.0  # between two writes of the Prometheus file; node_exporter is asked every 15 s by default
ENDPOINTS = (  # where the exporters send to, as their library reads it; without any of them to port 4318 of this machine
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)  # fmt: skip
LOOPBACK = ("localhost", "127.0.0.1", "::1")

ATTRIBUTES: dict[str, Callable[[Event], Any]] = {
    "gen_ai.operation.name": lambda e: "chat",
    "gen_ai.provider.name": lambda e: e.provider or e.engine,
    "gen_ai.request.model": lambda e: e.model,
    "gen_ai.response.model": lambda e: e.served_model or None,
    "gen_ai.response.id": lambda e: e.request_id or None,
    "gen_ai.usage.input_tokens": lambda e: e.prompt_tokens,  # what the cache held included, as the convention wants it
    "gen_ai.usage.output_tokens": lambda e: e.output_tokens,
    "gen_ai.usage.cache_read.input_tokens": lambda e: e.cache_read_tokens,
    "gen_ai.usage.cache_creation.input_tokens": lambda e: e.cache_write_tokens,
    "gen_ai.usage.reasoning.output_tokens": lambda e: e.reasoning_tokens,
    "error.type": lambda e: (e.reason or e.status) if e.status in ("failed", "lost") else None,
    "llmc.tier": lambda e: e.tier,
    "llmc.attempt": lambda e: e.attempt,
    "llmc.backend.kind": lambda e: e.backend_kind,
    "llmc.cost.usd": lambda e: None if e.cost_pico is None else float(money.usd(e.cost_pico)),
    "llmc.cost.source": lambda e: e.price.cost_source,
    "llmc.energy.joules": lambda e: e.energy_joules,
    "llmc.energy.method": lambda e: e.energy_method,
}
"""A span's attributes; what is None is left out."""
OF_METRICS = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "error.type")
"""The attributes that metrics carry too: those with few values."""
COUNTERS: dict[str, str] = {
    "gen_ai.client.inference.usage.input_tokens": "gen_ai.usage.input_tokens",
    "gen_ai.client.inference.usage.output_tokens": "gen_ai.usage.output_tokens",
    "gen_ai.client.inference.usage.cache_read.input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.client.inference.usage.cache_write.input_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.client.inference.usage.reasoning.output_tokens": "gen_ai.usage.reasoning.output_tokens",
}
"""The new token metrics, and the attribute that each adds up."""


class Monitor(Protocol):
    """Somebody who is told."""

    def event(self, event: Event) -> None: ...

    def document(self, document: Document) -> None: ...

    def close(self) -> None: ...


def monitors(config: "RunConfig", run: Run, on_warning: Callable[[str], None]) -> list[Monitor]:
    """Those that are asked for. UsageError for one that cannot be, or may not be in this profile."""
    found: list[Monitor] = []
    if config.monitor.otel:
        found.append(_over_http(run, config.profile.offline, on_warning))
    if config.monitor.prometheus:
        found.append(Prometheus(Path(config.monitor.prometheus).expanduser(), run, on_warning))
    return found


def attributes(event: Event) -> dict[str, Any]:
    """An event in OpenTelemetry's words."""
    return {name: value for name, of in ATTRIBUTES.items() if (value := of(event)) is not None}


class OpenTelemetry:
    """A span for every call that was sent, and metrics over them."""

    def __init__(self, tracers: Any, meters: Any, run: Run) -> None:  # noqa: ANN401 - the SDK's providers
        self._tracers, self._meters = tracers, meters
        self._tracer = tracers.get_tracer("llmc")
        meter = meters.get_meter("llmc")
        self._new_names = NEW_NAMES in os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
        self._duration = meter.create_histogram("gen_ai.client.operation.duration", unit="s")
        self._cost = meter.create_counter("llmc.cost", unit="{USD}", description="known costs; see llmc.cost.unknown")
        self._unknown = meter.create_counter("llmc.cost.unknown", unit="{call}", description="calls whose cost is not known")
        if self._new_names:
            self._tokens = {name: meter.create_counter(name, unit="{token}") for name in COUNTERS}
        else:
            self._usage = meter.create_histogram("gen_ai.client.token.usage", unit="{token}")

    def event(self, event: Event) -> None:
        if event.status == "cached":  # nothing was sent
            return
        told = attributes(event)
        from opentelemetry.trace import SpanKind, Status, StatusCode

        end_ns = event.at_us * 1000
        span = self._tracer.start_span(
            f"chat {event.model}", kind=SpanKind.CLIENT, attributes=told, start_time=end_ns - int(event.seconds * 1e9)
        )
        if event.status != "ok":
            span.set_status(Status(StatusCode.ERROR, event.reason))
        span.end(end_ns)
        few = {name: told[name] for name in OF_METRICS if name in told}
        self._duration.record(event.seconds, few)
        if self._new_names:
            for name, attribute in COUNTERS.items():
                self._tokens[name].add(told.get(attribute, 0), few)
        else:
            for kind in ("input", "output"):
                if (tokens := told.get(f"gen_ai.usage.{kind}_tokens")) is not None:
                    self._usage.record(tokens, {**few, "gen_ai.token.type": kind})
        if event.cost_pico is None:
            self._unknown.add(1, few)
        else:
            self._cost.add(float(money.usd(event.cost_pico)), {**few, "llmc.cost.source": event.price.cost_source})

    def document(self, document: Document) -> None: ...

    def close(self) -> None:
        self._tracers.shutdown()
        self._meters.shutdown()


def _over_http(run: Run, offline: bool, on_warning: Callable[[str], None]) -> OpenTelemetry:
    for name in ENDPOINTS if offline else ():
        endpoint = os.environ.get(name)
        if endpoint and urlsplit(endpoint).hostname not in LOOPBACK:
            raise UsageError(
                f"monitor.otel would send to {name}={endpoint}: this profile opens no connection to another machine",
                hint="a collector on this machine, or profile=hybrid",
            )
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise UsageError("monitor.otel needs OpenTelemetry", hint="pip install 'llmc-cli[otel]'") from error
    logger = logging.getLogger("opentelemetry")
    logger.handlers[:] = [_Once(on_warning)]
    logger.propagate = False
    resource = Resource.create({"service.name": "llmc", "llmc.run.id": run.run_id, "llmc.project": run.project})
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    return OpenTelemetry(tracers, MeterProvider([reader], resource=resource, shutdown_on_exit=False), run)


class _Once(logging.Handler):
    """The first complaint as a warning: a collector that is not there is not worth one a second."""

    def __init__(self, on_warning: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._on_warning: Callable[[str], None] | None = on_warning

    def emit(self, record: logging.LogRecord) -> None:
        told, self._on_warning = self._on_warning, None
        if told:
            told(f"monitor.otel: {record.getMessage()}")


class Prometheus:
    """A file for node_exporter's textfile collector, replaced as a whole. Each run at the same time needs a file of its own."""

    def __init__(self, file: Path, run: Run, on_warning: Callable[[str], None]) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
        except ImportError as error:
            raise UsageError(
                "monitor.prometheus needs the Prometheus client", hint="pip install 'llmc-cli[prometheus]'"
            ) from error
        if file.suffix != ".prom":
            raise UsageError(f"monitor.prometheus={file}: node_exporter only reads files that end in .prom")
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._file, self._on_warning = file, on_warning
        self._registry = CollectorRegistry()
        call = ("project", "tier", "provider", "model")

        def counter(name: str, text: str, *labels: str) -> Any:  # noqa: ANN401
            return Counter(f"llmc_{name}", text, labels, registry=self._registry)

        self._project = run.project
        self._calls = counter("calls", "Calls to models, failed and cached ones too", *call, "status")
        self._tokens = counter("tokens", "Tokens; cached and reasoning ones are part of input and output", *call, "kind")
        self._seconds = counter("call_seconds", "Time that calls took", *call)
        self._cost = counter("cost_usd", "Known costs in US dollars", *call, "source")
        self._unknown = counter("cost_unknown_calls", "Calls whose cost is not known", *call)
        self._energy = counter("energy_joules", "Energy of local calls", *call, "method")
        self._documents = counter("documents", "Documents that have their view", "project", "kind")
        self._updated = Gauge("llmc_updated_seconds", "When this file was written", registry=self._registry)
        self._written = 0.0
        self._failed = False

    def event(self, event: Event) -> None:
        call = (self._project, event.tier, event.provider, event.model)
        self._calls.labels(*call, event.status).inc()
        for kind, tokens in (
            ("input", event.prompt_tokens),
            ("output", event.output_tokens),
            ("cache_read", event.cache_read_tokens),
            ("cache_write", event.cache_write_tokens),
            ("reasoning", event.reasoning_tokens),
        ):
            self._tokens.labels(*call, kind).inc(tokens or 0)
        self._seconds.labels(*call).inc(event.seconds)
        if event.cost_pico is None:
            self._unknown.labels(*call).inc()
        else:
            self._cost.labels(*call, event.price.cost_source).inc(float(money.usd(event.cost_pico)))
        if event.energy_joules is not None:
            self._energy.labels(*call, event.energy_method).inc(event.energy_joules)
        self._write()

    def document(self, document: Document) -> None:
        self._documents.labels(self._project, document.kind).inc()
        self._write()

    def close(self) -> None:
        self._write(last=True)

    def _write(self, last: bool = False) -> None:
        if not last and time.monotonic() - self._written < WRITE_SECONDS:
            return
        from prometheus_client import write_to_textfile

        self._written = time.monotonic()
        self._updated.set(time.time())
        try:
            write_to_textfile(str(self._file), self._registry)
        except OSError as error:
            if not self._failed:
                self._on_warning(f"monitor.prometheus={self._file} cannot be written: {error}")
            self._failed = True
