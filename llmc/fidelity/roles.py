"""G5: every value stays with its owner, every name with what it did, old values stay old.

A word is known by its neighbours. When the words around "4.20" in the view are those around "3.75" in the source and
not those around the source's "4.20", the two have been swapped; the same goes for names, ids, and for words that stand
in the same place of a sentence and are told apart (``lexicon.CONTRASTS``).
"""

import re
from collections.abc import Iterator

from llmc.fidelity.align import Key
from llmc.fidelity.joined import crossed, exchanged_words, joined_otherwise
from llmc.fidelity.near_copy import ALL_OF_SOURCE, moved_facts, near_copies
from llmc.fidelity.pairing import Pairing, Part
from llmc.fidelity.slots import NEW_BEFORE, contrast_stems, name_mates, slot
from llmc.fidelity.spans import Span
from llmc.fidelity.speakers import speakers
from llmc.fidelity.verdict import Check, Evidence, failed_check

MARGIN = 0.14  # by how much a rival's place must fit better than the word's own (set on bench/fidelity/pairs/tuning.jsonl)
RIVALS = 12  # per source sentence; more are only met in tables and lists of numbers
_FROM_TO = frozenset({"from", "to", "of"})
LEAST_FIT = 0.3  # below this the rival's place does not fit either
_OLD_BEFORE = re.compile(
    r"(?:\bfrom|\bwas|\bwere|\bpreviously(?: at)?|\bbefore:?|\bformerly|\bof)\s*\(?$"
    r"|(?:\bused to|; before,)\s[^.;,\d]{1,24}$",
    re.IGNORECASE,
)
_REJECTED_BEFORE = re.compile(r"(?:\b(?:instead of|rather than)(?: to)?|\bnot)(?: on| at| for| by)?\s*$", re.IGNORECASE)
_COMES_TO = re.compile(
    r"(?:\bamount\w*|\bcom(?:es?|ing)|\bcame|\bup|\bclose|\bequal\w*|\bdue|\blimited|\badd\w* up)\sto\s*$", re.IGNORECASE
)
_NEW_AFTER = re.compile(
    r"^[^.;\d]{0,24}?(?:\binstead of\b|, not\b|,? previously\b|; (?:before|previously)|,? it was\b)", re.IGNORECASE
)


def roles(pairing: Pairing, *, trusted: bool = True) -> Check:
    """Swapped owners, swapped names, swapped before and after. Not ``trusted`` (another language): shown, fails nothing."""
    problems = {evidence.view: evidence for evidence in moved_facts(pairing)}
    copied = {pairing.view.sentences[copy.view] for copy in near_copies(pairing) if copy.share >= ALL_OF_SOURCE}
    for part in pairing.parts:
        taken = () if part.sentence in copied or part.span in pairing.trace.settled else _taken_places(pairing, part)
        for evidence in (*_changed_places(pairing, part), *taken):
            if evidence.view is not None:
                problems.setdefault(evidence.view, evidence)
    for sentence in pairing.trace.words.keys() & pairing.trace.traced:
        for evidence in (
            *joined_otherwise(pairing, sentence),
            *exchanged_words(pairing, sentence),
            *crossed(pairing, sentence),
        ):
            problems.setdefault(evidence.view, evidence)
    for evidence in speakers(pairing):
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
    return "new" if NEW_BEFORE.search(before) else ""


def _taken_places(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """A word of the view stands where the source has a rival of the same kind."""
    for key in part.keys:
        kind = slot(pairing, key, pairing.view.text)
        if not kind:
            continue
        own = pairing.occurrences(part, key.key, 5)[:16]
        context = pairing.view_context(part, key)
        if not own or not context or all(_stands_apart(pairing, other) for other in own):
            continue
        best, rival = 0.0, None
        for other in _rivals(pairing, part, key, kind):
            pair = (key.key, other.key, *name_mates(pairing, key), *name_mates(pairing, other))
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
    others = {other.key for other in pairing.source.keys_in(span)} - {key.key} - name_mates(pairing, key)
    return len(others) <= 2 and not any(other.startswith("=") for other in others)


def _rivals(pairing: Pairing, part: Part, key: Key, kind: str) -> Iterator[Key]:
    group = contrast_stems().get(key.key, frozenset())
    mates = name_mates(pairing, key) if kind == "name" else frozenset()
    for aligned in part.aligned[:5]:
        left = RIVALS
        for other in pairing.source.keys_of(aligned.sentence):
            if other.key == key.key or other.key in mates:
                continue
            if slot(pairing, other, pairing.source.text) == kind and (kind != "contrast" or other.key in group):
                yield other
                left -= 1
                if not left:
                    break
