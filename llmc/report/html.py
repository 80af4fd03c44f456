"""The frame of every HTML report: one file, no network, light, dark and print, readable without JavaScript.

Text from documents, archives and servers is data. jinja2 escapes every value; before that :func:`visible` shows what cannot be
seen (control characters, direction overrides, tag characters), so that a page reads as what it holds; and the page's own policy
(``Content-Security-Policy``) lets nothing load and no script run but the one whose hash it names.

    html.save(path, html.page("why.html", title="board.md", script="why.js", why=why), force=False)

A template extends ``base.html`` and takes ``tiles``, ``table`` and ``chart`` from ``parts.html``; colours are the variables of
``report.css``. Charts: :mod:`llmc.report.chart`.
"""

import base64
import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmc.errors import UsageError
from llmc.parts import write_atomically

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
GENERATOR = '<meta name="generator" content="llmc">'
_MARKED_WITHIN = 2048  # bytes; where GENERATOR stands in a page of ours
_KEPT = "\n\t\u200c\u200d"  # line ends and tabs, and the two joiners that Persian, Hindi and emoji are spelled with


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at the top of a report."""

    label: str
    value: str
    note: str = ""
    basis: str = ""
    """Where the figure is from, in a word: ``measured``, ``estimated``, ...; shown as a badge."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption, wide ones in a box that scrolls."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    numbers: Sequence[str] = ()
    """Names of the columns that are set to the right."""
    note: str = ""
    heads: bool = True
    """The first cell of a row names the row."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report with a heading; a chart that has its ``name`` stands above its tables."""

    name: str
    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    commands: Sequence[str] = ()
    """To be copied as they are."""
    folded: bool = False
    """Its tables are opened by those who want them."""


def page(template: str, *, title: str, script: str = "", **values: object) -> str:
    """A template of ``templates/`` filled in, as one self-contained HTML document; ``script`` names the one file it may run."""
    from markupsafe import Markup

    from llmc import __version__

    code = _file(script) if script else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if script else "'none'"
    return (
        _environment()
        .get_template(template)
        .render(
            title=title,
            css=Markup(_file("report.css")),
            script=Markup(code),
            policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}",
            generator=Markup(GENERATOR),
            version=__version__,
            **values,
        )
    )


def save(path: str | Path, text: str, *, force: bool) -> Path:
    """Write a page; a file that is there is replaced if llmc wrote it, or with ``force``."""
    file = Path(path).expanduser()
    try:
        if not force and file.exists() and not is_ours(file):
            raise UsageError(
                f"{file} is there already and is no report of llmc", hint="another name, or force=true to overwrite it"
            )
        write_atomically(file, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error
    return file


def visible(text: str) -> str:
    """The text with what cannot be seen written out (``\\u202e``), so that nothing in it can reorder or hide the rest."""
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in _KEPT or unicodedata.category(c) == "Zs" else repr(c)[1:-1] for c in text)


def is_ours(file: Path) -> bool:
    """Whether a file is there and is a page of llmc."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return GENERATOR.encode() in opened.read(_MARKED_WITHIN)


@cache
def _file(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["slug"] = slug
    return made


def _finalize(value: object) -> object:
    """What an expression in a template puts out: markup as it is, everything else as visible text, None as nothing."""
    if value is None:
        return ""
    return value if hasattr(value, "__html__") else visible(str(value))


def slug(*values: object) -> str:
    """An element id that is the same for the same values, whatever characters they hold."""
    return "i" + hashlib.sha256("\0".join(map(str, values)).encode("utf-8", "backslashreplace")).hexdigest()[:10]
