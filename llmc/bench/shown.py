"""A metric for people: digits that mean something, a unit that fits, and the interval or why there is none."""

from llmc.bench.record import Metric

SMALL = {"s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs"))}


def number(value: float) -> str:
    """Four significant digits, whole numbers whole.

    >>> number(18.93711), number(58831), number(0.000016), number(2499430.6)
    ('18.94', '58,831', '1.6e-05', '2,499,431')
    """
    if value == int(value) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def scale(metric: Metric) -> tuple[float, str]:
    """What to divide by, and the unit that is then meant: 17.4 µs instead of 1.74e-05 s."""
    steps = SMALL.get(metric.unit, ())
    return next(((by, unit) for by, unit in steps if abs(metric.value) >= by), (1, metric.unit))


def interval(metric: Metric) -> str:
    """The 95% interval, or why there is none."""
    by, _ = scale(metric)
    if metric.exact:
        return "exact"
    if metric.low is None or metric.high is None:
        return f"n too small ({metric.n})" if "n too small" in metric.note else "not known"
    return f"{number(metric.low / by)} .. {number(metric.high / by)}"
