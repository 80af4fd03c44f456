"""Names and values of a shortened sentence: beside the words that they stood beside in the source, or not.

Shortening joins what stood apart. "Mr Hollis says they fit" may be made of "Mr Hollis should decide" and "Mr Tadic says they
fit": each word is the source's own, and the sentence is wrong. So the neighbours of each name and value are looked up where
they were taken from (``trace.py``): when another one of its kind stands there, that one was put aside for it.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

from llmc.fidelity.align import Key
from llmc.fidelity.pairing import Pairing
from llmc.fidelity.slots import NEW_BEFORE, contrast_stems, name_mates, slot
from llmc.fidelity.spans import Span
from llmc.fidelity.trace import LINK_CHARS, Trace, same, words
from llmc.fidelity.verdict import Evidence
from llmc.fidelity.words import Token, tokens

BESIDE = 4  # words between a name or a value and what is said of it
_PRONOUN = re.compile(r"(?<!\w)(?:he|she|they|we|i|you|who|it|him|her|them|us|me|this|that)(?!\w)", re.IGNORECASE)
_TITLE = r"(?<!\bProf)(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bSt)"  # no full stop, what follows
_APART = re.compile(rf"[!?;,]\s|{_TITLE}(?<!approx)(?<!\bca)(?<!\bno)(?<!\bnos)\.\s|\s[–—-]\s|\n")
_BORDER = re.compile(_TITLE + r"\.\s+[A-Z]|[!?;]\s|\n\s*(?:\n|\d\d?[:.]\d\d|[-*•]|\d+[.)])")
_BARE = ("number ", "label")  # without a unit: what they count must stand beside them
_FIRST_OR_SECOND = frozenset({"i", "me", "we", "us", "you", "this", "that", "who"})
_TELLING = frozenset({"said", "says", "say", "told", "tells", "tell", "added", "adds"})
_ACCORDING = re.compile(r"(?<!\w)according to [^.,;]*$", re.IGNORECASE)
_OWNED = re.compile(r"\s*of\s*|['’]s\s*")
_LISTED = re.compile(r",|\(|(?<!\w)and(?!\w)|&")
_AUXILIARIES = """
is are was were has have had will won't would wouldn't can can't cannot could couldn't must may might should does did doesn't
didn't
"""
AUXILIARIES = frozenset(_AUXILIARIES.split())
_BY = re.compile(r"\bby (?:the |a |an |its |their )?$")
_BE = re.compile(r"\b(?:be|been|being|is|are|was|were) (?:\w+ly )?$")
_PASSIVE = re.compile(r"[^.;]{0,40}?(?<!\w)(?:be|been|being|is|are|was|were) (?:\w+ly )?\w+(?:ed|en|t|d)(?!\w)")
CROSSED = 7  # content words
CROSSED_CHARS = 100
PERSONS = {"i": 1, "we": 1, "you": 2, "he": 3, "she": 3, "they": 3}
_GROUPS = (
    "may might can could | must shall will | should ought | would ; before | after ; above over | below under ; with | without"
)
_SIDES = [[side.split() for side in family.split("|")] for family in _GROUPS.split(";")]
_TURNING = {  # a small word and those that say something else in its place
    word: frozenset(w for other in sides if other is not side for w in other)
    for sides in _SIDES
    for side in sides
    for word in side
}
_EVERY = frozenset({"all", "every", "each", "both", "any"})
WORD_CHARS = 24
COMPARED = ("er", "more", "less")


def joined_otherwise(pairing: Pairing, sentence: Span) -> Iterator[Evidence]:
    """Of words taken from the source: a name or a value beside words that stood beside another one of its kind."""
    trace, text = pairing.trace, pairing.view.text
    mine = trace.words[sentence]
    keys = {key.start: key for key in pairing.view.keys_in(sentence)}
    for place, word in enumerate(mine):
        key = keys.get(word.start)
        kind = _kind(pairing, key, text) if key else ""
        if not key or not kind:
            continue
        for near, side in ((mine[place + 1 : place + 1 + BESIDE], -1), (mine[max(0, place - BESIDE) : place][::-1], 1)):
            other = _said_of(pairing, key, kind, near[: 2 if kind in _BARE else BESIDE], keys)
            if other is None or _moved_along(pairing, word, near[0]):
                continue
            rival = _rival_beside(pairing, key, kind, trace.taken[other.start], side, trace.taken.get(word.start))
            passive = side < 0 and _PASSIVE.match(text, key.end) and word.start in trace.taken
            active = not _BE.search(
                pairing.source.text, max(0, trace.taken[other.start].start - 24), trace.taken[other.start].start
            )
            if rival is not None and passive and active and trace.taken[word.start].start > trace.taken[other.start].start:
                continue  # "fees may be raised by the Provider" for "the Provider may raise the fees"
            if rival is not None and not _stayed(trace, rival, other, mine):
                yield instead(pairing, key, rival)
                break


def _said_of(pairing: Pairing, key: Key, kind: str, near: list[Token], keys: dict[int, Key]) -> Token | None:
    """The nearest content word that was taken from the source, with nothing between that parts it from the name or value."""
    text = pairing.view.text
    for word in near:
        other = keys.get(word.start)
        if other and other.key in name_mates(pairing, key):
            continue
        if other and _kind(pairing, other, text) == kind:
            return None
        if (
            word.stem
            and word.lower not in _TELLING
            and word.start in pairing.trace.taken
            and not (kind in _BARE and word.start in pairing.trace.alone)
        ):
            low, high = min(key.end, word.end), max(key.start, word.start)
            according = _ACCORDING.search(text, max(0, key.start - 60), key.start)
            apart = (not according and _APART.search(text, low, high + 1)) or (kind != "name" and ":" in text[low:high])
            return None if apart else word
    return None


def _rival_beside(pairing: Pairing, key: Key, kind: str, beside: Token, side: int, own: Token | None) -> Key | None:
    """What the source has on that side, where the view has ``key``; None when it is ``key``, or nothing of its kind."""
    text = pairing.source.text
    timed = kind.startswith(("date", "time"))
    others = pairing.source.keys_of(pairing.source.analysis.sentence_at(beside.start))
    if timed:  # a line may begin with its time
        others = [o for o in others if "\n" not in text[min(o.end, beside.end) : max(o.start, beside.start)]]
    else:
        others = [o for o in others if (o.start - beside.start) * side > 0]
    others.sort(key=lambda other: abs(other.start - beside.start))
    named = kind in ("name", "acronym")
    agent = own and named and _BY.search(text, max(0, own.start - 9), own.start)
    if own and agent and abs(own.start - beside.start) <= LINK_CHARS:
        return None  # "Ruta paid" for "was paid by Ruta"
    if own and _OWNED.fullmatch(text, min(own.end, beside.end), max(own.start, beside.start)):
        return None
    for distance, other in enumerate(others):
        if (
            _same_value(other, key)
            or other.key in name_mates(pairing, key)
            or (distance >= (2 if kind in _BARE else BESIDE) and not timed)
        ):
            return None
        low, high = (other.end, beside.start) if side < 0 else (beside.end, other.start)
        if not timed and _BORDER.search(text, low, high + 1):
            return None
        if _kind(pairing, other, text) != kind:
            continue
        if named and (pronoun := _PRONOUN.search(text, low, high)):
            meant = _named_before(pairing, pronoun.start())
            return None if key.key in meant or not meant or pronoun[0].lower() in _FIRST_OR_SECOND else other
        if named:
            return None if own and _listed(text, own, beside, side) else other
        new = own and (own.start - other.start) * side > 0 and NEW_BEFORE.search(text[other.end : own.start])
        return None if new else other
    return None


def _moved_along(pairing: Pairing, word: Token, beside: Token) -> bool:
    """The word beside it was taken together with it: with nothing between the two."""
    taken = pairing.trace.taken
    if word.start not in taken or beside.start not in taken:
        return False
    one, other = sorted((taken[word.start], taken[beside.start]))
    return (one.start < other.start) == (
        min(word.start, beside.start) == (word if taken[word.start] == one else beside).start
    ) and not (pairing.source.text[one.end : other.start].strip(" -"))


def _named_before(pairing: Pairing, place: int) -> set[str]:
    """The names that a pronoun may stand for: those in front of it, in its sentence and in the two before."""
    number = pairing.source.analysis.sentence_at(place)
    found: set[str] = set()
    for sentence in range(max(0, number - 2), number + 1):
        for key in pairing.source.keys_of(sentence):
            if key.start < place and _kind(pairing, key, pairing.source.text) in ("name", "acronym"):
                found |= {key.key, *name_mates(pairing, key)}
    return found


def _same_value(one: Key, other: Key) -> bool:
    """The same word, or the same number with and without its unit."""
    return one.key == other.key or (one.key[0] == other.key[0] == "=" and one.key.split(" ")[0] == other.key.split(" ")[0])


def _listed(text: str, own: Token, beside: Token, side: int) -> bool:
    """ "Ana, Bo and Cy agreed", "Ana, who lives in Graz, agreed": of Ana it is said too."""
    low, high = (own.end, beside.start) if side < 0 else (beside.end, own.start)
    return low < high and bool(_LISTED.search(text, low, high)) and not _BORDER.search(text, low, high + 1)


def _stayed(trace: Trace, rival: Key, beside: Token, mine: list[Token]) -> bool:
    """The rival still stands beside the same words, on the same side of them."""
    kept = trace.kept.get(rival.start)
    if kept not in mine:
        return False
    steps = mine.index(kept) - mine.index(beside)
    return abs(steps) < BESIDE and (steps > 0) == (rival.start > trace.taken[beside.start].start)


def exchanged_words(pairing: Pairing, sentence: Span) -> Iterator[Evidence]:
    """A word that the source lacks in the place of one that stood there: a unit, a comparative; another subject."""
    trace, text, source = pairing.trace, pairing.view.text, pairing.source.text
    mine = trace.words[sentence]
    keys = {key.start: key for key in pairing.view.keys_in(sentence)}
    for place, (before, word) in enumerate(pairwise(mine)):
        key = keys.get(before.start)
        new_modal = word.lower in AUXILIARIES and word.start not in trace.taken and place + 2 < len(mine)
        yield from _other_person(pairing, before, mine[place + 2] if new_modal else word, key)
        if word.lower in AUXILIARIES and key and _kind(pairing, key, text) in ("name", "acronym") and word.start in trace.taken:
            there = _last_word(source, trace.taken[word.start].start)
            own = trace.taken.get(before.start)
            close = own is not None and there is not None and 0 < there.start - own.end < LINK_CHARS
            if (
                there
                and there.stem
                and not close
                and not there.lower.endswith("ly")
                and there.start not in trace.kept
                and not _moved_along(pairing, before, word)
                and not source[there.start].isupper()
            ):
                yield instead(pairing, before, there)
        yield from _contrasting(pairing, before, word)
        yield from _turned_word(pairing, before, word)
        if word.lower in _EVERY and word.start not in trace.taken and before.start in trace.taken and place + 2 < len(mine):
            there = next(tokens(source, trace.taken[before.start].end, trace.taken[before.start].end + WORD_CHARS), None)
            if there and there.stem and there.start not in trace.kept and mine[place + 2].start in trace.taken:
                yield instead(pairing, word, there)
        if word.start in trace.taken or not word.stem or before.start not in trace.taken:
            continue
        left = trace.taken[before.start]
        there = next((t for t in tokens(source, left.end, left.end + WORD_CHARS)), None)
        if (
            there is None
            or there.start in trace.kept
            or {text[before.end : word.start], source[left.end : there.start]} - {" ", ", "}
        ):
            continue
        compared = word.lower.endswith(COMPARED) and there.lower.endswith(COMPARED)
        measured = before.lower[0] == "=" and there.stem and word.stem not in pairing.index.postings
        if compared or measured:
            yield instead(pairing, word, there)


def _contrasting(pairing: Pairing, before: Token, word: Token) -> Iterator[Evidence]:
    """ "Son says" for "Daughter says": words that are told apart, in one and the same place."""
    trace, source = pairing.trace, pairing.source.text
    group = contrast_stems()
    if (before.start not in trace.taken or before.start in trace.alone) and before.stem in group and word.start in trace.taken:
        there = _last_word(source, trace.taken[word.start].start)
        if there and there.stem in group[before.stem] and there.stem != before.stem:
            yield instead(pairing, before, there)
    elif word.start not in trace.taken and word.stem in group and before.start in trace.taken:
        there = next(tokens(source, trace.taken[before.start].end, trace.taken[before.start].end + WORD_CHARS), None)
        if there and there.stem in group[word.stem] and there.stem != word.stem:
            yield instead(pairing, word, there)


def _turned_word(pairing: Pairing, before: Token, word: Token) -> Iterator[Evidence]:
    """ "The Licensor shall" for "the Licensor may", "after the stop" for "before the stop": one small word for another."""
    trace, source = pairing.trace, pairing.source.text
    if before.start not in trace.taken or word.lower not in _TURNING or trace.in_run_with(before, word):
        return
    end = trace.taken[before.start].end
    there = next(tokens(source, end, end + WORD_CHARS), None)
    if there is None or source[end : there.start] != " " or there.start in trace.kept:
        return
    if there.lower in _TURNING[word.lower]:
        yield instead(pairing, word, there)


def _other_person(pairing: Pairing, before: Token, word: Token, key: Key | None) -> Iterator[Evidence]:
    """ "I would confirm" for "you would confirm"; "Ana will add it" for Bo's "I'll add it"."""
    trace, source = pairing.trace, pairing.source.text
    if word.start not in trace.taken:
        return
    there = _last_word(source, trace.taken[word.start].start)
    if there is None or trace.kept.get(there.start) == before:
        return
    mine, theirs = PERSONS.get(before.lower.partition("'")[0]), PERSONS.get(there.lower.replace("’", "'").partition("'")[0])
    if mine and theirs and mine != theirs and (theirs, mine) != (1, 3):  # "he cannot promise it": reported
        yield instead(pairing, before, there)
    elif theirs == 1 and key and _kind(pairing, key, pairing.view.text) == "name":
        turns = pairing.source.turns
        turn = bisect_right([start for start, _ in turns], there.start) - 1
        of_another = turn >= 0 and key.key in pairing.source.handles and key.key not in turns[turn][1]
        if of_another or (not turns and there.lower == "i" and before.lower in pairing.source.told_of):
            yield instead(pairing, before, there)  # of whom the writer speaks is not the writer


