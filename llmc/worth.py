"""Was it worth it? What the same requests would have cost elsewhere, above which volume local pays, what the views save.

Everything that this rests on and that is not in the ledger is an :class:`Assumption` with its source and date; what is not
known (no sensor, no tariff, no price of the hardware) stays unknown, and only what follows all the same is concluded.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from fractions import Fraction
from typing import TYPE_CHECKING

from llmc import money, period
from llmc.breakeven import MILLION, Compression, Drivers, Swing, amortised_usd_per_month, break_even_range, capacity, swings
from llmc.energy import JOULES_PER_KWH, Tariff
from llmc.errors import UsageError
from llmc.ledger import Ledger
from llmc.price import Prices, Tokens
from llmc.spending import Amount, Group, Spending, read, sent

if TYPE_CHECKING:
    from llmc.schema import CostConfig, HardwareConfig, RunConfig

PROBE_TOKENS = 1000  # what a price is asked for; exact: the cheapest listed is 3,625 pico-dollars per token


@dataclass(frozen=True, slots=True)
class Assumption:
    """A number that was not measured in the period, and whose word it is."""

    what: str
    value: str
    source: str
    checked: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """A model's prices in dollars per million tokens."""

    name: str
    input: Fraction
    output: Fraction
    cache_read: Fraction
    cache_write: Fraction
    source: str
    checked: str = ""
    variant: str = ""
    variant_matched: bool | None = None

    def pico(self, group: Group) -> int:
        """The tokens of a group at these prices, rounded once to whole pico-dollars."""
        s = group.sums
        plain = s.prompt_tokens - s.cache_read_tokens - s.cache_write_tokens
        usd = plain * self.input + s.output_tokens * self.output
        usd += s.cache_read_tokens * self.cache_read + s.cache_write_tokens * self.cache_write
        return round(usd * money.PICO_PER_USD / MILLION)

    def blended(self, output_share: Fraction) -> Fraction:
        """Dollars per million prompt tokens, their share of output included."""
        return self.input + output_share * self.output


class Market:
    """Prices of other models, by ``PROVIDER/MODEL``."""

    def __init__(self, config: "RunConfig", at: datetime) -> None:
        self._config, self._at = config, at

    def rates(self, name: str, variant: str | None = None) -> Rates | str:
        """A model's prices now, or why they are not known."""
        provider, slash, model = name.partition("/")
        if not slash:
            raise UsageError(f"{name!r} names no provider", hint="PROVIDER/MODEL, for example openai/gpt-5-mini")
        prices = Prices(self._config.price if variant is None else replace(self._config.price, variant=variant))
        n = PROBE_TOKENS
        asked = (Tokens(n, 0), Tokens(0, n), Tokens(n, 0, n, 0), Tokens(n, 0, 0, n))
        costs = [prices.cost(provider, (model,), tokens, self._at) for tokens in asked]
        price = costs[0].price
        known = [cost.pico for cost in costs if cost.pico is not None]
        if len(known) < len(costs):
            return price.price_source
        per_million = [Fraction(pico * MILLION, n * money.PICO_PER_USD) for pico in known]
        inside, outside, read_cached, write_cached = per_million
        return Rates(
            name,
            inside,
            outside,
            read_cached,
            write_cached,
            price.price_source,
            price.checked,
            price.variant,
            price.variant_matched,
        )


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The same requests at another model's price."""

    name: str
    pico: int | None
    """None: its price is not known."""
    difference_pico: int | None
    """Less what was paid; below 0: it would have been cheaper."""
    approximate: bool
    """Another tokenizer would count other tokens."""
    why_unknown: str = ""
    variant: str = ""


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


@dataclass(frozen=True, slots=True)
class Local:
    """What local work costs a month, as far as it is known."""

    hardware_usd: Fraction | None
    """None: not told."""
    idle_usd: Fraction | None
    usd_per_million: Fraction | None
    """Electricity, marginal."""
    basis: str
    """Of the electricity: measured, estimated or unknown."""
    always_on: bool = False
    """The machine is there for llmc alone, so what it draws all month belongs to the cost."""

    @property
    def complete(self) -> bool:
        return not self.missing

    @property
    def missing(self) -> list[str]:
        """What is not known, in words."""
        missing = ["hardware"] if self.hardware_usd is None else []
        missing += ["electricity"] if self.usd_per_million is None else []
        return missing + (["idle electricity"] if self.always_on and self.idle_usd is None else [])


