"""Words that say the opposite ("rejected" for "approved"), and deeds that the source does not report."""

import re
from collections.abc import Iterator

from llmc.fidelity.align import Key, Keyed
from llmc.fidelity.cues import pole_stems
from llmc.fidelity.lexicon import deed_families
from llmc.fidelity.pairing import Pairing, Part
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Evidence
from llmc.fidelity.words import stem

OPPOSITE_FIT = 0.3  # below this the two words are not said of the same thing
OPPOSITE_MARGIN = 0.15  # by how much the opposite's place must fit better than the place of the word itself
LIKE_NOT = re.compile(  # what can stand in a view for a "not" of the source
    r"(?<!\w)(?:before|instead of|rather than|until|yet to|remains?|only|stop(?:s|ped)?|free(?!\s+to)|non-\w+|un\w{4,}|"
    r"fix(?:ed|es)?|solved|left open|forbidden|prohibited|banned|nur|missing|"
    r"against|miss(?:es|ed)?|dry|except|exclud\w+|gone|disput\w+)(?!\w)",
    re.IGNORECASE,
)
_FIXED = re.compile(r"(?<!\w)(?:fix(?:ed|es)?|prevent\w*|avoid\w*)(?!\w)", re.IGNORECASE)
_DEEDS = {stem(deed): frozenset(stem(word) or word for word in family) for deed, family in deed_families().items()}


def opposites(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """A word of one pole where the source has the other pole, or the same one under a negation."""
    poles = pole_stems()
    traced = part.span in pairing.trace.settled
    for key in part.keys:
        if traced and key.start in pairing.trace.taken and key.start not in pairing.trace.alone:
            continue
        for family, sign in poles.get(key.key, ()):
            mine = sign * _sign(pairing, pairing.view, part.span, key)
            context = pairing.view_context(part, key)
            same, opposite, where = 0.0, 0.0, None
            for other, other_sign, clause in _of_family(pairing, part, family):
                like = pairing.likeness(context, pairing.source_context(other))
                if other_sign * _sign(pairing, pairing.source, clause, other) == mine:
                    same = max(same, like)
                elif like > opposite or where is None:
                    opposite, where = like, other
            if where is not None and _turned(pairing, part, key, where):
                continue
            if where is not None and opposite >= OPPOSITE_FIT and opposite > same + (OPPOSITE_MARGIN if same else 0.0):
                yield Evidence(
                    f"the view says {pairing.view.text[key.start : key.end]!r} where the source says the opposite",
                    source=Span(where.start, where.end),
                    view=Span(key.start, key.end),
                )


def _turned(pairing: Pairing, part: Part, key: Key, other: Key) -> bool:
    """One word under a negation on one side, with something on the other that does its work: "fixed: ...", "only when"."""
    if key.key != other.key:
        return False
    number = pairing.source.analysis.sentence_at(other.start)
    span = pairing.source.sentences[number]
    says = {cue.name for cue in pairing.cues_of(pairing.view, part.sentence)}
    view = pairing.view.text[part.sentence.start : part.sentence.end]
    conditional = bool(says & {"if", "when"}) and any(cue.name == "if" for cue in pairing.cues_of(pairing.source, span))
    return conditional or bool(LIKE_NOT.search(view)) or bool(_FIXED.search(pairing.source.text, span.start, span.end))


def _of_family(pairing: Pairing, part: Part, family: str) -> Iterator[tuple[Key, int, Span]]:
    """Words of a family of opposites in the source sentences the part speaks of, with pole and clause."""
    poles = pole_stems()
    for aligned in part.aligned[:3]:
        for key in pairing.source.keys_of(aligned.sentence):
            for name, sign in poles.get(key.key, ()):
                if name == family:
                    yield key, sign, _clause_at(pairing, aligned.sentence, key)


def _clause_at(pairing: Pairing, sentence: int, key: Key) -> Span:
    for clause in pairing.source.clauses_of(sentence):
        if clause.start <= key.start < clause.end:
            return clause
    return pairing.source.sentences[sentence]


def _sign(pairing: Pairing, keyed: Keyed, clause: Span, key: Key) -> int:
    """-1 when a negation acts on the word."""
    negated = any(
        cue.name == "not" and any(scoped.start == key.start for scoped in cue.scope[:3])
        for cue in pairing.cues_of(keyed, clause)
    )
    return -1 if negated else 1


def deeds(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """The view reports a deed (approved, signed, delivered) that the source sentences do not name."""
    for key in part.keys:
        family = _DEEDS.get(key.key)
        if family is None or key.kind != "word" or pairing.view.text.startswith((" of ", ":"), key.end):
            continue  # "signs of": a noun
        if part.span in pairing.trace.traced:
            near, around = _told_with(pairing, part, key)
        else:
            near, around = [], set()
        near = near or [a.sentence for a in part.aligned[:3]]
        around = around or {n + step for n in near for step in (-1, 0, 1) if 0 <= n + step < len(pairing.source.sentences)}
        if any(other.key in family for n in around for other in pairing.source.keys_of(n)):
            continue
        yield Evidence(
            f"the view says {pairing.view.text[key.start : key.end]!r}, the source does not",
            source=pairing.source.sentences[near[0]] if near else None,
            view=Span(key.start, key.end),
        )


def _told_with(pairing: Pairing, part: Part, key: Key) -> tuple[list[int], set[int]]:
    """The source sentences that the other words of the clause (of the sentence, where it has none) were taken from."""
    taken, sentence_at = pairing.trace.taken, pairing.source.analysis.sentence_at
    for span in (part.span, part.sentence):
        others = [word for word in pairing.trace.words[part.sentence] if word.stem and span.start <= word.start < span.end]
        found = {sentence_at(taken[word.start].start) for word in others if word.start != key.start and word.start in taken}
        if found:
            own = sentence_at(taken[key.start].start) if key.start in taken else -9
            return sorted(found), found | ({own} if {own - 1, own + 1} & found else set())
    return [], set()
