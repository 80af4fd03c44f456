"""G5: every value stays with its owner, every name with what it did, old values stay old.

A word is known by its neighbours. When the words around "4.20" in the view are those around "3.75" in the source and
not those around the source's "4.20", the two have been swapped; the same goes for names, ids, and for words that stand
in the same place of a sentence and are told apart (``lexicon.CONTRASTS``).
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from functools import lru_cache

from llmc.fidelity.align import Key
from llmc.fidelity.lexicon import contrasts
from llmc.fidelity.near_copy import ALL_OF_SOURCE, moved_facts, near_copies
from llmc.fidelity.pairing import Pairing, Part
from llmc.fidelity.spans import Span
from llmc.fidelity.trace import LINK_CHARS, Trace, same, words
from llmc.fidelity.verdict import Check, Evidence, failed_check
from llmc.fidelity.words import Token, stem, tokens

MARGIN = 0.14  # by how much a rival's place must fit better than the word's own (set on bench/fidelity/pairs/tuning.jsonl)
RIVALS = 12  # per source sentence; more are only met in tables and lists of numbers
BESIDE = 4  # words between a name or a value and what is said of it
_PRONOUN = re.compile(r"(?<!\w)(?:he|she|they|we|i|you|who|it|him|her|them|us|me|this|that)(?!\w)", re.IGNORECASE)
_APART = re.compile(r"[!?;,]\s|\.\s+[A-Z]|(?<!approx)(?<!\bca)(?<!\bno)(?<!\bnos)\.\s|\s[–—-]\s|\n")
_BORDER = re.compile(r"[!?;]\s|\.\s+[A-Z]|\n\s*\n")
_BARE = ("number ", "label")  # without a unit: what they count must stand beside them
_FROM_TO = frozenset({"from", "to", "of"})
_TELLING = frozenset({"said", "says", "say", "told", "tells", "tell", "added", "adds"})
_ACCORDING = re.compile(r"(?<!\w)according to [^.,;]*$", re.IGNORECASE)
_OWNED = re.compile(r"\s*of\s*|['’]s\s*")
_LISTED = re.compile(r",|\(|(?<!\w)and(?!\w)|&")
AUXILIARIES = frozenset(
    "is are was were has have had will won't would wouldn't can can't cannot could couldn't must may might should does did doesn't didn't".split()
)
_BY = re.compile(r"\bby $")
_PASSIVE = re.compile(r"[^.;]{0,40}?(?<!\w)(?:be|been|being|is|are|was|were) (?:\w+ly )?\w+(?:ed|en|t|d)(?!\w)")
CROSSED = 7  # content words
CROSSED_CHARS = 100
PERSONS = {"i": 1, "we": 1, "you": 2, "he": 3, "she": 3, "they": 3}
WORD_CHARS = 24
COMPARED = ("er", "more", "less")
TURNS = 3  # lines that begin with a name and a colon: fewer are no conversation
TURN_WORDS = 3
_LABEL = r"([A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){0,3}|[a-z][\w.-]*)(?: \([^)\n]{1,40}\))?:\s"
_SPEAKER = re.compile(r"^\s*(?:\[[^\]\n]{1,12}\]\s*|\d\d?[:.]\d\d\s+)?" + _LABEL, re.MULTILINE)
_SPEAKER_IN = re.compile(r"(?:^|(?<=[.!?;]\s))\s*" + _LABEL)
_APART_SENTENCES = re.compile(r"[.!?;]\s")
LEAST_FIT = 0.3  # below this the rival's place does not fit either
_OLD_BEFORE = re.compile(
    r"(?:\bfrom|\bwas|\bwere|\bpreviously(?: at)?|\bbefore:?|\bformerly|\bof)\s*\(?$"
    r"|(?:\bused to|; before,)\s[^.;,\d]{1,24}$",
    re.IGNORECASE,
)
_LABELLED = re.compile(
    r"(?:phase|top|room|page|line|clause|section|item|step|chapter|number|no\.|level|press|building|floor|part|day|week|article|table|figure)\s$",
    re.IGNORECASE,
)
_REJECTED_BEFORE = re.compile(r"(?:\b(?:instead of|rather than)(?: to)?|\bnot)(?: on| at| for| by)?\s*$", re.IGNORECASE)
_COMES_TO = re.compile(
    r"(?:\bamount\w*|\bcom(?:es?|ing)|\bcame|\bup|\bclose|\bequal\w*|\bdue|\blimited|\badd\w* up)\sto\s*$", re.IGNORECASE
)
_NEW_BEFORE = re.compile(
    r"(?:\bto|\bnow|\bis now|\bnow at)\s*$|\bnow\s(?:ends?|runs?|stops?|lasts?|takes?|costs?)\s(?:\w+\s)?$", re.IGNORECASE
)
_NEW_AFTER = re.compile(
    r"^[^.;\d]{0,24}?(?:\binstead of\b|, not\b|,? previously\b|; (?:before|previously)|,? it was\b)", re.IGNORECASE
)


def roles(pairing: Pairing, *, trusted: bool = True) -> Check:
    """Swapped owners, swapped names, swapped before and after. Not ``trusted`` (another language): shown, fails nothing."""
    problems = {evidence.view: evidence for evidence in moved_facts(pairing)}
    copied = {pairing.view.sentences[copy.view] for copy in near_copies(pairing) if copy.share >= ALL_OF_SOURCE}
    for part in pairing.parts:
        taken = () if part.sentence in copied or part.span in pairing.trace.traced else _taken_places(pairing, part)
        for evidence in (*_changed_places(pairing, part), *taken):
            if evidence.view is not None:
                problems.setdefault(evidence.view, evidence)
    for sentence in pairing.trace.words.keys() & pairing.trace.traced:
        for evidence in (
            *_joined_otherwise(pairing, sentence),
            *_exchanged_words(pairing, sentence),
            *_crossed(pairing, sentence),
        ):
            problems.setdefault(evidence.view, evidence)
    for evidence in _speakers(pairing):
        problems.setdefault(evidence.view, evidence)
    found = list(problems.values())
    return failed_check("roles", found if trusted else (), () if trusted else found)


def _changed_places(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """``from 30 to 10`` is not ``from 10 to 30``."""
    for key in part.keys:
        if not key.key.startswith("="):
            continue
        mine = _place(pairing.view.text, key)
        there = pairing.occurrences(part, key.key)
        places = {_place(pairing.source.text, other) for other in there}
        if not mine or not there or mine in places or "" in places or _taken_with_word_before(pairing, part, key):
            continue
        if "new" not in {mine, *places} and not _has_both(pairing, there[0]):
            continue  # "from 3 to 5" for "5 instead of 3": both name the old value
        yield Evidence(
            f"{key.lower!r} is the {mine} value in the view, the {min(places)} one in the source",
            source=Span(there[0].start, there[0].end),
            view=Span(key.start, key.end),
        )


def _taken_with_word_before(pairing: Pairing, part: Part, key: Key) -> bool:
    """ "from 1 November" is that of the source, whatever follows."""
    if part.span not in pairing.trace.traced:
        return False
    words, taken = pairing.trace.words[part.sentence], pairing.trace.taken
    place = next((n for n, word in enumerate(words) if word.start == key.start), 0)
    if not place or key.start not in taken or words[place - 1].start not in taken or words[place - 1].lower not in _FROM_TO:
        return False
    between = pairing.source.text[taken[words[place - 1].start].end : taken[key.start].start]
    return not between.strip()


def _has_both(pairing: Pairing, key: Key) -> bool:
    """The source sentence tells the old value from one that was meant: "from 200 to 20 instead of to 120"."""
    span = pairing.source.sentences[pairing.source.analysis.sentence_at(key.start)]
    places = {_place(pairing.source.text, other) for other in pairing.source.keys_in(span) if other.key.startswith("=")}
    return {"old", "rejected"} <= places


def _place(text: str, key: Key) -> str:
    before, after = text[max(0, key.start - 24) : key.start], text[key.end : key.end + 40]
    if _REJECTED_BEFORE.search(before):
        return "rejected"
    if _NEW_AFTER.match(after):
        return "new"
    if _COMES_TO.search(before):
        return ""
    if _OLD_BEFORE.search(before):
        return "old"
    return "new" if _NEW_BEFORE.search(before) else ""


def _taken_places(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """A word of the view stands where the source has a rival of the same kind."""
    for key in part.keys:
        kind = _slot(pairing, key, pairing.view.text)
        if not kind:
            continue
        own = pairing.occurrences(part, key.key, 5)[:16]
        context = pairing.view_context(part, key)
        if not own or not context or all(_stands_apart(pairing, other) for other in own):
            continue
        best, rival = 0.0, None
        for other in _rivals(pairing, part, key, kind):
            pair = (key.key, other.key, *_name_mates(pairing, key), *_name_mates(pairing, other))
            gain = pairing.likeness(context, pairing.source_context(other), pair)
            if gain < LEAST_FIT:
                continue
            gain -= max(pairing.likeness(context, pairing.source_context(mine), pair) for mine in own)
            if gain > best and (gain := gain + _gain_of_rival(pairing, part, other, own, pair)) > best:
                best, rival = gain, other
        if rival is not None and best > MARGIN:
            yield Evidence(
                f"{pairing.view.text[key.start : key.end]!r} stands where "
                f"the source has {pairing.source.text[rival.start : rival.end]!r}",
                source=Span(rival.start, rival.end),
                view=Span(key.start, key.end),
            )


def _joined_otherwise(pairing: Pairing, sentence: Span) -> Iterator[Evidence]:
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
            if rival is not None and passive and trace.taken[word.start].start > trace.taken[other.start].start:
                continue  # "fees may be raised by the Provider" for "the Provider may raise the fees"
            if rival is not None and not _stayed(trace, rival, other, mine):
                yield _instead(pairing, key, rival)
                break


def _other_person(pairing: Pairing, before: Token, word: Token, key: Key | None) -> Iterator[Evidence]:
    """ "I would confirm" for "you would confirm"; "Ana will add it" for Bo's "I'll add it"."""
    trace, source = pairing.trace, pairing.source.text
    if word.start not in trace.taken:
        return
    there = _last_word(source, trace.taken[word.start].start)
    if there is None or trace.kept.get(there.start) == before:
        return
    mine, theirs = PERSONS.get(before.lower.partition("'")[0]), PERSONS.get(there.lower.replace("’", "'").partition("'")[0])
    if mine and theirs and mine != theirs:
        yield _instead(pairing, before, there)
    elif theirs == 1 and key and _kind(pairing, key, pairing.view.text) == "name" and _handles(pairing):
        turns = [(m.start(1), _stems(m[1])) for m in _SPEAKER.finditer(source, 0, there.start)]
        if turns and key.key in _handles(pairing) and key.key not in turns[-1][1]:
            yield _instead(pairing, before, there)


