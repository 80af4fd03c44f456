"""When does working locally pay, and is compressing worth what it costs? Exact fractions throughout, no float anywhere.

With F dollars a month that are due at any volume, and prices per million prompt tokens p (input price + output price x output
tokens per prompt token), V prompt tokens a month cost

    cloud    V p_c
    local    F + V p_l
    hybrid   F + V (p_l + f p_c)         local first; the share f is asked of the cloud as well

so local is cheaper above V* = F / ((1 - f) p_c - p_l), and at no volume when that denominator is not positive. F must hold all
that is fixed and p_l only what a further token adds: an average price has the fixed part in it already, and counts it twice.

>>> terms = Terms(Fraction(100), Fraction("0.10"), Fraction(1))
>>> round(terms.break_even()), terms.saving_limit()
(111111111, Fraction(9, 10))
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

MILLION = 1_000_000
HOURS_PER_MONTH = 730  # 8,760 hours a year / 12


@dataclass(frozen=True, slots=True)
class Terms:
    """What local and cloud work cost. Dollars; prices per million prompt tokens, their share of output included."""

    fixed_usd_per_month: Fraction
    local_usd_per_million: Fraction
    cloud_usd_per_million: Fraction
    fallback_share: Fraction = Fraction(0)
    """Of the tokens that a local model reads, those that a cloud model has to read as well."""

    def cloud_usd(self, tokens: Fraction | int) -> Fraction:
        """A month of so many prompt tokens, all of them sent to the cloud."""
        return tokens * self.cloud_usd_per_million / MILLION

    def local_usd(self, tokens: Fraction | int) -> Fraction:
        """A month of so many prompt tokens, local first."""
        each = self.local_usd_per_million + self.fallback_share * self.cloud_usd_per_million
        return self.fixed_usd_per_month + tokens * each / MILLION

    def break_even(self) -> Fraction | None:
        """Prompt tokens a month at which both cost the same; local is cheaper above. None: it never is."""
        gain = (1 - self.fallback_share) * self.cloud_usd_per_million - self.local_usd_per_million
        return self.fixed_usd_per_month * MILLION / gain if gain > 0 else None

    def saving_share(self, tokens: Fraction | int) -> Fraction | None:
        """What local saves, as a share of the cloud's bill; below 0 when it costs more. None when that bill is nothing."""
        cloud = self.cloud_usd(tokens)
        return 1 - self.local_usd(tokens) / cloud if cloud else None

    def saving_limit(self) -> Fraction | None:
        """The share that local cannot save more of, however large the volume: 1 - f - p_l / p_c."""
        if not self.cloud_usd_per_million:
            return None
        return 1 - self.fallback_share - self.local_usd_per_million / self.cloud_usd_per_million

    def tokens_to_save(self, usd: Fraction) -> Fraction | None:
        """Prompt tokens a month at which local saves so many dollars. None: at no volume."""
        return replace(self, fixed_usd_per_month=self.fixed_usd_per_month + usd).break_even()


def per_million_prompt(input_usd: Fraction, output_usd: Fraction, output_share: Fraction) -> Fraction:
    """A price per million prompt tokens; ``output_share`` is output tokens per prompt token."""
    return input_usd + output_share * output_usd


def capacity(tokens_per_second: Fraction, utilisation: Fraction) -> Fraction:
    """Prompt tokens a month that a machine can read when it is busy for that share of the time."""
    return tokens_per_second * 3600 * HOURS_PER_MONTH * utilisation


def amortised_usd_per_month(purchase_usd: Fraction, resale_usd: Fraction, months: Fraction) -> Fraction:
    """What owning a machine costs a month, in equal parts over its life."""
    return (purchase_usd - resale_usd) / months


def payback_months(purchase_usd: Fraction, cloud_usd_per_month: Fraction, running_usd_per_month: Fraction) -> Fraction | None:
    """Months until a machine has earned its price; None: it never does."""
    saved = cloud_usd_per_month - running_usd_per_month
    return purchase_usd / saved if saved > 0 else None


