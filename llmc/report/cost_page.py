"""``llmc cost`` as one HTML page: the verdict, the figures, a chart above the table of its numbers.

Floats are for drawing only; every number that is printed comes from whole pico-dollars or exact fractions.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from llmc import money
from llmc.report import chart, html
from llmc.report.cost_text import Report
from llmc.report.cost_words import dollars, tokens, when
from llmc.worth import Comparison, Value

if TYPE_CHECKING:
    from markupsafe import Markup

HATCHES = ("", "//", "..", "xx", "\\\\", "++")  # in print, and for readers who see colours alike
LINES = ("-", "--", "-.", ":")
MANY_ROWS = 40  # a longer table is folded away


def page(report: Report) -> str:
    """The report as one self-contained document."""
    charts = {
        section.name: drawn
        for section in report.sections
        if section.name in DRAWN and (drawn := DRAWN[section.name](report)) is not None
    }
    return html.page("cost.html", title=report.title, report=report, charts=charts, many=MANY_ROWS)


def over_time(report: Report) -> "Markup | None":
    """Bars per day (hour, week, month), a part for each tier."""
    spending = report.spending
    tiers = sorted({str(g.key[0]) for g in spending.by("tier")})
    known = {
        (str(g.key[0]), str(g.key[1])): float(money.usd(g.cost.pico)) for g in spending.by("period", "tier") if g.cost.known
    }
    labels = [bucket.label for bucket in spending.buckets]
    if not any(known.values()):
        return None
    figure, axes = chart.figure(8, 3)
    below = [0.0] * len(labels)
    for i, tier in enumerate(tiers):
        heights = [known.get((label, tier), 0.0) for label in labels]
        axes.bar(
            range(len(labels)),
            heights,
            bottom=below,
            label=tier or "(none)",
            color=chart.SERIES[i % 6],
            hatch=HATCHES[i % 6],
            width=0.8,
        )
        below = [a + b for a, b in zip(below, heights, strict=True)]
    step = max(1, -(-len(labels) // 10))
    axes.set_xticks(range(0, len(labels), step), [_short(label) for label in labels[::step]])
    axes.set_xlim(-0.6, max(len(labels) - 0.4, 5.6))  # a single bar is not a wall
    axes.set_ylim(0, max(below) * 1.1)
    axes.yaxis.set_major_formatter(_money)
    axes.grid(visible=False, axis="x")
    _legend(axes, len(tiers))
    total = dollars(Fraction(sum(g.cost.pico for g in spending.by()), money.PICO_PER_USD))
    described = f"{len(labels)} bars from {when(labels[0])} to {when(labels[-1])}, {total} in all; the table has the numbers."
    return chart.svg(figure, "Spent over time, by tier", described)


def _short(label: str) -> str:
    """``11-23``, ``W48``, ``2026-11``, ``14:00``."""
    if "T" in label:
        return label[11:16]
    return label[5:] if len(label) == 10 or "W" in label else label


def break_even(report: Report) -> "Markup | None":
    """Cost of a month against its volume, in each way of working, both axes logarithmic."""
    c = report.worth.comparison
    if c.drivers is None or not c.local.complete or not c.month.tokens:
        return None
    import numpy

    marks = [float(v) for v in (c.month.tokens, c.break_even, c.hybrid_break_even, c.batch_break_even) if v]
    xs = numpy.geomspace(min(marks) / 8, max(marks) * 8, 200)
    figure, axes = chart.figure(8, 3.8)
    for i, (label, cost) in enumerate(_ways(c)):
        axes.plot(xs, [cost(x) for x in xs], label=label, color=chart.SERIES[i], linestyle=LINES[i])
    axes.set_xscale("log")
    axes.set_yscale("log")
    if c.low and c.high and c.low != c.high:
        axes.axvspan(float(c.low), float(c.high), color=chart.MUTED, alpha=0.18, linewidth=0)
    if c.break_even:
        axes.plot([float(c.break_even)], [float(c.drivers.terms().local_usd(c.break_even))], "o", color=chart.INK, markersize=7)
        _note(axes, c.break_even, f"break-even {tokens(c.break_even)}", 0.04, chart.INK)
    axes.axvline(float(c.month.tokens), color=chart.BAD, linewidth=1.5, linestyle=(0, (4, 2)))
    _note(axes, c.month.tokens, f"you are here: {tokens(c.month.tokens)}", 0.93, chart.BAD)
    if c.capacity is not None and xs[0] < float(c.capacity) < xs[-1]:
        axes.axvline(float(c.capacity), color=chart.MUTED, linewidth=1, linestyle=":")
        _note(axes, c.capacity, f"capacity {tokens(c.capacity)}", 0.14, chart.MUTED)
    axes.set_xlim(xs[0], xs[-1])
    axes.set_xlabel("prompt tokens a month")
    axes.xaxis.set_major_formatter(lambda x, _: tokens(Fraction(x)))
    axes.yaxis.set_major_formatter(_money)
    axes.minorticks_off()
    _legend(axes, 4)
    above = f"above {tokens(c.break_even)} tokens a month" if c.break_even is not None else "at no volume"
    return chart.svg(figure, "Cost of a month by its volume", f"Local is cheaper {above}; you are at {tokens(c.month.tokens)}.")


def _ways(c: Comparison) -> list[tuple[str, Callable[[float], float]]]:
    assert c.drivers is not None
    terms = c.drivers.terms()
    cloud, local = float(terms.cloud_usd_per_million) / 1e6, float(terms.local_usd_per_million) / 1e6
    fixed, f = float(terms.fixed_usd_per_month), float(c.month.fallback_share)
    ways: list[tuple[str, Callable[[float], float]]] = [
        ("cloud", lambda v: cloud * v),
        ("local", lambda v: fixed + local * v),
    ]
    if f:
        ways.append(("hybrid", lambda v: fixed + (local + f * cloud) * v))
    if c.batch_usd is not None and c.month.tokens:
        batch = float(c.batch_usd / c.month.tokens)
        ways.append(("cloud, batch", lambda v: batch * v))
    return ways


def sensitivity(report: Report) -> "Markup | None":
    """The tornado: how far the break-even moves with each of its numbers."""
    c = report.worth.comparison
    drawn = [
        s
        for s in c.swings
        if s.when_lower is not None and s.when_higher is not None and tokens(s.when_lower) != tokens(s.when_higher)
    ]
    if not drawn or c.hybrid_break_even is None or not c.local.complete:
        return None
    middle = float(c.hybrid_break_even)
    figure, axes = chart.figure(8, 0.9 + 0.42 * len(drawn))
    for y, swing in enumerate(reversed(drawn)):
        for end, colour, hatch in ((swing.when_lower, chart.SERIES[0], ""), (swing.when_higher, chart.SERIES[1], "//")):
            assert end is not None
            axes.barh(
                y,
                float(end) - middle,
                left=middle,
                color=colour,
                hatch=hatch,
                height=0.6,
                label=("lower" if not hatch else "higher") if not y else None,
            )
    axes.axvline(middle, color=chart.INK, linewidth=1)
    axes.set_yticks(range(len(drawn)), [s.driver for s in reversed(drawn)])
    axes.xaxis.set_major_formatter(lambda x, _: tokens(Fraction(x)))
    axes.set_xlabel("break-even, prompt tokens a month")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="best", frameon=True)
    return chart.svg(
        figure, "What the break-even depends on", f"Around {tokens(c.hybrid_break_even)}; {drawn[0].driver} moves it most."
    )


def net_value(report: Report) -> "Markup | None":
    """What the views have saved after so many uses, less what they cost."""
    v = report.worth.value
    if v is None or v.why_unknown or not v.made.usd_per_use():
        return None
    needed = v.made.uses_needed() or 0
    most = max(10, 2 * v.uses, round(2.2 * needed))
    figure, axes = chart.figure(8, 3)
    ends = [0, most]
    nets = [float(v.made.net_usd(n)) for n in ends]
    axes.plot(ends, nets, color=chart.SERIES[2])
    axes.fill_between(ends, nets, 0, color=chart.SERIES[2], alpha=0.12, linewidth=0)
    axes.axhline(0, color=chart.INK, linewidth=1)
    axes.plot([v.uses], [float(v.made.net_usd(v.uses))], "o", color=chart.BAD, markersize=8)
    label = f"{v.uses} use{'s' * (v.uses != 1)}: {dollars(v.made.net_usd(v.uses), estimated=True)}"
    axes.annotate(
        label, (v.uses, float(v.made.net_usd(v.uses))), xytext=(9, -16), textcoords="offset points", color=chart.BAD,
        bbox={"facecolor": chart.PANEL, "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip
    axes.margins(y=0.15)
    axes.set_xlim(0, most)
    axes.set_xlabel("uses of each view")
    axes.yaxis.set_major_formatter(_money)
    pays = f"pays from use {needed}" if needed else "pays from the first use"
    return chart.svg(figure, "Net value of the views", f"A straight line that {pays}; {_line(v)}")


def _line(v: Value) -> str:
    return f"each use of all views saves {dollars(v.made.usd_per_use(), estimated=True)}."


def _money(value: float, _: float) -> str:
    return (
        dollars(Fraction(value))
        if abs(value) < 0.01
        else f"{'-' if value < 0 else ''}${abs(value):,.2f}"
        if abs(value) < 100
        else f"{'-' if value < 0 else ''}${abs(value):,.0f}"
    )


def _note(axes: Any, x: Fraction, text: str, y: float, colour: str) -> None:  # noqa: ANN401 - matplotlib has no types
    """Words beside a vertical line, on the side that has room; ``y`` as a share of the height."""
    low, high = axes.get_xlim()
    import math

    at = (math.log(float(x)) - math.log(low)) / (math.log(high) - math.log(low)) if low > 0 else 0.0
    side, shift = ("right", -6) if at > 0.6 else ("left", 6)
    axes.annotate(
        text, (float(x), y), xycoords=("data", "axes fraction"), xytext=(shift, 0), textcoords="offset points",
        ha=side, va="center", color=colour,
    )  # fmt: skip


def _legend(axes: Any, columns: int) -> None:  # noqa: ANN401
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(columns, 5), frameon=False, borderaxespad=0.2)


DRAWN: dict[str, Callable[[Report], "Markup | None"]] = {
    "time": over_time,
    "breakeven": break_even,
    "sensitivity": sensitivity,
    "value": net_value,
}
