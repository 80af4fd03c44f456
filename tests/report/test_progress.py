"""What the display says of each rung, and of the money."""

from decimal import Decimal

import pytest

from llmc.pipeline import Progress, Summary
from llmc.report.progress import _money, _tier
from llmc.report.tables.compress import _gists
from llmc.route.tier import Tally


def test_a_rung_shows_what_is_with_it_how_fast_it_is_and_how_much_of_it_passes():
    tally = Tally("qwen", in_flight=3, tokens=5000, kept=6, refused=2, cached=4)
    assert _tier("local", tally, 10.0) == "| local 3 in flight 500 tokens/s 75% pass 4 from the cache"
    assert _tier("cloud", Tally(), 0.0) == "| cloud 0 in flight"


@pytest.mark.parametrize(
    ("spent", "budget", "said"),
    [
        (None, None, ""),
        ("0", None, "$0.00"),
        ("0.0001", "5", "<$0.01 of $5.00"),
        ("1.239", "5", "$1.24 of $5.00"),
    ],
)
def test_money_is_shown_against_the_budget_and_never_as_nothing_when_it_is_something(spent, budget, said):
    progress = Progress(spent_usd=spent and Decimal(spent), budget_usd=budget and Decimal(budget))
    assert _money(progress) == said


def test_money_is_added_up_for_the_run_and_its_rungs():
    progress = Progress(tiers={"cloud": Tally(), "local": Tally()})
    progress.paid("cloud", 120_000_000, local=False)
    progress.paid("cloud", 120_000_000, local=False)
    progress.paid("local", None, local=True)
    assert progress.spent_usd == Decimal("0.00024")
    assert (progress.tiers["cloud"].spent_usd, progress.tiers["local"].spent_usd) == (Decimal("0.00024"), None)


def test_the_summary_says_who_wrote_the_gists_and_why_rungs_were_left():
    run = Summary("a.llmc", gists_by={"qwen (local)": 312, "mini (cloud)": 9})
    run.steps_down = {"local": {"timeout": 2, "fidelity precision": 7}}
    assert _gists(run) == "312 by qwen (local), 9 by mini (cloud); left local: 7 fidelity precision, 2 timeout"


def test_one_model_whose_gists_were_only_refused_needs_no_second_line():
    assert _gists(Summary("a.llmc", gists_by={"qwen (local)": 3}, steps_down={"local": {"fidelity precision": 7}})) == ""


def test_electricity_stands_beside_what_the_budget_counts_and_not_in_it():
    progress = Progress(budget_usd=Decimal(5))
    progress.paid("cloud", 20_000_000_000, local=False)
    progress.paid("local", 70_000_000_000, local=True)
    assert _money(progress) == "$0.02 of $5.00 + $0.07 electricity"
