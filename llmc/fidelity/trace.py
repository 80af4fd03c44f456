"""Where each word of a view was taken from: the ground on which shortened sentences are judged, word by word.

A view that shortens (``llmc.view.prompt`` asks for that) is made of runs of the source's own words. The runs that a view
sentence shares with the sentences it speaks of are laid over it, the weightiest first (greedy string tiling, Wise 1993), so a
word meets the very place it was copied from and not any other place with the same word. A sentence most of whose content
words were taken from beside their neighbours is *traced*.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from llmc.fidelity.align import Key, Keyed
from llmc.fidelity.spans import Span
from llmc.fidelity.words import Token, tokens

if TYPE_CHECKING:
    from llmc.fidelity.pairing import Pairing, Part

OWN_SHARE = 0.1  # of a sentence's content words; with more of its own it is judged as a paraphrase is, too
TRACED_SHARE = 0.6  # of a sentence's content words; of good shortenings 99% have it, of free paraphrases 4 in 10
LINK_CHARS = 60  # between two words of the source that stand side by side in the view
FEW = 3  # content words; a clause with fewer is judged with its sentence
SENTENCES = 3  # of the source, for each clause
MOST_SENTENCES = 32  # for all of them
FACT_WEIGHT, WORD_WEIGHT, SMALL_WEIGHT = 1.5, 1.0, 0.1
NEAR = 4  # source words between two that stand together in the view and belong together
LONGEST_WORDS = 160  # a longer sentence is not traced


class Trace:
    """The words of a view, and the source words they are."""

    def __init__(self, pairing: "Pairing") -> None:
        self.pairing = pairing
        self.taken: dict[int, Token] = {}
        """Start of a view word to the source word it is."""
        self.kept: dict[int, Token] = {}
        """Start of a source word to the view word it became."""
        self.traced: set[Span] = set()
        """Sentences and clauses of the view that are made of the source's words."""
        self.settled: set[Span] = set()
        """Of these, those with hardly a word of their own: what a word's place says of it is all there is to say."""
        self.loose: set[Span] = set()
        """Clauses of the view that are not, whatever their sentence is."""
        self.alone: set[int] = set()
        """Content words of the view that were not taken together with a neighbour."""
        self._kept_starts: list[int] = []
        self.words: dict[Span, list[Token]] = {}
        """The words of a view sentence."""
        for number in pairing.own:
            self._lay(pairing.view.sentences[number])

    def _lay(self, sentence: Span) -> None:
        mine = words(self.pairing.view, sentence)
        if not 2 <= len(mine) <= LONGEST_WORDS:
            return
        theirs, breaks = self._sources(sentence)
        starts = sorted(breaks)
        places: dict[str, list[int]] = {}
        for place, word in enumerate(theirs):
            places.setdefault(same(word), []).append(place)
        to: list[int] = [-1] * len(mine)
        used: set[int] = set()
        runs = list(_runs(mine, theirs, places, breaks))
        of = [bisect_right(starts, place) for place in range(len(theirs))]
        shared: dict[int, float] = defaultdict(float)
        for weight, _, place, _ in runs:
            shared[of[place]] += weight
        for _, start, place, length in sorted(runs, key=lambda run: (-run[0], -shared[of[run[2]]])):
            free = [step for step in range(length) if to[start + step] < 0 and place + step not in used]
            free = max(_stretches(free), key=len, default=[])
            if not free or not any(_weight(mine[start + step]) >= WORD_WEIGHT for step in free):
                continue
            if len(free) < length:  # what is left of a run: the single words are looked for again below
                if sum(_weight(mine[start + step]) >= WORD_WEIGHT for step in free) < 2:
                    continue
            elif length == 1 and len(places[same(mine[start])]) > 1:
                continue
            for step in free:
                to[start + step] = place + step
                used.add(place + step)
        for _ in range(2):
            for number, word in enumerate(mine):
                if to[number] < 0 and (place := _nearest(to, number, places.get(same(word), ()), used, word)) >= 0:
                    to[number] = place
                    used.add(place)
        for word, place in zip(mine, to, strict=True):
            if place >= 0:
                self.taken[word.start] = theirs[place]
                self.kept.setdefault(theirs[place].start, word)
        self.words[sentence] = mine
        telling = [word for word in mine if word.stem]
        if not telling:
            return
        self.alone |= {word.start for word in telling}
        own = sum(word.start not in self.taken for word in telling)
        whole = self._linked(telling) >= TRACED_SHARE * len(telling)
        if whole:
            self.traced.add(sentence)
        for part in self.pairing.parts_of.get(sentence, ()):
            told = [word for word in telling if part.span.start <= word.start < part.span.end]
            near = self._linked(told) >= TRACED_SHARE * len(told)
            if whole or (near and len(told) >= FEW):
                self.traced.add(part.span)
            if not near:
                self.loose.add(part.span)
        if own <= OWN_SHARE * len(telling):
            self.settled |= {
                span for span in (sentence, *(p.span for p in self.pairing.parts_of.get(sentence, ()))) if span in self.traced
            }

    def _linked(self, telling: list[Token]) -> int:
        """How many words were taken from beside the place where the word before or after them was taken from."""
        places = [self.taken[word.start].start if word.start in self.taken else None for word in telling]
        links = [a is not None and b is not None and 0 < abs(b - a) <= LINK_CHARS for a, b in pairwise(places)]
        linked = [before or after for before, after in zip([False, *links], [*links, False], strict=True)]
        self.alone -= {word.start for word, link in zip(telling, linked, strict=True) if link}
        return sum(linked)

    def taken_by(self, part: "Part", *, together: bool = False) -> Iterator[Token]:
        """The source words that the words of a view clause are; ``together``: those taken with a neighbour."""
        for word in self.words.get(part.sentence, ()):
            inside = part.span.start <= word.start < part.span.end
            if inside and word.start in self.taken and not (together and word.start in self.alone):
                yield self.taken[word.start]

    def copies(self, span: Span) -> bool:
        """Whether a word of this place in the view was taken from the source."""
        return any(True for _ in self.places(span))

    def places(self, span: "Span | Key | Token") -> Iterator[int]:
        """Where in the source the words of this place in the view were taken from."""
        return (self.taken[start].start for start in range(span.start, span.end) if start in self.taken)

    def sentences_of(self, span: "Span | Key | Token") -> set[int]:
        """Numbers of the source sentences that the words of this place in the view were taken from."""
        return {self.pairing.source.analysis.sentence_at(place) for place in self.places(span)}

    def home(self, sentence: Span) -> set[int]:
        """Numbers of the source sentences that a view sentence is made of."""
        together = (w for w in self.words[sentence] if w.stem and w.start in self.taken and w.start not in self.alone)
        return {number for word in together for number in self.sentences_of(word)}

    def in_run_with(self, before: Token, word: Token) -> bool:
        """Whether two words that follow each other in the view follow each other in the source."""
        here, there = self.taken.get(before.start), self.taken.get(word.start)
        return here is not None and there is not None and 0 <= there.start - here.end <= 2

    def in_run(self, sentence: Span, span: Span) -> bool:
        """Whether a word of this place in the view stands beside the same word as in the source."""
        mine = self.words[sentence]
        for left, right in pairwise(mine):
            inside = span.start <= left.start < span.end or span.start <= right.start < span.end
            if inside and self.in_run_with(left, right):
                return True
        return False

    def keeps(self, span: Span) -> bool:
        """Whether a word of this place in the source stands in the view."""
        if len(self._kept_starts) != len(self.kept):
            self._kept_starts = sorted(self.kept)
        first = bisect_left(self._kept_starts, span.start)
        return first < len(self._kept_starts) and self._kept_starts[first] < span.end

    def keeps_ends(self, span: Span) -> bool:
        """Whether the first or the last word of this place in the source stands in the view: of "only ... when"."""
        last = bisect_left(self._kept_starts, span.end) - 1 if self.keeps(span) else -1
        return last >= 0 and (
            span.start in self.kept or " " not in self.pairing.source.text[self._kept_starts[last] : span.end]
        )

    def _sources(self, sentence: Span) -> tuple[list[Token], set[int]]:
        """The words of the source sentences spoken of, in their order, and where one of them begins."""
        pairing = self.pairing
        parts = pairing.parts_of.get(sentence, ())
        numbers = {a.sentence for part in parts for a in part.aligned[:SENTENCES]}
        numbers |= {part.aligned[0].sentence + 1 for part in parts if part.aligned} & set(range(len(pairing.source.sentences)))
        found: list[Token] = []
        breaks: set[int] = set()
        for number in sorted(numbers)[:MOST_SENTENCES]:
            breaks.add(len(found))
            found += words(pairing.source, pairing.source.sentences[number])
        return found, breaks


