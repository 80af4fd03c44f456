"""Who says what in a conversation: lines that begin with a name and a colon."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator

from llmc.fidelity.pairing import Pairing
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Evidence
from llmc.fidelity.words import tokens

TURNS = 3  # lines that begin with a name and a colon: fewer are no conversation
TURN_WORDS = 3
_LABEL = r"([A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){0,3}|[a-z][\w.-]*)(?: \([^)\n]{1,40}\))?:\s"
SPEAKER = re.compile(r"^\s*(?:\[[^\]\n]{1,12}\]\s*|\d\d?[:.]\d\d\s+)?" + _LABEL, re.MULTILINE)
_SPEAKER_IN = re.compile(r"(?:^|(?<=[.!?;]\s))\s*" + _LABEL)
_APART_SENTENCES = re.compile(r"[.!?;]\s")


def speakers(pairing: Pairing) -> Iterator[Evidence]:
    """What is said under a name was said under that name."""
    theirs = [(m.start(1), stems(m[1])) for m in SPEAKER.finditer(pairing.source.text)]
    if len(theirs) < TURNS:
        return
    starts = [start for start, _ in theirs]
    taken = pairing.trace.taken
    for sentence, mine in pairing.trace.words.items():
        text = pairing.view.text
        for match in _SPEAKER_IN.finditer(text, sentence.start, sentence.end):
            label = stems(match[1])
            end = _APART_SENTENCES.search(text, match.end(), sentence.end)
            told = [
                taken[w.start]
                for w in mine
                if match.end() <= w.start < (end.start() if end else sentence.end) and w.stem and w.start in taken
            ]
            turns = Counter(bisect_right(starts, word.start) - 1 for word in told)
            turn, count = max(turns.items(), key=lambda item: item[1], default=(-1, 0))
            known = label & {stem for _, stems in theirs for stem in stems}
            if (
                turn >= 0
                and known
                and count >= TURN_WORDS
                and 2 * count > len(told)
                and not (label <= theirs[turn][1] or theirs[turn][1] <= label)
            ):
                start = theirs[turn][0]
                yield Evidence(
                    f"{match[1]!r} stands where the source has {pairing.source.text[start : start + 30].partition(':')[0]!r}",
                    source=Span(start, start + 1),
                    view=Span(match.start(1), match.end(1)),
                )


def stems(words: str) -> frozenset[str]:
    return frozenset(token.stem for token in tokens(words)) - {""}


def handles(pairing: Pairing) -> frozenset[str]:
    """Words of the names that lines of a chat begin with."""
    found: frozenset[str] | None = pairing.__dict__.get("handles")
    if found is None:
        turns = [stems(match[1]) for match in SPEAKER.finditer(pairing.source.text)]
        found = pairing.__dict__["handles"] = frozenset().union(*turns) if len(turns) >= TURNS else frozenset()
    return found