def _stayed(trace: Trace, rival: Key, beside: Token, mine: list[Token]) -> bool:
    """The rival still stands beside the same words, on the same side of them."""
    kept = trace.kept.get(rival.start)
    if kept not in mine:
        return False
    steps = mine.index(kept) - mine.index(beside)
    return abs(steps) < BESIDE and (steps > 0) == (rival.start > trace.taken[beside.start].start)


def _exchanged_words(pairing: Pairing, sentence: Span) -> Iterator[Evidence]:
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
            if there and there.stem and not close and not there.lower.endswith("ly") and there.start not in trace.kept and not _moved_along(pairing, before, word) and not source[there.start].isupper():
                yield _instead(pairing, before, there)
        if word.start in trace.taken or not word.stem or before.start not in trace.taken:
            continue
        left = trace.taken[before.start]
        there = next((t for t in tokens(source, left.end, left.end + WORD_CHARS)), None)
        if there is None or there.start in trace.kept or {text[before.end : word.start], source[left.end : there.start]} - {" ", ", "}:
            continue
        compared = word.lower.endswith(COMPARED) and there.lower.endswith(COMPARED)
        measured = before.lower[0] == "=" and there.stem and word.stem not in pairing.index.postings
        if compared or measured:
            yield _instead(pairing, word, there)


