"""What a sweep found, or would do."""

from collections.abc import Iterable

from rich.console import Console

from llmc import units
from llmc.report import one_line
from llmc.report.bench_text import Report, figure, name_of
from llmc.report.tables.screen import draw, grid
from llmc.target.sweep import SweepPlan, SweepReport

MANY = 24  # cells that are shown on a screen; the files have all of them


def said(report: Report, console: Console) -> None:
    """The verdict, the commands to copy, and the cells of each machine."""
    console.print(one_line(report.verdict), soft_wrap=True)
    grid(console, [("warning", line) for line in report.more])
    for name, group in report.groups.items():
        if len(report.groups) > 1:
            console.print(f"\n{group.bench} on {group.machine}")
        head = ("#", *(name_of(each) for each in group.criteria), "", "cell")
        rows = [  # without the intervals, which the report has: a line a cell
            (
                str(at),
                *(figure(found.value, found.unit) if (found := cell.measured.get(each)) else "–" for each in group.criteria),
                cell.place,
                cell.name,
            )
            for at, cell in enumerate(group.cells[:MANY], 1)
        ]
        grid(console, [head, *rows] if rows else [])
        for section in report.sections:
            if section.name == f"{name}-take":
                for command in section.commands:
                    console.print(one_line(command), soft_wrap=True)


def reasons(word: str, told: Iterable[tuple[str, str]], console: Console) -> None:
    """Each reason once, with the cells it is about."""
    about: dict[str, list[str]] = {}
    for cell, reason in told:
        about.setdefault(reason, []).append(cell)
    for reason, cells in about.items():
        console.print(one_line(f"{word:<8} {reason}"), soft_wrap=True)
        for cell in cells:
            console.print(one_line(f"{'':<8} {cell}"), soft_wrap=True)


@draw.register
def _(result: SweepReport, console: Console) -> None:
    if result.said is not None:
        said(result.said, console)
    reasons("failed", ((each["cell"], each["error"]) for each in result.failed), console)
    reasons("refused", ((each["cell"], each["reason"]) for each in result.refused), console)
    before = f", {result.before} of them before" if result.before else ""
    console.print(f"{result.done} of {units.many(result.runs, 'run')} done{before}   {units.seconds(result.seconds)}")
    for file in result.written[:1]:
        console.print(f"report: {file}", soft_wrap=True)


@draw.register
def _(result: SweepPlan, console: Console) -> None:
    rows = [("a run takes", "download", "cell")]
    for each in result.cells:
        seconds = units.seconds(each["seconds"]) if each["seconds"] is not None else "unknown"
        rows.append((seconds, units.size(each["download_bytes"]) if each["download_bytes"] else "–", each["cell"]))
    grid(console, rows)
    reasons("refused", ((each["cell"], each["reason"]) for each in result.refused), console)
    for cost in dict.fromkeys(each["cost"] for each in result.cells):
        console.print(f"cost: {cost}")
    took = [units.seconds(result.predicted_seconds)] if result.predicted_seconds is not None else []
    took += [f"{units.many(result.unknown_runs, 'run')} of unknown time"] if result.unknown_runs else []
    left = f"{result.runs_left} of {units.many(result.runs, 'run')} to do: {' and '.join(took) or 'nothing'}"
    download = f", {units.size(result.download_bytes)} to download" if result.download_bytes else ""
    console.print(f"{left}{download}; order drawn with sweep.seed={result.seed}")
    console.print(f"into {result.folder}", soft_wrap=True)
