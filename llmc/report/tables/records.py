"""What the records of earlier benchmark runs say."""

from rich.console import Console

from llmc.bench.trend import words
from llmc.report import one_line, trend_text
from llmc.report.bench_text import name_of
from llmc.report.tables.screen import draw, grid
from llmc.report.tables.sweep import said
from llmc.target.records import BenchSummary, BenchTrend

MANY = 30  # series that are shown on a screen; html= has all of them


@draw.register
def _(result: BenchSummary, console: Console) -> None:
    said(result.said, console)
    for group in result.said.groups.values():
        for each in group.refused:
            console.print(one_line(f"refused  {' '.join(each.cell.values())}: {each.error}"), soft_wrap=True)
    if not result.written:
        console.print("output=report/ writes this as HTML, Markdown, CSV and JSON")
    for file in result.written[:1]:
        console.print(f"report: {file}", soft_wrap=True)


@draw.register
def _(result: BenchTrend, console: Console) -> None:
    console.print(one_line(trend_text.verdict(result.found)), soft_wrap=True)
    for machine in result.found.machines:
        series = [each for each in result.found.series if each.machine == machine]
        if series:
            console.print(one_line(machine), soft_wrap=True)
        grid(console, [(s.cell, name_of(s.metric), words(s)) for s in series[:MANY]])
        if len(series) > MANY:
            console.print(f"and {len(series) - MANY} more series")
    for file in result.written:
        console.print(f"page: {file}", soft_wrap=True)
    if not result.written:
        console.print("html=trend.html draws it")
