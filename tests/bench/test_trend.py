"""The trend: a drift is seen, noise is not called one, machines never share a series."""

import random
from dataclasses import replace

import pytest
from sweep_records import ELSEWHERE, made, metric

from llmc.bench import trend
from llmc.bench.trend import FALLING, RISING, STEADY, TOO_FEW
from llmc.report import trend_text

NAME = "seconds_per_document"


def runs(values, name=NAME, **more):
    return [made(at, metrics={name: metric(name, value, 0.02)}, **more) for at, value in enumerate(values)]


@pytest.mark.parametrize(("name", "slope", "direction", "worse"), [
    (NAME, 0.01, RISING, True),
    (NAME, -0.01, FALLING, False),
    ("token_ratio", 0.01, RISING, False),
    ("token_ratio", -0.01, FALLING, True),
    ("planted_errors", 0.01, RISING, False),
])  # fmt: skip
def test_a_slow_drift_is_seen_with_its_direction_and_size(name, slope, direction, worse):
    noise = random.Random(3)
    found = trend.trend(runs([1 + slope * at + noise.gauss(0, 0.02) for at in range(25)], name), [name])
    (series,) = found.series
    assert (series.direction, series.worse) == (direction, worse)
    assert abs(series.change_per_run - slope / (1 + 12 * slope)) < 0.002
    assert series.low < series.change_per_run < series.high
    assert ("worse" in trend.words(series)) == worse


def test_noise_alone_is_hardly_ever_called_a_drift():
    noise = random.Random(1)
    said = [trend.trend(runs([noise.gauss(1, 0.1) for _ in range(15)]), [NAME]).drifting for _ in range(300)]
    assert sum(map(bool, said)) <= 9  # 1% are expected; 10 or more of 300 would come once in 1,000 times


def test_one_wild_run_is_no_drift():
    (series,) = trend.trend(runs([1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.01, 0.99, 9.0]), [NAME]).series
    assert series.direction == STEADY


def test_few_runs_say_so_and_the_same_number_again_is_steady():
    assert trend.trend(runs([1.0, 2.0, 3.0]), [NAME]).series[0].direction == TOO_FEW
    (series,) = trend.trend(runs([2.0] * 12), [NAME]).series
    assert (series.direction, series.change) == (STEADY, 0.0)
    assert trend.trend(runs([1.0]), [NAME]).series == []


def test_machines_configurations_and_benches_never_share_a_series():
    every = [
        *runs([1.0] * 10),
        *runs([9.0] * 10, machine=ELSEWHERE),
        *runs([5.0] * 10, config_hash="b" * 64),
        *runs([7.0] * 10, bench="full"),
    ]
    found = trend.trend(every, [NAME])
    assert len(found.series) == 4
    assert all(len({p.value for p in s.points}) == 1 for s in found.series)
    assert len(found.machines) == 2
    assert len({s.cell for s in found.series}) == 2  # two configurations, named alike on every machine and in every bench
    assert found.drifting == []


def test_failed_runs_are_no_points():
    every = runs([1.0] * 9)
    every[4] = replace(every[4], status="failed")
    assert len(trend.trend(every, [NAME]).series[0].points) == 8


def test_the_page_has_a_table_under_every_chart_and_hostile_names_are_text():
    evil = "<script>alert(1)</script>"
    found = trend.trend(runs([1 + 0.02 * at for at in range(12)], model=evil, commit=evil), [NAME])
    said = trend_text.report(found)
    assert said.verdict.startswith("1 of 1 series on 1 machine got worse")
    text = trend_text.page(said)
    assert "<script" not in text
    assert text.count("<svg") == 1
    assert text.index("<svg") < text.rindex("<table")
    assert trend_text.verdict(trend.trend([], [NAME])).startswith("nothing was run twice")
