"""What a sweep says, in words: the verdict, the commands, the tables. The page, Markdown and terminal show the same.

A figure is given with its interval and what it rests on; where intervals meet, the words say *tied* and no winner is claimed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmc import units
from llmc.bench import front, summary, sweep
from llmc.bench.front import Estimate
from llmc.bench.record import METRICS, meaning
from llmc.bench.summary import Cell, Drift, Found, Group, Pick
from llmc.report.html import Section, Table, Tile

SCHEMA = "llmc.bench/1"
SHORT = {
    "byte_ratio": "byte ratio",
    "token_ratio": "token ratio",
    "pass_rate": "gists passing",
    "seconds_per_document": "time a document",
    "documents_per_minute": "documents a minute",
    "cost_usd_per_1k_documents": "cost of 1,000",
}
"""Column heads of the usual metrics."""


@dataclass(frozen=True, slots=True)
class Report:
    title: str
    verdict: str
    more: list[str]
    tiles: list[Tile]
    sections: list[Section]
    groups: dict[str, Group]
    """By the start of their sections' names."""
    facts: dict[str, Any]
    """The same as JSON values."""


def report(found: Found, *, min_pass_rate: float) -> Report:
    """Of all records that were found; one part for each machine and bench."""
    groups = {f"m{at}": each for at, each in enumerate(summary.groups(found, min_pass_rate=min_pass_rate), 1)}
    machines = list(dict.fromkeys(group.machine for group in groups.values()))
    more = []
    if len(machines) > 1:
        more.append(f"{len(machines)} machines: each has a part of its own, and nothing is compared across them.")
    sections = [section for name, group in groups.items() for section in _sections(name, group, len(groups) > 1)]
    if found.damaged:
        rows = [(file, reason) for file, reason in found.damaged]
        sections.append(Section("damaged", "Not readable", tables=[Table("No records", ["file", "reason"], rows)]))
    only = next(iter(groups.values()), None)
    verdict = "; ".join(_verdict(only)) if len(groups) == 1 and only else f"{len(groups)} parts, not compared with each other"
    if only is None:
        verdict = "there is no record to report on"
    more += [line for group in groups.values() for line in _warnings(group, len(groups) > 1)]
    facts = {"schema": SCHEMA, "verdict": verdict, "warnings": more, "groups": [_facts(group) for group in groups.values()]}
    tiles = _tiles(only) if only and len(groups) == 1 else []
    return Report("llmc bench", verdict, more, tiles, sections, groups, facts)


# Numbers as words


def figure(value: float, unit: str) -> str:
    """``3.21x``, ``17%``, ``1.24 s``, ``$0.0012``, ``712 kB``."""
    if unit == "x":
        return f"{value:.2f}x"
    if unit == "share":
        return f"{100 * value:.3g}%"
    if unit == "USD":
        return f"${value:.2f}" if value == 0 or abs(value) >= 0.1 else f"${value:.2g}"
    if unit == "B":
        return units.size(round(value))
    if unit == "s" and value:
        return f"{value:,.3g} s" if value >= 0.1 else f"{1000 * value:.3g} ms"
    text = f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
    return text if unit in ("", "requests", "tokens", "errors") else f"{text} {unit}"


def interval(found: Estimate | None) -> str:
    """``1.24 s (1.20 to 1.31)``; an exact number stands alone, one without any spread says so."""
    if found is None:
        return "–"
    text = figure(found.value, found.unit)
    if found.exact:
        return text
    if not found.bounded:
        return f"{text} (n=1)"
    return f"{text} ({figure(found.low, found.unit)} to {figure(found.high, found.unit)})"


def name_of(metric: str) -> str:
    return SHORT.get(metric, metric.replace("_", " "))


# Parts


def _verdict(group: Group) -> list[str]:
    said = []
    for pick in group.picks:
        if pick.cell is None:
            said.append(f"{pick.purpose}: none")
            continue
        cell = group.cells[pick.cell]
        tied = f", tied with {units.many(len(pick.tied), 'other')}" if pick.tied else ""
        said.append(f"{pick.purpose}: {cell.name}, {figure(cell.measured[pick.metric].value, _unit(cell, pick.metric))}{tied}")
    if not group.picks:
        return [f"no cell was measured: {len(group.failed)} failed, {len(group.refused)} refused"]
    return said


