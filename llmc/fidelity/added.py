"""Cues of the view that the source clauses it restates do not carry: a new "not", a "must" for a "may"."""

import re
from collections.abc import Iterator

from llmc.fidelity.cues import Cue, is_bound, names, pole_stems
from llmc.fidelity.gained import ANSWERED, IN_PLACE_OF_NOT, SOFT_OBLIGATION, head_of, paid_for, taken_along
from llmc.fidelity.lexicon import LIGHT, UNCERTAIN
from llmc.fidelity.opposites import LIKE_NOT
from llmc.fidelity.pairing import Pairing, Part, SourceClause
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Evidence
from llmc.fidelity.words import stem

NEAR_NOT = 40  # characters between a word and a negation of the source that may reach it backwards
_UNTIL = re.compile(r"(?<!\w)(?:before|until|till)(?!\w)", re.IGNORECASE)
_ANYWAY = re.compile(
    r"(?<!\w)(?:even (?:if|when|though|without|after|before|in|for|with)|regardless|no matter|whether or not)(?!\w)",
    re.IGNORECASE,
)
_DESPITE = re.compile(
    r"(?<!\w)(?:even|regardless|no matter|whether|although|though|despite|still|anyway|yet)(?!\w)", re.IGNORECASE
)
_LIMITED = frozenset({"not", "if", "when"})
_MODALS = frozenset({"may", "can", "guess", "ought", "plan", "must"})
_CLASHES = {  # a modal of the view, and the modals of the source that carry it
    "plan": frozenset({"plan", "must", "ought"}),
    "must": frozenset({"must"}),
    "may": frozenset({"may", "can", "guess", "plan", "ought"}),
    "can": frozenset({"may", "can", "guess", "plan"}),
}


def added(pairing: Pairing, part: Part, clauses: list[SourceClause]) -> Iterator[Evidence]:
    """Cues of the view part that the source clauses it restates do not carry."""
    if not part.aligned:
        return
    best = {aligned.sentence for aligned in part.aligned[:3]}
    there: set[str] = set()
    text = ""
    for number in sorted(best):
        span = pairing.source.sentences[number]
        there |= names(list(pairing.sentence_cues(pairing.source, span)))
        around = pairing.source.sentences[max(0, number - 1) : number + 2]
        text += pairing.source.text[around[0].start : around[-1].end] + " "
    nearest = names(pairing.cues_of(pairing.source, clauses[0].span)) if clauses else there
    anyway = _ANYWAY.search(pairing.view.text, part.span.start, part.span.end)
    if anyway and not _DESPITE.search(text):
        yield Evidence(
            f"the view says {anyway[0].lower()!r}, the source does not",
            source=pairing.source.sentences[part.aligned[0].sentence],
            view=Span(*anyway.span()),
        )
    traced = part.span in pairing.trace.traced
    for cue in pairing.cues_of(pairing.view, part.span) if len(part.keys) > 1 else ():
        if traced:
            head = head_of(pairing, cue)
            if taken_along(pairing, part, cue, head):
                continue
            if head is not None:
                if not paid_for(pairing, part, cue, head):
                    spoken_of = pairing.source.sentences[pairing.source.analysis.sentence_at(head)]
                    yield Evidence(f"the view says {cue.words!r}, the source does not", source=spoken_of, view=cue.span)
                continue
        if not _clashes(pairing, part, cue) and _carried(cue, there, nearest, text, pairing, part):
            continue
        yield Evidence(
            f"the view says {cue.words!r}, the source does not",
            source=pairing.source.sentences[part.aligned[0].sentence],
            view=cue.span,
        )


def _clashes(pairing: Pairing, part: Part, cue: Cue) -> bool:
    """The source has the same verb under a weaker or stronger modal ("will send" for "might send"), or denied."""
    if not cue.scope or cue.name not in _CLASHES:
        return False
    head = cue.scope[0].key
    said = {
        other.name
        for aligned in part.aligned[:2]
        for other in pairing.sentence_cues(pairing.source, pairing.source.sentences[aligned.sentence])
        if other.scope and other.scope[0].key == head
    }
    theirs = said & _MODALS
    mine = {other.name for other in pairing.cues_of(pairing.view, part.span)}
    if cue.name == "can" and said == {"not"} and not mine & _LIMITED:
        return True  # "can still be restored" for "we cannot restore them"
    return bool(theirs) and not theirs & _CLASHES[cue.name] and not mine & theirs  # "will probably" is no "will"


