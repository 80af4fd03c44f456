"""Which of several cells to take: what is measured of each, put beside the others without claiming more than was measured.

A cell that was run several times is estimated by the median of its runs, and its interval reaches from the lowest low to the
highest high of them: two processes of the same code differ by several percent for as long as they live, so an interval from
within one process alone would be too narrow. Two cells are *separate* in a metric when these intervals do not meet.

A cell is on the Pareto front when no other is at least as good in everything and better in something. A cell that is beaten,
but by nobody in a metric where the two are separate, is *tied*: another day might have it on the front.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from llmc.bench.record import Metric

FRONT, TIED, BEATEN = "front", "tied", "beaten"


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric of one cell over all its runs."""

    value: float
    low: float
    high: float
    unit: str
    better: str
    runs: int
    samples: int
    """Of all runs together."""
    exact: bool
    """A count without noise, the same in every run."""
    bounded: bool
    """Something is known of its spread: it is exact, a run gave an interval, or there is more than one run."""

    def separate(self, other: "Estimate") -> bool:
        """Whether the two differ by more than their intervals."""
        if not (self.bounded and other.bounded):
            return False
        return self.high < other.low or other.high < self.low

    def beats(self, other: "Estimate | None") -> bool:
        """By value alone; what was not measured is beaten by what was."""
        if other is None:
            return True
        return self.value > other.value if self.better == "higher" else self.value < other.value


def estimate(metrics: Sequence[Metric]) -> Estimate | None:
    """What the runs of a cell say of one metric; None when none has a value."""
    known = [m for m in metrics if m.value is not None]
    if not known:
        return None
    values = [float(m.value) for m in known if m.value is not None]
    lows = [value if m.low is None else min(m.low, value) for m, value in zip(known, values, strict=True)]
    highs = [value if m.high is None else max(m.high, value) for m, value in zip(known, values, strict=True)]
    exact = all(m.exact for m in known) and len(set(values)) == 1
    return Estimate(
        median(values),
        min(lows),
        max(highs),
        known[0].unit,
        known[0].better,
        len(known),
        sum(max(1, m.n) for m in known),
        exact,
        exact or len(known) > 1 or any(m.low is not None for m in known),
    )


Measured = Mapping[str, Estimate | None]
"""A cell's metrics by name."""


def dominates(one: Measured, other: Measured, criteria: Iterable[str]) -> bool:
    """At least as good in everything and better in something, by value."""
    better = False
    for name in criteria:
        a, b = one.get(name), other.get(name)
        if b is not None and (a is None or b.beats(a)):
            return False
        better = better or (a is not None and a.beats(b))
    return better


def surely(one: Measured, other: Measured, criteria: Iterable[str]) -> bool:
    """:func:`dominates`, and in something by more than the intervals."""
    names = list(criteria)
    if not dominates(one, other, names):
        return False
    pairs = ((one.get(name), other.get(name)) for name in names)
    return any(a is not None and (b is None or (a.beats(b) and a.separate(b))) for a, b in pairs)


def front(cells: Sequence[Measured], criteria: Iterable[str]) -> list[str]:
    """For each cell FRONT, TIED or BEATEN."""
    names = [name for name in criteria if any(cell.get(name) is not None for cell in cells)]
    said = []
    for cell in cells:
        over = [other for other in cells if dominates(other, cell, names)]
        beaten = any(surely(other, cell, names) for other in over)
        said.append(BEATEN if beaten else TIED if over else FRONT)
    return said


def best(cells: Sequence[Measured], name: str) -> tuple[int, list[int]] | None:
    """The best cell in one metric, and the others that cannot be told from it; None when nobody measured it.

    Among equal values the first."""
    known = [(at, found) for at, cell in enumerate(cells) if (found := cell.get(name)) is not None]
    if not known:
        return None
    winner, top = known[0]
    for at, found in known[1:]:
        if found.beats(top):
            winner, top = at, found
    return winner, [at for at, found in known if at != winner and not top.separate(found)]
