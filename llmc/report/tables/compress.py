"""What was stored and what became of it: compress, stats, calibrate, clean, and what a dry run would do."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmc import money, units
from llmc.fidelity.calibrate import Rate
from llmc.make import Plan
from llmc.pipeline import Summary
from llmc.report import one_line
from llmc.report.tables.screen import argument, draw, grid, some
from llmc.stats import Stats
from llmc.target.calibrate import Calibrated
from llmc.target.clean import Cleaned
from llmc.target.compress import CompressReport
from llmc.target.route import RouteReport
from llmc.view.reuse import Reused


@draw.register
def _(result: Plan, console: Console) -> None:
    grid(console, [(f"{name}:", text) for name, text in result.steps])


@draw.register
def _(result: CompressReport, console: Console) -> None:
    run, stats = result.run, result.stats
    documents = units.many(run.unchanged, "document")
    said = [f"{units.many(run.stored, 'document')} stored, decoded again and compared"] if run.stored else []
    if run.unchanged:
        said.append(f"{run.unchanged} stored before" if run.stored else f"up to date: {documents} stored before")
    if run.replaced:
        said.append(f"{run.replaced} replace{'s' * (run.replaced == 1)} an earlier version of the same name")
    if run.failed:
        said.append(f"{len(run.failed)} could not be read")
    if run.interrupted:
        said.append("interrupted: what is done is kept, the same command goes on")
    console.print(Text(f"{one_line(run.archive)}   {'; '.join(said) or 'nothing to store'}", style="bold"))
    rows = _sizes(stats, run.view)
    if run.skipped:
        rows.append(("skipped", ", ".join(f"{n} {what}" for what, n in run.skipped.items())))
    seconds = run.exact_seconds + run.view_seconds
    pace = f", {run.views_made / run.view_seconds * 60:.0f} views/min" if run.views_made and run.view_seconds >= 1 else ""
    tokens = (
        f" · {units.count(run.prompt_tokens)} tokens read, {units.count(run.output_tokens)} written"
        if run.prompt_tokens
        else ""
    )
    if gists := _gists(run):
        rows.append(("gists", gists))
    if reused := _reused(run.reused):
        rows.append(("reused", reused))
    rows.append(("time", f"{units.seconds(seconds)}{pace}{tokens} · {result.engine}"))
    rows.extend(("warning", warning) for warning in dict.fromkeys(run.warnings))
    grid(console, rows)
    if run.failed:
        grid(console, some(run.failed, "unread"))
    console.print(Text(f"next: llmc show {argument('archive', run.archive)}"))


def _gists(run: Summary) -> str:
    """``312 by qwen2.5 (local), 9 by gpt-4.1-mini (cloud); left local: 7 fidelity precision, 2 timeout``."""
    if len(run.gists_by) < 2 and all(why.startswith("fidelity") for whys in run.steps_down.values() for why in whys):
        return ""  # one model, and what was refused is told already
    by = ", ".join(f"{n} by {name}" for name, n in run.gists_by.items()) or "none by a model"
    left = (
        f"left {name}: " + ", ".join(f"{n} {why}" for why, n in sorted(whys.items(), key=lambda item: -item[1]))
        for name, whys in run.steps_down.items()
    )
    return "; ".join([by, *left])


@draw.register
def _(result: RouteReport, console: Console) -> None:
    console.print(Text(f"profile {result.profile}, route {result.route}: {result.rule}", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("source tokens", "rung", "", "asked first", "pass", "of", "seconds", "cost"):
        table.add_column(name, justify="left" if name in ("source tokens", "rung", "") else "right")
    for length in result.lengths:
        for i, rung in enumerate(length.rungs):
            rate = "-" if rung.pass_rate is None else f"{rung.pass_rate:.0%}"
            seconds = "-" if rung.seconds is None else f"{rung.seconds:.1f}"
            cost = "unknown" if rung.cost_usd is None else f"${rung.cost_usd:.6f}"
            name = length.source_tokens if not i else ""
            table.add_row(name, rung.rung, rung.what, f"{rung.asked_first:.0%}", rate, f"{rung.tries:g}", seconds, cost)
    console.print(table)
    grid(console, [("health", name, text) for name, text in result.health.items()])
    grid(console, [("left out", name, text) for name, text in result.left_out.items()])


def _reused(reused: Reused) -> str:
    said = []
    if reused.hits:
        said.append(f"{reused.hits} of {reused.lookups} views were in the cache ({reused.hit_rate:.0%})")
    if reused.repeated:
        said.append(f"{reused.repeated} of a text that came before")
    if reused.shared:
        said.append(f"{reused.shared} of a near-duplicate")
    if tokens := reused.saved_prompt_tokens + reused.saved_output_tokens:
        cost = f" and {money.text(money.pico(reused.saved_usd))}" if reused.saved_usd != "0" else ""
        unpriced = f" (of {reused.saved_unpriced} views the cost is not known)" if cost and reused.saved_unpriced else ""
        said.append(f"{units.count(tokens)} tokens{cost} saved{unpriced}")
    return ", ".join(said)


def _sizes(stats: Stats, wanted: str = "gist") -> list[tuple[str, ...]]:
    exact = f"{units.size(stats.original_bytes)} -> {units.size(stats.exact_bytes)}"
    rows: list[tuple[str, ...]] = [
        ("bytes", f"{exact}   {units.ratio(stats.original_bytes, stats.exact_bytes)}   on disk, everything restoring needs")
    ]
    if stats.exact_bytes > stats.original_bytes:
        rows.append(("", "larger than the originals: too little text for an archive to pay"))
    if stats.views and (wanted != "none" or set(stats.views) != {"pending"}):
        kinds = ", ".join(f"{n} {'without yet' if kind == 'pending' else kind}" for kind, n in stats.views.items())
        if stats.view_tokens:
            estimated = " (estimated)" if any("estimated" in by for by in stats.tokens_by) else ""
            shorter = f"{units.count(stats.source_tokens)} -> {units.count(stats.view_tokens)} tokens{estimated}"
            tokens = f"{shorter}   {units.ratio(stats.source_tokens, stats.view_tokens)}"
            rows.append(("views", f"{tokens}   {kinds}"))
            rows.append(("", f"+{units.size(stats.view_bytes)} on disk for views, verdicts and receipts"))
        else:
            rows.append(("views", kinds))
    if stats.refused:
        why = ", ".join(f"{n} {check}" for check, n in stats.refused.items())
        rows.append(
            (
                "refused",
                f"{units.many(sum(stats.refused.values()), 'gist')}: {why}   (llmc why archive={stats.archive} refused=true)",
            )
        )
    if stats.without_view:
        rows.append(("no view", ", ".join(f"{n} {why}" for why, n in stats.without_view.items())))
    if sum(stats.refused.values()) > stats.views.get("gist", 0):
        rows.append(("hint", "a larger model would keep more gists: model=gemma (4 GB of memory), model=qwen (6 GB)"))
    rows.extend(("engine", f"{units.many(n, 'time')}: {reason}") for reason, n in stats.engine_failures.items())
    return rows


@draw.register
def _(result: Stats, console: Console) -> None:
    old = f", and {units.many(result.replaced, 'earlier version')}" if result.replaced else ""
    console.print(Text(f"{one_line(result.archive)}   {units.many(result.documents, 'document')}{old}", style="bold"))
    rows = _sizes(result)
    if result.models:
        rows.append(("model", ", ".join(result.models)))
    rows += _calibration(result)
    grid(console, rows)


def _calibration(stats: Stats) -> list[tuple[str, ...]]:
    """How often the check misses what kind of error, as far as it was measured for these views' settings."""
    if not stats.views.get("gist") and not stats.views.get("extract"):
        return []
    held = stats.calibration
    if held is None:
        return [("check", f"not calibrated for these views: llmc calibrate {argument('archive', stats.archive)}")]
    of = f"{held.reported} {one_line(held.basis)}, seed {held.seed}"
    rows: list[tuple[str, ...]] = [("check", f"calibrated {one_line(held.date[:10])} on {of}; errors missed:")]
    for kind in held.kinds:
        if kind["tries"]:
            low, high = kind["share_95"]
            sure = "   certified" if kind["certified"] else ""
            name = one_line(kind["kind"])
            rows.append(("", f"{name:<10} {kind['missed']:>4} of {kind['tries']:<5} {low:.1%} to {high:.1%}{sure}"))
    return rows