def _crossed(pairing: Pairing, sentence: Span) -> Iterator[Evidence]:
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
                if same(there) == same(telling[one]) or any(_BY.search(source, max(0, p - 4), p) for p in (places[one], places[other])):
                    continue
                if _PASSIVE.match(pairing.view.text, telling[one].end) or pairing.view.text[telling[other].start - 1] == "(":
                    continue
                if places[one] - places[other] < CROSSED_CHARS and _same_place(pairing, sentence, telling[one], there):
                    yield _instead(pairing, telling[one], there)
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


def _instead(pairing: Pairing, word: Token | Key, there: Token | Key) -> Evidence:
    return Evidence(
        f"{pairing.view.text[word.start : word.end]!r} stands where the source has {pairing.source.text[there.start : there.end]!r}",
        source=Span(there.start, there.end),
        view=Span(word.start, word.end),
    )


def _speakers(pairing: Pairing) -> Iterator[Evidence]:
    """What is said under a name was said under that name."""
    theirs = [(m.start(1), _stems(m[1])) for m in _SPEAKER.finditer(pairing.source.text)]
    if len(theirs) < TURNS:
        return
    starts = [start for start, _ in theirs]
    taken = pairing.trace.taken
    for sentence, mine in pairing.trace.words.items():
        text = pairing.view.text
        for match in _SPEAKER_IN.finditer(text, sentence.start, sentence.end):
            label = _stems(match[1])
            end = _APART_SENTENCES.search(text, match.end(), sentence.end)
            told = [taken[w.start] for w in mine if match.end() <= w.start < (end.start() if end else sentence.end) and w.stem and w.start in taken]
            turns = Counter(bisect_right(starts, word.start) - 1 for word in told)
            turn, count = max(turns.items(), key=lambda item: item[1], default=(-1, 0))
            known = label & {stem for _, stems in theirs for stem in stems}
            if turn >= 0 and known and count >= TURN_WORDS and 2 * count > len(told) and not (label <= theirs[turn][1] or theirs[turn][1] <= label):
                start = theirs[turn][0]
                yield Evidence(
                    f"{match[1]!r} stands where the source has {pairing.source.text[start : start + 30].partition(':')[0]!r}",
                    source=Span(start, start + 1),
                    view=Span(match.start(1), match.end(1)),
                )


