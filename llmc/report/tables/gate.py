"""What a change did to the benchmarks."""

from rich.console import Console

from llmc import units
from llmc.report.tables.screen import draw, grid
from llmc.target.gate import GateReport, SelfTest


@draw.register
def _(result: GateReport, console: Console) -> None:
    slowest = max(result.changes, key=lambda c: c.change, default=None)
    said = f"{units.many(len(result.changes), 'benchmark')}, {units.many(result.counters, 'exact counter')}"
    if slowest:
        said += f"; slowest change {slowest.benchmark.split('::')[-1]} {slowest.change:+.1%}"
        said += f" (98% CI {100 * slowest.low:+.1f}..{100 * slowest.high:+.1f})"
    took = f"{units.seconds(result.seconds)}, {units.many(result.pairs, 'pair')}"
    console.print(f"{result.verdict:<13} {said}   {took}", soft_wrap=True)
    grid(console, [("", "why", reason) for reason in result.reasons])
    rows = [("", "", "time", "98% CI", "")] if result.changes else []
    for c in result.changes:
        rows.append((c.benchmark, units.seconds(c.head_seconds), f"{c.change:+.1%}", f"{c.low:+.1%}..{c.high:+.1%}", c.status))
    grid(console, rows)
    grid(console, [(d.benchmark, d.name, f"{d.base} -> {d.head}", d.status, d.why) for d in result.differences])
    grid(console, [("new", name) for name in result.new] + [("removed", name) for name in result.removed])
    if result.fitness:
        f = result.fitness
        said = f"the same code differs by {f.median_change:+.1%}, its pairs scatter by {f.sd:.1%}"
        console.print(f"machine       {said}: {units.many(f.pairs_needed, 'pair')} to catch 10%")
    console.print(f"base {result.base[:12]}; every ratio: {result.record}", soft_wrap=True)


@draw.register
def _(result: SelfTest, console: Console) -> None:
    rows = [
        ("the same code", result.same),
        (f"{result.change:+.0%} time", result.slower),
        (f"{-result.change:+.0%} time", result.faster),
    ]
    for what, counts in rows:
        console.print(f"{what:<14} " + ", ".join(f"{word} {n} of {result.runs}" for word, n in sorted(counts.items())))
    console.print(f"{units.seconds(result.seconds)} on {result.machine.machine}; every run: {result.record}", soft_wrap=True)
