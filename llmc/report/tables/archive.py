"""What is in an archive: show, why, verify, restore."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmc import units
from llmc.fidelity import Check, Span
from llmc.fidelity.beside import beside
from llmc.files import Restored
from llmc.report import one_line
from llmc.report.tables.screen import MANY, argument, draw, flat, grid, printable, some
from llmc.report.why import line_of, line_starts, verdict_line
from llmc.target.read import Listing, Refusals, Shown, Verified, Why
from llmc.view import View

SIDE_BY_SIDE = 100  # columns: narrower than that, two texts are shown below each other
MOST_SAID = 400  # characters of a source sentence beside a view's; the page (html=) has all of it


@draw.register
def _(result: Restored, console: Console) -> None:
    documents = units.many(result.written + result.unchanged, "document")
    there = f"{result.unchanged} of them there already" if result.written else "there already"
    how = f"{units.size(result.bytes)}, every sha256 checked{f'; {there}' if result.unchanged else ''}"
    console.print(Text(one_line(f"{documents} in {result.output}   {how}")))
    if result.failed:
        grid(console, some(result.failed, "not written"))


@draw.register
def _(result: Verified, console: Console) -> None:
    what = f"{units.many(result.documents, 'document')}, {units.size(result.bytes)}, {units.seconds(result.seconds)}"
    if not result.damaged:
        console.print(Text(f"intact   {what}: every sha256 agrees", style="green"))
        return
    console.print(Text(f"damaged  {len(result.damaged)} of {what}", style="red"))
    grid(console, some(result.damaged, "damaged"))


@draw.register
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
        example = f"{argument('archive', result.archive)} {argument('id', result.documents[0]['id'])}"
        console.print(Text(f"one of them: llmc show {example}"))


@draw.register
def _(result: Shown, console: Console) -> None:
    _head(console, result.id, result.bytes, result.view)
    if result.original is not None:
        console.print(Text(printable(result.original)))
    elif result.view:
        console.print(Text(printable(result.view.text or "")))
    if result.view and result.original is None:
        _columns(console, "facts", ((f.text, f"at {f.source.start}") for f in result.view.facts))
    grid(console, _receipt(result.receipt))


@draw.register
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
    grid(
        console,
        [
            (a.tier, a.outcome, f"{a.seconds:.1f} s", f"{a.prompt_tokens}+{a.output_tokens} tokens", a.reason)
            for a in view.attempts
        ],
    )
    if view.verdict:
        _checks(console, view.verdict.checks, starts)
    grid(console, _receipt(result.receipt))
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
        console.print(Text(printable(text)))
        return
    rows = beside(source, text)
    pairs = []
    for row in rows:
        said = text[row.view.start : row.view.end]
        there = [_said(source[span.start : span.end], said, line_of(starts, span.start)) for span in row.source]
        if any(c.isalnum() for c in said):
            pairs.append((Text(flat(said)), Text("\n".join(there) or "no sentence that says it was found")))
    if appended := text[rows[-1].view.end if rows else 0 :].strip():
        pairs.append((Text(flat(appended)), Text("copied from the source by llmc")))
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
    return f"line {line}: " + ("word for word" if there.split() == said.split() else flat(there)[:MOST_SAID])


def _place(span: Span, starts: list[int] | None) -> str:
    return f"at {span.start}" if starts is None else f"line {line_of(starts, span.start)}"


@draw.register
def _(result: Refusals, console: Console) -> None:
    for document in result.documents:
        console.print(Text(f"{one_line(document['id'])}   has {one_line(document['view'])}", style="bold"))
        for reason in document["refused"]:
            console.print(Text(f"  {one_line(reason)}"))
    console.print(f"{units.many(len(result.documents), 'document')} with a refused text")


def _receipt(receipt: dict[str, Any]) -> list[tuple[str, ...]]:
    """What is recorded of a view, for people; JSON has the same in full."""
    written = {"bytes": lambda n: f"{n:,}", "seconds": units.seconds}
    return [(key, written.get(key, str)(value)) for key, value in receipt.items()]


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
