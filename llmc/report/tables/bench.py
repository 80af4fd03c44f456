"""A benchmark's record as rows for people: value, unit, interval, how many values it rests on, which way is better."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from llmc import units
from llmc.bench import phase
from llmc.bench.record import Record
from llmc.bench.shown import interval, number, scale
from llmc.report import one_line
from llmc.report.tables.screen import draw, grid
from llmc.target.bench import BenchReport

BETTER = {"higher": "higher", "lower": "lower", "none": ""}


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
    if made.metrics and made.bench == "phase_table":
        grid(console, list(phase.rows(made)))
        for line in phase.SAID:
            console.print(Text(f"note: {line}"))
    elif made.metrics:
        grid(console, list(rows(made)))
    for line in (*footer(made), f"every value: {result.path}"):
        console.print(Text(one_line(line)), soft_wrap=True)
