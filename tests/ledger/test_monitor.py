"""What others are told while a run goes on: spans, metrics, a file for Prometheus; names and numbers, never text."""

import socket
from dataclasses import replace
from decimal import Decimal

import pytest
from calls import OK, cloud, config, local
from prometheus_client.parser import text_string_to_metric_families

from llmc.errors import UsageError
from llmc.ledger.meter import open_meter
from llmc.meter import Made, Outcome
from llmc.monitor import COUNTERS, NEW_NAMES
from llmc.schema import MonitorConfig, PowerConfig, ProfileConfig


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite3"


def spend(path, **changes) -> list[str]:
    said: list[str] = []
    calls = [
        (cloud("a"), replace(OK, cache_read_tokens=400, served_model="gpt-4o-mini-2024-07-18", request_id="req_9")),
        (cloud("b"), Outcome("failed", "busy", seconds=0.5)),
        (cloud("c", model="my-model"), replace(OK, reasoning_tokens=40)),
        (cloud("d"), Outcome("cached")),
        (local("e"), OK),
        (cloud("f"), replace(OK, cost_usd=Decimal("0.5"))),
    ]
    power = PowerConfig("own", busy_watts=100.0, tariff_usd_per_kwh="0.30")
    with open_meter(config(path, power=power, **changes), on_warning=said.append) as meter:
        for call, outcome in calls:
            meter.reserve(call, prompt_tokens=1000, max_output_tokens=300)
            meter.settle(call, outcome)
        meter.made(Made("private name.md", "gist", "cloud", 5000, 1200, 200, 0, 2.5))
    return said


def test_every_call_that_was_sent_is_a_span_with_the_conventions_names(path, fake, monkeypatch):
    collector = fake("otlp_collector")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    assert spend(path, monitor=MonitorConfig(otel=True)) == []
    spans = [line for line in collector.log if "span" in line]
    assert [s["span"] for s in spans] == [
        "chat gpt-4o-mini", "chat gpt-4o-mini", "chat my-model", "chat smollm2-135m-instruct", "chat gpt-4o-mini",
    ]  # fmt: skip
    first, busy, unknown, at_home, _ = spans
    assert first["attributes"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": "req_9",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "llmc.tier": "cloud",
        "llmc.attempt": 1,
        "llmc.backend.kind": "cloud",
        "llmc.cost.usd": 0.00018,  # 600 x $0.15 + 400 x $0.075 + 100 x $0.60 per million
        "llmc.cost.source": "list",
        "llmc.energy.method": "none",
    }
    assert (first["seconds"], first["kind"], first["error"]) == (1.5, 3, False)
    assert (busy["error"], busy["attributes"]["error.type"]) == (True, "busy")
    assert "llmc.cost.usd" not in unknown["attributes"]
    assert (at_home["attributes"]["gen_ai.provider.name"], at_home["attributes"]["llmc.energy.method"]) == (
        "embedded",
        "configured_watts",
    )
    assert first["resource"]["service.name"] == "llmc"
    assert "private name" not in str(collector.log)
    assert "a.md" not in str(collector.log)


@pytest.mark.parametrize("opted_in", [False, True])
def test_token_metrics_come_in_the_shape_that_is_asked_for(path, fake, monkeypatch, opted_in):
    collector = fake("otlp_collector")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    if opted_in:
        monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", f"http,{NEW_NAMES}")
    spend(path, monitor=MonitorConfig(otel=True))
    sums = {line["metric"]: sum(p["value"] for p in line["points"]) for line in collector.log if "metric" in line}
    tokens = sums.keys() & {"gen_ai.client.token.usage", *COUNTERS}
    assert tokens == (set(COUNTERS) if opted_in else {"gen_ai.client.token.usage"})
    if opted_in:
        assert sums["gen_ai.client.inference.usage.input_tokens"] == 4000
        assert sums["gen_ai.client.inference.usage.cache_read.input_tokens"] == 400
        assert sums["gen_ai.client.inference.usage.reasoning.output_tokens"] == 40
    else:
        assert sums["gen_ai.client.token.usage"] == 4400
    assert sums["gen_ai.client.operation.duration"] == 6.5
    assert sums["llmc.cost.unknown"] == 1


def test_a_collector_that_is_not_there_is_said_once_and_stops_nothing(path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody answers, and nobody else gets the port
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        said = spend(path, monitor=MonitorConfig(otel=True))
    assert len(said) == 1
    assert said[0].startswith("monitor.otel: ")


@pytest.mark.parametrize("what", ["", "TRACES_", "METRICS_"])
def test_a_profile_that_stays_on_this_machine_tells_no_other(path, monkeypatch, what):
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{what}ENDPOINT", "https://collector.example.org")
    with pytest.raises(UsageError, match=r"collector\.example\.org"):
        open_meter(config(path, monitor=MonitorConfig(otel=True), profile=ProfileConfig("local", offline=True)))


def test_prometheus_reads_what_was_spent(path, tmp_path):
    file = tmp_path / "llmc.prom"
    assert spend(path, project='a "project"\n', monitor=MonitorConfig(prometheus=str(file))) == []
    samples = {}
    for family in text_string_to_metric_families(file.read_text()):
        for sample in family.samples:
            samples[sample.name, *sorted(sample.labels.values())] = sample.value
    mine = ('a "project"\n', "cloud", "openai")
    assert samples["llmc_calls_total", *sorted((*mine, "gpt-4o-mini", "ok"))] == 2
    assert samples["llmc_calls_total", *sorted((*mine, "gpt-4o-mini", "failed"))] == 1
    assert samples["llmc_cost_usd_total", *sorted((*mine, "gpt-4o-mini", "receipt"))] == 0.5
    assert samples["llmc_cost_unknown_calls_total", *sorted((*mine, "my-model"))] == 1
    assert samples["llmc_tokens_total", *sorted((*mine, "gpt-4o-mini", "cache_read"))] == 400
    assert samples["llmc_documents_total", 'a "project"\n', "gist"] == 1
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".sqlite3"] == ["llmc.prom"]


def test_a_file_that_prometheus_would_not_read_or_that_cannot_be_written(path, tmp_path):
    with pytest.raises(UsageError, match=r"end in \.prom"):
        open_meter(config(path, monitor=MonitorConfig(prometheus=str(tmp_path / "llmc.txt"))))
    said = spend(path, monitor=MonitorConfig(prometheus=str(tmp_path / "none" / "llmc.prom")))
    assert len(said) == 1
    assert "cannot be written" in said[0]
