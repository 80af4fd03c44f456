"""Prices: whose word they are, what is not certain stays unknown, and a slip of the unit is noticed."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmc import money, price
from llmc.errors import UsageError
from llmc.price import Prices, Tokens
from llmc.schema import PriceConfig, PriceOverride

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MILLION = Tokens(1_000_000, 100_000)


def override(**changes) -> PriceOverride:
    values = {"provider": "openai", "model": "gpt-5-mini", "input_usd_per_million": "0.20", "output_usd_per_million": "1.50"}
    return PriceOverride(**{**values, "source": "contract 7", "checked": "2026-11-23", **changes})


def prices(*overrides: PriceOverride, variant: str | None = None) -> Prices:
    return Prices(PriceConfig("x", variant=variant, overrides=list(overrides)))


def usd(provider: str, model: str, tokens: Tokens = MILLION, **options) -> Decimal | None:
    found = prices(**options).cost(provider, (model,), tokens, NOW).pico
    return None if found is None else money.usd(found)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o-mini", "0.21"), ("openai", "gpt-5-mini", "0.45"), ("openai", "gpt-5-nano", "0.09"),
        ("anthropic", "claude-haiku-4-5", "1.5"), ("google", "gemini-2.5-flash-lite", "0.14"),
        ("groq", "llama-3.1-8b-instant", "0.058"),
    ],
)  # fmt: skip
def test_listed_prices_are_what_the_providers_published(provider, model, expected):
    assert usd(provider, model) == Decimal(expected)


def test_ten_million_tokens_at_a_tenth_of_a_cent_per_thousand_are_ten_dollars():
    own = override(input_usd_per_million="1.00", output_usd_per_million="0")  # $0.001 per 1,000
    assert money.usd(prices(own).cost("openai", ("gpt-5-mini",), Tokens(10_000_000, 0), NOW).pico) == 10


def test_what_a_cache_read_or_wrote_is_part_of_the_prompt():
    assert usd("anthropic", "claude-haiku-4-5", Tokens(1_000_000, 0, cache_read=900_000)) == Decimal("0.19")
    assert usd("anthropic", "claude-haiku-4-5", Tokens(1_000_000, 0, cache_write=1_000_000)) == Decimal("1.25")
    own = override(cache_read_usd_per_million="0.02", cache_write_usd_per_million="0.30")
    found = prices(own).cost("openai", ("gpt-5-mini",), Tokens(1_000_000, 0, 500_000, 100_000), NOW).pico
    assert money.usd(found) == Decimal("0.4") * Decimal("0.2") + Decimal("0.01") + Decimal("0.03")


def test_a_prompt_over_a_tiers_edge_is_priced_as_a_whole():
    assert usd("google", "gemini-2.5-pro", Tokens(200_000, 0)) == Decimal("0.25")
    assert usd("google", "gemini-2.5-pro", Tokens(200_001, 0)) == Decimal("0.5000025")


@pytest.mark.parametrize(
    ("provider", "model", "why"),
    [
        ("openai", "gpt-4o-2029-01-01", "has no price for openai/gpt-4o-2029-01-01"),
        ("openai", "ft:gpt-4o-mini:acme", "has no price"),
        ("openai", "my-gpt-4o", "has no price"),
        ("my-openai-proxy", "gpt-4o-mini", "has no provider 'my-openai-proxy'"),  # the list itself takes it for OpenAI
        ("azure", "gpt-4o-mini", "has no price for azure"),  # the list itself gives OpenAI's price
        ("anthropic", "claude-haiku-4-5-turbo", "claude-haiku-4-5, which 'claude-haiku-4-5-turbo' only resembles"),
        ("ollama", "llama3", "has no provider"),
        ("", "llama3", "no provider is named"),
    ],
)
def test_what_only_resembles_a_known_model_is_unknown(provider, model, why):
    found = prices().cost(provider, (model,), MILLION, NOW)
    assert (found.pico, found.price.cost_source) == (None, "unknown")
    assert why in found.price.price_source


def test_a_dated_name_of_a_known_model_is_that_model():
    assert usd("anthropic", "claude-haiku-4-5-20251001") == usd("anthropic", "claude-haiku-4-5")
    assert usd("openai", "gpt-4o-mini-2024-07-18") == usd("openai", "gpt-4o-mini")


def test_every_entry_of_the_list_is_found_under_its_own_name_unless_another_stands_before_it():
    from genai_prices.data_snapshot import get_snapshot

    known = [(p.id, m.id) for p in get_snapshot().providers for m in p.models]
    found = [price._list_price(*each) for each in known]
    assert sum(not isinstance(entry, str) for entry in found) > 0.95 * len(known)


@pytest.mark.parametrize(
    ("variant", "matched", "dollars"), [("batch", True, "0.225"), ("btach", False, "0.45"), (None, None, "0.45")]
)
def test_a_variant_that_the_list_does_not_know_is_flagged(variant, matched, dollars):
    found = prices(variant=variant).cost("openai", ("gpt-5-mini",), MILLION, NOW)
    assert (money.usd(found.pico), found.price.variant_matched) == (Decimal(dollars), matched)


def test_a_configured_price_goes_before_the_list_and_says_whose_it_is():
    found = prices(override()).cost("openai", ("gpt-5-mini",), MILLION, NOW)
    assert money.usd(found.pico) == Decimal("0.35")
    assert (found.price.cost_source, found.price.price_source, found.price.checked) == ("override", "contract 7", "2026-11-23")
    assert prices(override()).cost("openai", ("gpt-5-mini-2026",), MILLION, NOW).price.cost_source != "override"


def test_a_configured_price_holds_from_its_day_on():
    old, new = override(), override(input_usd_per_million="0.10", valid_from="2026-11-23")
    asked = prices(new, old)
    before, after = datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    assert money.usd(asked.cost("openai", ("gpt-5-mini",), Tokens(1_000_000, 0), before).pico) == Decimal("0.2")
    assert money.usd(asked.cost("openai", ("gpt-5-mini",), Tokens(1_000_000, 0), after).pico) == Decimal("0.1")


def test_a_configured_batch_price_is_for_batch_only():
    both = override(), override(input_usd_per_million="0.10", variant="batch")
    assert money.usd(prices(*both).cost("openai", ("gpt-5-mini",), Tokens(1_000_000, 0), NOW).pico) == Decimal("0.2")
    found = prices(*both, variant="batch").cost("openai", ("gpt-5-mini",), Tokens(1_000_000, 0), NOW)
    assert (money.usd(found.pico), found.price.variant_matched) == (Decimal("0.1"), True)
    flex = prices(*both, variant="flex").cost("openai", ("gpt-5-mini",), Tokens(1_000_000, 0), NOW)
    assert (money.usd(flex.pico), flex.price.variant_matched) == (Decimal("0.2"), False)


@pytest.mark.parametrize(
    ("rate", "word"),
    [("0.00000025", "outside of what any model costs"), ("250000", "outside"), ("0.0015", "says 0.25"), ("30", "says 0.25")],
)
def test_a_price_per_token_or_per_thousand_is_noticed(rate, word):
    (warning,) = prices(
        override(input_usd_per_million=rate, cache_read_usd_per_million="0", cache_write_usd_per_million="0")
    ).warnings()
    assert f"openai/gpt-5-mini: input_usd_per_million={rate}" in warning
    assert word in warning
    assert "dollars per 1,000,000 tokens" in warning


def test_a_sane_price_is_no_cause_for_a_warning():
    assert prices(override(), override(model="my-own", input_usd_per_million="0")).warnings() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_usd_per_million": "cheap"}, "input_usd_per_million: 'cheap' is no amount"),
        ({"output_usd_per_million": "-1"}, "output_usd_per_million=-1 is below 0"),
        ({"valid_from": "November"}, "valid_from=November is no date"),
    ],
)
def test_a_configured_price_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        prices(override(**changes)).warnings()


@given(
    st.sampled_from(
        [("openai", "gpt-4o-mini"), ("anthropic", "claude-haiku-4-5"), ("google", "gemini-2.5-pro"), ("openai", "gpt-5-mini")]
    ),
    st.integers(0, 300_000),
    st.integers(0, 10_000),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_no_use_of_the_cache_costs_more_than_what_is_set_aside(model, prompt, output, read, written):
    cache_read = int(prompt * read)
    tokens = Tokens(prompt, output, cache_read, int((prompt - cache_read) * written))
    cost = prices().cost(model[0], (model[1],), tokens, NOW).pico
    most = prices().at_most(*model, prompt, output, NOW)
    assert cost is not None
    assert most is not None
    assert 0 <= cost <= most


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_tokens_times_a_configured_price_is_exact(prompt, output):
    exact = (Decimal("0.20") * prompt + Decimal("1.50") * output) / 1_000_000
    assert (
        price.linear({"input": "0.20", "output": "1.50", "cache_read": "0", "cache_write": "0"}, Tokens(prompt, output))
        == exact * 10**12
    )
