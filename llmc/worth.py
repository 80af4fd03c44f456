"""Was it worth it? Above which volume local pays, what the month costs in each way of working, what the views save.

Everything that this rests on and that is not in the ledger is an :class:`Assumption` with its source and date; what is not
known (no sensor, no tariff, no price of the hardware) stays unknown, and only what follows all the same is concluded.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from fractions import Fraction
from typing import TYPE_CHECKING

from llmc import money, owned, period
from llmc.breakeven import MILLION, Compression, Drivers, Swing, break_even_range, capacity, swings
from llmc.errors import UsageError
from llmc.ledger import Ledger
from llmc.market import (
    ONLY_PAID,
    Counterfactual,
    Market,
    Rates,
    cloud_name,
    counterfactuals,
    only_paid,
    paid_for,
    saved_by_cache,
    saved_by_prompt_cache,
)
from llmc.owned import Assumption, Local, percent, positive, share
from llmc.spending import Amount, Spending, read, sent

if TYPE_CHECKING:
    from llmc.schema import CostConfig, RunConfig


@dataclass(frozen=True, slots=True)
class Month:
    """A month as the break-even sees it."""

    label: str
    tokens: Fraction
    """Prompt tokens, a document that fell from local to cloud counted once."""
    assumed: bool
    """They were not counted but configured."""
    output_share: Fraction
    fallback_share: Fraction
    local_tokens: int
    cloud_tokens: int
    busy_seconds: float
    utilisation: Fraction
    """Busy seconds of a local model / seconds that have passed in the month."""
    tokens_per_second: Fraction | None
    """Prompt tokens that local models read in a busy second, their answers included."""
    speed_assumed: bool = False
    """It was not measured but configured."""

    @property
    def local_share(self) -> Fraction:
        """Of all prompt tokens that were read, those that a local model read."""
        read = self.local_tokens + self.cloud_tokens
        return Fraction(self.local_tokens, read) if read else Fraction(0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A month at this volume, in each way of working; None where it is not known."""

    month: Month
    local: Local
    paid: Amount
    """What the month cost as it was run."""
    verdict: str
    """``cloud``, ``local``, ``either`` (within what the estimates allow), ``unknown`` or ``nothing``."""
    cloud: Rates | None = None
    why_no_price: str = ""
    as_paid: bool = False
    """The cloud's price is what the month's requests to it cost, not what the list says."""
    drivers: Drivers | None = None
    """None: no price. What is not known of local work counts as nothing here: see ``local.missing``."""
    local_usd: Fraction | None = None
    cloud_usd: Fraction | None = None
    hybrid_usd: Fraction | None = None
    batch_usd: Fraction | None = None
    batch_break_even: Fraction | None = None
    break_even: Fraction | None = None
    hybrid_break_even: Fraction | None = None
    low: Fraction | None = None
    high: Fraction | None = None
    estimated: bool = False
    capacity: Fraction | None = None
    swings: list[Swing] = field(default_factory=list)

    @property
    def ours_usd(self) -> Fraction | None:
        """The month with the local model first, and what fell back to the cloud as well."""
        return self.local_usd if self.hybrid_usd is None else self.hybrid_usd


@dataclass(frozen=True, slots=True)
class Value:
    """What the views of the period save whoever reads them, net."""

    made: Compression
    uses: int
    reader: str
    source_tokens: int
    view_tokens: int
    paid: Amount
    why_unknown: str = ""


@dataclass(frozen=True, slots=True)
class Worth:
    """Everything that is concluded from what was spent."""

    comparison: Comparison
    counterfactuals: list[Counterfactual]
    value: Value | None
    saved_by_cache: Amount
    saved_by_prompt_cache: Amount
    assumptions: list[Assumption] = field(default_factory=list)


def worth(ledger: Ledger, spending: Spending, config: "RunConfig", now: datetime, tz: tzinfo) -> Worth:
    """What follows from what was spent in a period, and from the configuration."""
    market = Market(config, now)
    assumptions: list[Assumption] = []
    around = spending if spending.window.kind == "month" else _month_of(ledger, spending, now, tz)
    return Worth(
        compare(around, config, market, assumptions),
        counterfactuals(spending, config, market),
        value(spending, config, market, assumptions),
        saved_by_cache(spending),
        saved_by_prompt_cache(spending, market),
        assumptions,
    )


