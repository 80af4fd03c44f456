"""Spending as FOCUS 1.2 (the FinOps Open Cost and Usage Specification): a row per day (UTC), model and kind of token.

The names that 1.3 gives to providers stand beside those of 1.2. For local work nobody sends a bill: ``BilledCost`` is 0 and
``EffectiveCost`` is electricity and the share of the hardware that was busy; what was idle are rows of their own. Requests of
unknown cost are left out, as FOCUS has no empty ``BilledCost`` and llmc does not write 0 for what it does not know; the
hardware that they kept busy is a row of its own.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC
from fractions import Fraction
from typing import Any

from llmc import money, period
from llmc.breakeven import MILLION
from llmc.ledger import Ledger, Totals
from llmc.market import ONLY_PAID, Rates
from llmc.period import Period
from llmc.spending import Spending
from llmc.worth import Comparison

COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodStart", "ChargePeriodEnd",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingCategory",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory",
    "SkuId", "SkuMeter", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags",
    "ServiceProviderName", "HostProviderName",
    "x_CostSource", "x_PriceSource", "x_EnergyKwh", "x_EnergyMethod", "x_CounterfactualCost", "x_RunId",
)  # fmt: skip
BY = (
    "period", "project", "profile", "tier", "backend_kind", "provider", "model", "cost_source", "price_source", "variant",
    "rates", "energy_method",
)  # fmt: skip
METERS = {
    "input": "Input tokens",
    "cache_read": "Cache read tokens",
    "cache_write": "Cache write tokens",
    "output": "Output tokens",
}
MONTH_SECONDS = 730 * 3600
_RATE = re.compile(r"\d+(\.\d+)?")


def rows(ledger: Ledger, spending: Spending, comparison: Comparison) -> Iterator[Sequence[object]]:
    """The header, then the charges; each within one billing month, whose bounds are UTC's as the specification has them."""
    yield COLUMNS
    times = [us for _, s in spending.rows for us in (s.first_us, s.last_us) if us is not None]
    if not times:
        return
    days = tuple(period.between("day", period.instant(min(times)), period.instant(max(times) + 1), UTC))
    by_label = {day.label: day for day in days}
    found = ledger.totals(replace(spending.where, periods=days), BY)
    local_seconds = sum(s.seconds for s in found if s.key[BY.index("backend_kind")] == "local")
    hardware = _period_hardware(spending, comparison)
    busy = hardware * comparison.month.utilisation if local_seconds else Fraction(0)
    charged = Fraction(0)  # seconds of local requests that have a row
    for sums in found:
        shared = dict(zip(BY, sums.key, strict=True))
        if sums.unknown_cost == sums.attempts:
            continue
        if shared["backend_kind"] == "local":
            charged += Fraction(sums.seconds)
        share = (
            busy * Fraction(sums.seconds) / Fraction(local_seconds)
            if shared["backend_kind"] == "local" and busy
            else Fraction(0)
        )
        for kind, tokens, pico in _parts(shared, sums):
            yield _row(
                by_label[shared["period"]],
                shared,
                sums,
                kind,
                tokens,
                pico,
                round(share * money.PICO_PER_USD),
                comparison.cloud if comparison.cloud and comparison.cloud.source != ONLY_PAID else None,
                spending,
            )
    unpriced = busy * (1 - charged / Fraction(local_seconds)) if local_seconds else Fraction(0)
    for sku, what, usd in (
        ("busy", "Hardware of this machine while requests of unknown cost were served", unpriced),
        ("idle", "Hardware of this machine while no model worked", hardware - busy),
        ("idle-electricity", "Electricity of this machine while no model worked", _idle_electricity(spending)),
    ):
        for part, pico in _by_month(days, round(usd * money.PICO_PER_USD)):
            yield _machine(spending, part, sku, what, pico)


def _by_month(days: Sequence[Period], pico: int) -> Iterator[tuple[Period, int]]:
    """An amount divided over the billing months that days are in, by their time; the parts add up to it."""
    first, end = days[0].start_us, days[-1].end_us
    given = 0
    for month in period.between("month", period.instant(first), period.instant(end), UTC):
        start, stop = max(first, month.start_us), min(end, month.end_us)
        part = round(Fraction(pico * (stop - first), end - first)) - given
        given += part
        if part:
            yield Period("day", "", start, stop), part


def _idle_electricity(spending: Spending) -> Fraction:
    """Dollars, as far as they are known."""
    return Fraction(spending.idle.pico if spending.idle else 0, money.PICO_PER_USD)


def _period_hardware(spending: Spending, comparison: Comparison) -> Fraction:
    """Dollars of hardware, rent and maintenance for the part of the period that has passed."""
    return (comparison.local.hardware_usd or Fraction(0)) * Fraction(spending.seconds) / MONTH_SECONDS