@dataclass(frozen=True, slots=True)
class Comparison:
    """A month at this volume, in each way of working; None where it is not known."""

    cloud: Rates | None
    why_no_price: str
    month: Month
    local: Local
    drivers: Drivers | None
    """None: no price. What is not known of local work counts as nothing here: see ``local.missing``."""
    local_usd: Fraction | None
    cloud_usd: Fraction | None
    hybrid_usd: Fraction | None
    batch_usd: Fraction | None
    batch_break_even: Fraction | None
    break_even: Fraction | None
    hybrid_break_even: Fraction | None
    low: Fraction | None
    high: Fraction | None
    estimated: bool
    capacity: Fraction | None
    swings: list[Swing]
    verdict: str
    """``cloud``, ``local``, ``either`` (within what the estimates allow), ``unknown`` or ``nothing``."""


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
        _saved_by_cache(spending),
        _saved_by_prompt_cache(spending, market),
        assumptions,
    )


def _month_of(ledger: Ledger, spending: Spending, now: datetime, tz: tzinfo) -> Spending:
    """The month that a period is in, or ends in: what is said of a month is never projected from less."""
    last = max((s.last_us for _, s in spending.rows if s.last_us is not None), default=period.microseconds(now))
    whole = replace(spending.where, run_id=None, periods=())
    return read(ledger, period.containing("month", period.instant(last), tz), whole, now=now, tz=tz)


def counterfactuals(spending: Spending, config: "RunConfig", market: Market) -> list[Counterfactual]:
    """What the requests that were sent would have cost at each model named, the cheapest first."""
    asked = spending.whole(sent)
    if asked is None or not asked.sums.prompt_tokens:
        return []
    served = {f"{p}/{m}" for p, m in (g.key for g in spending.by("provider", "model", where=sent))}
    found = []
    for name in dict.fromkeys([_cloud_name(config), *config.cost.compare]):
        for variant in (None, config.cost.batch_variant):
            rates = market.rates(name, variant)
            if isinstance(rates, str):
                if variant is None:
                    found.append(Counterfactual(name, None, None, True, rates))
                continue
            if variant is None or rates.variant_matched:
                pico = rates.pico(asked)
                paid = None if asked.cost.unknown else pico - asked.cost.pico
                found.append(Counterfactual(name, pico, paid, served != {name}, variant=variant or ""))
    return sorted(found, key=lambda c: (c.pico is None, c.pico or 0, c.name))


def _cloud_name(config: "RunConfig") -> str:
    return config.cost.cloud or f"{config.provider.name}/{config.provider.model}"


def compare(around: Spending, config: "RunConfig", market: Market, assumptions: list[Assumption]) -> Comparison:
    """Local, cloud and hybrid at a month's volume."""
    cost = config.cost
    month = _month(around, cost, assumptions)
    local = _local(around, month, config, assumptions)
    found = market.rates(_cloud_name(config))
    rates, why = (None, found) if isinstance(found, str) else (found, "")
    if rates is not None:
        each = f"${float(rates.input):g} and ${float(rates.output):g} per million tokens in and out"
        assumptions.append(Assumption(f"price of {rates.name}", each, rates.source, rates.checked))
    if rates is None or not month.tokens:
        verdict = "unknown" if rates is None and month.tokens else "nothing"
        cloud_usd = month.tokens * rates.blended(month.output_share) / MILLION if rates else None
        return Comparison(
            rates, why, month, local, None, None, cloud_usd, None, None, None, None, None, None, None, False, None, [], verdict
        )
    drivers = Drivers(
        local.hardware_usd or Fraction(0),
        local.idle_usd or Fraction(0),
        local.usd_per_million or Fraction(0),
        rates.input,
        rates.output,
        month.output_share,
        Fraction(0),
        month.utilisation,
    )
    terms = drivers.terms()
    fallback = replace(drivers, fallback_share=month.fallback_share).terms()
    batch = market.rates(rates.name, cost.batch_variant)
    batch_terms = None
    if isinstance(batch, Rates) and batch.variant_matched:
        batch_terms = replace(drivers, input_usd_per_million=batch.input, output_usd_per_million=batch.output).terms()
    spread = _share(cost.estimate_spread, "cost.estimate_spread")
    estimated = local.basis == "estimated" or bool(month.local_tokens)  # another tokenizer counted
    off = {}
    if local.basis == "estimated":
        off["local price"] = spread
    if month.local_tokens:
        off["cloud price"] = spread
    even = terms.break_even()
    low, high = break_even_range(drivers, off) if off else (even, even)
    if estimated:
        assumptions.append(
            Assumption("an estimate may be off by", f"{_percent(spread)} either way", "assumed: cost.estimate_spread")
        )
    limit = _share(cost.max_utilisation, "cost.max_utilisation")
    most = capacity(month.tokens_per_second, limit) if month.tokens_per_second else None
    if most is not None:
        assumptions.append(
            Assumption("a machine can be kept busy", f"{_percent(limit)} of a month", "assumed: cost.max_utilisation")
        )
    known = local.hardware_usd is not None or local.usd_per_million is not None
    local_usd, cloud_usd = terms.local_usd(month.tokens), terms.cloud_usd(month.tokens)
    return Comparison(
        cloud=rates,
        why_no_price="",
        month=month,
        local=local,
        drivers=drivers,
        local_usd=local_usd if known else None,
        cloud_usd=cloud_usd,
        hybrid_usd=fallback.local_usd(month.tokens) if known and month.fallback_share else None,
        batch_usd=batch_terms.cloud_usd(month.tokens) if batch_terms else None,
        batch_break_even=batch_terms.break_even() if batch_terms else None,
        break_even=even,
        hybrid_break_even=fallback.break_even(),
        low=low,
        high=high,
        estimated=estimated,
        capacity=most,
        swings=swings(replace(drivers, fallback_share=month.fallback_share), _share(cost.sensitivity, "cost.sensitivity")),
        verdict=_verdict(local, month.tokens, local_usd, cloud_usd, low, high),
    )


