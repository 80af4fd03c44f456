"""What a call costs: the provider's own word, else a configured price, else the price list, else unknown. Never a guess.

The list is `genai-prices <https://github.com/pydantic/genai-prices>`_, which comes with its data: no network. It finds models
by rules that may also hit a stranger (``contains``, ``starts_with``; a provider called ``my-openai-proxy`` is OpenAI to it), so
an entry is only taken when the name is the entry's own, give or take a date or version at its end. It prices an unknown variant
(``btach``) as standard without a word, so the price is asked for with and without, and what made no difference is recorded so.

    llmc compress ... price.variant=batch
    llmc compress ... 'price.overrides=[{provider: openai, model: my-ft, input_usd_per_million: "0.30", ...}]'
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from llmc import money
from llmc.errors import UsageError
from llmc.ledger.rows import Price

if TYPE_CHECKING:
    from genai_prices import types

    from llmc.schema import PriceConfig, PriceOverride

DEAREST_USD_PER_MILLION = Decimal(1000)  # the dearest of 2,330 listed models is $600 (o1-pro, output; genai-prices 0.2.3)
CHEAPEST_USD_PER_MILLION = Decimal("0.001")  # the cheapest is $0.003; a price per token, typed here, is 1e-7
FAR_FROM_LIST = 100  # a configured price this many times the list's, or a part of it: more likely a slip of the unit
_SAME_MODEL = re.compile(r"[-@:.]?(latest|preview|v?\d[\d.:@_-]*)?")
_OPEN_PREFIX = ("-", "@", ":", "/")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What is charged for. Cache reads and writes are parts of the prompt, reasoning is a part of the output."""

    prompt: int
    output: int
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount, and whose word it is. ``pico`` is None exactly when ``price.cost_source`` is ``unknown``."""

    pico: int | None
    price: Price


class Prices:
    """The prices of one configuration."""

    def __init__(self, config: "PriceConfig") -> None:
        self.variant = config.variant or ""
        self._overrides: dict[tuple[str, str], list[tuple[date, PriceOverride]]] = {}
        for each in config.overrides:
            valid_from = _date(each.valid_from, each) if each.valid_from else date.min
            self._overrides.setdefault((each.provider, each.model), []).append((valid_from, each))
        for dated in self._overrides.values():
            dated.sort(key=lambda entry: entry[0])

    def receipt(self, usd: Decimal, provider: str, model: str) -> Cost:
        """What the provider itself said it charges. ValueError for what is no amount, or below nothing."""
        charged = money.pico(usd)
        if charged < 0:
            raise ValueError(f"{usd} is below 0")
        return Cost(charged, Price("receipt", f"charged by {provider}", provider, model, variant=self.variant))

    def cost(self, provider: str, models: tuple[str, ...], tokens: Tokens, at: datetime) -> Cost:
        """The cost of a call by the first of these names (served, asked for) that has a price; else unknown, and why."""
        asked = models[-1]
        for model in dict.fromkeys(models):
            if found := self._override(provider, model, tokens, at):
                return found
        why = ""
        for model in dict.fromkeys(models):
            listed = _list_price(provider, model)
            if isinstance(listed, str):
                why = why or listed
                continue
            return self._listed(provider, model, listed, tokens, at)
        return Cost(None, Price("unknown", why, provider, asked, variant=self.variant))

    def at_most(self, provider: str, model: str, prompt_tokens: int, max_output_tokens: int, at: datetime) -> int | None:
        """The most a call may cost, in pico-dollars: nothing read from a cache, all or nothing written to one."""
        plain = self.cost(provider, (model,), Tokens(prompt_tokens, max_output_tokens), at).pico
        cached = self.cost(provider, (model,), Tokens(prompt_tokens, max_output_tokens, 0, prompt_tokens), at).pico
        return None if plain is None or cached is None else max(plain, cached)

    def warnings(self) -> list[str]:
        """Configured prices that look like a slip of the unit: dollars per token or per thousand, typed as per million."""
        found = []
        for dated in self._overrides.values():
            for _, each in dated:
                for name, text in _rates(each).items():
                    rate = Decimal(text)
                    key = f"price.overrides {each.provider}/{each.model}: {name}_usd_per_million={text}"
                    if rate and not CHEAPEST_USD_PER_MILLION <= rate <= DEAREST_USD_PER_MILLION:
                        found.append(f"{key} is outside of what any model costs; is it dollars per 1,000,000 tokens?")
                        continue
                    listed = _listed_rate(each.provider, each.model, name)
                    if rate and listed and not listed / FAR_FROM_LIST < rate < listed * FAR_FROM_LIST:
                        found.append(f"{key}, but {list_source()} says {listed}; is it dollars per 1,000,000 tokens?")
        return found

    def _override(self, provider: str, model: str, tokens: Tokens, at: datetime) -> Cost | None:
        dated = [e for start, e in self._overrides.get((provider, model), ()) if start <= at.astimezone(UTC).date()]
        variants = [e for e in dated if (e.variant or "") == self.variant] or [e for e in dated if not e.variant]
        if not variants:
            return None
        each = variants[-1]
        rates = _rates(each)
        matched = (each.variant or "") == self.variant if self.variant else None
        source = each.source + (f", from {each.valid_from}" if each.valid_from else "")
        price = Price(
            "override", source, provider, model, model, json.dumps(rates, sort_keys=True), self.variant, matched, each.checked
        )
        return Cost(linear(rates, tokens), price)

    def _listed(self, provider: str, model: str, listed: "types.ModelInfo", tokens: Tokens, at: datetime) -> Cost:
        usd = list_usd(provider, model, tokens, at, self.variant)
        matched = None
        if self.variant:
            rates = _rates_of(provider, model, at, self.variant)
            matched = rates != _rates_of(provider, model, at, "")
        rates = _rates_of(provider, model, at, self.variant)
        return Cost(money.pico(usd), Price("list", list_source(), provider, model, listed.id, rates, self.variant, matched))


def linear(rates: dict[str, str], tokens: Tokens) -> int:
    """Tokens times rates in dollars per million, in pico-dollars; exact, and rounded once."""
    plain = tokens.prompt - tokens.cache_read - tokens.cache_write
    counts = {"input": plain, "cache_read": tokens.cache_read, "cache_write": tokens.cache_write, "output": tokens.output}
    return money.pico(sum((Decimal(rates[n]) * counts[n] for n in counts), Decimal(0)) / 1_000_000)


@cache
def list_source() -> str:
    """Name and version of the price list; its prices are as of that version's release."""
    from importlib.metadata import version

    return f"genai-prices=={version('genai-prices')}"


