"""The first sentence of the cost report, for each way a month can have gone; and what the ways beside each other must equal."""

from fractions import Fraction

import pytest
from spent_rows import ACME, CACHED, LIST, UNKNOWN, cloud, local, measured, stretch

from llmc import money
from llmc.report import cost_words

FIXED = "price.hardware.rent_usd_per_month=100"
MILLION = {"prompt_tokens": 1_000_000, "output_tokens": 0}
CLOUD = cloud(**MILLION, cost_pico=15 * 10**10)  # at gpt-4o-mini's list price: $0.15
HERE = measured(**MILLION, cost_pico=2 * 10**10)  # $0.02 of electricity
FELL = cloud(prompt_tokens=250_000, output_tokens=0, cost_pico=375 * 10**8)
FREE = "price.hardware.maintenance_usd_per_month=0"
MEANT = {
    "nothing was asked": ((), "Nothing was spent in this period: no model was asked for anything."),
    "all from the cache": (
        (cloud(status="cached", cost_pico=0, price=CACHED),) * 1,
        "Nothing was spent in this period: 1 answer came from the cache.",
    ),
    "turned away": (
        (cloud(status="failed", cost_pico=0, prompt_tokens=None, output_tokens=None),),
        "Nothing was spent in this period: what was asked was turned away or failed without a charge.",
    ),
    "all in the cloud, nothing else known": (
        (CLOUD,),
        "All of it was done in the cloud: 1.0M tokens in 2026-11 cost $0.15 in the cloud; no local model worked and none is "
        "configured to compare it with.",
    ),
    "all in the cloud, and a machine would cost more": (
        (CLOUD, FIXED),
        "The cloud is cheaper at your volume: 1.0M tokens in 2026-11 cost $0.15 in the cloud, and would cost at least $100.00 "
        "here.",
    ),
    "all in the cloud, dearer than a machine that is known": (
        (cloud(prompt_tokens=10**9, output_tokens=0, cost_pico=150 * 10**12), FIXED, "power.tariff_usd_per_kwh=0.30",
         "power.busy_watts=60", "cost.local_tokens_per_second=1000"),
        "Local would be cheaper at your volume: 1.0 billion tokens in 2026-11 cost $150.00 in the cloud, and would cost "
        "~$105.00 here.",
    ),
    "all in the cloud, at another model than the one compared with": (
        (CLOUD, FIXED, "cost.cloud=openai/gpt-5-nano"),
        "The cloud is cheaper at your volume: 1.0M tokens in 2026-11 cost $0.15 in the cloud ($0.05 at openai/gpt-5-nano's "
        "list price), and would cost at least $100.00 here.",
    ),
    "all here, nothing known of its cost": (
        (local(**MILLION),),
        "All of it was done here: 1.0M tokens in 2026-11 would cost ~$0.15 on openai/gpt-4o-mini; what they cost here is not "
        "known (hardware and electricity), so which is cheaper cannot be said.",
    ),
    "all here, electricity measured": (
        (HERE,),
        "On electricity alone local is cheaper at your volume: 1.0M tokens in 2026-11 cost >= $0.02 locally, ~$0.15 on "
        "openai/gpt-4o-mini; hardware is not known and not counted.",
    ),
    "all here, all of it known": (
        (HERE, FIXED),
        "Cloud would be cheaper at your volume: 1.0M tokens in 2026-11 cost $100.02 locally, ~$0.15 on openai/gpt-4o-mini.",
    ),
    "all here, free": (
        (measured(**MILLION, cost_pico=0), FREE),
        "Local is free as configured: 1.0M tokens in 2026-11 cost nothing here, ~$0.15 on openai/gpt-4o-mini.",
    ),
    "local first": (
        (HERE, FELL, FREE),
        "Local is cheaper at your volume: 1.0M tokens in 2026-11 cost $0.06 local first (25.0% of the tokens read in the cloud "
        "as well), ~$0.15 on openai/gpt-4o-mini.",
    ),
    "local first, nothing known of its cost": (
        (local(**MILLION), FELL),
        "80.0% of the tokens were read here: 1.0M tokens in 2026-11 would cost ~$0.15 on openai/gpt-4o-mini; what they cost "
        "here is not known (hardware and electricity), so which is cheaper cannot be said.",
    ),
    "a price that nobody knows": (
        (cloud(cost_pico=None, price=UNKNOWN, provider="acme", model="my-model"), "cost.cloud=acme/my-model"),
        "Which is cheaper cannot be said: an unknown amount was spent on 1,000 tokens in 2026-11, and no price of the cloud "
        "model is known (genai-prices==0.2.3 has no provider 'acme').",
    ),
    "receipts of a model that no list has": (
        (cloud(provider="gateway", model="own", cost_pico=10**9), FIXED),
        "The cloud is cheaper at your volume: 1,000 tokens in 2026-11 cost $0.001 in the cloud, and would cost at least "
        "$100.00 here.",
    ),
    "no tokens told": (
        (cloud(prompt_tokens=None, output_tokens=None),),
        "Which is cheaper cannot be said: $0.00021 was spent in 2026-11, and no server told how many tokens it read.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MEANT)
def test_the_first_sentence_of_each_month(reported, case):
    given, said = MEANT[case]
    assert reported(*given).verdict == said


def test_too_close_to_call_is_said(reported):
    assert reported(measured(**MILLION, cost_pico=14 * 10**10, method="configured_watts"), FREE).verdict == (
        "Neither is clearly cheaper at your volume: 1.0M tokens in 2026-11 cost ~$0.14 locally and ~$0.15 on "
        "openai/gpt-4o-mini, and what is estimated may decide it either way."
    )


def way(report, name):
    (table,) = next(section for section in report.sections if section.name == "breakeven").tables
    return next(row for row in table.rows if row[0] == name)


@pytest.mark.parametrize(
    "rows",
    [
        (cloud(cache_read_tokens=800, cost_pico=150_000_000),),  # from the provider's prompt cache
        (cloud(cost_pico=7), cloud(status="failed", output_tokens=0, cost_pico=3)),  # receipts, of a failed attempt too
        (cloud(), cloud(prompt_tokens=3, output_tokens=977, cost_pico=586_650_000)),
    ],
)
def test_a_month_in_the_cloud_costs_in_the_comparison_what_was_paid_for_it(reported, rows):
    found = reported(*rows, FIXED)
    c = found.worth.comparison
    assert c.as_paid
    assert round(c.cloud_usd * money.PICO_PER_USD) == found.spending.paid.pico == c.paid.pico
    assert way(found, "cloud")[4] == way(found, "as run")[4] == cost_words.amount(found.spending.paid)


def test_a_hybrid_month_costs_what_was_paid_for_it_and_the_hardware(reported):
    rows = (HERE, cloud(prompt_tokens=250_000, cache_read_tokens=9_000, output_tokens=1234, cost_pico=44_444_444_444))
    found = reported(*rows, stretch(idle_pico=10**9), FIXED)
    c = found.worth.comparison
    assert c.hybrid_usd == Fraction(c.paid.pico, money.PICO_PER_USD) + 100
    assert c.paid.pico == 2 * 10**10 + 44_444_444_444 + 10**9


def test_a_month_here_costs_what_was_paid_for_it_and_the_hardware(reported):
    found = reported(HERE, measured(prompt_tokens=77, cost_pico=5), stretch(idle_pico=10**9), FIXED)
    assert found.worth.comparison.local_usd == Fraction(found.spending.paid.pico, money.PICO_PER_USD) + 100


def test_another_model_is_taken_at_its_list_price_with_the_same_share_of_its_cache(reported):
    rows = (cloud(prompt_tokens=1000, cache_read_tokens=500, output_tokens=0, price=LIST),)
    c = reported(*rows, "cost.cloud=openai/gpt-5-nano").worth.comparison
    assert not c.as_paid
    assert c.cloud_usd == Fraction(500 * 50 + 500 * 5, 10**9)  # $0.05 per million, $0.005 from its cache


def test_unless_told_it_compares_with_the_cloud_model_that_was_asked(reported):
    nano = cloud(model="gpt-5-nano", served_model="gpt-5-nano", prompt_tokens=2000, output_tokens=0, cost_pico=100_000_000)
    unpriced = cloud(provider="gateway", model="x", prompt_tokens=9000)
    c = reported(cloud(), nano, unpriced, measured()).worth.comparison
    assert c.cloud.name == "openai/gpt-5-nano"
    assert reported("cost.cloud=openai/gpt-4o").worth.comparison.cloud.name == "openai/gpt-4o"


def test_a_free_cloud_is_free(reported):
    free = ACME.replace("'1.00'", "'0'")
    found = reported(cloud(provider="acme", model="cloud", cost_pico=0), free, "cost.cloud=acme/cloud", FIXED)
    assert found.worth.comparison.cloud_usd == 0
    assert found.worth.comparison.break_even is None