def _unit(cell: Cell, metric: str) -> str:
    return cell.measured[metric].unit


def _warnings(group: Group, several: bool) -> list[str]:
    where = f"{group.bench} on {group.machine}: " if several else ""
    said = []
    drift = group.drift
    if drift and drift.spread > summary.DRIFT_MATTERS:
        said.append(
            f"{where}the reference cell moved by {drift.spread:.0%} during the sweep: "
            "smaller differences in time between cells mean nothing here"
        )
    if group.failed:
        said.append(f"{where}{units.many(len(group.failed), 'cell')} failed at least once; the reasons are below")
    if len({(cell.version, cell.commit) for cell in group.cells}) > 1:
        said.append(f"{where}the cells were measured with different versions of llmc: what differs may be the code")
    return said


def _tiles(group: Group) -> list[Tile]:
    tiles = []
    for pick in group.picks:
        if pick.cell is None:
            tiles.append(Tile(pick.purpose, "none", pick.why))
            continue
        cell = group.cells[pick.cell]
        tied = f" · tied with {len(pick.tied)}" if pick.tied else ""
        value = figure(cell.measured[pick.metric].value, _unit(cell, pick.metric))
        tiles.append(Tile(pick.purpose, value, f"{cell.name}{tied}", "measured"))
    return tiles


def _sections(name: str, group: Group, several: bool) -> list[Section]:
    of = f" ({group.bench} on {group.machine})" if several else ""
    found = [
        _take(name, group, of),
        _cells(name, group, of),
        _quality(name, group, of),
        _speed(name, group, of),
        _drift(name, group, of),
        *_details(name, group, of),
        _not_measured(name, group, of),
        _how(name, group, of),
    ]
    return [section for section in found if section is not None]


def _take(name: str, group: Group, of: str) -> Section | None:
    if not group.picks:
        return None
    rows: list[tuple[str, ...]] = []
    commands: dict[str, list[str]] = {}
    for pick in group.picks:
        if pick.cell is None:
            rows.append((pick.purpose, "none", "", pick.why))
            continue
        cell = group.cells[pick.cell]
        rows.append(
            (pick.purpose, cell.name, f"{name_of(pick.metric)} {interval(cell.measured[pick.metric])}", _tied(group, pick))
        )
        commands.setdefault(cell.command, []).append(pick.purpose)
    table = Table(f"The best of each kind{of}", ["", "cell", "figure", "cannot be told from it"], rows)
    lines = [f"{command}   # {', '.join(purposes)}" for command, purposes in commands.items()]
    return Section(f"{name}-take", f"What to take{of}", tables=[table], commands=lines)


def _tied(group: Group, pick: Pick) -> str:
    return "; ".join(group.cells[at].name for at in pick.tied) or "none: it is apart from all others"


def _cells(name: str, group: Group, of: str) -> Section | None:
    if not group.cells:
        return None
    columns = ["#", "cell", "front", *(name_of(each) for each in group.criteria), "runs", "n"]
    rows = []
    for at, cell in enumerate(group.cells, 1):
        known = [cell.measured.get(each) for each in group.criteria]
        counted = cell.measured.get(group.speed)
        n = str(counted.samples) if counted else ""
        rows.append((str(at), cell.name, cell.place, *map(interval, known), str(len(cell.runs)), n))
    text = (
        f"{front.FRONT.capitalize()}: nothing else is as good or better in {_and([name_of(c) for c in group.criteria])}, "
        f"and better in at least one. {front.TIED.capitalize()}: something is, but by no more than the intervals."
    )
    note = (
        "In brackets from the lowest low to the highest high of the runs' own 95% intervals; n counts the samples of "
        f"{name_of(group.speed) or 'time'} over all runs."
    )
    table = Table(f"All cells{of}", columns, rows, ["#", *columns[3:]], note)
    return Section(f"{name}-cells", f"Size, quality, time and cost{of}", text, [table])


