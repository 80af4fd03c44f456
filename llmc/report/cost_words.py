"""Amounts in words, the same in every form of the cost report.

They carry what they are worth: ``~`` is estimated, ``>=`` leaves out what nobody knows, ``unknown`` is not a zero.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from llmc import money
from llmc.breakeven import MILLION
from llmc.spending import Amount


def amount(value: Amount) -> str:
    """``$1.20``, ``~$1.20``, ``>= $1.20``, ``unknown``."""
    if not value.known:
        return "unknown"
    return f"{'>= ' if value.unknown else ''}{'~' if value.basis == 'estimated' else ''}{precise(value.pico)}"


def precise(pico: int | None) -> str:
    """Cents; below one three digits of what there is, so that a cheap request does not look free."""
    if pico is None or pico == 0 or abs(pico) >= money.PICO_PER_USD // 100:
        return money.text(pico)
    usd = money.usd(abs(pico))
    rounded = usd.quantize(Decimal(1).scaleb(usd.adjusted() - 2), ROUND_HALF_UP)
    return f"{'-' if pico < 0 else ''}${rounded.normalize():f}"


def rate(usd: Fraction | None, *, estimated: bool = False) -> str:
    """A price: cents, and below a dollar three digits."""
    if usd is None or not 0 < usd < 1:
        return dollars(usd, estimated=estimated)
    exact = money.usd(round(usd * money.PICO_PER_USD))
    places = max(2, 2 - exact.adjusted())
    text = f"{exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):f}"
    while text.endswith("0") and len(text.partition(".")[2]) > 2:
        text = text[:-1]
    return f"{'~' if estimated else ''}${text}"


def dollars(usd: Fraction | None, *, estimated: bool = False, at_least: bool = False) -> str:
    """An exact amount, for people."""
    if usd is None:
        return "unknown"
    return f"{'>= ' if at_least else ''}{'~' if estimated else ''}{precise(round(usd * money.PICO_PER_USD))}"


def tokens(count: Fraction | int | None) -> str:
    """``812``, ``61.2k``, ``10.2M``, ``1.9 billion``."""
    if count is None:
        return "unknown"
    if count < 10_000:
        return f"{round(count):,}"
    for limit, factor, unit in ((MILLION, 1000, "k"), (10**9, MILLION, "M"), (None, 10**9, " billion")):
        if limit is None or round(count / Fraction(factor), 1) * factor < limit:
            return f"{float(round(count / Fraction(factor), 1)):,}{unit}"
    raise AssertionError("unreachable")


def percent(share: Fraction | None) -> str:
    """One decimal; what is above nothing does not show as nothing."""
    if share is None:
        return "unknown"
    return "<0.1%" if 0 < share < Fraction(5, 10_000) else f"{float(100 * share):.1f}%"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def when(label: str) -> str:
    """A bucket's label as it is shown: of an hour the time of day."""
    return label[5:16].replace("T", " ") if "T" in label else label


def joules(joules: float | None) -> str:
    """As kilowatt-hours are read: ``0.31 Wh``, ``2.4 kWh``."""
    if joules is None:
        return "unknown"
    hours = joules / 3600
    return f"{hours:.3g} Wh" if hours < 999.5 else f"{hours / 1000:,.1f} kWh"
