"""What the tables of all targets share: a console that takes nothing for markup, a grid, how much of a list is shown."""

import shlex
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmc.report import one_line, plain

LEVELS = {"ok": "green", "warning": "yellow", "problem": "red"}
MANY = 12  # items of a list that are shown before "and N more"


class Screen(Console):
    def on_broken_pipe(self) -> None:
        """As for any other output: the reader has gone, and that is all."""
        raise BrokenPipeError


def grid(console: Console, rows: Sequence[tuple[str, ...]]) -> None:
    """Rows without lines; the last column takes what is wide."""
    table = Table.grid(padding=(0, 2))
    width = max((len(row) for row in rows), default=0)
    for column in range(width):
        table.add_column(no_wrap=column < width - 1, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console.print(table)


def some(items: list[tuple[str, str]], verb: str) -> list[tuple[str, ...]]:
    """The first of many, and how many more there are."""
    rows: list[tuple[str, ...]] = [(verb, name, reason) for name, reason in items[:MANY]]
    if len(items) > MANY:
        rows.append((verb, f"and {len(items) - MANY} more", ""))
    return rows


@singledispatch
def draw(result: Any, console: Console) -> None:  # noqa: ANN401
    """A result as its table; each type registers its own."""
    console.print_json(data=plain(result))


def flat(text: str) -> str:
    """On one line."""
    return printable(" ".join(text.split()))


def argument(key: str, value: str) -> str:
    """``key=value`` as it can be pasted into a shell."""
    return shlex.quote(f"{key}={value}") if value.isprintable() else f"{key}=…"


def printable(text: str) -> str:
    """Control characters shown, not sent to the terminal; lines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