def _carried(cue: Cue, there: set[str], nearest: set[str], text: str, pairing: Pairing, part: Part) -> bool:
    if cue.name == "not":
        if is_bound(cue, pairing.view.text):
            return True
        if _affirmed(cue, pairing, part):
            return False
        if "not" in there or IN_PLACE_OF_NOT.search(text) or _pole_in(text, -1):
            return True
        ends = all(key.end <= cue.span.start for key in cue.scope)  # "the bedroom is not": what is negated was said before
        return ends or _negated_elsewhere(cue, pairing, part)
    if cue.name in ("may", "can"):
        return bool(there & (UNCERTAIN | {"if"})) and not ("must" in nearest and not there & {"can", "may"})
    if cue.name == "sure":
        return "sure" in there or not there & UNCERTAIN
    if cue.name == "guess":
        return True  # a view that is less certain than its source does no harm
    if cue.name == "ought":
        return bool(there & (UNCERTAIN | {"must", "if"})) or "about" in text or bool(SOFT_OBLIGATION.search(text))
    if cue.name == "must":
        return "must" in there or ("not" in there and bool(there & {"can", "may"})) or bool(SOFT_OBLIGATION.search(text))
    if cue.name == "plan" and cue.words in ("will", "shall", "wird"):
        mine = names(pairing.cues_of(pairing.view, part.span))
        return bool(there & {"plan", "must"}) or not there & {"may", "guess"} or "guess" in mine or _promised(pairing, part)
    if cue.name == "all":
        return "all" in there or not there & {"most", "some"}
    if cue.name in ("most", "some"):
        return "all" not in nearest
    return True


def _affirmed(cue: Cue, pairing: Pairing, part: Part) -> bool:
    """The source says the negated word, in a sentence spoken of, and nowhere denies it or has what stands for a "not"."""
    head = next((key for key in cue.scope[:1] if key.start >= cue.span.end and key.kind == "word"), None)
    if head is None or head.lower in LIGHT or _UNTIL.search(pairing.view.text, cue.span.end, part.span.end):
        return False  # "will not mow before July" for "will mow after July"
    places = pairing.index.postings.get(head.key, [])
    near = {aligned.sentence for aligned in part.aligned[:3]}
    return bool(near.intersection(places)) and not any(_denied(pairing, number, head.key) for number in places[:8])


def _denied(pairing: Pairing, number: int, head: str) -> bool:
    source = pairing.source
    span = source.sentences[number]
    around = source.sentences[max(0, number - 1) : number + 2]
    starts = [key.start for key in source.keys_of(number) if key.key == head]
    for cue in pairing.sentence_cues(source, span):
        reached = any(key.key == head for key in cue.scope) or any(abs(start - cue.span.start) < NEAR_NOT for start in starts)
        if cue.name in ("not", "if") and reached:
            return True
    text = source.text[span.start : span.end]
    return bool(
        IN_PLACE_OF_NOT.search(text)
        or LIKE_NOT.search(text)
        or _pole_in(text, -1)
        or ANSWERED.search(source.text, around[0].start, around[-1].end)
    )


def _promised(pairing: Pairing, part: Part) -> bool:
    """The sentence that is spoken of most has no doubt in it: "agreed to mow" for "will mow"."""
    first = part.aligned[0].sentence
    said = names(list(pairing.sentence_cues(pairing.source, pairing.source.sentences[first])))
    return not said & UNCERTAIN


def _negated_elsewhere(cue: Cue, pairing: Pairing, part: Part) -> bool:
    """A less well aligned sentence negates one of the same words."""
    scope = {key.key for key in cue.scope}
    return any(
        other.name == "not" and scope & {key.key for key in other.scope}
        for aligned in part.aligned[2:]
        for other in pairing.sentence_cues(pairing.source, pairing.source.sentences[aligned.sentence])
    )


def _pole_in(text: str, wanted: int) -> bool:
    poles = pole_stems()
    return any(sign == wanted for word in re.findall(r"[^\W\d_]+", text.lower()) for _, sign in poles.get(stem(word), ()))
