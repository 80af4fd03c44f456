"""The sections of a text by their headings, for policies that want some of them whole.

A heading is what writers of plain text use as one: Markdown's ``## Decisions`` and underlined lines, a line in bold, a line of
capitals, a line that ends with a colon, and ``Decision: ...`` at the start of a paragraph. A section ends where the next
heading of its rank or a higher one stands; below a colon it is the paragraph or the list that follows. One pass over the lines.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from llmc.fidelity.patterns import compiled
from llmc.fidelity.spans import Span

MOST_TITLE_CHARS = 100  # a longer line is a sentence, whatever it ends with
_MARKDOWN = re.compile(r" {0,3}(#{1,6})[ \t]+([^\n]*?)[ \t#]*")
_BOLD = re.compile(r"[ \t]*(?:\*\*|__)([^*_\n]+?):?(?:\*\*|__):?[ \t]*")
_COLON = re.compile(r"[ \t]*((?:\d+[.)][ \t]+)?[^\W\d_][^:\n]*):[ \t]*")
_LABEL = re.compile(r"[ \t]*(?:\*\*|__)?([^\W\d_][\w ]{0,40}?)(?:\*\*|__)?:(?:\*\*|__)?[ \t]+\S")
_UNDERLINE = re.compile(r"[ \t]*(=+|-{3,})[ \t]*")
_NUMBER = re.compile(r"(?:\d+[.)]|[IVX]+\.|[A-Za-z]\))[ \t]+")  # "3. Decisions" is called "Decisions"
_ITEM = re.compile(r"(?:[ \t]*(?:[-*+•–]|\d+[.)]|\[[ xX]\])[ \t]|[ \t]+\S)")
_GAP = compiled(r"\n(?:[ \t\r]*+\n)++")
_WEAK, _LIST, _PARAGRAPH = 7, 8, 9  # ranks below Markdown's six: other headings, colons, labels of one paragraph


class Section(NamedTuple):
    """A title, the whole with its heading, and what stands below the heading."""

    title: str
    span: Span
    body: Span


class _Line(NamedTuple):
    start: int
    end: int
    text: str


class _Heading(NamedTuple):
    rank: int
    title: str
    start: int
    body: int


def sections(text: str) -> Iterator[Section]:
    """In the order of their headings; a section holds those below it."""
    lines = list(_lines(text))
    headings = list(_headings(lines))
    open_: list[_Heading] = []
    done: list[Section] = []
    limits = [heading.start for heading in headings[1:]] + [len(text)]
    for heading, limit in zip(headings, limits, strict=False):
        while open_ and open_[-1].rank >= heading.rank:
            done.append(_closed(text, open_.pop(), heading.start))
        if heading.rank >= _LIST:
            done.append(_closed(text, heading, _paragraph_end(text, heading.body, limit, items=heading.rank == _LIST)))
        else:
            open_.append(heading)
    done += [_closed(text, heading, len(text)) for heading in open_]
    yield from sorted(done, key=lambda section: section.span)


def body(section: str) -> str:
    """What stands below the heading of a section; of a text that begins with none, the text."""
    first = next(sections(section), None)
    return section[first.body.start : first.body.end] if first and first.span.start == 0 else section


def _closed(text: str, heading: _Heading, end: int) -> Section:
    while end > heading.body and text[end - 1].isspace():
        end -= 1
    start = heading.body
    while start < end and text[start].isspace():
        start += 1
    return Section(heading.title, Span(heading.start, end), Span(start, end))


def _lines(text: str) -> Iterator[_Line]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield _Line(start, end, text[start:end].removesuffix("\r"))
        start = end + 1


def _headings(lines: list[_Line]) -> Iterator[_Heading]:
    fenced = False
    for number, line in enumerate(lines):
        if line.text.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        if fenced or not line.text.strip():
            continue
        below = lines[number + 1] if number + 1 < len(lines) else None
        alone = number == 0 or not lines[number - 1].text.strip()
        if match := _MARKDOWN.fullmatch(line.text):
            yield _Heading(len(match[1]), _title(match[2]), line.start, line.end)
        elif len(line.text) > MOST_TITLE_CHARS and not _LABEL.match(line.text[:MOST_TITLE_CHARS]):
            continue
        elif below and alone and (under := _UNDERLINE.fullmatch(below.text)) and len(line.text) <= MOST_TITLE_CHARS:
            yield _Heading(1 if under[1][0] == "=" else 2, _title(line.text), line.start, below.end)
        elif match := _BOLD.fullmatch(line.text):
            yield _Heading(_WEAK, _title(match[1]), line.start, line.end)
        elif match := _COLON.fullmatch(line.text):
            yield _Heading(_LIST, _title(match[1]), line.start, line.end)
        elif alone and line.text.isupper() and sum(map(str.isalpha, line.text)) > 1:
            yield _Heading(_WEAK, _title(line.text), line.start, line.end)
        elif alone and (match := _LABEL.match(line.text)):
            yield _Heading(_PARAGRAPH, _title(match[1]), line.start, line.start + match.end() - 1)


def _title(text: str) -> str:
    return _NUMBER.sub("", text.strip().strip("*_").strip(), count=1).rstrip(":").strip()


def _paragraph_end(text: str, start: int, limit: int, *, items: bool) -> int:
    """Where the text after a label ends: at an empty line, or with ``items`` at one that no item of the list follows."""
    while start < limit and text[start].isspace():
        start += 1
    for gap in _GAP.finditer(text, start, limit):
        if not (items and _ITEM.match(text, gap.end())):
            return gap.start()
    return limit
