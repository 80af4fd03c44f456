"""``llmc cost``: the verdict, from a ledger to a sentence; honest where nothing was measured; harmless whatever a name is."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from html.parser import HTMLParser

import pytest
from rich.console import Console
from spent_rows import ACME, CACHED, NOW_US, UNKNOWN, cloud, document, local, measured, run, stretch

from llmc.errors import UsageError
from llmc.period import microseconds
from llmc.report import cost_files, cost_focus, cost_page, cost_text, cost_words, tables
from llmc.target import cost as target

EXAMPLE = (ACME, "cost.cloud=acme/cloud", "price.hardware.maintenance_usd_per_month=50", "price.hardware.rent_usd_per_month=50")
TARIFF = ("power.tariff_usd_per_kwh=0.30", "power.busy_watts=60")
HOSTILE = "=cmd()|' /C calc'!A0 <script>alert(1)</script>\n![x](http://evil.example/x) WWW.evil.example a@evil.example \u202e@"


def ten_million():
    """A month of 10,000,000 tokens whose electricity is $0.10 per million."""
    return measured(prompt_tokens=10_000_000, output_tokens=0, cost_pico=10**12)


def test_the_worked_example_from_ledger_to_verdict(reported):
    found = reported(ten_million(), *EXAMPLE)
    c = found.worth.comparison
    assert (c.local_usd, c.cloud_usd) == (101, 10)
    assert c.break_even == Fraction(10**9, 9)
    assert c.verdict == "cloud"
    assert found.verdict.startswith(
        "Cloud would be cheaper at your volume: 10.0M tokens in 2026-11 cost $101.00 locally, ~$10.00 on"
    )
    assert found.more[0].startswith("Local wins above 111.1M tokens a month (range ")


def test_at_a_larger_volume_local_is_cheaper(reported):
    found = reported(ten_million(), *EXAMPLE, "cost.tokens_per_month=200000000")
    assert found.worth.comparison.verdict == "local"
    assert found.verdict.startswith(
        "Local is cheaper at your volume: 200.0M tokens a month (as configured) cost $120.00 locally"
    )


def test_near_the_break_even_it_says_that_it_cannot_tell(reported):
    found = reported(ten_million(), *EXAMPLE, "cost.tokens_per_month=120000000")
    assert found.verdict.startswith("Neither is clearly cheaper at your volume")


def test_without_the_price_of_electricity_the_break_even_is_the_least_it_can_be(reported):
    found = reported(local(), "price.hardware.rent_usd_per_month=100", ACME, "cost.cloud=acme/cloud")
    assert found.more[0] == "Local wins above 100.0M tokens a month at best: electricity is not known."
    assert found.more[1].startswith("To be told: power.tariff_usd_per_kwh")


def test_what_an_idle_machine_draws_all_month_is_not_nothing_because_nobody_said(reported):
    found = reported(ten_million(), *EXAMPLE, "cost.always_on=true")
    assert found.worth.comparison.local.missing == ["idle electricity"]
    assert "power.idle_watts" in " ".join(found.more)
    told = reported(*EXAMPLE, "cost.always_on=true", "power.idle_watts=50", "power.tariff_usd_per_kwh=0.30")
    assert told.worth.comparison.local.complete
    assert told.worth.comparison.local.basis == "estimated"


def test_a_configured_speed_is_not_called_measured(reported):
    found = reported(local(), "cost.local_tokens_per_second=10")
    rows = [row for s in found.sections if s.name == "local" for row in s.tables[0].rows]
    assert ("reads, tokens a second", "10", "as configured") in rows


def test_compressing_that_has_not_paid_yet_is_a_cost(reported):
    rows = (cloud(cost_pico=10**12), document(source_tokens=1_000_000, view_tokens=300_000))
    found = reported(*rows, "cost.downstream=openai/gpt-4o-mini")
    assert "Compressing cost ~$0.90 more than one use of each view by openai/gpt-4o-mini saves;" in found.more[-1]


def test_tables_leave_room_for_names_on_a_narrow_terminal(reported):
    found = reported(cloud(), local(), *EXAMPLE, "cost.cloud=openai/gpt-4o-mini")
    console = Console(width=80, record=True, file=io.StringIO())
    tables.draw(target.Costs(found, "-"), console)
    assert "openai/gpt-4o-mini  " in console.export_text().split("The same month in each way")[1]


def test_local_that_costs_more_per_token_wins_at_no_volume(reported):
    found = reported(measured(prompt_tokens=10_000_000, output_tokens=0, cost_pico=20 * 10**12), *EXAMPLE)
    assert found.worth.comparison.break_even is None
    assert "Local wins at no volume" in found.more[0]


def test_a_volume_that_the_machine_cannot_reach_is_no_break_even_to_count_on(reported):
    found = reported(ten_million(), *EXAMPLE, "cost.local_tokens_per_second=10", "cost.max_utilisation=0.5")
    assert any("more than this machine can read in a month (13.1M tokens)" in line for line in found.more)


def test_nothing_was_spent(reported):
    assert reported().verdict == "Nothing was spent in this period: no model was asked for anything."
    only_cached = reported(cloud(status="cached", cost_pico=0, price=CACHED))
    assert only_cached.verdict == "Nothing was spent in this period: 1 answer came from the cache."


def test_without_a_sensor_nothing_is_called_measured(reported):
    found = reported(local(), document(tier="local"))
    tile = {t.label: t for t in found.tiles}["electricity"]
    assert (tile.value, tile.basis) == ("unknown", "unknown")
    assert found.verdict.endswith(
        "what they cost here is not known (hardware and electricity), so which is cheaper cannot be said."
    )
    assert {t.label: t for t in found.tiles}["spent in this period"].value == "unknown"
    assert found.worth.comparison.local_usd is None


def test_a_sensor_that_fell_silent_has_measured_a_part(reported):
    found = reported(measured(), stretch(coverage=0.4))
    tile = {t.label: t for t in found.tiles}["electricity"]
    assert (tile.value, tile.basis) == (">= 10 Wh", "measured in part")
    assert tile.note.endswith("sensors gave readings for 40% of the time")


def test_a_price_of_ones_own_is_compared_with_too(reported):
    found = reported(cloud(), ACME)
    assert {c.name: c.pico for c in found.worth.counterfactuals}["acme/cloud"] == 1000 * 10**6


def test_configured_watts_are_an_estimate_and_say_so(reported):
    found = reported(local(seconds=100.0), *TARIFF)
    c = found.worth.comparison
    assert c.local.usd_per_million == Fraction("0.5")  # 60 W x 100 s for 1,000 tokens at $0.30 per kWh
    assert c.local.basis == "estimated"
    tile = {t.label: t for t in found.tiles}["all of 2026-11 locally"]
    assert tile.value.startswith(">= ~$")
    assert tile.basis == "estimated"
    said = reported("cost.tokens_per_month=100", "provider.model=gpt-4o", *TARIFF).verdict
    assert said.startswith(
        "On electricity alone local is cheaper at your volume: 100 tokens a month (as configured) cost >= ~$"
    )
    assert said.endswith("hardware is not known and not counted.")
    assert "draw while a model works" in {a.what for a in found.worth.assumptions}


def test_a_recorded_estimate_stays_one(reported):
    found = reported(measured(method="configured_watts"), stretch(method="configured_watts", meter="watts"))
    tile = {t.label: t for t in found.tiles}["electricity"]
    assert (tile.value, tile.basis) == ("~10 Wh", "estimated")
    assert {t.label: t for t in found.tiles}["spent in this period"].value.startswith("~")


def test_unknown_prices_are_listed_and_make_a_lower_bound(reported):
    found = reported(cloud(), cloud(cost_pico=None, price=UNKNOWN, provider="acme", model="my-model"))
    assert {t.label: t for t in found.tiles}["spent in this period"].value == ">= $0.00021"
    (table,) = next(s for s in found.sections if s.name == "unknown").tables
    assert table.rows[0][:4] == ("acme", "my-model", "no price for acme/my-model", "1")


def test_the_same_model_elsewhere_costs_what_was_paid(reported):
    found = reported(cloud(), cloud(status="failed", output_tokens=0, cost_pico=150_000_000))
    same = next(c for c in found.worth.counterfactuals if c.name == "openai/gpt-4o-mini" and not c.variant)
    assert (same.pico, same.difference_pico, same.approximate) == (360_000_000, 0, False)
    haiku = next(c for c in found.worth.counterfactuals if c.name == "anthropic/claude-haiku-4-5" and not c.variant)
    assert (haiku.pico, haiku.approximate) == (2_000_000_000 + 500_000_000, True)
    half = next(c for c in found.worth.counterfactuals if c.name == "openai/gpt-4o-mini" and c.variant)
    assert half.pico == 180_000_000
    assert not any(c.name.startswith("groq/") and c.variant for c in found.worth.counterfactuals)  # it has no batch price


def test_a_model_that_nobody_prices_is_said_to_be_unknown(reported):
    found = reported(cloud(), "cost.compare=[acme/nothing]")
    row = next(c for c in found.worth.counterfactuals if c.name == "acme/nothing")
    assert row.pico is None
    assert "acme" in row.why_unknown


def test_what_fell_to_the_cloud_is_counted_once(reported):
    found = reported(measured(prompt_tokens=1000), measured(prompt_tokens=3000), cloud(prompt_tokens=1000))
    month = found.worth.comparison.month
    assert (month.tokens, month.fallback_share) == (4000, Fraction(1, 4))


def test_views_are_worth_what_they_save_less_what_they_cost(reported):
    rows = (cloud(cost_pico=5 * 10**10), document(source_tokens=1_000_000, view_tokens=300_000))
    value = reported(*rows, "cost.downstream=openai/gpt-4o-mini").worth.value
    assert value.made.net_usd(1) == Fraction("0.055")  # 700,000 tokens at $0.15 per million less $0.05
    assert value.made.uses_needed() == 1
    value = reported("cost.downstream=openai/gpt-4o-mini", "cost.cache_miss_share=0").worth.value
    assert value.made.net_usd(1) == Fraction("0.0025")  # from its prompt cache, at half the price
    value = reported("cost.downstream=openai/gpt-5-nano").worth.value
    assert value.made.uses_needed() == 2
    assert "not worth it below 2 uses" in " ".join(reported("cost.downstream=openai/gpt-5-nano").more)


def test_answers_from_our_cache_saved_what_such_an_answer_costs(reported):
    cached = cloud(status="cached", cost_pico=0, price=CACHED, prompt_tokens=None, output_tokens=None)
    found = reported(cloud(), cached, cloud(status="cached", cost_pico=0, price=CACHED, model="never-asked"))
    assert (found.worth.saved_by_cache.pico, found.worth.saved_by_cache.unknown) == (210_000_000, 1)
    assert found.worth.saved_by_cache.basis == "estimated"


def test_a_prompt_cache_saved_the_difference_of_the_two_prices(reported):
    found = reported(cloud(cache_read_tokens=800))
    assert found.worth.saved_by_prompt_cache.pico == 800 * 75_000  # $0.15 - $0.075 per million


def test_hardware_is_divided_into_busy_and_idle_time(reported):
    found = reported(measured(), stretch(), *EXAMPLE)
    month = found.worth.comparison.month
    assert month.utilisation == Fraction(3000, 22 * 86400 + 43200)
    rows = {row[0]: row[1] for s in found.sections if s.name == "local" for row in s.tables[0].rows}
    assert rows["hardware, rent, maintenance, a month"] == "$100.00"
    assert (rows["of that, for time in which a model worked"], rows["of that, for idle time"]) == ("$0.15", "$99.85")
    assert rows["idle electricity, a month"] == "$0.0001"


def test_by_run_is_the_last_one(reported, ledger):
    ledger.start(run("run-2", started_us=NOW_US))
    found = reported(cloud(), cloud(run_id="run-2", cost_pico=1), "period=run")
    assert found.spending.whole().cost.pico == 1
    assert reported("period=run", "cost.run=run-1").spending.whole().cost.pico == 210_000_000


@pytest.mark.parametrize("only", ["cost.project=other", "project=other", "cost.tag=none", "cost.model=none"])
def test_a_filter_leaves_the_rest_out(reported, only):
    assert reported(cloud(), only).spending.whole() is None


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("cost.max_utilisation=2", "max_utilisation"), ("cost.estimate_spread=x", "estimate_spread"), ("cost.uses=0", "uses"),
        ("cost.cloud=gpt", "names no provider"), ("price.hardware.rent_usd_per_month=-1", "below 0"),
        ("by='tier,tier'", "twice"), ("repricing=typo", "repricing=typo is not on record"),
    ],
)  # fmt: skip
def test_a_number_that_makes_no_sense_is_named(reported, word, said):
    with pytest.raises(UsageError, match=said):
        reported(cloud(), document(), word)


# Files


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


@pytest.fixture
def hostile(reported, ledger):
    ledger.start(run("run-2", project=HOSTILE, tags=(HOSTILE,), profile=HOSTILE))
    rows = (
        cloud(run_id="run-2", model=HOSTILE, tier=HOSTILE, provider=HOSTILE), cloud(), measured(),
        cloud(run_id="run-2", model=HOSTILE, provider=HOSTILE, cost_pico=None, price=UNKNOWN),
        document(run_id="run-2", tier=HOSTILE), stretch(),
    )  # fmt: skip
    return reported(*rows, "by='tag,project,model,tier'", "price.hardware.rent_usd_per_month=50")


def test_a_hostile_name_is_text_in_html(hostile):
    page = Page(cost_page.page(hostile))
    assert {tag for tag, _ in page.elements} & {"script", "img", "iframe", "link", "object", "form"} == set()
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_the_page_asks_for_nothing_from_anywhere(hostile):
    text = cost_page.page(hostile)
    for _, attributes in Page(text).elements:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "data", "action", "srcset", "poster"):
                assert value.startswith("#"), (name, value)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_a_hostile_name_is_text_in_markdown(hostile):
    text = cost_files.markdown(hostile)
    assert "<script" not in text
    assert not re.search(r"(?<!\\)!\[", text)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table
    assert "\u202e" not in text
    assert not re.search(r"://|www\.|@(?!<!-- -->)", text, re.IGNORECASE)  # of which GitHub would make links and mentions


def test_a_hostile_name_is_no_formula_in_csv(hostile, ledger, reported):
    focus = cost_focus.rows(ledger, hostile.spending, hostile.worth.comparison)
    for rows in (cost_files.groups_csv(hostile), focus):
        text = cost_files.table_csv(rows)
        parsed = list(csv.reader(io.StringIO(text)))
        assert len({len(row) for row in parsed}) == 1
        for cell in (cell for row in parsed for cell in row):
            assert not re.match(r"[\s'\"]*[=+@|%\uff1d]", cell) or cell.startswith("'"), cell
            assert "\n" not in cell
            assert not cell.startswith("-") or Decimal(cell) < 0


def test_a_hostile_name_cannot_steer_the_terminal(hostile):
    console = Console(file=io.StringIO(), width=100)
    tables.draw(target.Costs(hostile, "ledger"), console)
    shown = console.file.getvalue()
    assert "\u202e" not in shown
    assert "=cmd()" in shown


def test_json_has_money_as_text_and_null_for_what_is_unknown(hostile):
    found = json.loads(json.dumps(cost_files.as_json(hostile)))
    assert found["schema"] == "llmc.cost/1"
    assert found["requests"]["cost"] == {
        "usd": "0.00342", "at_least": True, "basis": "list price", "attempts_of_unknown_cost": 1,
    }  # fmt: skip
    keys = {(group["key"]["model"], group["key"]["tier"]): group["cost"]["usd"] for group in found["by"]}
    assert keys[HOSTILE, "cloud"] is None
    assert not any(isinstance(value, float) for name, value in _leaves(found) if "usd" in name)


def _leaves(value, name=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value


MANDATORY = (  # of FOCUS 1.2
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd",
    "ChargeCategory", "ChargeDescription", "ChargePeriodStart", "ChargePeriodEnd", "ContractedCost", "EffectiveCost",
    "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory",
    "ServiceName",
)  # fmt: skip


def test_focus_has_every_mandatory_column_and_adds_up(reported, ledger):
    found = reported(cloud(), measured(), stretch(), cloud(cost_pico=None, price=UNKNOWN), *EXAMPLE)
    text = cost_files.table_csv(cost_focus.rows(ledger, found.spending, found.worth.comparison))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert "ChargeClass" in rows[0]
    assert {"ServiceProviderName", "HostProviderName"} <= set(rows[0])
    for row in rows:
        assert all(row[column] for column in MANDATORY), row
        assert row["ChargeCategory"] == "Usage"
        for column in ("BillingPeriodStart", "ChargePeriodEnd"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[column])
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal("0.00021")
    kinds = {row["SkuMeter"]: row["BilledCost"] for row in rows if row["ProviderName"] == "openai"}
    assert kinds == {"Input tokens": "0.00015", "Output tokens": "0.00006"}
    hardware = Decimal(100) * Decimal(str(found.spending.seconds)) / (730 * 3600)
    total = sum(Decimal(row["EffectiveCost"]) for row in rows)
    assert abs(total - (Decimal("0.00331") + hardware)) < Decimal("1e-9")


def test_focus_charges_lie_within_their_billing_month_which_is_utcs(reported, ledger):
    turn = microseconds(datetime(2026, 10, 31, 23, 30, tzinfo=UTC))  # already November in Berlin
    ledger.start(run("run-0", started_us=turn - 60_000_000))
    found = reported(cloud(run_id="run-0", at_us=turn), measured(), "timezone=Europe/Berlin", "period=all", *EXAMPLE)
    text = cost_files.table_csv(cost_focus.rows(ledger, found.spending, found.worth.comparison))
    rows = list(csv.DictReader(io.StringIO(text)))
    for row in rows:
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert {row[f"{which}Period{end}"][11:] for which in ("Billing", "Charge") for end in ("Start", "End")} == {"00:00:00Z"}
    billed = {row["SkuId"]: row["BillingPeriodStart"][:7] for row in rows if row["ProviderName"] == "openai"}
    assert set(billed.values()) == {"2026-10"}
    idle = {row["BillingPeriodStart"][:7]: Decimal(row["EffectiveCost"]) for row in rows if row["SkuId"] == "idle"}
    assert set(idle) == {"2026-10", "2026-11"}
    assert idle["2026-11"] > 20 * idle["2026-10"] > 0


@pytest.mark.parametrize("rows", [(local(),), (local(), measured()), (cloud(),)])
def test_focus_has_all_of_the_hardware_whatever_its_requests_cost(reported, ledger, rows):
    found = reported(*rows, stretch(idle_pico=None), *EXAMPLE)
    text = cost_files.table_csv(cost_focus.rows(ledger, found.spending, found.worth.comparison))
    total = sum(Decimal(row["EffectiveCost"]) for row in csv.DictReader(io.StringIO(text)))
    hardware = Decimal(100) * Decimal(str(found.spending.seconds)) / (730 * 3600)
    requests = Decimal(found.spending.whole().cost.pico).scaleb(-12)
    assert abs(total - hardware - requests) < Decimal("1e-9")


def test_the_same_ledger_gives_the_same_files(hostile):
    assert cost_page.page(hostile) == cost_page.page(hostile)
    assert cost_files.markdown(hostile) == cost_files.markdown(hostile)


@pytest.mark.parametrize(
    ("pico", "text"),
    [
        (0, "$0.00"), (12_345 * 10**8, "$1.23"), (9_199_449_814, "$0.0092"), (3625, "$0.00000000363"),
        (-5 * 10**8, "-$0.0005"), (None, "unknown"),
    ],
)  # fmt: skip
def test_little_money_does_not_look_like_none(pico, text):
    assert cost_words.precise(pico) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (812, "812"), (9_999, "9,999"), (61_234, "61.2k"), (999_960, "1.0M"), (10_200_000, "10.2M"), 
        (Fraction(10**10, 9), "1.1 billion"), (None, "unknown"),
    ],
)  # fmt: skip
def test_tokens_for_people(count, text):
    assert cost_words.tokens(count) == text


def test_idle_electricity_is_spent_and_has_a_line_of_its_own(reported):
    found = reported(measured(), stretch(), stretch(idle_joules=None, idle_pico=None))
    assert (found.spending.paid.pico, found.spending.paid.unknown) == (3_000_000_000 + 100_000_000, 1)
    assert [row[:2] for row in cost_text.report(found.spending, found.worth, ()).sections[0].tables[-1].rows] == [
        ("requests", "$0.003"), ("idle electricity, within runs", ">= $0.0001"), ("together", ">= $0.0031"),
    ]  # fmt: skip


def test_a_small_share_is_not_shown_as_none():
    assert [cost_words.percent(Fraction(n, 10_000)) for n in (0, 1, 5, 3333)] == ["0.0%", "<0.1%", "0.1%", "33.3%"]