def _parts(shared: dict[str, Any], sums: Totals) -> Iterator[tuple[str, int, int]]:
    """Tokens and cost by kind; the costs add up to the cost, and are one where no rates tell how to divide it."""
    counts = {
        "input": sums.prompt_tokens - sums.cache_read_tokens - sums.cache_write_tokens,
        "cache_read": sums.cache_read_tokens,
        "cache_write": sums.cache_write_tokens,
        "output": sums.output_tokens,
    }
    counts = {kind: n for kind, n in counts.items() if n}
    rates = {name.removesuffix("_mtok"): text for name, text in json.loads(shared["rates"]).items()}
    known = all(_RATE.fullmatch(str(rates.get(kind, ""))) for kind in counts)
    weights = {kind: n * Fraction(rates[kind]) for kind, n in counts.items()} if known else {}
    whole = sum(weights.values(), Fraction(0))
    if not whole:
        yield "all", sums.prompt_tokens + sums.output_tokens, sums.cost_pico
        return
    given = 0
    for i, (kind, weight) in enumerate(weights.items(), 1):
        pico = sums.cost_pico - given if i == len(weights) else int(sums.cost_pico * weight / whole)
        given += pico
        yield kind, counts[kind], pico


def _row(
    day: Period,
    shared: dict[str, Any],
    sums: Totals,
    kind: str,
    tokens: int,
    pico: int,
    amortised_pico: int,
    cloud: Rates | None,
    spending: Spending,
) -> list[object]:
    local = shared["backend_kind"] == "local"
    provider = "self" if local else shared["provider"] or "unknown"
    model, meter = shared["model"], METERS.get(kind, "Tokens")
    cost = money.usd(pico)
    effective = money.usd(pico + amortised_pico)
    listed = cost if shared["cost_source"] == "list" else None
    elsewhere = None
    if cloud is not None and kind in METERS:
        elsewhere = money.usd(round(tokens * getattr(cloud, kind) * money.PICO_PER_USD / MILLION))
    elif cloud is not None:
        elsewhere = money.usd(cloud.pico(sums))
    tags = {"profile": shared["profile"], "project": shared["project"], "tier": shared["tier"]}
    values = {
        **_times(day),
        "BilledCost": 0 if local else cost,
        "BillingAccountId": provider,
        "BillingAccountName": provider,
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{meter} of {model}",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": tokens,
        "ConsumedUnit": "Tokens",
        "ContractedCost": 0 if local else cost,
        "EffectiveCost": effective,
        "InvoiceIssuerName": provider,
        "ListCost": 0 if local else listed if listed is not None else cost,
        "PricingCategory": "Dynamic" if local else "Standard",
        "PricingQuantity": tokens,
        "PricingUnit": "Tokens",
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": f"{shared['tier']}: {model}" if local else provider,
        "ServiceSubcategory": "Generative AI",
        "SkuId": f"{model}/{kind}",
        "SkuMeter": meter,
        "SkuPriceId": f"{model}/{kind}/{shared['variant'] or 'standard'}",
        "SubAccountId": shared["project"],
        "SubAccountName": shared["project"],
        "Tags": json.dumps(tags, ensure_ascii=True, sort_keys=True),
        "ServiceProviderName": provider,
        "HostProviderName": provider,
        "x_CostSource": shared["cost_source"],
        "x_PriceSource": shared["price_source"],
        "x_EnergyKwh": round(sums.energy_joules / 3.6e6, 9) if shared["energy_method"] != "none" else None,
        "x_EnergyMethod": shared["energy_method"],
        "x_CounterfactualCost": elsewhere,
        "x_RunId": spending.where.run_id,
    }
    return [values.get(column) for column in COLUMNS]


def _machine(spending: Spending, when: Period, sku: str, what: str, pico: int) -> list[object]:
    """What the machine cost beside the requests."""
    values = {
        **_times(when),
        **dict.fromkeys(("BilledCost", "ContractedCost", "ListCost"), 0),
        **dict.fromkeys(
            ("BillingAccountId", "BillingAccountName", "InvoiceIssuerName", "ProviderName", "PublisherName"), "self"
        ),
        **dict.fromkeys(("ServiceProviderName", "HostProviderName"), "self"),
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ChargeDescription": what,
        "ChargeFrequency": "Recurring",
        "EffectiveCost": money.usd(pico),
        "PricingCategory": "Other",
        "PricingQuantity": 1,
        "PricingUnit": "Months",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "this machine",
        "ServiceSubcategory": "Generative AI",
        "SkuId": sku,
        "SkuPriceId": sku,
        "Tags": "{}",
        "x_CostSource": "energy" if sku == "idle-electricity" else "override",
        "x_RunId": spending.where.run_id,
    }
    return [values.get(column) for column in COLUMNS]


def _times(day: Period) -> dict[str, str]:
    month = period.containing("month", period.instant(day.start_us), UTC)
    return {
        "BillingPeriodStart": _instant(month.start_us),
        "BillingPeriodEnd": _instant(month.end_us),
        "ChargePeriodStart": _instant(day.start_us),
        "ChargePeriodEnd": _instant(day.end_us),
    }


def _instant(us: int) -> str:
    return f"{period.instant(us):%Y-%m-%dT%H:%M:%SZ}"