def _month_of(ledger: Ledger, spending: Spending, now: datetime, tz: tzinfo) -> Spending:
    """The month that a period is in, or ends in: what is said of a month is never projected from less."""
    last = max((s.last_us for _, s in spending.rows if s.last_us is not None), default=period.microseconds(now))
    whole = replace(spending.where, run_id=None, periods=())
    return read(ledger, period.containing("month", period.instant(last), tz), whole, now=now, tz=tz)


def compare(around: Spending, config: "RunConfig", market: Market, assumptions: list[Assumption]) -> Comparison:
    """Local, cloud and hybrid at a month's volume."""
    cost = config.cost
    month = _month(around, cost, assumptions)
    here = owned.local(around, config, assumptions, month.tokens_per_second, month.utilisation)
    name = cloud_name(around, config, market)
    only = paid_for(around)
    paid = only[1] if only and only[0] == name else None
    rates = market.rates(name)
    if isinstance(rates, str) and paid:
        rates = only_paid(name, paid)
    if isinstance(rates, str):
        verdict = "unknown" if month.tokens else "nothing"
        return Comparison(month, here, around.paid, verdict, why_no_price=rates)
    asked = around.whole(lambda shared: sent(shared) and shared["backend_kind"] == "cloud")
    if rates.source != ONLY_PAID:
        each = f"${float(rates.input):g} and ${float(rates.output):g} per million tokens in and out"
        assumptions.append(Assumption(f"price of {rates.name}", each, rates.source, rates.checked))
    if not month.tokens:
        return Comparison(month, here, around.paid, "nothing", rates, cloud_usd=Fraction(0))
    taken, output_share = rates, month.output_share
    if paid:
        taken, output_share = rates.as_paid(paid), Fraction(paid.sums.output_tokens, paid.sums.prompt_tokens)
        text = f"${float(taken.blended(output_share)):g} per million prompt tokens, output, cache and failed attempts included"
        assumptions.append(Assumption(f"what {name} costs", text, f"the ledger: paid in {month.label}"))
    elif asked:
        taken = rates.as_read(asked.sums)
    drivers = Drivers(
        here.hardware_usd or Fraction(0), here.idle_usd or Fraction(0), here.usd_per_million or Fraction(0),
        taken.input, taken.output, output_share, Fraction(0), month.utilisation,
    )  # fmt: skip
    terms, local_first = drivers.terms(), replace(drivers, fallback_share=month.fallback_share)
    spread = share(cost.estimate_spread, "cost.estimate_spread")
    counted_elsewhere = bool(month.local_tokens)  # by another tokenizer
    off = {"local price": spread} if here.basis == "estimated" else {}
    off |= {"cloud price": spread} if counted_elsewhere else {}
    even = terms.break_even()
    low, high = break_even_range(drivers, off) if off else (even, even)
    if off:
        text = f"{percent(spread)} either way"
        assumptions.append(Assumption("an estimate may be off by", text, "assumed: cost.estimate_spread"))
    limit = share(cost.max_utilisation, "cost.max_utilisation")
    if month.tokens_per_second:
        text = f"{percent(limit)} of a month"
        assumptions.append(Assumption("a machine can be kept busy", text, "assumed: cost.max_utilisation"))
    known = here.hardware_usd is not None or here.usd_per_million is not None
    batch = market.rates(name, cost.batch_variant)
    batch_terms = None
    if isinstance(batch, Rates) and batch.variant_matched:
        batch = batch.as_read(asked.sums) if asked else batch
        batch_terms = replace(drivers, input_usd_per_million=batch.input, output_usd_per_million=batch.output).terms()
    made = Comparison(
        month=month,
        local=here,
        paid=around.paid,
        verdict="",
        cloud=rates,
        as_paid=paid is not None,
        drivers=drivers,
        local_usd=terms.local_usd(month.tokens) if known else None,
        cloud_usd=terms.cloud_usd(month.tokens),
        hybrid_usd=local_first.terms().local_usd(month.tokens) if known and month.fallback_share else None,
        batch_usd=batch_terms.cloud_usd(month.tokens) if batch_terms else None,
        batch_break_even=batch_terms.break_even() if batch_terms else None,
        break_even=even,
        hybrid_break_even=local_first.terms().break_even(),
        low=low,
        high=high,
        estimated=bool(off),
        capacity=capacity(month.tokens_per_second, limit) if month.tokens_per_second else None,
        swings=swings(local_first, share(cost.sensitivity, "cost.sensitivity")),
    )
    return replace(made, verdict=_verdict(made, break_even_range(local_first, off)))


