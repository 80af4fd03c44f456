"""Sentences and clauses with offsets. Prose is split by nupunkt; list items, headings and log lines are units too.

A blank line, a bullet, a number with a point and a heading end a unit whatever the punctuation says. Everything but
white space belongs to exactly one sentence.
"""

import re
from collections.abc import Iterator

import nupunkt

from llmc.fidelity.spans import Span

_BLOCK_END = re.compile(
    r"\n(?=[ \t]*\n)|\n(?=[ \t]*(?:[-*•–—>|#]|\d{1,3}[.)]\s|\(\w\)\s|\[|[A-Z][\w ]{0,30}:\s))|"
    r"(?<=:)\n|\s(?=…\s)|\s(?=\[\d{1,2}:\d{2})"
)
LONGEST_CHARS = 2000  # what is done per sentence may cost its square; no real sentence is longer
_WRAPPED_COLUMNS = 60  # a shorter line that is followed by a capital is a heading or an item, not wrapped prose
_STUB = re.compile(
    r"(?:^|[\s(])(?:no|nos|art|sec|cl|p|pp|approx|ca|bzw|z\.B|d\.h|Nr|Abs|Dr|Mr|Mrs|Prof|vs)\.\s*$", re.IGNORECASE
)
_EDGE = re.compile(r"\s*+")
_CLAUSE_END = re.compile(
    r";\s|:\s|\s[–—-]{1,2}\s|[()\[\]]|…\s?|"
    r",\s(?=(?:and|but|or|so|yet|because|since|as|although|though|while|whereas|which|who|whom|where|when|if|unless|except|"
    r"provided|until|including|with|not|nor|aber|und|oder|weil|falls|wenn|sondern|die|der|das)\b)|"
    r"(?<!nobody)(?<!\ball)(?<!nothing)(?<!none)\s(?=(?:but|because|although|though|whereas|while|unless|except|aber|sondern|weil|falls)\s)|"
    r",\s(?=(?:[\w.'’-]+\s){2,})|"
    r"\sand\s(?=(?:[\w'’-]+\s){1,4}?(?:is|are|was|were|has|have|had|will|would|must|may|can|cannot|should|shall|does|do|did)\b)"
)


def sentences(text: str) -> list[Span]:
    """Sentence units in order; together they cover all but white space. None is longer than ``LONGEST_CHARS``."""
    return [
        piece
        for start, end in _blocks(text)
        for span in _block_sentences(text, start, end)
        for piece in (_pieces(text, span) if span.end - span.start > LONGEST_CHARS else (span,))
    ]


def _pieces(text: str, span: Span) -> Iterator[Span]:
    """A giant sentence in parts that end at white space where there is some."""
    position = span.start
    while span.end - position > LONGEST_CHARS:
        cut = text.rfind(" ", position + LONGEST_CHARS // 2, position + LONGEST_CHARS)
        cut = cut if cut > 0 else position + LONGEST_CHARS
        yield from _stripped(text, position, cut)
        position = cut
    yield from _stripped(text, position, span.end)


def clauses(text: str, sentence: Span) -> list[Span]:
    """Parts of a sentence that each say one thing, split at semicolons, brackets, conjunctions and commas before them."""
    spans: list[Span] = []
    position = sentence.start
    for match in _CLAUSE_END.finditer(text, sentence.start, sentence.end):
        spans += _stripped(text, position, match.start())
        position = match.end()
    spans += _stripped(text, position, sentence.end)
    return spans


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    for match in _BLOCK_END.finditer(text):
        yield position, match.start()
        position = match.end()
    yield position, len(text)


def _block_sentences(text: str, start: int, end: int) -> Iterator[Span]:
    block = text[start:end]
    if not block.strip():
        return
    spans = [(start + a, start + b) for a, b in nupunkt.sent_spans(block)] or [(start, end)]
    merged: list[tuple[int, int]] = []
    for a, b in spans:
        if merged and _STUB.search(text[max(merged[-1][0], merged[-1][1] - 16) : merged[-1][1]]):
            merged[-1] = (merged[-1][0], b)
        else:
            merged.append((a, b))
    for a, b in merged:
        for c, d in _lines(text, a, b):
            yield from _stripped(text, c, d)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Splits off a short line before a capital: a heading, a name in a list, a signature."""
    position = start
    newline = text.find("\n", start, end)
    while newline >= 0:
        following = text[newline + 1 : newline + 3].lstrip()
        if newline - max(position, text.rfind("\n", position, newline)) < _WRAPPED_COLUMNS and following[:1].isupper():
            yield position, newline
            position = newline + 1
        newline = text.find("\n", newline + 1, end)
    yield position, end


def _stripped(text: str, start: int, end: int) -> list[Span]:
    left = _EDGE.match(text, start, end)
    start = left.end() if left else start
    while end > start and text[end - 1].isspace():
        end -= 1
    return [Span(start, end)] if end > start else []
