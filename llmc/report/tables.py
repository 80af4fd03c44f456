"""Results for people: one screen, the verdict first, the next command within reach. Fits 100 columns, reads without colour.

Everything that comes from documents or archives is printed as plain characters: never as markup, never as terminal control.
"""

import shlex
import sys
import textwrap
from collections.abc import Iterable, Sequence
from functools import singledispatch
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmc import money, units
from llmc.diff import Change, Diff, Side, Words
from llmc.fidelity import Check, Span
from llmc.fidelity.beside import beside
from llmc.fidelity.calibrate import Rate
from llmc.files import Restored
from llmc.ledger.reconcile import Line, Reconciled
from llmc.ledger.reprice import Repriced
from llmc.make import Plan
from llmc.model.sources import Pulled
from llmc.pipeline import Summary
from llmc.report import one_line, plain
from llmc.report.why import line_of, line_starts, verdict_line
from llmc.stats import Stats
from llmc.target.calibrate import Calibrated
from llmc.target.clean import Cleaned
from llmc.target.compress import CompressReport
from llmc.target.cost import Costs
from llmc.target.deploy import Deployed
from llmc.target.doctor import Diagnosis
from llmc.target.export import Exported
from llmc.target.gate import GateReport, SelfTest
from llmc.target.ledger import Imported, LedgerVerified
from llmc.target.read import Listing, Refusals, Shown, Verified, Why
from llmc.target.route import RouteReport
from llmc.target.status import Status
from llmc.target.stop import Stopped
from llmc.view import View
from llmc.view.reuse import Reused

LEVELS = {"ok": "green", "warning": "yellow", "problem": "red"}
MANY = 12  # items of a list that are shown before "and N more"
ON_SCREEN = ("spent", "breakeven", "unknown")  # of the cost report; its files have all of it
OFF_SCREEN = ("cached", "unknown price")  # columns of it that are too wide here
SIDE_BY_SIDE = 100  # columns: narrower than that, two texts are shown below each other
NEAR_WORDS = 6  # that are shown on each side of changed ones
MOST_SAID = 400  # characters of a source sentence beside a view's; the page (html=) has all of it


def render(result: Any) -> None:  # noqa: ANN401
    width = None if sys.stdout.isatty() else 100
    _render(result, _Console(highlight=False, markup=False, width=width))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """As for any other output: the reader has gone, and that is all."""
        raise BrokenPipeError


