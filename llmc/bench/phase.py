"""The table of figures that llmc's predecessor claimed, beside what its way of working and ours come to here.

*Claimed* is quoted from its documents; it was not measured by us, and its own scripts could not have measured it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from llmc.bench.record import Record
from llmc.bench.shown import interval, number, scale

PROFILES = ("baseline", "local")


@dataclass(frozen=True, slots=True)
class Figure:
    """A row: what it is called, the metric that measures it, and what was claimed."""

    title: str
    metric: str
    claimed: str = "-"


FIGURES = (
    Figure("throughput", "documents_per_minute", "> 100 1/min"),
    Figure("compression latency", "seconds_per_document", "< 2 s"),
    Figure("inference latency", "inference_seconds"),
    Figure("cache hit rate", "cache_hit_rate"),
    Figure("average latency with cache", "average_seconds_with_cache"),
    Figure("model calls saved", "calls_saved"),
    Figure("cost per 1,000 documents", "cost_usd_per_1k_documents", "90% below cloud"),
    Figure("GPU utilisation", "gpu_utilisation"),
)
SAID = (
    "Claimed figures are quoted from the predecessor's documents and were not measured by us; -: none is on record.",
    "Its 90% follow from two prices that were put in (0.0001 and 0.001 USD per 1,000 tokens), not from measured costs.",
    "Its cache was never called, so the baseline has none. A hit rate is of the trace as much as of the cache.",
    "A latency is of one document among those in work at once, 1 with baseline: the more at once, the longer each, not all.",
    "Documents, model and machine are those of this run: what another model or a GPU would show cannot be said from here.",
)


def rows(record: Record) -> Iterator[tuple[str, ...]]:
    """A row a figure: what was claimed, the baseline's and ours with their intervals."""
    yield ("", "claimed", *(f"profile={name}" for name in PROFILES))
    for figure in FIGURES:
        cells = [cell(record, f"{figure.metric}[{name}]") for name in PROFILES]
        yield (figure.title, figure.claimed, *cells)


def cell(record: Record, name: str) -> str:
    """Value, unit and interval; what is not there is said in the notes."""
    metric = record.metrics.get(name)
    if metric is None:
        return "no GPU" if name.startswith("gpu") and record.cell["backend"] == "cpu" else "not known"
    by, unit = scale(metric)
    value = f"{metric.value:.0%}" if unit == "share" else f"{number(metric.value / by)} {unit}"
    if metric.exact:
        return f"{value} (exact)"
    return f"{value} ({interval(metric) if metric.low is not None else f'n {metric.n}'})"


def markdown(record: Record) -> str:
    """The table for a document."""
    head, *others = [tuple(each.replace("|", "\\|") for each in row) for row in rows(record)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in others)]
    notes = [f"- {note}" for note in (*SAID, *record.notes)]
    return "\n".join([*lines, "", f"Measured on {record.started[:10]}: {record.machine_name}.", "", *notes, ""])