def _quality(name: str, group: Group, of: str) -> Section | None:
    """What the model's gists are worth against the time they take; only where two cells have both."""
    both = [c for c in group.cells if "pass_rate" in c.measured and group.speed in c.measured]
    if len(both) < 2:
        return None
    rows = [
        (str(group.cells.index(c) + 1), c.name, interval(c.measured["pass_rate"]), interval(c.measured[group.speed]))
        for c in both
    ]
    columns = ["#", "cell", name_of("pass_rate"), name_of(group.speed)]
    return Section(
        f"{name}-quality", f"Gists that pass, and the time they take{of}",
        tables=[Table(f"Passing gists and time{of}", columns, rows, ["#", *columns[2:]])],
    )  # fmt: skip


def _speed(name: str, group: Group, of: str) -> Section | None:
    if not group.speed:
        return None
    faster = -1 if meaning(group.speed).better == "higher" else 1
    known = sorted((c for c in group.cells if group.speed in c.measured), key=lambda c: faster * c.measured[group.speed].value)
    best = known[0].measured[group.speed]
    rows = []
    for cell in known:
        m = cell.measured[group.speed]
        tied = "" if m is best or m.separate(best) else "tied with the first"
        rows.append((cell.name, interval(m), f"{_times(m, best):.2f}x", tied))
    columns = ["cell", name_of(group.speed), "of the best", ""]
    return Section(f"{name}-speed", f"Speed{of}", METRICS[group.speed].what.capitalize() + ".", [
        Table(f"By {name_of(group.speed)}{of}", columns, rows, columns[1:3])
    ])  # fmt: skip


def _times(one: Estimate, best: Estimate) -> float:
    """How many times worse."""
    above, below = (best.value, one.value) if best.better == "higher" else (one.value, best.value)
    return above / below if below else float("nan")


def _drift(name: str, group: Group, of: str) -> Section | None:
    drift = group.drift
    if drift is None:
        return None
    rows = [(str(at), _clock(when), figure(value, meaning(drift.metric).unit)) for at, (when, value) in _numbered(drift)]
    judged = "more than" if drift.spread > summary.DRIFT_MATTERS else "within"
    text = (
        f"{drift.name}, run again at the start of each block and at the end: the largest is {drift.spread:.1%} above the "
        f"smallest, {judged} the {summary.DRIFT_MATTERS:.0%} that would matter. These runs count for nothing else."
    )
    table = Table(
        f"The reference cell{of}", ["run", "started (UTC)", name_of(drift.metric)], rows, ["run", name_of(drift.metric)]
    )
    return Section(f"{name}-drift", f"Did the machine drift?{of}", text, [table])


def _numbered(drift: Drift) -> list[tuple[int, tuple[str, float]]]:
    return list(enumerate(drift.values, 1))


def _details(name: str, group: Group, of: str) -> list[Section]:
    if not group.cells:
        return []
    tables = []
    for at, cell in enumerate(group.cells, 1):
        rows = [
            (metric, interval(found), str(found.runs), str(found.samples), "counted" if found.exact else "", note)
            for metric, found in cell.measured.items()
            for note in [_note(cell, metric)]
        ]
        columns = ["metric", "median (interval)", "runs", "n", "", "note"]
        about = f"configuration {cell.config_hash[:12]}, llmc {cell.version} {cell.commit[:12]}"
        tables.append(Table(f"{at}: {cell.name}{of}", columns, rows, columns[1:4], about))
    return [Section(f"{name}-details", f"Every metric of each cell{of}", tables=tables, folded=True)]


def _note(cell: Cell, metric: str) -> str:
    return "; ".join(
        dict.fromkeys(run.metrics[metric].note for run in cell.runs if metric in run.metrics and run.metrics[metric].note)
    )


def _not_measured(name: str, group: Group, of: str) -> Section | None:
    rows = [("failed", cell.name, each.error, each.hint) for cell in group.failed for each in cell.failed]
    varied = summary.names([summary.unmeasured(each, group.plan) for each in group.refused])
    rows += [("refused", label, each.error, each.hint) for label, each in zip(varied, group.refused, strict=True)]
    if not rows:
        return None
    table = Table(f"Failed and refused{of}", ["", "cell", "reason", "hint"], list(dict.fromkeys(rows)))
    text = "Refused: the combination cannot work on this machine, so it was not tried. Failed: it was tried."
    return Section(f"{name}-missing", f"What was not measured, and why{of}", text, [table])


