"""What was spent, and the ledger's upkeep."""

import textwrap

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmc import money, units
from llmc.ledger.reconcile import Line, Reconciled
from llmc.ledger.reprice import Repriced
from llmc.report import one_line
from llmc.report.tables.screen import LEVELS, draw, grid
from llmc.target.cost import Costs
from llmc.target.ledger import Imported, LedgerVerified

ON_SCREEN = ("spent", "breakeven", "unknown")  # of the cost report; its files have all of it
OFF_SCREEN = ("cached", "unknown price")  # columns of it that are too wide here


@draw.register
def _(result: Costs, console: Console) -> None:
    said = result.said
    console.print(Text(one_line(said.verdict), style="bold"))
    for line in said.more:
        console.print(Text(one_line(line)))
    grid(console, [(t.label, t.value, t.basis, t.note) for t in said.tiles])
    for table in (t for section in said.sections if section.name in ON_SCREEN for t in section.tables[:1]):
        kept = [i for i, column in enumerate(table.columns) if column not in OFF_SCREEN]
        shown = Table(box=None, pad_edge=False, header_style="bold", title=one_line(table.caption), title_justify="left")
        for i in kept:
            right = table.columns[i] in table.numbers
            # A narrow head leaves room for names, which are what is wide.
            head = "\n".join(textwrap.wrap(one_line(table.columns[i]), 9)) if right else one_line(table.columns[i])
            shown.add_column(head, justify="right" if right else "left", overflow="fold", no_wrap=right)
        for row in table.rows:
            shown.add_row(*(Text(one_line(row[i])) for i in kept))
        console.print(shown)
    for file in result.written:
        console.print(Text(one_line(f"written: {file}")), soft_wrap=True)
    if not result.written and said.sections:
        console.print("with charts, all tables and what it rests on: llmc cost output=cost/")


@draw.register
def _(result: LedgerVerified, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    for check in result.checks:
        level = "ok" if check.passed else "problem"
        text = f"{check.name}\n{one_line(check.detail)}" if check.detail else check.name
        table.add_row(Text(level, style=LEVELS[level]), Text(f"{check.checked:,}"), Text(text))
    console.print(table)


@draw.register
def _(result: Repriced, console: Console) -> None:
    known = [money.text(pico) for pico in (result.before_pico, result.after_pico)]
    rows = [
        ("costs", f"{known[0]} -> {known[1]}   {result.changed:,} of {result.events:,} calls have another one"),
        ("unknown", f"{result.unknown_before:,} -> {result.unknown_after:,} calls"),
        ("asked for", f"llmc cost repricing={result.repricing_id}   what was recorded stays as it is"),
    ]
    if result.variant_unmatched:
        rows.insert(2, ("variant", f"{result.variant_unmatched:,} calls priced as standard: the list has no such discount"))
    grid(console, rows)


@draw.register
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


@draw.register
def _(result: Imported, console: Console) -> None:
    console.print(Text(one_line(f"{units.many(result.records, 'record')} from {result.spool} now in {result.ledger}")))
    for warning in result.warnings:
        console.print(Text(one_line(f"warning: {warning}")))
