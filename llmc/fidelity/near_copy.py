"""Sentences that are the source's own with a few words changed: there every changed word can be looked at.

A view sentence counts as a near copy when ``COPIED_OF_VIEW`` of its words stand in one source sentence in the same order
(longest matching blocks, Ratcliff and Obershelp 1988) and make up ``COPIED_OF_SOURCE`` of that one. Small words decide
there: a lost "probably", a new "not". A copy cut short is looked at only for what the cut took off its end: "unless ...".
"""

import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

from llmc.fidelity.align import Key, flat
from llmc.fidelity.lexicon import BOUNDS, CUES, UNCERTAIN
from llmc.fidelity.pairing import Pairing
from llmc.fidelity.spans import Span
from llmc.fidelity.trace import words
from llmc.fidelity.verdict import Evidence
from llmc.fidelity.words import Token, stem

COPIED_OF_VIEW = 0.8
COPIED_OF_SOURCE = 0.75
SAME_WORDS = 0.9  # of a short sentence, in any order: "Felix wrote to Ngozi" for "Ngozi wrote to Felix"
SHORT_WORDS = 12
ALL_OF_SOURCE = 0.9  # from here on one "probably" cannot stand in for another
CUT_OF_SOURCE = 0.3  # a copy that was cut short: only the words at the cut are looked at
LONGEST_WORDS = 160  # the comparison is quadratic in the words of one sentence
LONGEST_NAME = 3  # words
LONGEST_GAIN = 2  # "not", "must not"
LONGEST_LOSS = 3  # a longer deleted stretch is a clause left out; only its first word can turn what is left

_TELLING = {**BOUNDS, **CUES}
_LOST = frozenset({"not", "may", "can", "guess", "ought", "plan", "if", "most", "some", "about", "at most", "at least"})
_GAINED = frozenset({"not", "may", "can", "guess", "ought", "must", "if", "all", "most", "about", "at most", "at least"})
_OPENS = frozenset({"if"})
_ENDLESS = "a an and as be but by even for from if is it not of or that the their this to was were with"
_DANGLING = frozenset(_ENDLESS.split())
CUTS = 64  # view sentences looked for in the source, each in one pass over it


class Change(NamedTuple):
    """Source words that became view words (either may be empty)."""

    source: list[Token]
    view: list[Token]


class Copy(NamedTuple):
    """A view sentence, the source sentence it was copied from, what changed, and the share of the source that was kept."""

    view: int
    source: int
    changes: list[Change]
    share: float
    of_view: float
    """The same words' share of the view sentence."""
    moved: bool
    """The same words in another order; the changes then only show what stands in whose place."""


def small_words(pairing: Pairing) -> Iterator[Evidence]:
    """Cues lost, gained or exchanged in near copies."""
    still = {
        copy.view: _classes(words(pairing.view, pairing.view.sentences[copy.view]), pairing.view.text)
        for copy in near_copies(pairing)
    }
    for copy in near_copies(pairing):
        for change in copy.changes if not copy.moved else ():
            lost, gained = _classes(change.source, pairing.source.text), _classes(change.view, pairing.view.text)
            here = _span(change.view, pairing.view.sentences[copy.view])
            there = _span(change.source, pairing.source.sentences[copy.source])
            if _traced(pairing, copy):
                lost, gained = _taken_out(pairing, copy, change), set()
            elif len(change.source) > LONGEST_LOSS:
                lost = _classes(change.source[:1], pairing.source.text) & _OPENS
                gained &= lost
            elif copy.share < COPIED_OF_SOURCE:  # cut short: only a word put in, or a "not" taken out of the middle, is certain
                inside = bool(change.source) and change.source[0].start > pairing.source.sentences[copy.source].start
                lost &= {"not", "if"} if inside and not change.view else set()
                gained = gained if not change.source and len(change.view) <= LONGEST_GAIN else set()
            if copy.share < ALL_OF_SOURCE and lost & UNCERTAIN and still[copy.view] & UNCERTAIN:
                lost -= UNCERTAIN
            if _present(pairing, change):
                lost -= {"plan"}
            if missing := sorted((lost & _LOST) - gained):
                said = pairing.source.text[there.start : there.end][:80]
                yield Evidence(f"a copied sentence lost {said!r} ({missing[0]})", source=there, view=here)
            elif added := sorted((gained & _GAINED) - lost):
                said = pairing.view.text[here.start : here.end][:80]
                yield Evidence(f"a copied sentence gained {said!r} ({added[0]})", source=there, view=here)


