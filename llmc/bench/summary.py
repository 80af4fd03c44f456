"""What a folder of benchmark records says: the cells of each machine side by side, and which of them to take.

Records are pooled only where the machine, the bench, the configuration and the code are the same. Figures of different machines
stand in groups of their own and are never compared.
"""

import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from llmc import schema
from llmc.bench import front, record, sweep
from llmc.bench.front import Estimate
from llmc.bench.record import Record

CRITERIA = ("byte_ratio", "token_ratio", "pass_rate", "seconds_per_document", "cost_usd_per_1k_documents")
"""What a cell is judged by, where it was measured."""
SPEED = (
    "seconds_per_document", "e2e_p50_seconds", "ttft_p50_seconds", "output_tokens_per_second", "write_megabytes_per_second",
    "check_kilobytes_per_second", "cached_seconds_per_document", "compose_seconds",
)  # fmt: skip
"""What speed means, the first of these that was measured."""
GROUPS = ("model", "engine", "backend", "quant", "profile", "codec", "view")
DRIFT_MATTERS = 0.10
"""A reference that moved by more than this is said in the first lines: differences below its movement mean nothing."""


@dataclass(frozen=True, slots=True)
class Found:
    """Records of a folder and of the folders in it, oldest first, and the plans of sweeps."""

    runs: list[tuple[Record, str]]
    """Each with its role: ``cell``, or ``reference`` for one that was only run to see whether the machine drifts."""
    plans: dict[str, dict[str, Any]]
    damaged: list[tuple[str, str]]


def find(folder: Path) -> Found:
    """Every record below a folder."""
    runs: list[tuple[Record, str]] = []
    damaged: list[tuple[str, str]] = []
    for each in sorted({file.parent for file in folder.rglob("bench-*.json")}):
        read = record.read_all(each)
        role = sweep.REFERENCE if f"-{sweep.REFERENCE}-" in each.name else sweep.CELL
        runs += [(found, role) for found in read.records]
        damaged += read.damaged
    runs.sort(key=lambda run: run[0].started)
    return Found(runs, sweep.plans(folder), damaged)


@dataclass(slots=True)
class Cell:
    """One configuration on one machine, with all its runs."""

    name: str
    """What it differs in from the others."""
    options: dict[str, str]
    config_hash: str
    version: str
    commit: str
    overrides: list[str]
    """As they were typed; empty when no plan of the sweep is there."""
    runs: list[Record]
    failed: list[Record]
    measured: dict[str, Estimate] = field(default_factory=dict)
    place: str = front.FRONT

    @property
    def command(self) -> str:
        """What compresses with this cell."""
        words = [w for w in self.overrides if not _of_the_bench(w)] or [
            f"{group}={option}"
            for group in GROUPS
            if (option := schema.option_name(group, self.options.get(group, ""))) and option != _defaults().get(group)
        ]
        return " ".join(["llmc compress input=… output=….llmc", *map(shlex.quote, words)])

    def passes(self, least: float) -> bool:
        """Whether enough of its gists pass the check; a cell that asks no model has none to fail."""
        found = self.measured.get("pass_rate")
        return found is None or found.value >= least


def _of_the_bench(word: str) -> bool:
    return word.lstrip("+~").partition("=")[0].partition(".")[0] in ("bench", "sweep", "input", "output", "seed")


def _defaults() -> dict[str, str]:
    return {k: v for each in schema.data("config")["defaults"] if isinstance(each, dict) for k, v in each.items()}


@dataclass(frozen=True, slots=True)
class Pick:
    """What a user should take for one purpose."""

    purpose: str
    metric: str
    cell: int | None
    """None: there is none, ``why`` says why."""
    tied: list[int]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """The reference cell over the time of the sweep."""

    name: str
    metric: str
    values: list[tuple[str, float]]
    """When it was started, and what came out."""

    @property
    def spread(self) -> float:
        """Largest by smallest, less one."""
        values = [value for _, value in self.values]
        return max(values) / min(values) - 1 if min(values) > 0 else math.inf


@dataclass(slots=True)
class Group:
    """All cells of one bench on one machine."""

    machine: str
    bench: str
    cells: list[Cell]
    """Those with at least one finished run."""
    failed: list[Cell]
    refused: list[Record]
    criteria: list[str]
    speed: str
    picks: list[Pick]
    drift: Drift | None
    """None too where the folder holds several sweeps: between them lies more than drift."""
    plan: dict[str, Any]
    runs: list[tuple[Record, str]]


def groups(found: Found, *, min_pass_rate: float) -> list[Group]:
    """One for each machine and bench, in the order of their first record."""
    keyed: dict[tuple[str, str], list[tuple[Record, str]]] = {}
    for run in found.runs:
        keyed.setdefault((run[0].machine_name, run[0].bench), []).append(run)
    return [
        _group(machine, bench, runs, found.plans.get(machine, {}), min_pass_rate) for (machine, bench), runs in keyed.items()
    ]


