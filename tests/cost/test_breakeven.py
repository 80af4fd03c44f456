"""Break-even and net value: published figures to the cent, and what must hold for all numbers."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmc.breakeven import (
    DRIVERS,
    Compression,
    Drivers,
    Terms,
    amortised_usd_per_month,
    break_even_range,
    capacity,
    payback_months,
    per_million_prompt,
    swings,
)

F = Fraction
EXAMPLE = Terms(F(100), F("0.10"), F(1))
OUTPUT_SHARE = F("0.3")
LISTED = {  # dollars per million in and out, genai-prices 0.2.3
    "claude-haiku-4-5": ("1", "5"), "gpt-5-mini": ("0.25", "2"), "gpt-4o-mini": ("0.15", "0.60"),
    "gemini-2.5-flash-lite": ("0.10", "0.40"), "gpt-5-nano": ("0.05", "0.40"), "llama-3.1-8b-instant": ("0.05", "0.08"),
}  # fmt: skip


def listed(model):
    inside, outside = LISTED[model]
    return per_million_prompt(F(inside), F(outside), OUTPUT_SHARE)


@pytest.mark.parametrize(
    ("model", "millions"),
    [
        ("claude-haiku-4-5", "40.3"), ("gpt-5-mini", "120.5"), ("gpt-4o-mini", "322.6"), ("gemini-2.5-flash-lite", "500.0"),
        ("gpt-5-nano", "666.7"), ("llama-3.1-8b-instant", "1851.9"),
    ],
)  # fmt: skip
def test_a_hundred_dollars_a_month_pay_above_these_volumes(model, millions):
    found = Terms(F(100), F("0.02"), listed(model)).break_even()
    assert f"{float(found / 10**6):.1f}" == millions


HYBRID = [("0", "111.1"), ("0.2", "142.9"), ("0.5", "250.0"), ("0.9", None), ("1", None)]


@pytest.mark.parametrize(("share", "millions"), HYBRID)
def test_what_falls_back_to_the_cloud_moves_the_break_even_away(share, millions):
    found = replace(EXAMPLE, fallback_share=F(share)).break_even()
    assert (found and f"{float(found / 10**6):.1f}") == millions


@pytest.mark.parametrize(
    ("cost", "price", "miss", "net", "uses"),
    [
        (F("0.02"), F(1), F(1), "0.68", 1),
        (listed("gpt-4o-mini"), F(1), F(1), "0.37", 1),
        (listed("claude-haiku-4-5"), F(1), F(1), "-1.80", 4),  # 3.6 uses
        (listed("gpt-4o-mini"), F(1), F(0), "-0.26", 5),  # downstream has it in its cache, at a tenth of the price
    ],
)
def test_a_million_tokens_made_thirty_percent_as_long(cost, price, miss, net, uses):
    found = Compression(700_000, cost, price, price / 10, miss)
    assert f"{float(found.net_usd(1)):.2f}" == net
    assert found.uses_needed() == uses


def test_nothing_saved_never_pays():
    assert Compression(0, F(1), F(1)).uses_needed() is None
    assert Compression(0, F(0), F(1)).uses_needed() == 0


def test_what_a_machine_can_do_and_what_it_costs():
    assert round(capacity(F(1152), F(1)) / 10**6) == 3027  # an RTX 3090 that is never idle
    assert amortised_usd_per_month(F(1900), F(100), F(36)) == 50
    assert payback_months(F(1000), F(60), F(10)) == 20
    assert payback_months(F(1000), F(10), F(10)) is None


money = st.fractions(min_value=0, max_value=10_000, max_denominator=10_000)
price = st.fractions(min_value=F(1, 1000), max_value=1000, max_denominator=1000)
share = st.fractions(min_value=0, max_value=1, max_denominator=100)
volume = st.integers(min_value=1, max_value=10**13)
terms = st.builds(Terms, money, price, price, share)
drivers = st.builds(Drivers, money, money, price, price, price, share, share, share)


@settings(max_examples=50)
@given(terms)
def test_at_the_break_even_both_cost_the_same(made):
    found = made.break_even()
    assume(found is not None)
    assert made.local_usd(found) == made.cloud_usd(found)
    assert made.local_usd(found + 1) < made.cloud_usd(found + 1)
    if found >= 1:
        assert made.local_usd(found - 1) > made.cloud_usd(found - 1)


@settings(max_examples=50)
@given(terms, volume)
def test_without_a_break_even_local_is_never_cheaper(made, tokens):
    assume(made.break_even() is None)
    assert made.local_usd(tokens) >= made.cloud_usd(tokens)


@settings(max_examples=50)
@given(terms, volume)
def test_no_volume_saves_more_than_the_limit(made, tokens):
    assert made.saving_share(tokens) <= made.saving_limit() <= 1 - made.local_usd_per_million / made.cloud_usd_per_million


@settings(max_examples=50)
@given(terms, money, volume)
def test_the_volume_that_saves_an_amount_saves_it(made, usd, tokens):
    found = made.tokens_to_save(usd)
    assume(found is not None)
    assert made.cloud_usd(found) - made.local_usd(found) == usd


@settings(max_examples=50)
@given(drivers, st.fractions(min_value=0, max_value=F(1, 2), max_denominator=100))
def test_a_range_holds_what_it_is_a_range_of(made, spread):
    low, high = break_even_range(made, dict.fromkeys(("local price", "cloud price", "fallback share"), spread))
    found = made.terms().break_even()
    if found is None:
        assert high is None
    else:
        assert low is not None
        assert low <= found
        assert high is None or found <= high


@settings(max_examples=50)
@given(drivers, st.sampled_from(sorted(DRIVERS)))
def test_a_driver_that_is_not_moved_moves_nothing(made, driver):
    assert made.moved(driver, F(1)).terms() == made.terms() or made.utilisation == 1


def test_the_tornado_begins_with_what_matters_most():
    made = Drivers(F(95), F(5), F("0.10"), F("0.4"), F(2), F("0.3"), F("0.1"), F("0.2"))
    found = swings(made, F("0.2"))
    assert found[0].driver == "cloud price"
    assert {s.driver for s in found} == set(DRIVERS)
    widths = [s.width() for s in found]
    assert widths == sorted(widths, reverse=True)


@settings(max_examples=50)
@given(st.builds(Compression, st.integers(0, 10**12), money, price, price, share))
def test_uses_needed_are_the_least_that_pay(made):
    found = made.uses_needed()
    if found is None:
        assert made.net_usd(10**6) < 0
        return
    assert made.net_usd(found) >= 0
    assert found == 0 or made.net_usd(found - 1) < 0
