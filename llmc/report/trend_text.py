"""``llmc bench trend`` in words, tables and a page: each series with what its statistics say, machine by machine."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from llmc import units
from llmc.bench.trend import FALLING, RISING, Series, Trend, words
from llmc.report import chart, html
from llmc.report.bench_text import figure, name_of
from llmc.report.html import Section, Table, Tile

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_CHARTS = 24
"""Of the series that drift, then the others; the tables have all of them."""
MANY_ROWS = 12  # a longer table is folded away


@dataclass(frozen=True, slots=True)
class Report:
    title: str
    verdict: str
    more: list[str]
    tiles: list[Tile]
    sections: list[Section]
    drawn: dict[str, Series]
    """The series of a section's chart, by the section's name."""


def verdict(found: Trend) -> str:
    """First of all what got worse."""
    if not found.series:
        return "nothing was run twice: a trend needs the same configuration again on the same machine"
    worse = [series for series in found.series if series.worse]
    drifting = len(found.drifting)
    over = f"{len(found.series)} series on {units.many(len(found.machines), 'machine')}"
    if not drifting:
        return f"no drift to be seen in {over}"
    first = worse or found.drifting
    top = "; ".join(f"{s.cell}, {name_of(s.metric)}: {words(s)}" for s in first[:3])
    return f"{len(worse)} of {over} got worse, {drifting - len(worse)} changed otherwise. {top}"


def report(found: Trend) -> Report:
    """A part for each machine; in it a table of all series and a chart with its table for those that drift."""
    sections: list[Section] = []
    drawn: dict[str, Series] = {}
    more = [f"{len(found.machines)} machines: each has a part of its own."] if len(found.machines) > 1 else []
    for number, machine in enumerate(found.machines, 1):
        series = [each for each in found.series if each.machine == machine]
        if not series:
            continue
        sections.append(Section(f"t{number}", f"On {machine}", tables=[overview(machine, series)]))
        for at, each in enumerate(series):
            name = f"t{number}-{at}"
            if len(drawn) < MOST_CHARTS:
                drawn[name] = each
                title = f"{name_of(each.metric)}: {each.cell} ({each.bench})"
                sections.append(Section(name, title, words(each).capitalize() + ".", [points(each, machine)]))
    if found.damaged:
        sections.append(Section("damaged", "Not readable", tables=[Table("No records", ["file", "reason"], found.damaged)]))
    return Report("llmc bench trend", verdict(found), more, [], sections, drawn)


def overview(machine: str, series: list[Series]) -> Table:
    rows = []
    for s in series:
        ends = (figure(s.points[at].value, s.unit) for at in (0, -1))
        rows.append((s.cell, s.bench, name_of(s.metric), str(len(s.points)), *ends, words(s)))
    columns = ["cell", "bench", "metric", "runs", "first", "last", ""]
    note = "A run: Theil-Sen slope as a share of the median, with its 95% interval; p: Kendall's tau against the order of runs."
    return Table(f"All series on {machine}", columns, rows, columns[3:6], note)


def points(series: Series, machine: str) -> Table:
    rows = []
    for at, p in enumerate(series.points, 1):
        value = figure(p.value, series.unit), _between(p.low, p.high, series.unit)
        rows.append((str(at), p.started[:19].replace("T", " "), *value, f"{p.version} {p.commit[:9]}"))
    columns = ["run", "started (UTC)", name_of(series.metric), "interval", "llmc"]
    return Table(f"{series.cell}, {series.bench}, {series.metric}, {machine}", columns, rows, ["run", *columns[2:4]])


def _between(low: float | None, high: float | None, unit: str) -> str:
    return "" if low is None or high is None else f"{figure(low, unit)} to {figure(high, unit)}"


def page(report: Report) -> str:
    """As one self-contained document."""
    charts = {name: draw(series) for name, series in report.drawn.items()}
    return html.page("bench.html", title=report.title, report=report, charts=charts, many=MANY_ROWS)


def draw(series: Series) -> "Markup":
    """Every run with its interval, in order; the slope as a line where there is a drift; a mark where the code changed."""
    figure_, axes = chart.figure(8, 2.8)
    xs = list(range(1, len(series.points) + 1))
    ys = [p.value for p in series.points]
    reach = [
        [y - min(p.low if p.low is not None else y, y) for p, y in zip(series.points, ys, strict=True)],
        [max(p.high if p.high is not None else y, y) - y for p, y in zip(series.points, ys, strict=True)],
    ]
    axes.errorbar(xs, ys, yerr=reach, fmt="o", color=chart.SERIES[0], markersize=5, capsize=3, elinewidth=1)
    for at, (before, after) in enumerate(zip(series.points, series.points[1:], strict=False), 1):
        if (before.version, before.commit) != (after.version, after.commit):
            axes.axvline(at + 0.5, color=chart.MUTED, linewidth=0.8, linestyle=":")
    if series.direction in (RISING, FALLING) and series.change_per_run is not None:
        _slope(axes, series, xs, ys)
    axes.set_xlabel("run (dotted: the code changed)")
    axes.set_ylabel(name_of(series.metric))
    axes.yaxis.set_major_formatter(lambda value, _: figure(value, series.unit))
    axes.set_xticks(range(1, len(xs) + 1, 1 + len(xs) // 20))
    axes.margins(y=0.2)
    title = f"{series.metric} of {series.cell} ({series.bench}) on {series.machine}"
    return chart.svg(figure_, title, f"{len(xs)} runs; {words(series)}.")


def _slope(axes: Any, series: Series, xs: list[int], ys: list[float]) -> None:  # noqa: ANN401 - matplotlib has no types
    from statistics import median

    assert series.change_per_run is not None
    slope = series.change_per_run * abs(median(ys))
    start = median(y - slope * x for x, y in zip(xs, ys, strict=True))
    ends = [xs[0], xs[-1]]
    axes.plot(ends, [start + slope * x for x in ends], color=chart.BAD if series.worse else chart.OK, linewidth=1.8)


def facts(found: Trend) -> dict[str, Any]:
    """As JSON values."""
    return {
        "schema": "llmc.trend/1",
        "verdict": verdict(found),
        "machines": found.machines,
        "series": [
            {
                "machine": s.machine, "bench": s.bench, "cell": s.cell, "config_hash": s.config_hash, "metric": s.metric,
                "unit": s.unit, "better": s.better, "direction": s.direction, "worse": s.worse, "p_value": s.p_value,
                "change_per_run": s.change_per_run, "low": s.low, "high": s.high, "change": s.change, "words": words(s),
                "points": [asdict(point) for point in s.points],
            }
            for s in found.series
        ],
        "damaged": [{"file": file, "reason": reason} for file, reason in found.damaged],
    }  # fmt: skip