def _stems(words: str) -> frozenset[str]:
    return frozenset(token.stem for token in tokens(words)) - {""}


def _kind(pairing: Pairing, key: Key, text: str) -> str:
    """The kind of a name (written with a capital) or a value; empty for other words."""
    kind = _slot(pairing, key, text)
    if kind in ("name", "acronym") and not text[key.start].isupper():
        return "name" if key.key in _handles(pairing) else ""
    return "duration" if kind.startswith("duration") else "" if kind == "contrast" else kind


def _handles(pairing: Pairing) -> frozenset[str]:
    """Words of the names that lines of a chat begin with."""
    found: frozenset[str] | None = pairing.__dict__.get("_handles")
    if found is None:
        turns = [_stems(match[1]) for match in _SPEAKER.finditer(pairing.source.text)]
        found = pairing.__dict__["_handles"] = frozenset().union(*turns) if len(turns) >= TURNS else frozenset()
    return found


def _moved_along(pairing: Pairing, word: Token, beside: Token) -> bool:
    """The word beside it was taken together with it: with nothing between the two."""
    taken = pairing.trace.taken
    if word.start not in taken or beside.start not in taken:
        return False
    one, other = sorted((taken[word.start], taken[beside.start]))
    return (one.start < other.start) == (min(word.start, beside.start) == (word if taken[word.start] == one else beside).start) and not (
        pairing.source.text[one.end : other.start].strip(" -")
    )


def _said_of(pairing: Pairing, key: Key, kind: str, near: list[Token], keys: dict[int, Key]) -> Token | None:
    """The nearest content word that was taken from the source, with nothing between that parts it from the name or value."""
    text = pairing.view.text
    for word in near:
        other = keys.get(word.start)
        if other and other.key in _name_mates(pairing, key):
            continue
        if other and _kind(pairing, other, text) == kind:
            return None
        if word.stem and word.lower not in _TELLING and word.start in pairing.trace.taken and not (kind in _BARE and word.start in pairing.trace.alone):
            low, high = min(key.end, word.end), max(key.start, word.start)
            according = _ACCORDING.search(text, max(0, key.start - 60), key.start)
            apart = (not according and _APART.search(text, low, high + 1)) or (kind != "name" and ":" in text[low:high])
            return None if apart else word
    return None


def _rival_beside(pairing: Pairing, key: Key, kind: str, beside: Token, side: int, own: Token | None) -> Key | None:
    """What stands on that side there, in the source, where the view has ``key``; None when it is ``key``, or nothing of its kind."""
    text = pairing.source.text
    timed = kind.startswith(("date", "time"))
    others = pairing.source.keys_of(pairing.source.analysis.sentence_at(beside.start))
    if timed:  # a line may begin with its time
        others = [o for o in others if "\n" not in text[min(o.end, beside.end) : max(o.start, beside.start)]]
    else:
        others = [o for o in others if (o.start - beside.start) * side > 0]
    others.sort(key=lambda other: abs(other.start - beside.start))
    if own and _BY.search(text, max(0, own.start - 3), own.start):
        return None  # "Ruta paid" for "was paid by Ruta"
    if own and _OWNED.fullmatch(text, min(own.end, beside.end), max(own.start, beside.start)):
        return None
    for distance, other in enumerate(others):
        if _same_value(other, key) or other.key in _name_mates(pairing, key) or (distance >= (2 if kind in _BARE else BESIDE) and not timed):
            return None
        low, high = (other.end, beside.start) if side < 0 else (beside.end, other.start)
        if not timed and _BORDER.search(text, low, high + 1):
            return None
        if _kind(pairing, other, text) != kind:
            continue
        if kind in ("name", "acronym"):
            return None if _PRONOUN.search(text, low, high) or (own and _listed(text, own, beside, side)) else other
        return None if own and (own.start - other.start) * side > 0 and _NEW_BEFORE.search(text[other.end : own.start]) else other
    return None