def list_usd(provider: str, model: str, tokens: Tokens, at: datetime, variant: str) -> Decimal:
    """What the list says a call costs. LookupError when it does not know the model."""
    listed = _list_price(provider, model)
    if isinstance(listed, str):
        raise LookupError(listed)
    from genai_prices import Usage

    usage = Usage(
        input_tokens=tokens.prompt,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read or None,
        cache_write_tokens=tokens.cache_write or None,
    )
    context: Any = {"processing": variant} if variant else None
    return listed.calc_price(usage, _provider(provider), genai_request_timestamp=at, price_context=context).total_price


@cache
def _provider(name: str) -> Any:  # noqa: ANN401 - genai_prices.types.Provider, or None
    from genai_prices.data_snapshot import _bundled_snapshot

    return next((p for p in _bundled_snapshot().providers if p.id == name), None)


@cache
def _list_price(provider: str, model: str) -> "types.ModelInfo | str":
    """The entry of the list, or why there is none that is certain."""
    if not provider:
        return "no provider is named, so no price list holds"
    listing = _provider(provider)
    if listing is None:
        return f"{list_source()} has no provider {provider!r}"
    entry: types.ModelInfo | None = next((m for m in listing.models if m.is_match(model.lower())), None)
    if entry is None:
        return f"{list_source()} has no price for {provider}/{model}"
    if model != entry.id and not _is_certain(entry.match, model.lower()):
        return f"{list_source()} has {entry.id}, which {model!r} only resembles"
    return entry


def _is_certain(rule: Any, name: str) -> bool:  # noqa: ANN401 - one of genai_prices.types.Clause*
    """Whether a rule that matched means this very model."""
    if not rule.is_match(name):
        return False
    kind = type(rule).__name__
    if kind == "ClauseOr":
        return any(_is_certain(each, name) for each in rule.or_)
    if kind == "ClauseAnd":  # the other parts only narrow it down
        return any(_is_certain(each, name) for each in rule.and_)
    if kind == "ClauseEquals":
        return True
    if kind == "ClauseRegex":
        return rule.regex.startswith("^") and rule.regex.endswith("$") and ".*" not in rule.regex
    if kind == "ClauseStartsWith":
        return rule.starts_with.endswith(_OPEN_PREFIX) or bool(_SAME_MODEL.fullmatch(name[len(rule.starts_with) :]))
    if kind == "ClauseContains":
        before, _, after = name.partition(rule.contains.lower())
        return not before and bool(_SAME_MODEL.fullmatch(after))
    return bool(name == getattr(rule, "ends_with", None))


def _rates_of(provider: str, model: str, at: datetime, variant: str) -> str:
    """The list's own words for a model's prices at that time, as JSON."""
    return _rates_in_minute(provider, model, at.replace(second=0, microsecond=0), variant)


@lru_cache(maxsize=256)
def _rates_in_minute(provider: str, model: str, at: datetime, variant: str) -> str:
    """Some prices depend on the time of day, none on the second."""
    entry = _list_price(provider, model)
    assert not isinstance(entry, str)
    from genai_prices import Usage

    context: Any = {"processing": variant} if variant else None
    priced = entry.calc_price(
        Usage(input_tokens=0, output_tokens=0), _provider(provider), genai_request_timestamp=at, price_context=context
    ).model_price
    return json.dumps({k: str(v) for k, v in sorted(vars(priced).items()) if v is not None and not k.startswith("_")})


def _listed_rate(provider: str, model: str, name: str) -> Decimal | None:
    if isinstance(_list_price(provider, model), str):
        return None
    text = json.loads(_rates_of(provider, model, datetime.now(UTC), "")).get(f"{name}_mtok", "")
    return Decimal(text) if re.fullmatch(r"[\d.]+", text) else None


def _rates(each: "PriceOverride") -> dict[str, str]:
    """A configured price's rates as dollars per million; a cached token without a rate of its own costs what others do."""
    plain = each.input_usd_per_million
    rates = {
        "input": plain,
        "output": each.output_usd_per_million,
        "cache_read": each.cache_read_usd_per_million if each.cache_read_usd_per_million is not None else plain,
        "cache_write": each.cache_write_usd_per_million if each.cache_write_usd_per_million is not None else plain,
    }
    for name, text in rates.items():
        try:
            negative = money.pico(text) < 0
        except ValueError as error:
            raise UsageError(f"price.overrides {each.provider}/{each.model}: {name}_usd_per_million: {error}") from error
        if negative:
            raise UsageError(f"price.overrides {each.provider}/{each.model}: {name}_usd_per_million={text} is below 0")
    return rates


def _date(text: str, each: "PriceOverride") -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"price.overrides {each.provider}/{each.model}: valid_from={text} is no date", hint="valid_from: 2026-11-23"
        ) from error
