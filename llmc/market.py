"""What others charge: a model's prices, and what the same requests would have cost at them."""

from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING

from llmc import money
from llmc.breakeven import MILLION
from llmc.errors import UsageError
from llmc.ledger import Totals
from llmc.price import Prices, Tokens
from llmc.spending import Amount, Group, Spending, sent

if TYPE_CHECKING:
    from llmc.schema import RunConfig

ONLY_PAID = "the ledger: as paid, no list has it"
PROBE_TOKENS = 1000  # what a price is asked for; exact: the cheapest listed is 3,625 pico-dollars per token


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

    def pico(self, s: Totals) -> int:
        """Tokens at these prices, those of a prompt cache at theirs; rounded once to whole pico-dollars."""
        plain = s.prompt_tokens - s.cache_read_tokens - s.cache_write_tokens
        usd = plain * self.input + s.output_tokens * self.output
        usd += s.cache_read_tokens * self.cache_read + s.cache_write_tokens * self.cache_write
        return round(usd * money.PICO_PER_USD / MILLION)

    def as_read(self, s: Totals) -> "Rates":
        """The same with the price of a prompt token as it is at their share of cache reads and writes."""
        if not s.prompt_tokens:
            return self
        read, written = (Fraction(n, s.prompt_tokens) for n in (s.cache_read_tokens, s.cache_write_tokens))
        return replace(self, input=(1 - read - written) * self.input + read * self.cache_read + written * self.cache_write)

    def as_paid(self, paid: Group) -> "Rates":
        """The same in their proportion, at the level at which this was paid: receipts, failed attempts and all."""
        listed = self.as_read(paid.sums)
        usual = listed.pico(replace(paid.sums, cache_read_tokens=0, cache_write_tokens=0))
        if not usual:
            each = Fraction(paid.cost.pico * MILLION, paid.sums.prompt_tokens * money.PICO_PER_USD)
            return replace(listed, input=each, output=Fraction(0))
        level = Fraction(paid.cost.pico, usual)
        return replace(listed, input=listed.input * level, output=listed.output * level)

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


def counterfactuals(spending: Spending, config: "RunConfig", market: Market) -> list[Counterfactual]:
    """What the requests that were sent would have cost at each model named, the cheapest first."""
    asked = spending.whole(sent)
    if asked is None or not asked.sums.prompt_tokens:
        return []
    served = {f"{p}/{m}" for p, m in (g.key for g in spending.by("provider", "model", where=sent))}
    found = []
    own = [f"{each.provider}/{each.model}" for each in config.price.overrides]
    for name in dict.fromkeys([cloud_name(spending, config, market), *config.cost.compare, *own]):
        for variant in (None, config.cost.batch_variant):
            rates = market.rates(name, variant)
            if isinstance(rates, str):
                if variant is None:
                    found.append(Counterfactual(name, None, None, True, rates))
                continue
            if variant is None or rates.variant_matched:
                pico = rates.pico(asked.sums)
                paid = None if asked.cost.unknown else pico - asked.cost.pico
                found.append(Counterfactual(name, pico, paid, served != {name}, variant=variant or ""))
    return sorted(found, key=lambda c: (c.pico is None, c.pico or 0, c.name))


def paid_for(spending: Spending) -> tuple[str, Group] | None:
    """The cloud model and what was paid for it, where all cloud requests went to one and none's cost is unknown."""
    found = spending.by("provider", "model", where=lambda shared: sent(shared) and shared["backend_kind"] == "cloud")
    if len(found) != 1 or found[0].cost.unknown or not found[0].sums.prompt_tokens or not found[0].key[0]:
        return None
    return "/".join(map(str, found[0].key)), found[0]


def only_paid(name: str, paid: Group) -> Rates:
    """The price of a model that no list has, as it was paid: one for a prompt token and what is answered to it."""
    each = Fraction(paid.cost.pico * MILLION, paid.sums.prompt_tokens * money.PICO_PER_USD)
    return Rates(name, each, Fraction(0), each, each, ONLY_PAID)


def cloud_name(spending: Spending, config: "RunConfig", market: Market) -> str:
    """``PROVIDER/MODEL`` that local work is held against: as configured, else the one that was asked most and has a price."""
    if config.cost.cloud:
        return config.cost.cloud
    if only := paid_for(spending):
        return only[0]
    asked = spending.by("provider", "model", where=lambda shared: sent(shared) and shared["backend_kind"] == "cloud")
    for group in sorted(asked, key=lambda group: -group.sums.prompt_tokens):
        name = "/".join(map(str, group.key))
        if isinstance(market.rates(name), Rates):
            return name
    return f"{config.provider.name}/{config.provider.model}"


def saved_by_cache(spending: Spending) -> Amount:
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


def saved_by_prompt_cache(spending: Spending, market: Market) -> Amount:
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