def _verdict(
    local: Local, tokens: Fraction, local_usd: Fraction, cloud_usd: Fraction, low: Fraction | None, high: Fraction | None
) -> str:
    if local.hardware_usd is None and local.usd_per_million is None:
        return "unknown"
    if not local.complete and local_usd < cloud_usd:
        return "local"  # as far as it is known; the report says what is not in it
    if low is not None and tokens > low and (high is None or tokens <= high) and low != high:
        return "either"
    return "local" if local_usd < cloud_usd else "cloud"


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
        speed = _positive(cost.local_tokens_per_second, "cost.local_tokens_per_second")
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


def _local(around: Spending, month: Month, config: "RunConfig", assumptions: list[Assumption]) -> Local:
    per_million, basis = _electricity(around, month, config, assumptions)
    idle, always_on = _idle(around, month, config, assumptions), config.cost.always_on
    if always_on and idle is not None and basis == "measured":
        basis = "estimated"  # what it draws while none works is configured
    return Local(_hardware(config.price.hardware, assumptions), idle, per_million, basis, always_on)


def _electricity(
    around: Spending, month: Month, config: "RunConfig", assumptions: list[Assumption]
) -> tuple[Fraction | None, str]:
    """Dollars per million prompt tokens: as recorded, else recorded joules or configured watts at the tariff of now."""
    priced = around.whole(lambda s: sent(s) and s["backend_kind"] == "local" and s["cost_source"] == "energy")
    if priced and priced.sums.prompt_tokens:
        assumptions.append(Assumption("electricity of local work", priced.cost.basis, "the ledger, at the tariff of each run"))
        return Fraction(priced.cost.pico * MILLION, priced.sums.prompt_tokens * money.PICO_PER_USD), priced.cost.basis
    usd_per_joule = _tariff(config)
    if usd_per_joule is None:
        return None, "unknown"
    price = Assumption(
        "tariff", f"${config.power.tariff_usd_per_kwh} per kWh, times a PUE of {config.power.pue}",
        config.power.source or "as configured in power", config.power.checked,
    )  # fmt: skip
    measured = around.whole(lambda s: sent(s) and s["backend_kind"] == "local" and s["energy_method"] != "none")
    if measured and measured.sums.prompt_tokens:
        assumptions.append(price)
        joules = Fraction(measured.sums.energy_joules)
        basis = "estimated" if measured.sums.energy_estimated_joules else "measured"
        return joules * usd_per_joule * MILLION / measured.sums.prompt_tokens, basis
    if config.power.busy_watts is None or month.tokens_per_second is None:
        return None, "unknown"
    watts = Fraction(str(config.power.busy_watts))
    source = config.power.source or "as configured in power"
    assumptions += [price, Assumption("draw while a model works", f"{float(watts):g} W", source, config.power.checked)]
    return watts / month.tokens_per_second * usd_per_joule * MILLION, "estimated"


def _idle(around: Spending, month: Month, config: "RunConfig", assumptions: list[Assumption]) -> Fraction | None:
    """Electricity of a month while no model works; within runs only, unless the machine is there for llmc alone."""
    recorded = Fraction(sum(e.idle_pico for e in around.energy), money.PICO_PER_USD)
    if not config.cost.always_on:
        return None if not around.energy or all(e.idle_joules is None for e in around.energy) else recorded
    usd_per_joule = _tariff(config)
    if config.power.idle_watts is None or usd_per_joule is None:
        return None
    watts = Fraction(str(config.power.idle_watts))
    seconds = (around.window.end_us - around.window.start_us) // 1_000_000 * (1 - month.utilisation)
    source = config.power.source or "as configured in power"
    assumptions.append(Assumption("draw while none works", f"{float(watts):g} W all month", source, config.power.checked))
    return watts * seconds * usd_per_joule