@draw.register
def _(result: Calibrated, console: Console) -> None:
    console.print(
        Text(f"{result.views} {result.basis} of {units.many(result.documents, 'document')}   {result.verdict}", style="bold")
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("planted error", "missed", "of", "95% interval", ""):
        table.add_column(name, justify="left" if name in ("planted error", "") else "right", no_wrap=True)
    for kind in result.kinds:
        sure = "certified" if kind.certified else "too few" if kind.missed.tries < result.certified_tries else ""
        table.add_row(kind.kind, *_rate(kind.missed), Text(sure, style="green" if kind.certified else ""))
    table.add_row(
        "refused, though kept" if result.basis == "kept views" else "refused, though faithful",
        *_rate(result.false_refusals),
        "",
    )
    console.print(table)
    rows = [
        ("skipped", ", ".join(f"{n} {what}" for what, n in result.skipped.items())),
        ("set", f"policy.grounded_share={result.policy.grounded_share}, on the half that is not reported; seed {result.seed}"),
        ("kept", f"{result.file}   {units.seconds(result.seconds)}"),
    ]
    grid(console, [row for row in rows if row[1]])


def _rate(rate: Rate) -> tuple[str, str, str]:
    low, high = rate.share_95
    return str(rate.count), str(rate.tries), f"{low:.1%} to {high:.1%}" if rate.tries else "-"


@draw.register
def _(result: Cleaned, console: Console) -> None:
    rows = []
    for kept in result.kept:
        done = "deleted" if kept.what in result.deleted else ""
        foreign = f"{units.many(kept.foreign, 'other file')} left alone" if kept.foreign else ""
        rows.append((kept.what, units.size(kept.bytes), units.many(kept.files, "file"), done, kept.meaning, foreign))
    grid(console, rows)
    if not result.deleted:
        console.print(Text("next: llmc clean what=cache   (or another of these, or all)"))