def _same_value(one: Key, other: Key) -> bool:
    """The same word, or the same number with and without its unit."""
    return one.key == other.key or (one.key[0] == other.key[0] == "=" and one.key.split(" ")[0] == other.key.split(" ")[0])


def _listed(text: str, own: Token, beside: Token, side: int) -> bool:
    """ "Ana, Bo and Cy agreed", "Ana, who lives in Graz, agreed": of Ana it is said too."""
    low, high = (own.end, beside.start) if side < 0 else (beside.end, own.start)
    return low < high and bool(_LISTED.search(text, low, high)) and not _BORDER.search(text, low, high + 1)


def _gain_of_rival(pairing: Pairing, part: Part, rival: Key, own: list[Key], pair: tuple[str, ...]) -> float:
    """When the view's sentence holds the rival too, both must fit better in each other's place: what the rival gains."""
    there = next((key for key in pairing.view.keys_in(part.sentence) if key.key == rival.key), None)
    if there is None:
        return 0.0
    clause = next(
        (c for c in (other.span for other in pairing.parts_of[part.sentence]) if c.start <= there.start < c.end), part.span
    )
    context = pairing.context(pairing.view, there, part.sentence, clause)
    theirs = pairing.occurrences(part, rival.key, 5) or [rival]
    stay = max(pairing.likeness(context, pairing.source_context(other), pair) for other in theirs)
    return max(pairing.likeness(context, pairing.source_context(other), pair) for other in own) - stay


def _stands_apart(pairing: Pairing, key: Key) -> bool:
    """In a heading, a signature, a label: its neighbours say nothing about what it does."""
    span = pairing.source.sentences[pairing.source.analysis.sentence_at(key.start)]
    others = {other.key for other in pairing.source.keys_in(span)} - {key.key} - _name_mates(pairing, key)
    return len(others) <= 2 and not any(other.startswith("=") for other in others)


def _slot(pairing: Pairing, key: Key, text: str) -> str:
    """What kind of place a word takes; empty when it has no rivals."""
    if key.key.startswith("="):
        if key.kind == "number" and " " not in key.key and _LABELLED.search(text[max(0, key.start - 12) : key.start]):
            return "label"
        if key.kind == "date":
            return f"date {len(key.key)}"  # a day is no rival of a year
        return f"{key.kind} {key.key.partition(' ')[2]}" if key.kind in ("number", "duration", "range") else key.kind
    if key.key in pairing.actors:
        return "acronym" if sum(map(str.isupper, text[key.start : key.start + 5])) > 1 and key.end - key.start < 5 else "name"
    return "contrast" if key.key in _contrast_stems() else ""


def _rivals(pairing: Pairing, part: Part, key: Key, kind: str) -> Iterator[Key]:
    group = _contrast_stems().get(key.key, frozenset())
    mates = _name_mates(pairing, key) if kind == "name" else frozenset()
    for aligned in part.aligned[:5]:
        left = RIVALS
        for other in pairing.source.keys_of(aligned.sentence):
            if other.key == key.key or other.key in mates:
                continue
            if _slot(pairing, other, pairing.source.text) == kind and (kind != "contrast" or other.key in group):
                yield other
                left -= 1
                if not left:
                    break


def _name_mates(pairing: Pairing, key: Key) -> frozenset[str]:
    """Words that stand with this one in one name: Priya is no rival of Raman."""
    return pairing.source.name_mates.get(key.key, frozenset())


@lru_cache(maxsize=1)
def _contrast_stems() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for group in contrasts():
        stems = frozenset(stem(word) or word for word in group)
        for word in stems:
            found[word] = found.get(word, frozenset()) | stems
    return found