def _how(name: str, group: Group, of: str) -> Section:
    first = group.runs[0][0]
    rows: list[tuple[str, str]] = [("machine", group.machine), ("bench", group.bench)]
    code = dict.fromkeys(f"{each.version} {each.commit[:12]}".strip() for each, _ in group.runs)
    rows.append(("llmc", ", ".join(code)))
    loads = [float(each.machine.get("load", 0)) for each, _ in group.runs if each.status == "done"]
    if loads:
        rows.append(("load average at the start of a run", f"{min(loads):.2f} to {max(loads):.2f}"))
    if governor := first.machine.get("governor"):
        rows.append(("clock", str(governor)))
    rows.append(("first and last run (UTC)", f"{_clock(first.started)} to {_clock(group.runs[-1][0].started)}"))
    if "seed" in (plan := group.plan):
        rows.append(("order", f"{plan.get('blocks')} blocks, random within each, seed {plan.get('seed')}"))
    tables = [Table(f"Circumstances{of}", ["", ""], rows)]
    labels = {cell.config_hash: cell.name for cell in (*group.cells, *group.failed)}
    ran = []
    for at, (each, role) in enumerate((run for run in group.runs if run[0].status != "refused"), 1):
        label = labels.get(each.config_hash, each.config_hash[:8])
        ran.append((str(at), each.started[11:19], label, role, each.status, f"{each.seconds:.1f} s"))
    tables.append(Table(f"Runs in their order{of}", ["#", "started", "cell", "as", "", "took"], ran, ["#", "took"]))
    return Section(f"{name}-how", f"How it was measured{of}", tables=tables)


def _clock(started: str) -> str:
    return started[:19].replace("T", " ")


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# Programs


def _facts(group: Group) -> dict[str, Any]:
    return {
        "machine": group.machine,
        "bench": group.bench,
        "seed": group.plan.get("seed"),
        "blocks": group.plan.get("blocks"),
        "criteria": group.criteria,
        "picks": [
            {
                "purpose": pick.purpose,
                "metric": pick.metric,
                "cell": None if pick.cell is None else group.cells[pick.cell].name,
                "command": None if pick.cell is None else group.cells[pick.cell].command,
                "tied": [group.cells[at].name for at in pick.tied],
                "why": pick.why,
            }
            for pick in group.picks
        ],
        "drift": group.drift
        and {
            "cell": group.drift.name,
            "metric": group.drift.metric,
            "spread": group.drift.spread,
            "runs": [{"started": when, "value": value} for when, value in group.drift.values],
        },
        "cells": [_cell_facts(cell) for cell in group.cells],
        "failed": [
            {"cell": cell.name, "config_hash": cell.config_hash, "error": each.error, "hint": each.hint}
            for cell in group.failed
            for each in cell.failed
        ],
        "refused": [
            {"cell": each.cell, "config_hash": each.config_hash, "reason": each.error, "hint": each.hint}
            for each in group.refused
        ],
        "runs": [
            {"id": each.id, "started": each.started, "seconds": each.seconds, "role": role, "status": each.status}
            for each, role in group.runs
            if role in (sweep.CELL, sweep.REFERENCE)
        ],
    }


def _cell_facts(cell: Cell) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "options": cell.options,
        "overrides": cell.overrides,
        "config_hash": cell.config_hash,
        "version": cell.version,
        "commit": cell.commit,
        "front": cell.place,
        "command": cell.command,
        "runs": len(cell.runs),
        "metrics": {
            name: {
                "value": m.value,
                "low": m.low if m.bounded else None,
                "high": m.high if m.bounded else None,
                "unit": m.unit,
                "better": m.better,
                "runs": m.runs,
                "samples": m.samples,
                "exact": m.exact,
            }
            for name, m in cell.measured.items()
        },
    }
