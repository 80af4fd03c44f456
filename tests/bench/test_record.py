"""The record of one benchmark run: written whole, read back the same, and what is damaged is named."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmc.bench import record
from llmc.errors import InputError
from llmc.schema import RunConfig

# Named one by one, not by a rule: a direction that is wrong reports a slowdown as progress.
HIGHER = {
    "byte_ratio", "token_ratio", "pass_rate", "view_rate", "documents_per_minute", "cached_documents_per_minute",
    "cache_hit_rate", "cache_of_best", "calls_saved", "prompt_tokens_per_second",
    "output_tokens_per_second", "requests_per_second", "goodput_per_second", "write_megabytes_per_second",
    "read_megabytes_per_second", "check_kilobytes_per_second", "facts_kilobytes_per_second", "gpu_utilisation",
}  # fmt: skip
NEITHER = {"cache_best_hit_rate", "prefix_cache_share", "python_seconds", "planted_errors"}
NAMES = "model engine backend quant profile codec view bench"


def config(**changes: object) -> RunConfig:
    made = RunConfig()
    for group in NAMES.split():
        if hasattr(made, group):
            getattr(made, group).name = f"some {group}"
    return dataclasses.replace(made, **changes)


def made(**changes: object) -> record.Record:
    started = datetime(2026, 11, 23, 20, 0, 0, 5, UTC)
    new = record.new(config(), started=started, seconds=2.5, bench="quick", status="done")
    return dataclasses.replace(new, **changes)


@pytest.mark.parametrize("name", record.METRICS)
def test_every_metric_knows_which_way_is_better(name: str):
    expected = "higher" if name in HIGHER else "none" if name in NEITHER else "lower"
    assert record.METRICS[name].better == expected


@pytest.mark.parametrize("name", record.METRICS)
def test_a_metrics_name_ends_in_its_unit(name: str):
    unit = record.METRICS[name].unit
    endings = {"s": "seconds", "B": "bytes", "1/min": "per_minute", "1/s": "per_second", "MB/s": "megabytes_per_second"}
    if unit in endings and "_with_cache" not in name and "per_document" not in name:
        assert name.endswith(endings[unit])


floats = st.floats(min_value=1e-6, max_value=1e6)


@settings(deadline=None)  # scipy is imported the first time
@given(st.lists(floats, min_size=1, max_size=40))
def test_the_interval_of_a_median_holds_it_or_says_that_there_are_too_few(values: list[float]):
    metric = record.median("inference_seconds", values)
    assert metric.n == len(values)
    if len(values) < record.LEAST_SAMPLES:
        assert (metric.low, metric.high) == (None, None)
        assert f"n too small: {len(values)}" in metric.note
    else:
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low <= metric.value <= metric.high


def test_a_ratio_is_of_the_sums_and_not_the_mean_of_ratios():
    metric = record.ratio("token_ratio", [100.0] * 9 + [1000.0], [50.0] * 9 + [100.0])
    assert metric.value == pytest.approx(1900 / 550)
    assert metric.low is not None
    assert metric.high is not None
    assert 2.0 <= metric.low < metric.value < metric.high < 10.0


def test_a_share_that_never_happened_is_not_certainly_never():
    metric = record.share("missed_rate", 0, 100)
    assert (metric.value, metric.low) == (0.0, 0.0)
    assert metric.high == pytest.approx(0.037, abs=0.001)  # Wilson: z^2 / (n + z^2)


def test_a_name_in_brackets_means_what_the_name_means():
    assert record.exact("requests[4 users]", 3).better == "lower"
    with pytest.raises(KeyError):
        record.exact("requsts", 3)


@settings(deadline=None)  # scipy is imported the first time
@given(st.dictionaries(st.sampled_from(sorted(record.METRICS)), st.lists(floats, min_size=1, max_size=8)), st.text())
def test_what_is_written_is_read_back_the_same(samples: dict[str, list[float]], error: str):
    metrics = {name: record.median(name, values) for name, values in samples.items()}
    before = made(metrics=metrics, error=error, benchmarks=[{"fullname": "a", "stats": {"data": [1.5]}}])
    assert record.Record.from_json(before.to_json()) == before


def test_records_lie_beside_each_other_and_damaged_ones_are_named(tmp_path: Path):
    later, earlier = made(), made(id="0", started="2026-11-22T20:00:00+00:00")
    for each in (later, earlier):
        record.write(each, tmp_path)
    (tmp_path / "bench-cut.json").write_text(later.to_json()[:300])
    (tmp_path / "bench-other.json").write_text('{"format": 2}')
    old = json.loads(later.to_json())
    del old["machine"]["cores"]
    (tmp_path / "bench-wrong.json").write_text(json.dumps(old))
    found = record.read_all(tmp_path)
    assert found.records == [earlier, later]
    assert [Path(path).name for path, _ in found.damaged] == ["bench-cut.json", "bench-other.json", "bench-wrong.json"]
    assert not list(tmp_path.glob(".bench-*"))
    with pytest.raises(InputError, match="bench-other"):
        record.read(tmp_path / "bench-other.json")


def test_a_number_that_json_does_not_know_is_not_written(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON"):
        record.write(made(metrics={"requests": record.exact("requests", float("inf"))}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_same_question_has_the_same_hash(tmp_path: Path):
    same = record.config_hash(config())
    for words in ({"output": "a.llmc"}, {"quiet": True}, {"format": "json"}, {"html": "r.html"}, {"debug": True}):
        assert record.config_hash(config(**words)) == same, words
    for words in ({"seed": 2}, {"similarity": None}, {"input": "notes"}, {"grouping": False}):
        assert record.config_hash(config(**words)) != same, words
    assert record.config_hash(config(input="notes")) == record.config_hash(config(input=str(Path.cwd() / "notes")))
    other = config()
    other.profile.concurrency += 1
    assert record.config_hash(other) != same
    chosen = config()
    chosen.engine.why = "it is installed"
    assert record.config_hash(chosen) == same
