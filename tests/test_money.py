"""Money: exact sums, one rounding, no floats, nothing that is shown as less than it is."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmc import money

amounts = st.decimals(min_value=-9_000_000, max_value=9_000_000, places=12)


@given(amounts)
def test_an_amount_of_whole_pico_dollars_comes_back_exactly(amount):
    assert money.usd(money.pico(amount)) == amount


@given(st.lists(st.decimals(min_value=-1000, max_value=1000, places=12), max_size=50))
def test_the_sum_of_the_parts_is_the_whole(parts):
    assert money.usd(sum(money.pico(part) for part in parts)) == sum(parts, Decimal(0))


def test_a_million_small_prices_are_exactly_270_dollars():
    assert money.usd(1_000_000 * money.pico("0.00027")) == 270
    assert sum(0.00027 for _ in range(1_000_000)) != 270


def test_half_a_pico_dollar_goes_to_the_even_one():
    assert [money.pico(Decimal(n).scaleb(-13)) for n in (5, 15, 25, -5, -15)] == [0, 2, 2, 0, -2]


@pytest.mark.parametrize("wrong", ["", "five", "NaN", "Infinity", "1,5", "$3"])
def test_what_is_no_amount_is_refused(wrong):
    with pytest.raises(ValueError, match="no amount in dollars"):
        money.pico(wrong)


def test_what_does_not_fit_is_refused():
    assert money.pico("9223372.036854775807") == money.MAX_PICO
    with pytest.raises(ValueError, match=r"more than the ledger can record \(\$9,223,372.04\)"):
        money.pico("9223372.04")


@pytest.mark.parametrize(
    ("pico", "shown"),
    [
        (None, "unknown"), (0, "$0.00"), (1, "<$0.01"), (-1, ">-$0.01"), (5 * 10**9, "$0.01"), (4_999_999_999, "<$0.01"),
        (10**13, "$10.00"), (-91 * 10**12, "-$91.00"), (1_234_567_895_000_000_000, "$1,234,567.90"),
    ],
)  # fmt: skip
def test_money_as_people_write_it(pico, shown):
    assert money.text(pico) == shown
