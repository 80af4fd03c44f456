"""Pairs every clause of the view with the source clauses it restates: the ground on which polarity and roles are judged.

Sentences copied from the source are set aside first: they need no judgement, and taking them apart would cost the most.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from llmc.fidelity.align import Aligned, Index, Key, Keyed, flat
from llmc.fidelity.appended import own_end
from llmc.fidelity.cues import Cue, cues
from llmc.fidelity.spans import Span
from llmc.fidelity.trace import Trace

REACH_KEYS = 8  # content words on each side that make up the context of a word
NAME_WEIGHT = 2.5  # who is the strongest neighbour: it tells "Ana thinks" from "Omar doubts" when both speak of one thing
OCCURRENCES = 8  # of one word in one sentence; a sentence of a thousand sevens is compared at eight of them
OUTSIDE_NAMED = 0.7  # names stand in brackets and between commas: "the operator, Ivan Petkov, was not injured"
OUTSIDE_CLAUSE = 0.35  # a neighbour beyond a clause border says less about a word


JOINED_LINES = 8  # lines of one wrapped sentence
_LINE = re.compile(r"[^\s][^\n]*+")


class Part(NamedTuple):
    """A clause of the view and the source sentences it speaks of, best first."""

    span: Span
    sentence: Span
    keys: list[Key]
    aligned: list[Aligned]


class SourceClause(NamedTuple):
    """A source clause that a view part restates: shares of the key weight of either side that the other holds."""

    span: Span
    sentence: int
    keys: list[Key]
    of_view: float
    of_source: float


class Pairing:
    """Source and view, aligned; the view without what ``declare`` appended to it."""

    def __init__(self, index: Index, view: Keyed, pins: Sequence[str] = ()) -> None:
        self.index, self.source, self.view = index, index.source, view
        end = own_end(self.source.analysis, view.text, pins)
        own = [Span(span.start, min(span.end, end)) for span in view.sentences if span.start < end]
        view.sentences = [piece for span in own for piece in self._unmerged(span)]
        self._contexts: dict[int, dict[str, tuple[float, int]]] = {}
        self._cues: dict[tuple[bool, Span], list[Cue]] = {}

    def _unmerged(self, span: Span) -> Iterator[Span]:
        """A view puts lines below each other that were sentences apart; runs of lines that are one are taken out again."""
        text = self.view.text
        if "\n" not in text[span.start : span.end] or flat(text[span.start : span.end]) in self.index.verbatim:
            yield span
            return
        lines = [Span(m.start(), m.end()) for m in _LINE.finditer(text, span.start, span.end)]
        first = start = 0
        while start < len(lines):
            for stop in range(min(len(lines), start + JOINED_LINES), start, -1):
                if flat(text[lines[start].start : lines[stop - 1].end]) in self.index.verbatim:
                    if first < start:
                        yield Span(lines[first].start, lines[start - 1].end)
                    yield Span(lines[start].start, lines[stop - 1].end)
                    first = start = stop
                    break
            else:
                start += 1
        if first < len(lines):
            yield Span(lines[first].start, lines[-1].end)

    @cached_property
    def copied(self) -> dict[int, list[int]]:
        """View sentences that are source sentences word by word: view number to source numbers."""
        verbatim = self.index.verbatim
        text = self.view.text
        found = {}
        for number, span in enumerate(self.view.sentences):
            match = verbatim.get(flat(text[span.start : span.end]))
            if match is not None:
                found[number] = match
        return found

    @cached_property
    def own(self) -> list[int]:
        """Numbers of the view's sentences that are not copied."""
        return [number for number in range(len(self.view.sentences)) if number not in self.copied]

    @cached_property
    def parts(self) -> list[Part]:
        found = []
        near = -1
        for number in self.own:
            sentence = self.view.sentences[number]
            for clause in self.view.clauses_of(number):
                keys = self.view.keys_in(clause)
                if not keys:
                    continue
                aligned = self.index.align(keys, near)
                whole = self.index.align(self.view.keys_in(sentence), near)
                if len(keys) < 3 and whole:  # too little to go by: what its sentence speaks of comes first
                    aligned = whole[:2] + [a for a in aligned if a.sentence not in {w.sentence for w in whole[:2]}]
                if aligned:
                    near = aligned[0].sentence
                found.append(Part(clause, sentence, keys, aligned))
        return found

    @cached_property
    def trace(self) -> Trace:
        """Where each word of the view was taken from."""
        return Trace(self)

    @cached_property
    def actors(self) -> frozenset[str]:
        """Words that names are made of in the source, and words that open a sentence as its subject."""
        return self.source.name_words | self.source.subject_words

    @cached_property
    def parts_of(self) -> dict[Span, list[Part]]:
        """Parts by the view sentence they belong to."""
        found: dict[Span, list[Part]] = {}
        for part in self.parts:
            found.setdefault(part.sentence, []).append(part)
        return found

    def weight_of(self, keys: list[Key]) -> float:
        return sum(self.index.weight(name) for name in {key.key for key in keys})

    def restated(self, part: Part) -> list[SourceClause]:
        """Clauses of the aligned sentences by how much of them the view part restates, best first."""
        wanted = {key.key for key in part.keys}
        total = self.weight_of(part.keys) or 1.0
        found = []
        for aligned in part.aligned[:3]:
            for span in self.source.clauses_of(aligned.sentence)[:200]:
                keys = self.source.keys_in(span)
                shared = sum(self.index.weight(name) for name in {key.key for key in keys} & wanted)
                if shared:
                    found.append(
                        SourceClause(span, aligned.sentence, keys, shared / total, shared / (self.weight_of(keys) or 1.0))
                    )
        found.sort(key=lambda clause: -((clause.of_view * clause.of_source) ** 0.5))
        return found

    def touched(self, part: Part) -> list[SourceClause]:
        """Clauses of the source that words of a view part were taken from, in their order."""
        starts = sorted(word.start for word in self.trace.taken_by(part))
        found: dict[Span, SourceClause] = {}
        for start in starts:
            sentence = self.source.analysis.sentence_at(start)
            span = next((c for c in self.source.clauses_of(sentence) if c.start <= start < c.end), None)
            if span and span not in found:
                keys = self.source.keys_in(span)
                held = sum(key.start in starts for key in keys)
                found[span] = SourceClause(span, sentence, keys, held / (len(part.keys) or 1), held / (len(keys) or 1))
        return list(found.values())

    @cached_property
    def keeper(self) -> dict[Span, float]:
        """For each restated source clause the largest share of it that one view part holds: that part answers for it."""
        best: dict[Span, float] = {}
        for part in self.parts:
            for clause in self.restated(part)[:6]:
                best[clause.span] = max(best.get(clause.span, 0.0), clause.of_source)
        return best

    def cues_of(self, keyed: Keyed, span: Span) -> list[Cue]:
        place = (keyed is self.source, span)
        if place not in self._cues:
            self._cues[place] = cues(keyed.text, span, keyed.keys_in(span))
        return self._cues[place]

    def sentence_cues(self, keyed: Keyed, sentence: Span) -> Iterator[Cue]:
        yield from self.cues_of(keyed, sentence)

    def occurrences(self, part: Part, name: str, sentences: int = 3) -> list[Key]:
        """Where a key stands in the source sentences the part speaks of; where it was taken from, if that is known."""
        if part.span in self.trace.traced and (taken := self._taken_from(part, name)):
            return taken
        found = []
        for aligned in part.aligned[:sentences]:
            found += [key for key in self.source.keys_of(aligned.sentence) if key.key == name][:OCCURRENCES]
        return found

    def _taken_from(self, part: Part, name: str) -> list[Key]:
        starts = [self.trace.taken[key.start].start for key in part.keys if key.key == name and key.start in self.trace.taken]
        sentences = {self.source.analysis.sentence_at(start) for start in starts}
        return [key for number in sentences for key in self.source.keys_of(number) if key.start in starts]

    def context(self, keyed: Keyed, key: Key, sentence: Span, clause: Span) -> dict[str, tuple[float, int]]:
        """Neighbouring keys with their nearness (1 beside the word, falling with distance) and side (-1 left, 1 right)."""
        keys = keyed.keys_in(sentence)
        place = next(i for i, other in enumerate(keys) if other.start == key.start)
        found: dict[str, tuple[float, int]] = {}
        named = key.key in self.actors
        for position in range(max(0, place - REACH_KEYS), min(len(keys), place + REACH_KEYS + 1)):
            other = keys[position]
            if other.key == key.key:
                continue
            near = 1 / (1 + 0.35 * (abs(position - place) - 1))
            if not clause.start <= other.start < clause.end:
                near *= OUTSIDE_NAMED if named else OUTSIDE_CLAUSE
            if near > found.get(other.key, (0.0, 0))[0]:
                found[other.key] = (near, 1 if position > place else -1)
        return found

    def source_context(self, key: Key) -> dict[str, tuple[float, int]]:
        if key.start not in self._contexts:
            self._contexts[key.start] = self._source_context(key)
        return self._contexts[key.start]

    def _source_context(self, key: Key) -> dict[str, tuple[float, int]]:
        sentence = self.source.analysis.sentence_at(key.start)
        span = self.source.sentences[sentence]
        clause = next((c for c in self.source.clauses_of(sentence) if c.start <= key.start < c.end), span)
        return self.context(self.source, key, span, clause)

    def view_context(self, part: Part, key: Key) -> dict[str, tuple[float, int]]:
        return self.context(self.view, key, part.sentence, part.span)

    def likeness(
        self, here: dict[str, tuple[float, int]], there: dict[str, tuple[float, int]], without: tuple[str, ...] = ()
    ) -> float:
        """How much of one context the other holds, by weight, nearness and side; 1 for the same words at the same places."""
        total = shared = 0.0
        for name, (near, side) in here.items():
            if name in without:
                continue
            weight = self.index.weight(name) * near * (NAME_WEIGHT if name in self.actors else 1.0)
            total += weight
            if name in there:
                other_near, other_side = there[name]
                shared += weight * other_near / max(near, other_near) * (1.0 if side == other_side else 0.7)
        return shared / total if total else 0.0
