"""What the gate concludes from numbers: directions, error rates, and that it never cries wolf at no change."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmc.errors import UsageError
from llmc.gate import exact, verdict
from llmc.gate.verdict import FASTER, SAME, SLOWER, UNDECIDED
from llmc.schema import GateConfig, MetricGate

SETTINGS = GateConfig(name="test")


def judged(changes: list[float], benchmarks: int = 1) -> verdict.Change:
    x = [math.log1p(c) for c in changes]
    return verdict.judge("b", x, [(1.0, 1.0 + c) for c in changes], SETTINGS, benchmarks)


@pytest.mark.parametrize(
    ("change", "status"),
    [(0.10, SLOWER), (-0.10, FASTER), (0.0, SAME), (0.25, SLOWER), (-0.5, FASTER), (0.02, SAME), (0.05, SLOWER)],
)
def test_a_change_is_called_by_its_direction(change: float, status: str):
    assert judged([change + 0.001 * i for i in range(-6, 6)]).status == status


def test_what_scatters_around_both_margins_is_undecided():
    assert judged([-0.2, 0.3] * 6).status == UNDECIDED


def test_the_estimate_is_the_median_of_walsh_averages():
    assert verdict.hodges_lehmann([0.0, 1.0, 5.0]) == pytest.approx((0.0 + 0.5 + 1.0 + 2.5 + 3.0 + 5.0) / 6, abs=1.0)
    assert verdict.hodges_lehmann([0.0, 1.0, 5.0]) == 1.75  # of 0, .5, 1, 2.5, 3, 5


def test_twelve_pairs_are_enough_for_twenty_benchmarks_and_eleven_are_not():
    slow = [0.2 + 0.001 * i for i in range(12)]
    assert judged(slow, benchmarks=20).status == SLOWER
    assert judged(slow[:11], benchmarks=20).status == UNDECIDED


def test_no_false_alarm_in_two_thousand_runs_at_no_change_and_ten_percent_is_caught():
    draw = random.Random(7)

    def slower(shift: float, runs: int) -> int:
        caught = 0
        for _ in range(runs):
            x = [draw.gauss(math.log1p(shift), 0.04) for _ in range(24)]
            first = verdict.p_value([v - math.log1p(SETTINGS.fail_margin) for v in x[:12]])
            last = verdict.p_value([v - math.log1p(SETTINGS.fail_margin) for v in x])
            caught += min(first, last) <= SETTINGS.error_rate / 2
        return caught

    assert slower(0.0, 2000) == 0
    assert slower(0.10, 200) >= 190


@given(st.lists(st.floats(-0.5, 0.5), min_size=8, max_size=24))
def test_slower_and_faster_are_mirror_images(x: list[float]):
    mirror = {SLOWER: FASTER, FASTER: SLOWER}
    one = verdict.judge("b", x, [(1.0, 1.0)], SETTINGS, 1)
    other = verdict.judge("b", [-v for v in x], [(1.0, 1.0)], SETTINGS, 1)
    if one.status in mirror:
        assert other.status == mirror[one.status]


def test_a_machine_that_does_not_hold_still_is_unfit():
    assert verdict.fitness({"b": [0.01, -0.02, 0.0, 0.01]}, SETTINGS).fit
    shifted = verdict.fitness({"b": [0.0, 0.01], "c": [0.07, 0.08, 0.06]}, SETTINGS)
    assert not shifted.fit
    assert "in c" in shifted.reason
    scattered = verdict.fitness({"b": [-0.2, 0.2, -0.1, 0.15]}, SETTINGS)
    assert not scattered.fit
    assert "differ by" in scattered.reason


def test_more_noise_needs_more_pairs():
    needed = [verdict.pairs_needed(sd, SETTINGS) for sd in (0.0, 0.02, 0.04, 0.08)]
    assert needed == sorted(needed)
    assert needed[0] == 8  # 2 ** -8 is the first below 0.005
    assert needed[-1] > 24


@pytest.mark.parametrize(
    ("name", "gate", "before", "after", "status"),
    [
        ("byte_ratio", MetricGate("higher", 0.01), 4.0, 3.9, exact.WORSE),
        ("byte_ratio", MetricGate("higher", 0.01), 4.0, 3.97, None),
        ("byte_ratio", MetricGate("higher", 0.01), 4.0, 4.2, exact.BETTER),
        ("cost_usd", MetricGate("lower", 0.0), 1.0, 1.01, exact.WORSE),
        ("cost_usd", MetricGate("lower", 0.0), 1.0, 0.5, exact.BETTER),
        ("pass_rate", MetricGate("higher", 0.0), 0.9, 0.8, exact.WORSE),
        ("tpot_seconds", MetricGate("lower", 0.0), 0.02, 0.05, exact.WORSE),
        ("tokens_per_second", MetricGate("higher", 0.0), 20, 50, exact.BETTER),
    ],
)
def test_each_metric_has_a_direction(name: str, gate: MetricGate, before: float, after: float, status: str | None):
    found = exact.differences({"b": {"metrics": {name: before}}}, {"b": {"metrics": {name: after}}}, {name: gate}, [])
    assert [d.status for d in found] == ([status] if status else [])


def test_a_limit_holds_without_anything_to_compare_with():
    limit = {"byte_ratio": MetricGate("higher", 0.0, "x", value=3.5)}
    assert exact.differences({}, {"b": {"metrics": {"byte_ratio": 3.6}}}, limit, []) == []
    (broken,) = exact.differences({}, {"b": {"metrics": {"byte_ratio": 3.4}}}, limit, [])
    assert broken.status == exact.WORSE
    assert "3.5 x" in broken.why


def test_a_direction_that_is_none_is_refused():
    with pytest.raises(UsageError, match="sideways"):
        exact.differences({"b": {"metrics": {"m": 1}}}, {"b": {"metrics": {"m": 2}}}, {"m": MetricGate("sideways")}, [])


@pytest.mark.parametrize(
    ("base", "head", "status"),
    [(10, 11, exact.WORSE), (10, 9, exact.BETTER), ("ab", "cd", exact.WORSE), (10, None, exact.WORSE), (10, 10, None)],
)
def test_an_exact_counter_may_only_fall(base: object, head: object, status: str | None):
    new = {} if head is None else {"requests": head}
    found = exact.differences({"b": {"counters": {"requests": base}}}, {"b": {"counters": new}}, {}, [])
    assert [d.status for d in found] == ([status] if status else [])


def test_an_acknowledgement_holds_for_its_exact_values_only():
    entry = {"benchmark": "b", "counter": "bytes", "from": 10, "to": 12, "why": "checksums"}
    for head, status in ((12, exact.ACKNOWLEDGED), (13, exact.WORSE)):
        (found,) = exact.differences({"b": {"counters": {"bytes": 10}}}, {"b": {"counters": {"bytes": head}}}, {}, [entry])
        assert found.status == status
