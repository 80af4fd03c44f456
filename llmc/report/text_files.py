"""Reports as Markdown and CSV, whatever their text holds.

In a spreadsheet a cell that begins like a formula is not one, in Markdown nothing is markup, and control characters are
written out.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

from llmc.report.html import Section, Table, Tile, visible

_FORMULA = re.compile(
    r"[\s'\"]*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20|%]"
)  # what spreadsheets may run, also behind white space and quotes
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$#!])")
_LINK = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)  # GitHub makes links of bare addresses and names
_NO_LINK = "<!-- -->"  # which nobody sees


def safe_cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula. Numbers of our own are not passed through this."""
    text = " ".join(visible(str(value)).split("\n"))
    return f"'{text}" if _FORMULA.match(text) else text


def table_csv(rows: Iterable[Sequence[object]]) -> str:
    """RFC 4180; text is made safe, numbers are as they are."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    for row in rows:
        writer.writerow([safe_cell(cell) if isinstance(cell, str) else "" if cell is None else _number(cell) for cell in row])
    return written.getvalue()


def _number(value: object) -> str:
    return f"{value:f}" if hasattr(value, "as_tuple") else str(value)


def markdown(title: str, verdict: str, more: Sequence[str], tiles: Sequence[Tile], sections: Sequence[Section]) -> str:
    """GitHub's Markdown; what is in a cell is text and nothing else."""
    parts = [f"# {md(title)}\n", f"**{md(verdict)}**\n", *(f"{md(line)}\n" for line in more)]
    if tiles:
        rows = [(t.label, t.value, t.basis, t.note) for t in tiles]
        parts.append(md_table(Table("", ["", "value", "basis", ""], rows, ["value"])))
    for section in sections:
        parts.append(f"## {md(section.title)}\n")
        parts += [f"{md(section.text)}\n"] if section.text else []
        parts += [md_code(command) for command in section.commands]
        parts += [md_table(table) for table in section.tables]
    return "\n".join(parts)


def md_code(command: str) -> str:
    """A command as a code block, indented: nothing in it can end the block."""
    return f"    {' '.join(visible(command).split())}\n"


def md(text: object) -> str:
    """One line of text that Markdown takes for nothing but text."""
    line = _MARKDOWN.sub(r"\\\1", " ".join(visible(str(text)).split()))
    return _LINK.sub(_NO_LINK, line.replace("&", "&amp;").replace("<", "&lt;"))


def md_table(table: Table) -> str:
    lines = [f"*{md(table.caption)}*\n"] if table.caption else []
    rule = ["---:" if column in table.numbers else "---" for column in table.columns]
    cells = [[md(c) for c in table.columns], rule, *([md(c) for c in row] for row in table.rows)]
    lines += [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([*lines, *([f"\n{md(table.note)}"] if table.note else []), ""])