def _grid(console: Console, rows: Sequence[tuple[str, ...]]) -> None:
    table = Table.grid(padding=(0, 2))
    width = max((len(row) for row in rows), default=0)
    for column in range(width):
        table.add_column(no_wrap=column < width - 1, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console.print(table)


def _some(items: list[tuple[str, str]], verb: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [(verb, name, reason) for name, reason in items[:MANY]]
    if len(items) > MANY:
        rows.append((verb, f"and {len(items) - MANY} more", ""))
    return rows


@singledispatch
def _render(result: Any, console: Console) -> None:  # noqa: ANN401
    console.print_json(data=plain(result))


@_render.register
def _(result: Plan, console: Console) -> None:
    _grid(console, [(f"{name}:", text) for name, text in result.steps])


@_render.register
def _(result: Pulled, console: Console) -> None:
    where = ("server", result.server) if result.server else ("path", result.path)
    how = f"downloaded {units.size(result.downloaded_bytes)}" if result.downloaded_bytes else "was here already"
    _grid(console, [(result.name, f"{units.size(result.bytes)}, {how}"), ("sha256", result.sha256), where])


@_render.register
def _(result: Deployed, console: Console) -> None:
    r = result.report
    text = f"loaded in {units.seconds(r['load_seconds'])}, first token after {units.seconds(r['first_token_seconds'])}"
    where = {None: "not proven", 0: "on the CPU"}.get(r["gpu_share"], f"{(r['gpu_share'] or 0):.0%} on the GPU")
    memory = r["memory_bytes"]
    buffers = sum(memory.get(use, 0) for use in ("weights", "kv", "compute"))
    measured = ((buffers, "in buffers"), (memory.get("process"), "resident"), (memory.get("total"), "loaded"))
    held = ", ".join(f"{units.size(n)} {what}" for n, what in measured if n)
    predicted = f"{units.size(memory['predicted'])} predicted" if memory["predicted"] else ""
    rows: list[tuple[str, ...]] = [
        ("works", f"{r['model']} on {r['engine']} ({r['backend']}): {text}"),
        ("where", f"{where}: {r['evidence']}"),
        ("memory", ", ".join(x for x in (held, predicted) if x) or "not said"),
        ("slots", f"{r['slots']} documents at once, {r['slot_context_tokens']} tokens each"),
    ]
    if "url" in r:
        stays = f"stays until llmc stop name={r['name']}" if r["stays"] else "yours: llmc does not stop it"
        rows.append(("server", f"{r['name']} at {r['url']}, {stays}"))
    _grid(console, [*rows, ("next", "llmc compress input=… output=….llmc")])


@_render.register
def _(result: Exported, console: Console) -> None:
    _grid(console, [("written", result.output), ("serves", result.url), ("next", result.next)])


@_render.register
def _(result: Stopped, console: Console) -> None:
    if not result.servers:
        console.print("nothing to stop: no server is on record")
        return
    rows = [(s.name, s.outcome, f"{s.processes} process{'es' * (s.processes != 1)}") for s in result.servers]
    _grid(console, rows)


@_render.register
def _(result: Status, console: Console) -> None:
    console.print(_status(result))


def _status(result: Status) -> Table | Text:
    if not result.servers:
        return Text("no server is on record:  llmc deploy engine=llama_server")
    table = Table.grid(padding=(0, 2))
    for s in result.servers:
        a = s.activity
        doing = [
            f"{a.slots_busy}/{s.slots} busy" if a.slots_busy is not None else f"{s.slots} slots",
            f"{a.queued} queued" if a.queued else "",
            f"{s.output_tokens_per_second:.0f} tokens/s" if s.output_tokens_per_second is not None else "",
            f"{units.count(a.output_tokens_total)} tokens written" if a.output_tokens_total is not None else "",
            f"cache {a.kv_used_share:.0%} full" if a.kv_used_share is not None else "",
            f"{units.many(s.errors_logged, 'error')} in its log" if s.errors_logged else "",
        ]
        holds = [
            f"up {units.seconds(s.up_seconds)}" if s.up_seconds is not None else "",
            f"process {s.pid}" if s.pid else "" if s.ours else "not started by llmc",
            f"{units.size(s.resident_bytes)} resident" if s.resident_bytes else "",
            f"{units.size(s.predicted_bytes)} predicted" if s.predicted_bytes else "",
            f"{s.gpu_share:.0%} on the GPU" if s.gpu_share else "",
        ]
        what = f"{s.model} on {s.engine} ({s.backend})  {s.url}"
        lines = [what, ", ".join(filter(None, doing)) if s.state == "ready" else s.reason, ", ".join(filter(None, holds))]
        lines += [f"-> {s.next}"] if s.next else []
        state = Text(s.state, style={"ready": "green", "starting": "yellow"}.get(s.state, "red"))
        table.add_row(Text(s.name, style="bold"), state, Text("\n".join(one_line(x) for x in lines if x)))
    return table


def live(samples: Iterable[Status]) -> None:
    """Servers on one screen, renewed with each sample."""
    with Live(console=_Console(highlight=False, markup=False), auto_refresh=False) as screen:
        for each in samples:
            screen.update(_status(each), refresh=True)


@_render.register
def _(result: Diagnosis, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    for overflow in ("ellipsis", "ellipsis", "fold"):
        table.add_column(overflow=overflow)
    for finding in result.findings:
        fix = f"\n-> {finding.fix}" if finding.fix else ""
        table.add_row(Text(finding.level, style=LEVELS[finding.level]), finding.subject, Text(finding.text + fix))
    console.print(table)
    problems = sum(f.level == "problem" for f in result.findings)
    if problems:
        console.print(
            Text(f"{problems} problem{'s' * (problems != 1)}: mend {'them' if problems > 1 else 'it'}, then  {result.next}")
        )
    else:
        console.print(Text(f"this works:  {result.next}"))


@_render.register
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
    rows = _sizes(stats)
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
    _grid(console, rows)
    if run.failed:
        _grid(console, _some(run.failed, "unread"))
    console.print(Text(f"next: llmc show {_argument('archive', run.archive)}"))


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


@_render.register
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
    _grid(console, [("health", name, text) for name, text in result.health.items()])
    _grid(console, [("left out", name, text) for name, text in result.left_out.items()])


def _reused(reused: Reused) -> str:
    said = []
    if reused.hits:
        said.append(f"{reused.hits} of {reused.lookups} views were in the cache ({reused.hit_rate:.0%})")
    if reused.repeated:
        said.append(f"{reused.repeated} of a text that came before")
    if reused.shared:
        said.append(f"{reused.shared} of a near-duplicate")
    if tokens := reused.saved_prompt_tokens + reused.saved_output_tokens:
        said.append(f"{units.count(tokens)} tokens saved")
    return ", ".join(said)


def _sizes(stats: Stats) -> list[tuple[str, ...]]:
    exact = f"{units.size(stats.original_bytes)} -> {units.size(stats.exact_bytes)}"
    rows: list[tuple[str, ...]] = [
        ("bytes", f"{exact}   {units.ratio(stats.original_bytes, stats.exact_bytes)}   on disk, everything restoring needs")
    ]
    if stats.exact_bytes > stats.original_bytes:
        rows.append(("", "larger than the originals: too little text for an archive to pay"))
    if stats.views:
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


@_render.register
def _(result: Stats, console: Console) -> None:
    old = f", and {units.many(result.replaced, 'earlier version')}" if result.replaced else ""
    console.print(Text(f"{one_line(result.archive)}   {units.many(result.documents, 'document')}{old}", style="bold"))
    rows = _sizes(result)
    if result.models:
        rows.append(("model", ", ".join(result.models)))
    rows += _calibration(result)
    _grid(console, rows)


def _calibration(stats: Stats) -> list[tuple[str, ...]]:
    """How often the check misses what kind of error, as far as it was measured for these views' settings."""
    if not stats.views.get("gist") and not stats.views.get("extract"):
        return []
    held = stats.calibration
    if held is None:
        return [("check", f"not calibrated for these views: llmc calibrate {_argument('archive', stats.archive)}")]
    of = f"{held.reported} {one_line(held.basis)}, seed {held.seed}"
    rows: list[tuple[str, ...]] = [("check", f"calibrated {one_line(held.date[:10])} on {of}; errors missed:")]
    for kind in held.kinds:
        if kind["tries"]:
            low, high = kind["share_95"]
            sure = "   certified" if kind["certified"] else ""
            name = one_line(kind["kind"])
            rows.append(("", f"{name:<10} {kind['missed']:>4} of {kind['tries']:<5} {low:.1%} to {high:.1%}{sure}"))
    return rows


@_render.register
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
    _grid(console, [row for row in rows if row[1]])


def _rate(rate: Rate) -> tuple[str, str, str]:
    low, high = rate.share_95
    return str(rate.count), str(rate.tries), f"{low:.1%} to {high:.1%}" if rate.tries else "-"


@_render.register
def _(result: Cleaned, console: Console) -> None:
    rows = []
    for kept in result.kept:
        done = "deleted" if kept.what in result.deleted else ""
        foreign = f"{units.many(kept.foreign, 'other file')} left alone" if kept.foreign else ""
        rows.append((kept.what, units.size(kept.bytes), units.many(kept.files, "file"), done, kept.meaning, foreign))
    _grid(console, rows)
    if not result.deleted:
        console.print(Text("next: llmc clean what=cache   (or another of these, or all)"))


@_render.register
def _(result: Restored, console: Console) -> None:
    documents = units.many(result.written + result.unchanged, "document")
    there = f"{result.unchanged} of them there already" if result.written else "there already"
    how = f"{units.size(result.bytes)}, every sha256 checked{f'; {there}' if result.unchanged else ''}"
    console.print(Text(one_line(f"{documents} in {result.output}   {how}")))
    if result.failed:
        _grid(console, _some(result.failed, "not written"))


@_render.register
def _(result: Verified, console: Console) -> None:
    what = f"{units.many(result.documents, 'document')}, {units.size(result.bytes)}, {units.seconds(result.seconds)}"
    if not result.damaged:
        console.print(Text(f"intact   {what}: every sha256 agrees", style="green"))
        return
    console.print(Text(f"damaged  {len(result.damaged)} of {what}", style="red"))
    _grid(console, _some(result.damaged, "damaged"))


@_render.register
def _(result: Listing, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("id", overflow="fold", min_width=min(40, max((len(r["id"]) for r in result.documents), default=2)))
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("view", no_wrap=True)
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in result.documents:
        tokens = "" if row["tokens"] is None else str(row["tokens"])
        first = one_line(" ".join((row["text"] or "").split()))[:200]
        table.add_row(Text(one_line(row["id"])), units.size(row["bytes"]), Text(one_line(row["view"])), tokens, Text(first))
    console.print(table)
    if result.more:
        console.print(f"and {result.more} more: id=PATTERN narrows it down")
    if result.documents:
        example = f"{_argument('archive', result.archive)} {_argument('id', result.documents[0]['id'])}"
        console.print(Text(f"one of them: llmc show {example}"))


@_render.register
def _(result: Shown, console: Console) -> None:
    _head(console, result.id, result.bytes, result.view)
    if result.original is not None:
        console.print(Text(_printable(result.original)))
    elif result.view:
        console.print(Text(_printable(result.view.text or "")))
    if result.view and result.original is None:
        _columns(console, "facts", ((f.text, f"at {f.source.start}") for f in result.view.facts))
    _grid(console, _receipt(result.receipt))


@_render.register
def _(result: Why, console: Console) -> None:
    _head(console, result.id, result.receipt["bytes"], result.view)
    view = result.view
    console.print(Text(one_line(verdict_line(view))))
    if view is None:
        return
    starts = line_starts(result.source) if result.source is not None else None
    _beside(console, view.text or "", result.source, starts)
    _columns(console, "facts", ((f.text, _place(f.source, starts)) for f in view.facts))
    _columns(console, "left out (must keep)", ((f.text, _place(Span(f.start, f.end), starts)) for f in view.left_out))
    console.print(Text("attempts", style="bold"))
    _grid(
        console,
        [
            (a.tier, a.outcome, f"{a.seconds:.1f} s", f"{a.prompt_tokens}+{a.output_tokens} tokens", a.reason)
            for a in view.attempts
        ],
    )
    if view.verdict:
        _checks(console, view.verdict.checks, starts)
    _grid(console, _receipt(result.receipt))
    console.print(Text(one_line(f"written: {result.html}") if result.html else "as a page, fact by fact: html=why.html"))


def _checks(console: Console, checks: Sequence[Check], starts: list[int] | None) -> None:
    """What failed and what was noted with its evidence, the rest by name; what recall notes is listed as left out."""
    console.print(Text("checks of the last text that was checked", style="bold"))
    quiet = [check for check in checks if check.passed and (check.name == "recall" or not check.evidence)]
    if quiet:
        console.print(Text(f"passed  {', '.join(one_line(check.name) for check in quiet)}"))
    for check in checks:
        if check in quiet:
            continue
        console.print(
            Text(f"{'passed' if check.passed else 'FAILED'}  {one_line(check.name)}", style="" if check.passed else "red")
        )
        for evidence in check.evidence[:MANY]:
            where = f" ({_place(evidence.source, starts)})" if evidence.source else ""
            console.print(Text(f"        {one_line(evidence.message)}{where}"))


def _beside(console: Console, text: str, source: str | None, starts: list[int] | None) -> None:
    """Each sentence of a view beside what the source says: in two columns where there is room, else below each other."""
    if not text:
        return
    if source is None or starts is None:
        console.print(Text(_printable(text)))
        return
    rows = beside(source, text)
    pairs = []
    for row in rows:
        said = text[row.view.start : row.view.end]
        there = [_said(source[span.start : span.end], said, line_of(starts, span.start)) for span in row.source]
        if any(c.isalnum() for c in said):
            pairs.append((Text(_flat(said)), Text("\n".join(there) or "no sentence that says it was found")))
    if appended := text[rows[-1].view.end if rows else 0 :].strip():
        pairs.append((Text(_flat(appended)), Text("copied from the source by llmc")))
    if console.width < SIDE_BY_SIDE:
        for here, beneath in pairs:
            console.print(here)
            console.print(Padding(beneath, (0, 0, 0, 4)))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold", expand=True)
    table.add_column("view", ratio=1, overflow="fold")
    table.add_column("source", ratio=1, overflow="fold")
    for pair in pairs:
        table.add_row(*pair)
    console.print(table)


def _said(there: str, said: str, line: int) -> str:
    """What the source says at a line; what is the same is not said twice."""
    return f"line {line}: " + ("word for word" if there.split() == said.split() else _flat(there)[:MOST_SAID])


def _flat(text: str) -> str:
    return _printable(" ".join(text.split()))


def _place(span: Span, starts: list[int] | None) -> str:
    return f"at {span.start}" if starts is None else f"line {line_of(starts, span.start)}"


@_render.register
def _(result: Diff, console: Console) -> None:
    counts = [f"{result.same} the same", f"{result.changed} changed"]
    counts += [f"{n} only in {one_line(name)}" for name, n in _only(result) if n]
    console.print(Text(f"{one_line(result.archive)} -> {one_line(result.other)}   {', '.join(counts)}", style="bold"))
    before, after = result.tokens
    shorter = f"{units.count(before)} -> {units.count(after)} tokens of views of the documents in both"
    rows = [("tokens", f"{shorter}   {after / before - 1:+.1%}" if before else shorter)]
    rows += [("kinds", ", ".join(f"{n} {change}" for change, n in result.kinds.items()))]
    rows += [("facts", f"+{result.facts_gained} -{result.facts_lost}" if result.changed else "")]
    rows += [("checks", ", ".join(f"{n} {change}" for change, n in result.checks.items()))]
    _grid(console, [row for row in rows if row[1]])
    for change in result.changes[:MANY]:
        _change(console, change)
    if result.changed > MANY:
        console.print(
            f"and {result.changed - MANY} more: id=PATTERN narrows it down, format=json lists up to {len(result.changes)}"
        )
    for name, ids in ((result.archive, result.only_in_archive), (result.other, result.only_in_other)):
        if ids:
            _grid(console, _some([(id, "") for id in ids], f"only in {name}"))


def _only(result: Diff) -> list[tuple[str, int]]:
    return [(result.archive, result.only_in_archive_count), (result.other, result.only_in_other_count)]


def _change(console: Console, change: Change) -> None:
    """One document: what it was and is, the words that changed, the facts and checks that did."""
    renamed = f" -> {one_line(change.other_id)}" if change.other_id != change.id else ""
    source = "   the document itself changed" if change.source_changed else ""
    console.print()
    console.print(
        Text(f"{one_line(change.id)}{renamed}   {_side(change.before)} -> {_side(change.after)}{source}", style="bold")
    )
    console.print(_changed_words(change.words))
    for sign, facts in (("+", change.gained), ("-", change.lost)):
        if facts:
            console.print(Text(f"  facts {sign}  " + "   ".join(f"[{_flat(f['text'])}]" for f in facts)))
    for check in change.checks:
        if check["evidence"]:
            now = {True: "passes now", False: "fails now", None: "is not asked now"}[check["after"]]
            console.print(Text(f"  {one_line(check['check'])} {now}: {one_line(check['evidence'])}"))


def _side(side: Side) -> str:
    return side.kind if side.tokens is None or side.kind == "none" else f"{side.kind} {side.tokens} tokens"


def _changed_words(words: Sequence[Words]) -> Text:
    """``[-old-] {+new+}``, which reads without colour; of what is the same the words around a change."""
    text = Text()
    for number, run in enumerate(words):
        said = _flat(run.text)
        if run.op == "=":
            kept = said.split(" ")
            head = kept[:NEAR_WORDS] if number else []
            tail = kept[-NEAR_WORDS:] if number < len(words) - 1 else []
            said = said if len(kept) <= 2 * NEAR_WORDS else " ".join([*head, "…", *tail])
            text.append(f"{said} ")
        else:
            text.append(f"[-{said}-] " if run.op == "-" else f"{{+{said}+}} ", style="red" if run.op == "-" else "green")
    return text


@_render.register
def _(result: Refusals, console: Console) -> None:
    for document in result.documents:
        console.print(Text(f"{one_line(document['id'])}   has {one_line(document['view'])}", style="bold"))
        for reason in document["refused"]:
            console.print(Text(f"  {one_line(reason)}"))
    console.print(f"{units.many(len(result.documents), 'document')} with a refused text")


@_render.register
def _(result: GateReport, console: Console) -> None:
    slowest = max(result.changes, key=lambda c: c.change, default=None)
    said = f"{units.many(len(result.changes), 'benchmark')}, {units.many(result.counters, 'exact counter')}"
    if slowest:
        said += f"; slowest change {slowest.benchmark.split('::')[-1]} {slowest.change:+.1%}"
        said += f" (98% CI {100 * slowest.low:+.1f}..{100 * slowest.high:+.1f})"
    console.print(f"{result.verdict:<13} {said}   {units.seconds(result.seconds)}, {units.many(result.pairs, 'pair')}")
    _grid(console, [("", "why", reason) for reason in result.reasons])
    rows = [("", "", "time", "98% CI", "")] if result.changes else []
    for c in result.changes:
        rows.append((c.benchmark, units.seconds(c.head_seconds), f"{c.change:+.1%}", f"{c.low:+.1%}..{c.high:+.1%}", c.status))
    _grid(console, rows)
    _grid(console, [(d.benchmark, d.name, f"{d.base} -> {d.head}", d.status, d.why) for d in result.differences])
    _grid(console, [("new", name) for name in result.new] + [("removed", name) for name in result.removed])
    if result.fitness:
        f = result.fitness
        said = f"the same code differs by {f.median_change:+.1%}, its pairs scatter by {f.sd:.1%}"
        console.print(f"machine       {said}: {units.many(f.pairs_needed, 'pair')} to catch 10%")
    console.print(f"base {result.base[:12]}; every ratio: {result.record}", soft_wrap=True)


@_render.register
def _(result: SelfTest, console: Console) -> None:
    rows = [
        ("the same code", result.same),
        (f"{result.change:+.0%} time", result.slower),
        (f"{-result.change:+.0%} time", result.faster),
    ]
    for what, counts in rows:
        console.print(f"{what:<14} " + ", ".join(f"{word} {n} of {result.runs}" for word, n in sorted(counts.items())))
    console.print(f"{units.seconds(result.seconds)} on {result.machine.machine}; every run: {result.record}", soft_wrap=True)


@_render.register
def _(result: Costs, console: Console) -> None:
    said = result.said
    console.print(Text(one_line(said.verdict), style="bold"))
    for line in said.more:
        console.print(Text(one_line(line)))
    _grid(console, [(t.label, t.value, t.basis, t.note) for t in said.tiles])
    for table in (t for section in said.sections if section.name in ON_SCREEN for t in section.tables[:1]):
        kept = [i for i, column in enumerate(table.columns) if column not in OFF_SCREEN]
        shown = Table(box=None, pad_edge=False, header_style="bold", title=one_line(table.caption), title_justify="left")
        for i in kept:
            right = table.columns[i] in table.numbers
            # A narrow head leaves room for names, which are what is wide.
            head = "\n".join(textwrap.wrap(one_line(table.columns[i]), 12)) if right else one_line(table.columns[i])
            shown.add_column(head, justify="right" if right else "left", overflow="fold", no_wrap=right)
        for row in table.rows:
            shown.add_row(*(Text(one_line(row[i])) for i in kept))
        console.print(shown)
    for file in result.written:
        console.print(Text(one_line(f"written: {file}")), soft_wrap=True)
    if not result.written and said.sections:
        console.print("with charts, all tables and what it rests on: llmc cost output=cost/")


@_render.register
def _(result: LedgerVerified, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    for check in result.checks:
        level = "ok" if check.passed else "problem"
        text = f"{check.name}\n{one_line(check.detail)}" if check.detail else check.name
        table.add_row(Text(level, style=LEVELS[level]), Text(f"{check.checked:,}"), Text(text))
    console.print(table)


@_render.register
def _(result: Repriced, console: Console) -> None:
    known = [money.text(pico) for pico in (result.before_pico, result.after_pico)]
    rows = [
        ("costs", f"{known[0]} -> {known[1]}   {result.changed:,} of {result.events:,} calls have another one"),
        ("unknown", f"{result.unknown_before:,} -> {result.unknown_after:,} calls"),
        ("asked for", f"llmc cost repricing={result.repricing_id}   what was recorded stays as it is"),
    ]
    _grid(console, rows)


@_render.register
def _(result: Reconciled, console: Console) -> None:
    days = f"{result.first_day} to {result.last_day} (UTC)"
    console.print(Text(f"{one_line(result.provider)}, {days}: {_drift(result.total, 'usd_pico')}", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "on record", "on the bill", "drift", "requests", "tokens in", "tokens out"):
        table.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    for line in result.models:
        cost = f"{'>= ' if line.unknown_cost else ''}{money.text(line.ours.usd_pico)}" if line.ours.requests else "nothing"
        bill = money.text(line.theirs.usd_pico) if line.theirs.usd_pico is not None else "does not say"
        counts = [_drift(line, name) for name in ("usd_pico", "requests", "input_tokens", "output_tokens")]
        table.add_row(Text(one_line(line.model)), cost, bill, *counts)
    console.print(table)


def _drift(line: Line, name: str) -> str:
    percent = line.drift_percent(name)
    return "-" if percent is None else f"{percent:+.1f}%"


@_render.register
def _(result: Imported, console: Console) -> None:
    console.print(Text(one_line(f"{units.many(result.records, 'record')} from {result.spool} now in {result.ledger}")))


def _receipt(receipt: dict[str, Any]) -> list[tuple[str, ...]]:
    """What is recorded of a view, for people; JSON has the same in full."""
    written = {"bytes": lambda n: f"{n:,}", "seconds": units.seconds}
    return [(key, written.get(key, str)(value)) for key, value in receipt.items()]


def _argument(key: str, value: str) -> str:
    """``key=value`` as it can be pasted into a shell."""
    return shlex.quote(f"{key}={value}") if value.isprintable() else f"{key}=…"


def _columns(console: Console, title: str, places: Iterable[tuple[str, str]]) -> None:
    """``[fact] place`` after each other, none of them broken in two."""
    shown = [Text(f"[{one_line(text)}] {place}") for text, place in places]
    if shown:
        console.print(Text(title, style="bold"))
        console.print(Padding(Columns(shown, padding=(0, 3, 0, 0)), (0, 0, 0, 2)))


def _head(console: Console, id: str, size: int, view: View | None) -> None:
    kind = one_line(view.kind) if view else "pending"
    tokens = f", {view.source_tokens} -> {view.tokens} tokens" if view and view.kind != "none" else ""
    console.print(Text(f"{one_line(id)}   {units.size(size)}, view: {kind}{tokens}", style="bold"))
    if view and view.kind == "none" and view.attempts:
        console.print(Text(one_line(view.attempts[-1].reason)))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