@dataclass(frozen=True, slots=True)
class Drivers:
    """What the terms follow from; each can be moved on its own."""

    hardware_usd_per_month: Fraction
    """Amortisation, rent and maintenance."""
    idle_usd_per_month: Fraction
    """Electricity while no model works."""
    local_usd_per_million: Fraction
    """Electricity while one does."""
    input_usd_per_million: Fraction
    output_usd_per_million: Fraction
    """Of the cloud."""
    output_share: Fraction
    """Output tokens per prompt token."""
    fallback_share: Fraction = Fraction(0)
    utilisation: Fraction = Fraction(0)
    """The share of the time in which a local model works."""

    def terms(self) -> Terms:
        cloud = per_million_prompt(self.input_usd_per_million, self.output_usd_per_million, self.output_share)
        fixed = self.hardware_usd_per_month + self.idle_usd_per_month
        return Terms(fixed, self.local_usd_per_million, cloud, self.fallback_share)

    def moved(self, driver: str, factor: Fraction) -> "Drivers":
        """The same with one of :data:`DRIVERS` multiplied by a factor; shares stay within 0 and 1."""
        if driver == "utilisation":
            busy = min(self.utilisation * factor, Fraction(1))
            idle = self.idle_usd_per_month * (1 - busy) / (1 - self.utilisation) if self.utilisation < 1 else Fraction(0)
            return replace(self, utilisation=busy, idle_usd_per_month=idle)
        changed = {name: getattr(self, name) * factor for name in DRIVERS[driver]}
        return replace(self, **{k: min(v, Fraction(1)) if k == "fallback_share" else v for k, v in changed.items()})


DRIVERS = {
    "fixed cost": ("hardware_usd_per_month", "idle_usd_per_month"),
    "cloud price": ("input_usd_per_million", "output_usd_per_million"),
    "local price": ("local_usd_per_million",),
    "output share": ("output_share",),
    "fallback share": ("fallback_share",),
    "utilisation": ("utilisation",),
    "tariff": ("idle_usd_per_month", "local_usd_per_million"),
}
"""What the break-even is sensitive to, and the numbers that move with it."""


@dataclass(frozen=True, slots=True)
class Swing:
    """The break-even when one driver is lower or higher; None: local never wins."""

    driver: str
    when_lower: Fraction | None
    when_higher: Fraction | None

    def width(self) -> Fraction | None:
        """How far the break-even moves; None: without end."""
        return None if self.when_lower is None or self.when_higher is None else abs(self.when_higher - self.when_lower)


def swings(drivers: Drivers, share: Fraction) -> list[Swing]:
    """A tornado: each driver changed by ``share`` both ways, the strongest first. What moves nothing is left out."""
    found = []
    for name in DRIVERS:
        lower, higher = (drivers.moved(name, 1 + sign * share).terms().break_even() for sign in (-1, 1))
        if lower != higher:
            found.append(Swing(name, lower, higher))
    return sorted(found, key=lambda swing: (swing.width() is not None, -(swing.width() or 0), swing.driver))


def break_even_range(drivers: Drivers, spread: dict[str, Fraction]) -> tuple[Fraction | None, Fraction | None]:
    """Lowest and highest break-even when each driver named may be off by its share either way; None: local never wins."""
    low = high = drivers
    for name, share in spread.items():
        down, up = (-1, 1) if name not in ("cloud price", "output share") else (1, -1)  # these two make local win earlier
        low, high = low.moved(name, 1 + down * share), high.moved(name, 1 + up * share)
    return low.terms().break_even(), high.terms().break_even()


@dataclass(frozen=True, slots=True)
class Compression:
    """What short views save whoever reads them instead of the originals, against what making them cost."""

    saved_tokens: int
    """Tokens of the originals less those of the views, for one use of each."""
    cost_usd: Fraction
    """Of making them, once."""
    downstream_usd_per_million: Fraction
    """What the model that reads them costs per million prompt tokens."""
    cached_usd_per_million: Fraction = Fraction(0)
    """The same for tokens that it has in its prompt cache."""
    miss_share: Fraction = Fraction(1)
    """Of the tokens read downstream, those that are not in its cache."""

    def usd_per_use(self) -> Fraction:
        """Saved each time all views are read once."""
        price = self.miss_share * self.downstream_usd_per_million + (1 - self.miss_share) * self.cached_usd_per_million
        return self.saved_tokens * price / MILLION

    def net_usd(self, uses: Fraction | int) -> Fraction:
        """Saved in so many uses less what compressing cost."""
        return uses * self.usd_per_use() - self.cost_usd

    def uses_needed(self) -> int | None:
        """The least number of uses at which it has paid for itself; None: it never does."""
        each = self.usd_per_use()
        if self.cost_usd <= 0:
            return 0
        return math.ceil(self.cost_usd / each) if each > 0 else None