def _tariff(config: "RunConfig") -> Fraction | None:
    """Dollars per joule, PUE included; None: not told."""
    Tariff.of(config.power)  # an error where it makes no sense
    if config.power.tariff_usd_per_kwh is None:
        return None
    return Fraction(config.power.tariff_usd_per_kwh) * Fraction(config.power.pue) / JOULES_PER_KWH


def _hardware(told: "HardwareConfig", assumptions: list[Assumption]) -> Fraction | None:
    parts = {
        "rent": told.rent_usd_per_month,
        "maintenance": told.maintenance_usd_per_month,
    }
    known = {name: _usd(text, f"price.hardware.{name}_usd_per_month") for name, text in parts.items() if text is not None}
    for name, usd in known.items():
        assumptions.append(Assumption(name, f"${float(usd):,.2f} a month", told.source or "price.hardware", told.checked))
    if told.purchase_usd is not None:
        purchase, resale = (
            _usd(told.purchase_usd, "price.hardware.purchase_usd"),
            _usd(told.resale_usd, "price.hardware.resale_usd"),
        )
        months = _positive(str(told.lifetime_months), "price.hardware.lifetime_months")
        known["amortisation"] = amortised_usd_per_month(purchase, resale, months)
        text = f"(${float(purchase):,.2f} - ${float(resale):,.2f}) / {float(months):g} months"
        assumptions.append(Assumption("amortisation of the hardware", text, told.source or "price.hardware", told.checked))
    return sum(known.values(), Fraction(0)) if known else None


def value(spending: Spending, config: "RunConfig", market: Market, assumptions: list[Assumption]) -> Value | None:
    """What the views made in the period save; None when none was made."""
    made = spending.documents
    if made is None or not spending.rows or not (made.gist or made.extract):
        return None
    rates = market.rates(config.cost.downstream)
    miss = _share(config.cost.cache_miss_share, "cost.cache_miss_share")
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
            f"{'once' if config.cost.uses == 1 else f'{config.cost.uses} times'}, {_percent(miss)} not from a cache",
            "assumed: cost.uses, cost.cache_miss_share",
        ),
    ]
    compression = Compression(saved, paid, rates.input, rates.cache_read, miss)
    return Value(compression, config.cost.uses, rates.name, made.source_tokens, made.view_tokens, spending.paid)


def _saved_by_cache(spending: Spending) -> Amount:
    """Answers from our own cache at what an answered request to the same model cost on average."""
    pico = unknown = 0
    paid = {g.key: g for g in spending.by("provider", "model", where=lambda s: s["status"] == "ok")}
    for group in spending.by("provider", "model", where=lambda s: s["status"] == "cached"):
        like = paid.get(group.key)
        if like is None or like.cost.unknown:
            unknown += group.sums.cached
        else:
            pico += round(Fraction(like.cost.pico, like.sums.attempts) * group.sums.cached)
    return Amount(pico, "estimated" if pico else "unknown" if unknown else "measured", unknown)


def _saved_by_prompt_cache(spending: Spending, market: Market) -> Amount:
    """What providers' prompt caches took off, by the price list; less what writing to them cost more."""
    pico = unknown = 0
    for group in spending.by("provider", "model", where=lambda s: sent(s) and s["backend_kind"] == "cloud"):
        s = group.sums
        if not (s.cache_read_tokens or s.cache_write_tokens):
            continue
        rates = market.rates("/".join(map(str, group.key)))
        if isinstance(rates, str):
            unknown += s.attempts
            continue
        usd = s.cache_read_tokens * (rates.input - rates.cache_read) + s.cache_write_tokens * (rates.input - rates.cache_write)
        pico += round(usd * money.PICO_PER_USD / MILLION)
    return Amount(pico, "list price" if pico else "unknown" if unknown else "measured", unknown)


def loaded(comparison: Comparison) -> Fraction | None:
    """Dollars per million prompt tokens of local work at this month's volume, all that is fixed included. None: not known."""
    if not comparison.local.complete or comparison.local_usd is None or not comparison.month.tokens:
        return None
    return comparison.local_usd * MILLION / comparison.month.tokens


def _percent(share: Fraction) -> str:
    return f"{float(100 * share):g}%"


def _usd(text: str, key: str) -> Fraction:
    try:
        amount = Fraction(money.pico(text), money.PICO_PER_USD)
    except ValueError as error:
        raise UsageError(f"{key}={text}: {error}", hint=f'{key}="50"') from error
    if amount < 0:
        raise UsageError(f"{key}={text} is below 0")
    return amount


def _share(text: str, key: str) -> Fraction:
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"{key}={text} is no number", hint=f'{key}="0.5"') from error
    if not 0 <= found <= 1:
        raise UsageError(f"{key}={text} is not between 0 and 1")
    return found


def _positive(text: str, key: str) -> Fraction:
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"{key}={text} is no number") from error
    if found <= 0:
        raise UsageError(f"{key}={text} is not above 0")
    return found
