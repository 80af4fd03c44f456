"""What local work costs: electricity as recorded or configured, what the machine draws while idle, the hardware.

What is not told is None and never nothing; every number that is not in the ledger is an :class:`Assumption`.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from llmc import money
from llmc.breakeven import MILLION, amortised_usd_per_month
from llmc.energy import JOULES_PER_KWH, Tariff
from llmc.errors import UsageError
from llmc.spending import Spending, sent

if TYPE_CHECKING:
    from llmc.schema import HardwareConfig, RunConfig


@dataclass(frozen=True, slots=True)
class Assumption:
    """A number that was not measured in the period, and whose word it is."""

    what: str
    value: str
    source: str
    checked: str = ""


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


def local(
    around: Spending, config: "RunConfig", assumptions: list[Assumption], speed: Fraction | None, utilisation: Fraction
) -> Local:
    """From a month; ``speed``: prompt tokens in a busy second, None when it is not known."""
    per_million, basis = _electricity(around, speed, config, assumptions)
    idle, always_on = _idle(around, utilisation, config, assumptions), config.cost.always_on
    if always_on and idle is not None and basis == "measured":
        basis = "estimated"  # what it draws while none works is configured
    return Local(_hardware(config.price.hardware, assumptions), idle, per_million, basis, always_on)


def _electricity(
    around: Spending, speed: Fraction | None, config: "RunConfig", assumptions: list[Assumption]
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
    if config.power.busy_watts is None or speed is None:
        return None, "unknown"
    watts = Fraction(str(config.power.busy_watts))
    source = config.power.source or "as configured in power"
    assumptions += [price, Assumption("draw while a model works", f"{float(watts):g} W", source, config.power.checked)]
    return watts / speed * usd_per_joule * MILLION, "estimated"


def _idle(around: Spending, utilisation: Fraction, config: "RunConfig", assumptions: list[Assumption]) -> Fraction | None:
    """Electricity of a month while no model works; within runs only, unless the machine is there for llmc alone."""
    recorded = Fraction(sum(e.idle_pico for e in around.energy), money.PICO_PER_USD)
    if not config.cost.always_on:
        return None if not around.energy or all(e.idle_joules is None for e in around.energy) else recorded
    usd_per_joule = _tariff(config)
    if config.power.idle_watts is None or usd_per_joule is None:
        return None
    watts = Fraction(str(config.power.idle_watts))
    seconds = (around.window.end_us - around.window.start_us) // 1_000_000 * (1 - utilisation)
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
    known = {name: amount(text, f"price.hardware.{name}_usd_per_month") for name, text in parts.items() if text is not None}
    for name, usd in known.items():
        assumptions.append(Assumption(name, f"${float(usd):,.2f} a month", told.source or "price.hardware", told.checked))
    if told.purchase_usd is not None:
        purchase, resale = (
            amount(told.purchase_usd, "price.hardware.purchase_usd"),
            amount(told.resale_usd, "price.hardware.resale_usd"),
        )
        months = positive(str(told.lifetime_months), "price.hardware.lifetime_months")
        known["amortisation"] = amortised_usd_per_month(purchase, resale, months)
        text = f"(${float(purchase):,.2f} - ${float(resale):,.2f}) / {float(months):g} months"
        assumptions.append(Assumption("amortisation of the hardware", text, told.source or "price.hardware", told.checked))
    return sum(known.values(), Fraction(0)) if known else None


def percent(share: Fraction) -> str:
    """Of a share that was configured."""
    return f"{float(100 * share):g}%"


def amount(text: str, key: str) -> Fraction:
    """A configured amount; a UsageError that names the key for what is none."""
    try:
        found = Fraction(money.pico(text), money.PICO_PER_USD)
    except ValueError as error:
        raise UsageError(f"{key}={text}: {error}", hint=f'{key}="50"') from error
    if found < 0:
        raise UsageError(f"{key}={text} is below 0")
    return found


def share(text: str, key: str) -> Fraction:
    """A configured share of 1."""
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"{key}={text} is no number", hint=f'{key}="0.5"') from error
    if not 0 <= found <= 1:
        raise UsageError(f"{key}={text} is not between 0 and 1")
    return found


def positive(text: str, key: str) -> Fraction:
    """A configured number above 0."""
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"{key}={text} is no number") from error
    if found <= 0:
        raise UsageError(f"{key}={text} is not above 0")
    return found
