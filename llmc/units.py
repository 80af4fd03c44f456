"""Numbers for people: one place decides how bytes, seconds and ratios are written.

>>> size(712_345), seconds(3_725), ratio(2_310_000, 712_345)
('712 kB', '1 h 02 min', '3.2x')
"""


def size(n: int) -> str:
    """Bytes in decimal units with three significant digits (kB = 1,000 bytes, as disks are sold and ``ls --si`` shows)."""
    value = float(n)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5 or unit == "GB":
            return f"{n} B" if unit == "B" else f"{value:.3g} {unit}" if value < 999.5 else f"{value:,.0f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def memory(n: int) -> str:
    """Bytes of memory in binary units, as cards and modules are sold (GiB = 1,073,741,824 bytes).

    >>> memory(17_163_091_968), memory(471_859_200)
    ('16 GiB', '450 MiB')
    """
    return f"{n / 2**30:.3g} GiB" if n >= 2**30 else f"{n / 2**20:.0f} MiB"


def seconds(value: float) -> str:
    """A duration, as precise as a reader needs.

    >>> seconds(0.0000042), seconds(0.0152), seconds(0)
    ('4.2 µs', '15 ms', '0.0 s')
    """
    if 0 < value < 0.00095:
        return f"{value * 1e6:.2g} µs"
    if 0 < value < 0.095:
        return f"{value * 1e3:.2g} ms"
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def ratio(before: float, after: float) -> str:
    """How many times smaller; ``-`` when there is nothing to divide by."""
    return f"{before / after:.1f}x" if after else "-"


def many(n: int, what: str) -> str:
    """A number of things, in words that agree with it.

    >>> many(1, "document"), many(1525, "document")
    ('1 document', '1,525 documents')
    """
    return f"{n:,} {what}{'s' * (n != 1)}"


def count(n: int) -> str:
    """A count: exact below 10,000, then in thousands."""
    if n < 10_000:
        return f"{n:,}"
    return f"{n / 1000:.0f}k" if n < 10_000_000 else f"{n / 1e6:.1f}M"