def _taken_out(pairing: Pairing, copy: Copy, change: Change) -> set[str]:
    """What a sentence lost that is otherwise word for word, where that begins a condition."""
    inside = not change.view and change.source[0].start > pairing.source.sentences[copy.source].start
    if not inside or copy.of_view < ALL_OF_SOURCE:
        return set()
    return _classes(change.source[:1], pairing.source.text) & _OPENS


def cut_short(pairing: Pairing) -> Iterator[Evidence]:
    """A sentence that is the source's own up to where it says "except", "unless", "if", or that ends in the middle."""
    folded = pairing.source.analysis.folded
    for number in list(pairing.own)[:CUTS]:
        span = pairing.view.sentences[number]
        kept = flat(pairing.view.text[span.start : span.end])
        at = folded.find(kept) if kept else -1
        if at < 0 or re.match(r"[.!?…\w]", folded[at + len(kept) :]):
            continue  # other words, or the whole sentence
        rest = folded[at + len(kept) : at + len(kept) + 40]
        found = re.findall(r"[^\W\d_]+", rest)[:3]
        opener = found[1:] if found[:1] == ["but"] else found
        opens = any(" ".join(opener[:n]) in CUES and CUES[" ".join(opener[:n])] in _OPENS for n in (1, 2))
        if opens or (rest.strip()[:1] not in ",;:)(-–" and kept.rsplit(maxsplit=1)[-1] in _DANGLING):
            yield Evidence(f"a copied sentence was cut before {rest.strip(' ,;:')[:40]!r}", view=span)


def moved_facts(pairing: Pairing) -> Iterator[Evidence]:
    """Facts and names in another order than in the copied sentence, or exchanged for one from elsewhere."""
    for copy in near_copies(pairing):
        yield from _replaced(pairing, copy) if not copy.moved else ()
        if _traced(pairing, copy):
            continue
        yield from _swapped(pairing, copy)
        if copy.share < COPIED_OF_SOURCE:
            continue
        mine = _marked(pairing, pairing.view.keys_in(pairing.view.sentences[copy.view]))
        theirs = _marked(pairing, pairing.source.keys_in(pairing.source.sentences[copy.source]))
        yield from _exchanged(pairing, copy, mine, theirs)
        order = [key.key for key in theirs]
        known = [key for key in mine if order.count(key.key) == 1]
        places = [order.index(key.key) for key in known]
        for before, after, key in zip(places, places[1:], known[1:], strict=False):
            if after < before:
                yield Evidence(
                    f"{pairing.view.text[key.start : key.end]!r} has changed its place in a copied sentence",
                    source=pairing.source.sentences[copy.source],
                    view=Span(key.start, key.end),
                )


def _replaced(pairing: Pairing, copy: Copy) -> Iterator[Evidence]:
    """One fact in the very place of another, between words that are the same."""
    for change in copy.changes:
        if len(change.source) == len(change.view) == 1 and change.source[0].lower[0] == change.view[0].lower[0] == "=":
            there, here = change.source[0], change.view[0]
            yield Evidence(
                f"{pairing.view.text[here.start : here.end]!r} stands where the copied sentence has "
                f"{pairing.source.text[there.start : there.end]!r}",
                source=Span(there.start, there.end),
                view=Span(here.start, here.end),
            )


def _swapped(pairing: Pairing, copy: Copy) -> Iterator[Evidence]:
    """Words that stand in each other's place, and a name in the place of another."""
    became = {(_lower(change.source), _lower(change.view)) for change in copy.changes if change.source and change.view}
    for change in copy.changes:
        old, new = _lower(change.source), _lower(change.view)
        swapped = old and new and old != new and (new, old) in became
        if swapped or _names_differ(pairing, change):
            here, there = _span(change.view, Span(0, 0)), _span(change.source, Span(0, 0))
            yield Evidence(
                f"{pairing.view.text[here.start : here.end]!r} stands where the copied sentence has "
                f"{pairing.source.text[there.start : there.end]!r}",
                source=there,
                view=here,
            )


def _names_differ(pairing: Pairing, change: Change) -> bool:
    """One capitalised run of words for another, both names of the source, and neither a part of the other."""
    if not 0 < len(change.source) <= LONGEST_NAME or not 0 < len(change.view) <= LONGEST_NAME:
        return False
    old, new = set(_lower(change.source)), set(_lower(change.view))
    capital = all(pairing.source.text[t.start].isupper() for t in change.source) and all(
        pairing.view.text[t.start].isupper() for t in change.view
    )
    return capital and not old & new and {stem(word) for word in old | new} <= pairing.source.name_words


