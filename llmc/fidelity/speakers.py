"""Who says what in a conversation: lines that begin with a name and a colon."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest

from llmc.fidelity.align import LABEL
from llmc.fidelity.pairing import Pairing
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Evidence
from llmc.fidelity.words import stems

TURN_WORDS = 3
_SPEAKER_IN = re.compile(r"(?:^|(?<=[.!?;]\s))[ \t]*" + LABEL)
_FULL_STOP = re.compile(r"[.!?]\s")
_SEMICOLON = re.compile(r";\s")


def speakers(pairing: Pairing) -> Iterator[Evidence]:
    """What is said under a name was said under that name."""
    theirs, known = pairing.source.turns, pairing.source.handles
    if not theirs:
        return
    text = pairing.view.text
    for sentence in pairing.trace.words:
        labels = list(_SPEAKER_IN.finditer(text, sentence.start, sentence.end))
        for match, following in zip_longest(labels, labels[1:]):
            label = stems(match[1])
            for piece in _pieces(text, match.end(), following.start() if following else sentence.end) if label & known else ():
                turn = _turn_of(pairing, sentence, piece, [start for start, _ in theirs])
                if turn >= 0 and not (label <= theirs[turn][1] or theirs[turn][1] <= label):
                    start = theirs[turn][0]
                    speaker = pairing.source.text[start : start + 30].partition(":")[0]
                    yield Evidence(
                        f"{match[1]!r} stands where the source has {speaker!r}",
                        source=Span(start, start + 1),
                        view=Span(match.start(1), match.end(1)),
                    )


def _turn_of(pairing: Pairing, sentence: Span, piece: Span, starts: list[int]) -> int:
    """The number of the source's turn that most of these words of the view were taken from; -1 for too few."""
    taken = pairing.trace.taken
    mine = (word for word in pairing.trace.words[sentence] if piece.start <= word.start < piece.end and word.stem)
    turns = Counter(bisect_right(starts, taken[word.start].start) - 1 for word in mine if word.start in taken)
    turn, count = max(turns.items(), key=lambda item: item[1], default=(-1, 0))
    return turn if count >= TURN_WORDS and 2 * count > turns.total() else -1


def _pieces(text: str, start: int, end: int) -> Iterator[Span]:
    """What is said, between semicolons; after a full stop it need not be said by the same."""
    stop = _FULL_STOP.search(text, start, end)
    end = stop.start() if stop else end
    for match in _SEMICOLON.finditer(text, start, end):
        yield Span(start, match.start())
        start = match.end()
    yield Span(start, end)