def _verdict(c: Comparison, span: tuple[Fraction | None, Fraction | None]) -> str:
    """``span``: the lowest and the highest break-even of working as it was worked."""
    ours, cloud, (low, high) = c.ours_usd, c.cloud_usd, span
    if ours is None or cloud is None:
        return "unknown"
    if not c.local.complete and ours < cloud:
        return "local"  # as far as it is known; the report says what is not in it
    if low is not None and low != high and c.month.tokens > low and (high is None or c.month.tokens <= high):
        return "either"
    return "local" if ours < cloud else "cloud"


def _month(around: Spending, cost: "CostConfig", assumptions: list[Assumption]) -> Month:
    kinds: dict[str, dict[str, int]] = {}
    for group in around.by("profile", "backend_kind", where=sent):
        profile, kind = group.key
        kinds.setdefault(profile, {})[kind] = group.sums.prompt_tokens
    counted = sum(max(tokens.values()) for tokens in kinds.values())
    local_first = [t for t in kinds.values() if t.get("local", 0) >= t.get("cloud", 0) and t.get("local")]
    fallen, first = sum(t.get("cloud", 0) for t in local_first), sum(t.get("local", 0) for t in local_first)
    whole = around.whole(sent)
    read_tokens = whole.sums.prompt_tokens if whole else 0
    local = around.whole(lambda shared: sent(shared) and shared["backend_kind"] == "local")
    busy = sum(e.busy_seconds for e in around.energy) or (local.sums.seconds if local else 0.0)
    local_tokens = local.sums.prompt_tokens if local else 0
    speed = Fraction(local_tokens) / Fraction(busy) if busy and local_tokens else None
    if cost.local_tokens_per_second is not None:
        speed = positive(cost.local_tokens_per_second, "cost.local_tokens_per_second")
        assumptions.append(
            Assumption("this machine reads", f"{float(speed):g} tokens a second", "cost.local_tokens_per_second")
        )
    if cost.tokens_per_month is not None:
        assumptions.append(Assumption("volume", f"{cost.tokens_per_month:,} prompt tokens a month", "cost.tokens_per_month"))
    passed = around.seconds
    return Month(
        label=around.window.label,
        tokens=Fraction(counted if cost.tokens_per_month is None else cost.tokens_per_month),
        assumed=cost.tokens_per_month is not None,
        output_share=Fraction(whole.sums.output_tokens, read_tokens) if whole and read_tokens else Fraction(0),
        fallback_share=Fraction(fallen, first) if first else Fraction(0),
        local_tokens=local_tokens,
        cloud_tokens=read_tokens - local_tokens,
        busy_seconds=busy,
        utilisation=min(Fraction(1), Fraction(busy) / Fraction(passed)) if passed else Fraction(0),
        tokens_per_second=speed,
        speed_assumed=cost.local_tokens_per_second is not None,
    )


def value(spending: Spending, config: "RunConfig", market: Market, assumptions: list[Assumption]) -> Value | None:
    """What the views made in the period save; None when none was made."""
    made = spending.documents
    if made is None or not spending.rows or not (made.gist or made.extract):
        return None
    rates = market.rates(config.cost.downstream)
    miss = share(config.cost.cache_miss_share, "cost.cache_miss_share")
    if config.cost.uses < 1:
        raise UsageError(f"cost.uses={config.cost.uses}: at least 1 is needed")
    saved = max(0, made.source_tokens - made.view_tokens)
    paid = Fraction(spending.paid.pico, money.PICO_PER_USD)
    if isinstance(rates, str):
        compression = Compression(saved, paid, Fraction(0))
        return Value(
            compression, config.cost.uses, config.cost.downstream, made.source_tokens, made.view_tokens, spending.paid, rates
        )
    each = f"${float(rates.input):g} per million tokens, ${float(rates.cache_read):g} from its cache"
    assumptions += [
        Assumption(f"views are read by {rates.name}", each, rates.source, rates.checked),
        Assumption(
            "each view is read",
            f"{'once' if config.cost.uses == 1 else f'{config.cost.uses} times'}, {percent(miss)} not from a cache",
            "assumed: cost.uses, cost.cache_miss_share",
        ),
    ]
    compression = Compression(saved, paid, rates.input, rates.cache_read, miss)
    return Value(compression, config.cost.uses, rates.name, made.source_tokens, made.view_tokens, spending.paid)


def loaded(comparison: Comparison) -> Fraction | None:
    """Dollars per million prompt tokens of local work at this month's volume, all that is fixed included. None: not known."""
    if not comparison.local.complete or comparison.local_usd is None or not comparison.month.tokens:
        return None
    return comparison.local_usd * MILLION / comparison.month.tokens
