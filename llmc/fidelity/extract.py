"""Whether a view is a verbatim extract, and where a verbatim extract may still mislead.

Whole source sentences, joined by " … " or line breaks, are true by construction. What they can do is lose their
neighbour: a first word that points back ("It was withdrawn."), or a sentence cut off before "unless".
"""

import re
from dataclasses import dataclass

from llmc.fidelity.align import flat
from llmc.fidelity.sentences import sentences
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Evidence

_GAP = re.compile(r"…|\[…\]|\[\.\.\.\]|\n++")
_DANGLING = re.compile(
    r"\s*(?:it|he|she|they|this|that|these|those|him|them|his|her|their|such|both|neither|however|but|and|so|therefore|instead|otherwise|also|then|"
    r"the (?:former|latter|same|other))\b",
    re.IGNORECASE,
)
_CUT = re.compile(
    r"\s*[,;–—-]?\s*(?:unless|except|provided|if|but|only|until|although|though|when|apart from|excluding)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Extract:
    """``whole`` when every piece is made of whole source sentences; ``warnings`` are places that read differently alone."""

    whole: bool
    pieces: tuple[tuple[Span, Span], ...]
    """Source span and view span of every piece that was found."""
    warnings: tuple[Evidence, ...]


def verbatim(source: str, view: str) -> Extract:
    """Compares a view with its source piece by piece (pieces are separated by an ellipsis or a line break)."""
    spans = sentences(source)
    by_text = {flat(source[s.start : s.end]): i for i, s in reversed(list(enumerate(spans)))}
    pieces: list[tuple[Span, Span]] = []
    warnings: list[Evidence] = []
    whole, last = True, -2
    for piece in _pieces(view):
        for sentence in sentences(view[piece.start : piece.end]):
            here = Span(piece.start + sentence.start, piece.start + sentence.end)
            number = by_text.get(flat(view[here.start : here.end]))
            if number is None:
                whole = False
                warnings += _cut(source, view, here)
                last = -2
                continue
            pieces.append((spans[number], here))
            if number != last + 1 and number > 0 and _DANGLING.match(view, here.start):
                warnings.append(
                    Evidence("the sentence points back to one that is left out", source=spans[number - 1], view=here)
                )
            last = number
    return Extract(whole and bool(pieces), tuple(pieces), tuple(warnings))


def _pieces(view: str) -> list[Span]:
    found, position = [], 0
    for match in _GAP.finditer(view):
        if match.start() > position:
            found.append(Span(position, match.start()))
        position = match.end()
    return [*found, Span(position, len(view))] if position < len(view) else found


def _cut(source: str, view: str, here: Span) -> list[Evidence]:
    """A piece that is in the source but ends before the sentence's condition."""
    text = view[here.start : here.end].rstrip(" .;,")
    place = source.find(text)
    if place < 0 or not _CUT.match(source, place + len(text)):
        return []
    rest = source[place + len(text) : place + len(text) + 60].strip()
    return [Evidence(f"the quotation stops before {rest!r}", source=Span(place, place + len(text)), view=here)]
