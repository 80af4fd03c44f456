"""view=extract: whole sentences of the source, verbatim, in their order, chosen to say the most within a token budget.

A sentence is worth its closeness to the whole (cosine to the document's tf-idf centroid, Radev et al. 2004) and the hard facts
it carries; what a chosen sentence already says counts less the second time (greedy selection by value per token, as in Lin
and Bilmes 2011), and a second sentence from the same stretch of the text counts half. A sentence that leans on the one before
("This", "However") is only taken together with it. Linear in the length for a fixed budget.
"""

import heapq
import itertools
import math
import re
from collections import Counter
from dataclasses import dataclass

from llmc.fidelity import Span, analyse

GAP = " … "
SENTENCE_TOKENS = 30  # of an average sentence: a budget for n of them looks for one in each n-th of the text first
WORDS_OF_A_SENTENCE = 6  # of three letters or more; below it a unit is a heading or a fragment
_WORD = re.compile(r"\w{3,}")
_LEANS = re.compile(
    r"[\"'“‘(\[*\-–—\s]*(?:(?:this|that|these|those|it|its|he|she|they|him|her|them|his|their|such|so|but|and|or|however|"
    r"therefore|thus|then|also|moreover|furthermore|otherwise|instead|nevertheless|yet|here|there)\b)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Sentence:
    span: Span
    tokens: float
    words: Counter[str]
    value: float = 0.0
    facts: frozenset[tuple[str, str]] = frozenset()


def extract(source: str, budget_tokens: int, source_tokens: int) -> str:
    """Sentences of ``source`` worth at most about ``budget_tokens``; ``""`` when not even one fits."""
    spans = analyse(source).sentences
    per_char = source_tokens / max(1, len(source))
    units = [
        _Sentence(s, (s.end - s.start) * per_char + 1, Counter(_WORD.findall(source[s.start : s.end].lower()))) for s in spans
    ]
    _value(units, source)
    chosen = _choose(units, source, budget_tokens)
    if not chosen:
        return ""
    text = source[units[chosen[0]].span.start : units[chosen[0]].span.end]
    for previous, i in itertools.pairwise(chosen):
        if i == previous + 1:
            text += source[units[previous].span.end : units[i].span.start]
        else:
            text += GAP
        text += source[units[i].span.start : units[i].span.end]
    return text


def _value(units: list[_Sentence], source: str) -> None:
    frequency = Counter(word for unit in units for word in unit.words)
    inverse = {word: math.log(1 + len(units) / n) for word, n in frequency.items()}
    centroid: Counter[str] = Counter()
    for unit in units:
        for word, n in unit.words.items():
            centroid[word] += n
    for unit in units:
        dot = sum(n * inverse[w] ** 2 * centroid[w] for w, n in unit.words.items())
        norm = math.sqrt(sum((n * inverse[w]) ** 2 for w, n in unit.words.items()))
        unit.value = dot / norm if norm else 0.0
    top = max((u.value for u in units), default=0.0) or 1.0
    found = analyse(source).facts
    at = 0
    for i, unit in enumerate(units):
        while at < len(found) and found[at].start < unit.span.start:
            at += 1
        inside = []
        while at < len(found) and found[at].start < unit.span.end:
            inside.append((found[at].kind, found[at].normal))
            at += 1
        unit.facts = frozenset(inside)
        # Openings of documents are written to introduce them: a mild prior, gone after about ten sentences.
        unit.value = unit.value / top + 0.15 / (1 + i / 3)


def _choose(units: list[_Sentence], source: str, budget: float) -> list[int]:
    """Indices of the chosen sentences, by lazy greedy selection: a gain can only shrink, so most are never recomputed."""
    said: Counter[str] = Counter()
    known: set[tuple[str, str]] = set()
    chosen: set[int] = set()
    regions = max(1, round(budget / SENTENCE_TOKENS))
    per_region = sum(u.tokens for u in units) / regions or 1.0
    region_of: list[int] = []
    at = 0.0
    for each in units:
        region_of.append(min(regions - 1, int((at + each.tokens / 2) / per_region)))
        at += each.tokens
    taken: Counter[int] = Counter()

    def bundle(i: int) -> list[int]:
        """The sentence, with those before it that it leans on (at most two)."""
        indices = [i]
        while len(indices) < 3 and indices[0] > 0 and indices[0] - 1 not in chosen and _leans(source, units[indices[0]].span):
            indices.insert(0, indices[0] - 1)
        return indices

    def gain(i: int) -> float:
        unit = units[i]
        total = sum(unit.words.values())
        if not total:
            return 0.0
        new = sum(n for w, n in unit.words.items() if w not in said) / total
        fresh = len(unit.facts - known)
        # "The lease." says nothing alone, however cheap it is.
        whole = min(1.0, total / WORDS_OF_A_SENTENCE)
        return (
            whole
            / (1 + taken[region_of[i]])
            * (unit.value * (0.3 + 0.7 * new) + 0.25 * math.log1p(fresh))
            / math.sqrt(unit.tokens)
        )

    heap = [(-gain(i), i) for i in range(len(units))]
    heapq.heapify(heap)
    left = budget
    while heap and left > 5:
        stale, i = heapq.heappop(heap)
        if i in chosen or not stale:
            continue
        current = gain(i)
        if heap and current < -heap[0][0] - 1e-12:
            heapq.heappush(heap, (-current, i))
            continue
        indices = bundle(i)
        cost = sum(units[j].tokens for j in indices) + 2  # the gap mark
        if cost > left or (_leans(source, units[indices[0]].span) and indices[0] > 0 and indices[0] - 1 not in chosen):
            continue
        left -= cost
        for j in indices:
            chosen.add(j)
            taken[region_of[j]] += 1
            said.update(units[j].words)
            known |= units[j].facts
    return sorted(chosen)


def _leans(source: str, span: Span) -> bool:
    return _LEANS.match(source, span.start, span.end) is not None
