"""The report of a sweep as one HTML page: the verdict, what to take, and above each table a chart of its numbers."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmc.bench import front, sweep
from llmc.bench.front import Estimate
from llmc.bench.record import meaning
from llmc.bench.summary import Cell, Group
from llmc.report import chart, html
from llmc.report.bench_text import Report, figure, name_of

if TYPE_CHECKING:
    from markupsafe import Markup

PLACES = {front.FRONT: (chart.SERIES[0], "o"), front.TIED: (chart.SERIES[1], "s"), front.BEATEN: (chart.MUTED, "X")}
"""Colour and marker: each tells on its own."""
MANY_ROWS = 30  # a longer table is folded away


def page(report: Report) -> str:
    """The report as one self-contained document."""
    charts = {
        f"{name}-{part}": drawn
        for name, group in report.groups.items()
        for part, draw in DRAWN.items()
        if (drawn := draw(group)) is not None
    }
    return html.page("bench.html", title=report.title, report=report, charts=charts, many=MANY_ROWS)


def size_and_speed(group: Group) -> "Markup | None":
    """Every cell by how much smaller it makes the documents, and how long it takes; the front as a line."""
    size = next((name for name in ("token_ratio", "byte_ratio") if name in group.criteria), "")
    return _scatter(group, group.speed, size, "Size against time")


def quality_and_speed(group: Group) -> "Markup | None":
    return _scatter(group, group.speed, "pass_rate", "Gists that pass against time")


def _scatter(group: Group, across: str, up: str, title: str) -> "Markup | None":
    both = [(at, c) for at, c in enumerate(group.cells, 1) if across in c.measured and up in c.measured]
    if len(both) < 2 or across == up:
        return None
    figure_, axes = chart.figure(8, 4.2)
    for place, (colour, marker) in PLACES.items():
        placed = [(at, c) for at, c in both if c.place == place]
        for at, cell in placed:
            x, y = cell.measured[across], cell.measured[up]
            axes.errorbar(
                x.value, y.value, xerr=_reach(x), yerr=_reach(y), fmt=marker, color=colour, markersize=8, elinewidth=1.2,
                capsize=3, markeredgecolor=chart.PANEL,
            )  # fmt: skip
            axes.annotate(
                str(at), (x.value, y.value), xytext=(7, 6), textcoords="offset points", color=chart.INK,
                bbox={"facecolor": chart.PANEL, "edgecolor": "none", "pad": 1.0, "alpha": 0.8},
            )  # fmt: skip
        if placed:
            axes.plot([], [], marker, color=colour, label=place, markersize=8)
    _line(axes, [(c.measured[across], c.measured[up]) for _, c in both])
    _axis(axes.xaxis, axes.set_xlabel, across, both[0][1].measured[across].unit)
    _axis(axes.yaxis, axes.set_ylabel, up, both[0][1].measured[up].unit)
    axes.margins(0.12)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, frameon=False, borderaxespad=0.2)
    described = f"{len(both)} cells, numbered as in the table; " + "; ".join(
        f"{at} {c.name}: {figure(c.measured[across].value, c.measured[across].unit)}, "
        f"{figure(c.measured[up].value, c.measured[up].unit)}"
        for at, c in both[:6]
    )
    return chart.svg(figure_, f"{title}: {group.bench}", described)


def _reach(found: Estimate) -> list[list[float]]:
    """How far the interval goes to both sides."""
    if not found.bounded or found.exact:
        return [[0.0], [0.0]]
    return [[found.value - found.low], [found.high - found.value]]


def _line(axes: Any, points: Sequence[tuple[Estimate, Estimate]]) -> None:  # noqa: ANN401 - matplotlib has no types
    """A line through those points that no other beats in these two."""
    two = [{"x": x, "y": y} for x, y in points]
    best = [cell for cell, place in zip(two, front.front(two, ("x", "y")), strict=True) if place == front.FRONT]
    ordered = sorted((cell["x"].value, cell["y"].value) for cell in best)
    if len(ordered) > 1:
        axes.plot(
            *zip(*ordered, strict=True), color=chart.MUTED, linewidth=1.2, linestyle="--", zorder=0, label="best of these two"
        )


def _axis(axis: Any, label: Callable[[str], Any], metric: str, unit: str) -> None:  # noqa: ANN401
    better = {"higher": ", more is better", "lower": ", less is better"}.get(meaning(metric).better, "")
    label(f"{name_of(metric)}{better}")
    axis.set_major_formatter(lambda value, _: figure(value, unit))


def speed(group: Group) -> "Markup | None":
    """A line for each cell: its median, the interval, and a dot for each run."""
    known = [c for c in group.cells if group.speed in c.measured]
    if len(known) < 2:
        return None
    worst_first = sorted(known, key=lambda c: _rank(c, group.speed), reverse=True)
    figure_, axes = chart.figure(8, 0.9 + 0.36 * len(known))
    unit = known[0].measured[group.speed].unit
    for y, cell in enumerate(worst_first):
        found = cell.measured[group.speed]
        colour, marker = PLACES[cell.place]
        axes.errorbar(found.value, y, xerr=_reach(found), fmt=marker, color=colour, markersize=8, capsize=4, elinewidth=1.5)
        each = [run.metrics[group.speed].value for run in cell.runs if group.speed in run.metrics]
        axes.plot(each, [y - 0.22] * len(each), "|", color=chart.INK, markersize=6)
    axes.set_yticks(range(len(known)), [_shortened(c.name) for c in worst_first])
    axes.grid(visible=False, axis="y")
    axes.set_ylim(-0.6, len(known) - 0.4)
    _axis(axes.xaxis, axes.set_xlabel, group.speed, unit)
    best = worst_first[-1]
    return chart.svg(
        figure_, f"Speed of each cell: {group.bench}",
        f"From {figure(best.measured[group.speed].value, unit)} ({best.name}) to "
        f"{figure(worst_first[0].measured[group.speed].value, unit)} ({worst_first[0].name}).",
    )  # fmt: skip


def _rank(cell: Cell, metric: str) -> float:
    found = cell.measured[metric]
    return -found.value if found.better == "higher" else found.value


def _shortened(name: str) -> str:
    return name if len(name) <= 48 else f"{name[:46]}…"


def drift(group: Group) -> "Markup | None":
    """Every run in its order, relative to its cell's median; the reference cell on a line."""
    if group.drift is None:
        return None
    middle = {c.config_hash: c.measured[group.speed].value for c in group.cells if group.speed in c.measured}
    runs = [run for run in group.runs if run[0].status == "done" and group.speed in run[0].metrics]
    placed = [
        (at, run.metrics[group.speed].value / middle[run.config_hash], role)
        for at, (run, role) in enumerate(runs, 1)
        if middle.get(run.config_hash)
    ]
    if not placed:
        return None
    figure_, axes = chart.figure(8, 2.8)
    axes.axhline(1, color=chart.MUTED, linewidth=1)
    other = [(at, ratio) for at, ratio, role in placed if role == sweep.CELL]
    again = [(at, ratio) for at, ratio, role in placed if role == sweep.REFERENCE]
    if other:
        axes.plot(*zip(*other, strict=True), "o", color=chart.MUTED, markersize=5, label="cells")
    if again:
        axes.plot(*zip(*again, strict=True), "-s", color=chart.SERIES[1], markersize=7, label="the reference cell")
    axes.set_xlabel("run, in the order they were made")
    axes.set_ylabel("of its cell's median")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xticks(range(1, len(runs) + 1, 1 + len(runs) // 20))
    axes.margins(y=0.15)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, frameon=False, borderaxespad=0.2)
    described = f"{len(again)} runs of the reference cell between {len(other)} others; it moved by {group.drift.spread:.1%}."
    return chart.svg(figure_, f"Every run against its cell's median: {group.bench}", described)


DRAWN: dict[str, Callable[[Group], "Markup | None"]] = {
    "cells": size_and_speed,
    "quality": quality_and_speed,
    "speed": speed,
    "drift": drift,
}
