"""A benchmark's record as rows for people: value, unit, interval, how many values it rests on, which way is better."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from llmc import units
from llmc.bench.record import Metric, Record
from llmc.report import one_line
from llmc.report.tables.screen import draw, grid
from llmc.target.bench import BenchReport

BETTER = {"higher": "higher", "lower": "lower", "none": ""}
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


def heading(record: Record) -> str:
    """What was measured."""
    cell = record.cell
    model = f"{cell['model']} {cell['quant']} on {cell['backend']} ({cell['engine']})"
    return f"{model} · profile {cell['profile']} · view {cell['view']} · codec {cell['codec']}"


def rows(record: Record) -> Iterator[tuple[str, ...]]:
    """A row a metric, under a row of names."""
    yield ("", "value", "unit", "95% interval", "n", "better")
    for name, metric in record.metrics.items():
        n = "" if metric.exact else f"{metric.n:,}"
        by, unit = scale(metric)
        yield name, number(metric.value / by), unit, interval(metric), n, BETTER[metric.better]


def footer(record: Record) -> Iterator[str]:
    """What could not be measured, and on what the rest was."""
    for note in record.notes:
        yield f"note: {note}"
    load = record.machine["load"]
    busy = f", load {load:g} when it began" if load else ""
    yield f"{units.seconds(record.seconds)} on {record.machine_name}{busy}"


@draw.register
def _(result: BenchReport, console: Console) -> None:
    made = result.record
    console.print(Text(one_line(f"{made.bench}  {heading(made)}")))
    if made.metrics:
        grid(console, list(rows(made)))
    for line in (*footer(made), f"every value: {result.path}"):
        console.print(Text(one_line(line)), soft_wrap=True)