def same(word: Token) -> str:
    """Words that are one and the same but for their ending."""
    return word.stem or word.lower.replace("’", "'")


def words(keyed: Keyed, span: Span) -> list[Token]:
    """Words of a sentence, each fact (but names and quotations) as one word."""
    if span not in keyed.words:
        found: list[Token] = []
        position = span.start
        for fact in keyed.analysis.facts_in(span):
            if fact.kind not in ("name", "quote", "code"):
                found += tokens(keyed.text, position, fact.start)
                found.append(Token(fact.start, fact.end, "=" + fact.normal, "=" + fact.normal))
                position = fact.end
        keyed.words[span] = [*found, *tokens(keyed.text, position, span.end)]
    return keyed.words[span]


def _weight(word: Token) -> float:
    return FACT_WEIGHT if word.lower[0] == "=" else WORD_WEIGHT if word.stem else SMALL_WEIGHT


def _runs(
    mine: list[Token], theirs: list[Token], places: dict[str, list[int]], breaks: set[int]
) -> Iterator[tuple[float, int, int, int]]:
    """Longest common runs: weight, start in the view, start in the source, length. None crosses two source sentences."""
    keys, others = [same(word) for word in mine], [same(word) for word in theirs]
    for start, key in enumerate(keys):
        for place in places.get(key, ()):
            if start and place and place not in breaks and keys[start - 1] == others[place - 1]:
                continue
            length = 1
            while (
                start + length < len(keys)
                and place + length < len(others)
                and place + length not in breaks
                and keys[start + length] == others[place + length]
            ):
                length += 1
            yield sum(_weight(word) for word in mine[start : start + length]), start, place, length


def _stretches(steps: list[int]) -> Iterator[list[int]]:
    stretch: list[int] = []
    for step in steps:
        if stretch and step != stretch[-1] + 1:
            yield stretch
            stretch = []
        stretch.append(step)
    if stretch:
        yield stretch


def _nearest(to: list[int], number: int, places: Sequence[int], used: set[int], word: Token) -> int:
    """The place of a single word that is nearest to where its neighbours were taken from; a small word's is near, or -1."""
    left = next((to[n] for n in range(number - 1, max(-1, number - NEAR), -1) if to[n] >= 0), -1)
    right = next((to[n] for n in range(number + 1, min(len(to), number + NEAR)) if to[n] >= 0), -1)
    best, found = float("inf"), -1
    for place in places:
        if place in used:
            continue
        after = place - left if left >= 0 else len(places) + 99
        before = right - place if right >= 0 else len(places) + 99
        far = min(after if after > 0 else 3 - 2 * after, before if before > 0 else 3 - 2 * before)
        if far < best and (_weight(word) >= WORD_WEIGHT or 0 < after <= NEAR or 0 < before <= NEAR):
            best, found = far, place
    return found