def _group(machine: str, bench: str, runs: list[tuple[Record, str]], plan: dict[str, Any], least: float) -> Group:
    records = [each for each, role in runs if role == sweep.CELL]
    refused = list({each.config_hash: each for each in records if each.status == "refused"}.values())
    keyed: dict[tuple[str, str, str], list[Record]] = {}
    for each in records:
        if each.status != "refused":
            keyed.setdefault((each.config_hash, each.version, each.commit), []).append(each)
    overrides = plan.get("cells", {})
    cells = [
        Cell(
            "", each[0].cell, key[0], key[1], key[2], list(overrides.get(key[0], {}).get("overrides", ())),
            [r for r in each if r.status == "done"], [r for r in each if r.status == "failed"],
        )
        for key, each in keyed.items()
    ]  # fmt: skip
    for cell, name in zip(cells, names(cells), strict=True):
        cell.name = name
        cell.measured = measured(cell.runs)
    done = [cell for cell in cells if cell.runs]
    criteria = [name for name in CRITERIA if any(name in cell.measured for cell in done)]
    speed = next((name for name in SPEED if any(name in cell.measured for cell in done)), "")
    if speed and speed not in criteria:
        criteria.append(speed)
    for cell, place in zip(done, front.front([cell.measured for cell in done], criteria), strict=True):
        cell.place = place
    return Group(
        machine, bench, done, [cell for cell in cells if cell.failed], refused, criteria, speed,
        picks(done, speed, least), _drift(runs, cells, speed) if "seed" in plan else None, plan, runs,
    )  # fmt: skip


def unmeasured(each: Record, plan: Mapping[str, Any]) -> Cell:
    """A cell that has only a reason."""
    overrides = plan.get("cells", {}).get(each.config_hash, {}).get("overrides", ())
    return Cell("", each.cell, each.config_hash, each.version, each.commit, list(overrides), [], [])


def measured(runs: Sequence[Record]) -> dict[str, Estimate]:
    """Every metric over the runs of one cell."""
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    found = {name: front.estimate([run.metrics[name] for run in runs if name in run.metrics]) for name in names}
    return {name: each for name, each in found.items() if each is not None}


def names(cells: Sequence[Cell]) -> list[str]:
    """What tells the cells apart: the groups that differ, then what else was set, then the code, then the configuration."""
    vary = [g for g in GROUPS if len({cell.options.get(g) for cell in cells}) > 1] or list(GROUPS[:3])
    said = [" ".join(cell.options.get(g, "") for g in vary) for cell in cells]
    ways: tuple[Callable[[Cell], str], ...] = (_own, _code, lambda cell: cell.config_hash[:8])
    for more in ways:
        said = [
            f"{text} {extra}" if said.count(text) > 1 and (extra := more(cell)) else text
            for text, cell in zip(said, cells, strict=True)
        ]
    return said


def _own(cell: Cell) -> str:
    """Single keys that were set."""
    return " ".join(word for word in cell.overrides if "." in word.partition("=")[0] and not _of_the_bench(word))


def _code(cell: Cell) -> str:
    return cell.commit[:7] or cell.version


def picks(cells: Sequence[Cell], speed: str, least: float) -> list[Pick]:
    """Smallest that passes, fastest, cheapest; without a model there is nothing to pass and nothing to pay."""
    if not cells:
        return []
    size = next((name for name in ("token_ratio", "byte_ratio") if any(name in cell.measured for cell in cells)), "")
    found = []
    asked = any("pass_rate" in cell.measured for cell in cells)
    smallest = "smallest that passes" if asked else "smallest"
    if size:
        passing = [at for at, cell in enumerate(cells) if cell.passes(least)]
        if passing:
            found.append(_pick(smallest, size, cells, passing))
        else:
            top = max(cell.measured["pass_rate"].value for cell in cells)
            other = front.best([cell.measured for cell in cells], size)
            why = f"no cell passes: at most {top:.0%} of the gists do, {least:.0%} are asked for (sweep.min_pass_rate)"
            why += f"; the smallest all the same is {cells[other[0]].name}" if other else ""
            found.append(Pick(smallest, size, None, [], why))
    everyone = list(range(len(cells)))
    rate = "documents_per_minute"  # a folder is done sooner by many at once, though each of its documents takes longer
    fastest = rate if any(rate in cell.measured for cell in cells) else speed
    found += [_pick("fastest", fastest, cells, everyone)] if fastest else []
    cost = "cost_usd_per_1k_documents"
    if any(cost in cell.measured for cell in cells):
        found.append(_pick("cheapest", cost, cells, everyone))
    elif asked:
        found.append(Pick("cheapest", cost, None, [], "no cell has a known cost: power=… price=… say what local work costs"))
    return found


def _pick(purpose: str, metric: str, cells: Sequence[Cell], among: Sequence[int]) -> Pick:
    found = front.best([cells[at].measured for at in among], metric)
    if found is None:
        return Pick(purpose, metric, None, [], f"{metric} was not measured")
    return Pick(purpose, metric, among[found[0]], [among[at] for at in found[1]])


def _drift(runs: Iterable[tuple[Record, str]], cells: Sequence[Cell], speed: str) -> Drift | None:
    again = [each for each, role in runs if role == sweep.REFERENCE and each.status == "done" and speed in each.metrics]
    if len(again) < 2 or len({each.config_hash for each in again}) > 1:
        return None
    names = {cell.config_hash: cell.name for cell in cells}
    values = [(each.started, each.metrics[speed].value) for each in again]
    return Drift(names.get(again[0].config_hash, again[0].config_hash[:8]), speed, values)


def expected_seconds(found: Iterable[tuple[Record, str]], machine: str) -> Mapping[str, float]:
    """How long each configuration took here before, by its hash."""
    took: dict[str, list[float]] = {}
    for each, _ in found:
        if each.status == "done" and each.machine_name == machine:
            took.setdefault(each.config_hash, []).append(each.seconds)
    return {key: median(seconds) for key, seconds in took.items()}
