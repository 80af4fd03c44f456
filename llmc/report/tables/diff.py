"""Two archives beside each other."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from llmc import units
from llmc.diff import Change, Diff, Side, Words
from llmc.report import one_line
from llmc.report.tables.screen import MANY, draw, flat, grid, some

NEAR_WORDS = 6  # that are shown on each side of changed ones


@draw.register
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
    grid(console, [row for row in rows if row[1]])
    for change in result.changes[:MANY]:
        _change(console, change)
    if result.changed > MANY:
        console.print(
            f"and {result.changed - MANY} more: id=PATTERN narrows it down, format=json lists up to {len(result.changes)}"
        )
    for name, ids in ((result.archive, result.only_in_archive), (result.other, result.only_in_other)):
        if ids:
            grid(console, some([(id, "") for id in ids], f"only in {name}"))


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
            console.print(Text(f"  facts {sign}  " + "   ".join(f"[{flat(f['text'])}]" for f in facts)))
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
        said = flat(run.text)
        if run.op == "=":
            kept = said.split(" ")
            head = kept[:NEAR_WORDS] if number else []
            tail = kept[-NEAR_WORDS:] if number < len(words) - 1 else []
            said = said if len(kept) <= 2 * NEAR_WORDS else " ".join([*head, "…", *tail])
            text.append(f"{said} ")
        else:
            text.append(f"[-{said}-] " if run.op == "-" else f"{{+{said}+}} ", style="red" if run.op == "-" else "green")
    return text