def crossed(pairing: Pairing, sentence: Span) -> Iterator[Evidence]:
    """Two words that changed sides of a third: "better on carpet, worse on tiles" for "better on tiles, worse on carpet"."""
    trace, source = pairing.trace, pairing.source.text
    telling = [word for word in trace.words[sentence] if word.stem and word.start in trace.taken]
    places = [trace.taken[word.start].start for word in telling]
    for middle, place in enumerate(places):
        before = [n for n in range(max(0, middle - CROSSED), middle) if 0 < places[n] - place < CROSSED_CHARS]
        after = [n for n in range(middle + 1, min(len(places), middle + CROSSED)) if 0 < place - places[n] < CROSSED_CHARS]
        for one in before:
            for other in after:
                there = trace.taken[telling[other].start]
                if same(there) == same(telling[one]) or any(
                    _BY.search(source, max(0, p - 9), p) for p in (places[one], places[other])
                ):
                    continue
                if _PASSIVE.match(pairing.view.text, telling[one].end) or pairing.view.text[telling[other].start - 1] == "(":
                    continue
                if places[one] - places[other] < CROSSED_CHARS and _same_place(pairing, sentence, telling[one], there):
                    yield instead(pairing, telling[one], there)
                    return


def _same_place(pairing: Pairing, sentence: Span, word: Token, there: Token) -> bool:
    """The word beside both is the same: "on carpet is" for "on tiles is"."""
    mine = pairing.trace.words[sentence]
    theirs = words(pairing.source, pairing.source.sentences[pairing.source.analysis.sentence_at(there.start)])
    here, where = mine.index(word), theirs.index(there)
    for step in (-1, 1):
        if 0 <= here + step < len(mine) and 0 <= where + step < len(theirs):
            left, right = sorted((mine[here + step], word))
            parted = pairing.view.text[left.end : right.start] != " "
            if same(mine[here + step]) == same(theirs[where + step]) and not parted:
                return True
    return False


def _last_word(text: str, end: int) -> Token | None:
    """The word right before a place, with a space between."""
    start = max(0, end - WORD_CHARS)
    before = list(tokens(text, start, end))
    return before[-1] if before and before[-1].start > start and text[before[-1].end : end] == " " else None


def instead(pairing: Pairing, word: Token | Key, there: Token | Key) -> Evidence:
    here, other = pairing.view.text[word.start : word.end], pairing.source.text[there.start : there.end]
    return Evidence(
        f"{here!r} stands where the source has {other!r}",
        source=Span(there.start, there.end),
        view=Span(word.start, word.end),
    )


def _kind(pairing: Pairing, key: Key, text: str) -> str:
    """The kind of a name (written with a capital) or a value; empty for other words."""
    kind = slot(pairing, key, text)
    if kind in ("name", "acronym") and not text[key.start].isupper():
        return "name" if key.key in pairing.source.handles else ""
    return "duration" if kind.startswith("duration") else "" if kind == "contrast" else kind
