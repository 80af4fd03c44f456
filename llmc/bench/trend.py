"""How a cell's figures changed from run to run: slow drift that no single comparison shows.

A series is one metric of one configuration on one machine; machines never share one. Two questions are asked of it, both of
ranks, so that one wild run moves neither: does it go one way at all (Kendall's tau against the order of the runs), and by how
much a run (Theil and Sen: the median of the slopes between all pairs, with its 95% interval). Many series are looked at, so a
drift is only said when its p-value is below the error rate by the number of series (Bonferroni).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from llmc.bench import summary
from llmc.bench.record import Metric, Record, meaning
from llmc.bench.summary import Cell

ERROR_RATE = 0.01  # of a false drift among all series that are looked at
LEAST_RUNS = 8  # fewer cannot reach a p-value of 0.0001, whatever they show: 2 / 8! = 0.00005
STEADY, TOO_FEW, RISING, FALLING = "steady", "too few", "rising", "falling"


@dataclass(frozen=True, slots=True)
class Point:
    """One run."""

    started: str
    value: float
    low: float | None
    high: float | None
    version: str
    commit: str


@dataclass(slots=True)
class Series:
    """One metric of one cell, oldest first."""

    machine: str
    bench: str
    cell: str
    config_hash: str
    metric: str
    unit: str
    better: str
    points: list[Point]
    direction: str = TOO_FEW
    p_value: float | None = None
    """Kendall's, two-sided; None for too few runs."""
    change_per_run: float | None = None
    """Theil-Sen slope as a share of the median."""
    low: float | None = None
    high: float | None = None
    """Its 95% interval."""

    @property
    def change(self) -> float | None:
        """Over all runs, along the slope, as a share of the median."""
        return None if self.change_per_run is None else self.change_per_run * (len(self.points) - 1)

    @property
    def worse(self) -> bool:
        return (self.direction, self.better) in ((RISING, "lower"), (FALLING, "higher"))


@dataclass(slots=True)
class Trend:
    """All series that were found, those that drift first, the worse before the better."""

    series: list[Series] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)

    @property
    def drifting(self) -> list[Series]:
        return [each for each in self.series if each.direction in (RISING, FALLING)]


def trend(runs: Iterable[Record], metrics: Sequence[str]) -> Trend:
    """Every series of these metrics; what was run only once has none."""
    keyed: dict[tuple[str, str, str], list[Record]] = {}
    for each in sorted((run for run in runs if run.status == "done"), key=lambda run: run.started):
        keyed.setdefault((each.machine_name, each.bench, each.config_hash), []).append(each)
    found = Trend(machines=list(dict.fromkeys(machine for machine, _, _ in keyed)))
    names = _names({config_hash: records[0] for (_, _, config_hash), records in keyed.items()})
    for key, records in keyed.items():
        name = names[key[2]]
        for metric in metrics:
            points = [_point(run, run.metrics[metric]) for run in records if metric in run.metrics]
            if len(points) > 1:
                unit, better, _ = meaning(metric)
                found.series.append(Series(*key[:2], name, key[2], metric, unit, better, points))
    tested = sum(len(each.points) >= LEAST_RUNS for each in found.series)
    for series in found.series:
        judge(series, tested)
    found.series.sort(key=lambda s: (not s.worse, s.direction not in (RISING, FALLING)))
    return found


def _names(configurations: Mapping[str, Record]) -> dict[str, str]:
    """What each configuration differs in from the others, by its hash; the same on every machine."""
    cells = [Cell("", run.cell, config_hash, "", "", [], [], []) for config_hash, run in configurations.items()]
    return dict(zip(configurations, summary.names(cells), strict=True))


def _point(run: Record, metric: Metric) -> Point:
    return Point(run.started, metric.value, metric.low, metric.high, run.version, run.commit)


def judge(series: Series, tested: int) -> None:
    """Fills in what the statistics say; ``tested``: how many series are looked at together."""
    values = [point.value for point in series.points]
    if len(values) < LEAST_RUNS:
        return
    from scipy.stats import kendalltau, theilslopes

    order = range(len(values))
    middle = abs(median(values))
    if len(set(values)) == 1:
        series.direction, series.p_value, series.change_per_run, series.low, series.high = STEADY, 1.0, 0.0, 0.0, 0.0
        return
    p_value = float(kendalltau(list(order), values).pvalue)
    slope = theilslopes(values, list(order), alpha=0.95)
    series.p_value = p_value
    if middle:
        series.change_per_run, series.low, series.high = (float(x) / middle for x in (slope[0], slope[2], slope[3]))
    drifts = p_value < ERROR_RATE / max(1, tested) and not float(slope[2]) <= 0 <= float(slope[3])
    rising = float(slope[0]) > 0
    series.direction = STEADY if not drifts or math.isnan(p_value) else RISING if rising else FALLING


def words(series: Series) -> str:
    """``slower: +0.40% a run (+0.21% to +0.61%), +8.0% over 21 runs, p = 0.0001``."""
    runs = len(series.points)
    if series.direction == TOO_FEW:
        return f"{runs} runs: a drift needs {LEAST_RUNS} to be seen"
    if series.change_per_run is None or series.low is None or series.high is None or series.p_value is None:
        return f"no drift to be seen in {runs} runs"
    slope = f"{series.change_per_run:+.2%} a run ({series.low:+.2%} to {series.high:+.2%})"
    if series.direction == STEADY:
        return f"no drift to be seen in {runs} runs: {slope}"
    judged = "worse" if series.worse else "better" if series.better != "none" else series.direction
    return f"{judged}: {slope}, {series.change:+.1%} over {runs} runs, p = {series.p_value:.2g}"