def _lower(words: list[Token]) -> tuple[str, ...]:
    return tuple(word.lower for word in words)


def _exchanged(pairing: Pairing, copy: Copy, mine: list[Key], theirs: list[Key]) -> Iterator[Evidence]:
    more = Counter(key.key for key in mine) - Counter(key.key for key in theirs)
    less = Counter(key.key for key in theirs) - Counter(key.key for key in mine)
    for key in mine:
        rival = next((other for other in theirs if other.key in less and other.kind == key.kind), None)
        if key.key in more and rival is not None and key.kind != "date":
            yield Evidence(
                f"{pairing.view.text[key.start : key.end]!r} stands where "
                f"the copied sentence has {pairing.source.text[rival.start : rival.end]!r}",
                source=Span(rival.start, rival.end),
                view=Span(key.start, key.end),
            )


def _traced(pairing: Pairing, copy: Copy) -> bool:
    """Each word is looked at where it was taken from, unless nothing but a word or two differs."""
    whole = min(copy.share, copy.of_view) >= ALL_OF_SOURCE
    return not whole and pairing.view.sentences[copy.view] in pairing.trace.traced


def near_copies(pairing: Pairing) -> list[Copy]:
    """Computed once per pairing."""
    cached: list[Copy] | None = pairing.__dict__.get("_near_copies")
    if cached is None:
        cached = pairing.__dict__["_near_copies"] = list(_near_copies(pairing))
    return cached


def _near_copies(pairing: Pairing) -> Iterator[Copy]:
    for number in pairing.own:
        span = pairing.view.sentences[number]
        mine = words(pairing.view, span)
        if 3 <= len(mine) <= LONGEST_WORDS:
            found = [_copy(pairing, number, mine, a.sentence) for a in pairing.index.align(pairing.view.keys_in(span))]
            best = max(found, key=lambda pair: pair[0], default=(0, None))[
                1
            ]  # lists repeat their lines nearly: take the nearest
            if best is not None:
                yield best


def _copy(pairing: Pairing, number: int, mine: list[Token], sentence: int) -> tuple[int, Copy | None]:
    """How many words the two sentences share in order, and the copy if they are enough."""
    theirs = words(pairing.source, pairing.source.sentences[sentence])
    least = min(COPIED_OF_VIEW * len(mine), len(mine) - 1)
    bag = sum((Counter(t.lower for t in theirs) & Counter(t.lower for t in mine)).values())
    if len(theirs) > LONGEST_WORDS or bag < least or bag < CUT_OF_SOURCE * len(theirs):
        return 0, None
    matcher = SequenceMatcher(None, [t.lower for t in theirs], [t.lower for t in mine], autojunk=False)
    same = sum(block.size for block in matcher.get_matching_blocks())
    moved = len(mine) <= SHORT_WORDS and bag >= SAME_WORDS * max(len(theirs), len(mine)) and bag > same
    same = bag if moved else same
    if same < least or same < CUT_OF_SOURCE * len(theirs):
        return 0, None
    changes = [Change(theirs[a:b], mine[c:d]) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]
    return same, Copy(number, sentence, changes, (same + 1) / (len(theirs) + 1), (same + 1) / (len(mine) + 1), moved)


def _classes(words: list[Token], text: str) -> set[str]:
    """Cue classes of words and of two or three words in a row."""
    plain = [
        word.lower.replace("’", "'") for word in words if not (word.lower == "no" and text[word.end : word.end + 1] == ",")
    ]
    phrases = {" ".join(plain[i : i + n]) for n in (1, 2, 3) for i in range(len(plain) - n + 1)}
    names = {_TELLING[phrase] for phrase in phrases if phrase in _TELLING}
    return names | ({"not"} if any(word.endswith("n't") for word in plain) else set())


def _present(pairing: Pairing, change: Change) -> bool:
    """ "will write" became "complains": the future in the present tense, not a thing done."""
    words = [word.lower for word in change.source]
    return words[:1] in (["will"], ["shall"]) and bool(change.view) and not change.view[-1].lower.endswith(("ed", "en"))


def _span(words: list[Token], otherwise: Span) -> Span:
    return Span(words[0].start, words[-1].end) if words else otherwise


def _marked(pairing: Pairing, keys: list[Key]) -> list[Key]:
    return [key for key in keys if key.key.startswith("=") or key.key in pairing.actors]
