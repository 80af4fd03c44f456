"""Planted errors: repeatable, honest about how many were tried."""

import pytest

from llmc.errors import UsageError
from llmc.fidelity import check
from llmc.fidelity.calibrate import calibrate, interval
from llmc.fidelity.corrupt import CORRUPTIONS, corrupt

SOURCE = (
    "Yesterday Dana said that the rent will probably fall to 4,850 EUR on 12 March 2026 unless Marek objects. "
    "Marek weighed the pump: it has 40 kg and must not run longer than 20 minutes. About 1.4 million people use it. "
    "Invoice INV-2025-00917 is open, and the board has rejected the offer."
)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_same_seed_plants_the_same_error(kind):
    assert corrupt(kind, SOURCE, SOURCE, seed=3) == corrupt(kind, SOURCE, SOURCE, seed=3)
    assert corrupt(kind, SOURCE, SOURCE, seed=3) not in (None, SOURCE)


@pytest.mark.parametrize("kind", sorted(set(CORRUPTIONS) - {"language"}))
def test_planted_errors_in_a_copy_are_refused(kind):
    wrong = [corrupt(kind, SOURCE, SOURCE, seed=seed) for seed in range(6)]
    refused = [set(check(SOURCE, view).failed) - {"worth_it"} for view in wrong if view]
    assert refused
    assert all(refused)


def test_nothing_to_corrupt_gives_nothing():
    assert corrupt("money", "A quiet day.", "A quiet day.", seed=1) is None


def test_the_interval_is_the_exact_binomial_one():
    # scipy.stats.binomtest(5, 100).proportion_ci(): 0.0164317, 0.1128349
    low, high = interval(5, 100)
    assert low == pytest.approx(0.01643188, abs=1e-7)
    assert high == pytest.approx(0.11283491, abs=1e-7)


def test_no_miss_in_three_hundred_is_about_one_percent():
    assert interval(0, 300) == (0.0, pytest.approx(0.01222097, abs=1e-7))


def test_calibration_reports_only_the_half_it_did_not_set_on():
    pairs = [(SOURCE, SOURCE.split(" unless")[0] + " unless Marek objects.") for _ in range(6)]
    result = calibrate(pairs, seed=1)
    assert result.refused.tries == 3
    assert not result.certified("digit")


def test_calibration_needs_two_pairs():
    with pytest.raises(UsageError, match="at least 2 pairs"):
        calibrate([(SOURCE, SOURCE)], seed=1)
