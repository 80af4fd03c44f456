"""Money as whole pico-dollars (1e-12 USD), so that sums are exact and the parts equal the whole.

A cached token at $0.003625 per million costs 3,625 pico-dollars, exactly; 63 bits hold $9.2 million. Amounts come in as text or
:class:`~decimal.Decimal`, never as floats, and are rounded once, half to even, when they are recorded.

>>> pico("0.15"), usd(150_000_000_000), text(4_200_000_000)
(150000000000, Decimal('0.15'), '<$0.01')
"""

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, InvalidOperation

PICO_PER_USD = 10**12
MAX_PICO = 2**63 - 1
"""What SQLite's integers hold: $9,223,372.03."""
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


def pico(usd: Decimal | str | int) -> int:
    """Dollars as whole pico-dollars. ValueError for what is no amount of money, or is more than can be recorded."""
    try:
        amount = Decimal(usd) if isinstance(usd, str) else _EXACT.create_decimal(usd)
        whole = int(_EXACT.multiply(amount, PICO_PER_USD).to_integral_value(ROUND_HALF_EVEN))
    except (InvalidOperation, OverflowError, ValueError, TypeError) as error:
        raise ValueError(f"{usd!r} is no amount in dollars") from error
    if abs(whole) > MAX_PICO:
        raise ValueError(f"${amount:,.2f} is more than the ledger can record (${Decimal(MAX_PICO) / PICO_PER_USD:,.2f})")
    return whole


def usd(pico: int) -> Decimal:
    """Pico-dollars as dollars, exactly."""
    return Decimal(pico).scaleb(-12, _EXACT).normalize(_EXACT) if pico else Decimal(0)


def text(pico: int | None) -> str:
    """For people: cents, half up; what is above nothing never shows as nothing; ``unknown`` when it is not known."""
    if pico is None:
        return "unknown"
    cents = usd(abs(pico)).quantize(Decimal("0.01"), ROUND_HALF_UP, _EXACT)
    if not cents and pico:
        return "<$0.01" if pico > 0 else ">-$0.01"
    return f"{'-' if pico < 0 else ''}${cents:,.2f}"
