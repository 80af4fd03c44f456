"""Finds cues (negation, modality, conditions, quantities) and the words they act on."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from llmc.fidelity.align import Key
from llmc.fidelity.lexicon import BOUNDS, CUES, poles
from llmc.fidelity.spans import Span
from llmc.fidelity.words import stem

SCOPE_KEYS = 4  # content words a cue reaches; longer catches the next clause, shorter misses "no stiff painful neck"


_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_FIRST = {phrase.split()[0] for phrase in CUES}
_LONGEST = max(len(phrase.split()) for phrase in CUES)
_ONLY = re.compile(r"only\s[^.;]{2,60}?\s(?:if|when|after|once)(?!\w)", re.IGNORECASE)  # "only return it when it is paid"
_BOUND = re.compile(
    "|".join(
        (r"(?<!\w)" if p[0].isalpha() else "") + re.escape(p).replace(r"\ ", r"\s+") + (r"(?!\w)" if p[-1].isalpha() else "")
        for p in sorted(BOUNDS, key=len, reverse=True)
    ),
    re.IGNORECASE,
)
_BOUNDING = re.compile(
    r"\s(?:more|less|fewer|later|earlier|longer|shorter|higher|lower)\sthan(?!\w)|\s(?:before|until)(?!\w)", re.IGNORECASE
)
_ANSWER = re.compile(r",|\s(?:i|we|he|she|they|it)\b", re.IGNORECASE)
_HAD = re.compile(r"\s(?:\w+ly\s|already\s|just\s)?(?:\w+ed|been|had|taken|given|written|gone|done|sent|made|put|better)\b")
_NEXT = re.compile(r"\s*(?:[^\W\d]+\s)?\s*$")  # at most one word between "at most" and its number


class Cue(NamedTuple):
    """A cue and the keys it acts on, the nearest first."""

    name: str
    span: Span
    words: str
    scope: tuple[Key, ...]


def names(cues: list[Cue]) -> set[str]:
    """The classes of some cues."""
    return {cue.name for cue in cues}


def cues(text: str, clause: Span, keys: list[Key]) -> list[Cue]:
    """Cues of one clause. A cue with nothing behind it acts on what stands before it ("4.0 is not")."""
    found = []
    for name, span, words in _spotted(text, clause):
        after = bisect_left(keys, span.end, key=lambda key: key.start)
        if words == "may" and (
            (text[span.start] == "M" and span.start > clause.start)
            or any(k.kind == "date" and k.start < span.start < k.end for k in keys)
        ):
            continue  # the month
        if words in ("plan", "plans", "draft") and text.startswith(":", span.end):
            continue  # a heading
        if words == "falls" and span.start > clause.start and text[span.start - 2] not in ",;.":
            continue  # the verb, not the German "if"
        if (
            words == "until"
            and after < len(keys)
            and keys[after].kind in ("date", "time")
            and keys[after].start <= span.end + 9
        ):
            continue  # "until 31 December" is a date, "until an expert has looked" a condition
        before = bisect_left(keys, span.start, key=lambda key: key.start)
        behind = [key for key in keys[after : after + SCOPE_KEYS + 1] if CUES.get(key.lower) != "guess"][:SCOPE_KEYS]
        found.append(Cue(name, span, words, tuple(behind or keys[max(0, before - SCOPE_KEYS) : before][::-1])))
    return found


def _spotted(text: str, clause: Span) -> Iterator[tuple[str, Span, str]]:
    """Cue phrases, the longest at each place."""
    spots = [(m.start(), m.end(), m[0].lower().replace("’", "'")) for m in _WORD.finditer(text, clause.start, clause.end)]
    skip = -1
    for place, (start, end, word) in enumerate(spots):
        if place <= skip:
            continue
        if word.endswith("n't"):
            yield "not", Span(start, end), word
        elif word.endswith(("'d", "'ll")) and not (word.endswith("'d") and _HAD.match(text, end)):
            yield "plan", Span(start, end), "would" if word.endswith("'d") else "will"
        elif word == "only" and (only := _ONLY.match(text, start, clause.end)):
            yield "if", Span(*only.span()), " ".join(only[0].lower().split())
        elif word in _FIRST:
            for count in range(min(_LONGEST, len(spots) - place), 0, -1):
                words = " ".join(spot[2] for spot in spots[place : place + count])
                if words in CUES:
                    yield CUES[words], Span(start, spots[place + count - 1][1]), words
                    skip = place + count - 1
                    break


def is_answer(cue: Cue, text: str) -> bool:
    """ "No, the network stays": the word answers a question and negates nothing behind it."""
    return cue.words in ("no", "nein") and _ANSWER.match(text, cue.span.end) is not None


def is_bound(cue: Cue, text: str) -> bool:
    """ "no more than", "not before June": a negation that only bounds a number or a date."""
    return _BOUNDING.match(text, cue.span.end) is not None


def bound(text: str, clause_start: int, fact: Key) -> str:
    """How a number is bounded: "about", "at most", "at least", "exactly", or empty."""
    start = max(clause_start, fact.start - 28)
    before = text[start : fact.start]
    best = ""
    for match in _BOUND.finditer(before):
        if _NEXT.match(before, match.end()):
            best = BOUNDS.get(" ".join(match[0].lower().split()), best)
    if re.match(
        r"\s*(?:or more|at least|or higher|or later|and above|plus\b|minimum)", text[fact.end : fact.end + 14], re.IGNORECASE
    ):
        return "at least"
    if re.match(r"[^.;,\d]{0,20}(?:or less|at most|or fewer|maximum)", text[fact.end : fact.end + 32], re.IGNORECASE):
        return "at most"
    return best


@lru_cache(maxsize=1)
def pole_stems() -> dict[str, list[tuple[str, int]]]:
    """Stem to its families of opposites."""
    found: dict[str, list[tuple[str, int]]] = {}
    for word, families in poles().items():
        entry = found.setdefault(stem(word) or word, [])
        entry += [family for family in families if family not in entry]
    return found
