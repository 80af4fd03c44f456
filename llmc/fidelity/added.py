"""Cues of the view that the source clauses it restates do not carry: a new "not", a "must" for a "may"."""

import re
from collections.abc import Iterator

from llmc.fidelity.cues import Cue, is_bound, names, pole_stems
from llmc.fidelity.lexicon import LIGHT, UNCERTAIN
from llmc.fidelity.opposites import LIKE_NOT
from llmc.fidelity.pairing import Pairing, Part, SourceClause
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Evidence
from llmc.fidelity.words import stem

_IN_PLACE_OF_NOT = re.compile(
    r"(?<!\w)(?:fix\w*|prevent\w*|avoid\w*|stop\w*|except|only|unless|instead|rather|"
    r"until|otherwise|allerg\w*|out of|indefinite\w*|unlimited|refus\w+|blown|fail\w*|lack\w*|still has|have to be)(?!\w)",
    re.IGNORECASE,
)
_SOFT_OBLIGATION = re.compile(
    r"(?<!\w)(?:please|due|deadline|requires?|required|wants?|only|don't|do not|pls|needs?|can someone|order|send|call)(?!\w)",
    re.IGNORECASE,
)
ALONG_CHARS = 60  # between a cue and the word it acts on
NEAR_NOT = 40  # characters between a word and a negation of the source that may reach it backwards
_ANSWERED = re.compile(r"(?<!\w)(?:no|nope|nein|not yet)[,.]|(?:^|[:.!?]\s)not\s|if (?:it|not|this)(?: does| is)?(?: not)?,", re.IGNORECASE)
_UNTIL = re.compile(r"(?<!\w)(?:before|until|till)(?!\w)", re.IGNORECASE)
_UNTIL_DATE = re.compile(r"(?<!\w)(?:before|until|till) (?:the )?\d")
_ANYWAY = re.compile(
    r"(?<!\w)(?:even (?:if|when|though|without|after|before|in|for|with)|regardless|no matter|whether or not)(?!\w)", re.IGNORECASE
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
            head = _head(pairing, cue)
            if _taken_along(pairing, part, cue, head):
                continue
            if head is not None:
                if _paid_for(pairing, part, cue, head):
                    continue
                yield Evidence(f"the view says {cue.words!r}, the source does not", source=_at(pairing, head), view=cue.span)
                continue
        if not _clashes(pairing, part, cue) and _carried(cue, there, nearest, text, pairing, part):
            continue
        yield Evidence(
            f"the view says {cue.words!r}, the source does not",
            source=pairing.source.sentences[part.aligned[0].sentence],
            view=cue.span,
        )


def _head(pairing: Pairing, cue: Cue) -> int | None:
    """Where in the source the word stands that a cue of the view acts on."""
    taken = pairing.trace.taken
    return next((taken[key.start].start for key in cue.scope if key.start in taken), None)


def _taken_along(pairing: Pairing, part: Part, cue: Cue, head: int | None) -> bool:
    """The cue was taken from the source together with what it acts on."""
    trace, source = pairing.trace, pairing.source
    place = next(iter(trace.places(cue.span)), None)
    if place is None or head is None:
        return place is not None
    sentence_at = source.analysis.sentence_at
    if sentence_at(place) == sentence_at(head) and abs(place - head) <= ALONG_CHARS:
        return True
    near = abs(sentence_at(place) - sentence_at(head)) <= 1
    return cue.name == "not" and (near or trace.in_run(part.sentence, cue.span))


_SAYS_LESS = frozenset({"guess", "if", "when", "ought"})  # put in, they make a statement weaker
_PAYS = {  # a cue that was put in, and what must have stood there in its place
    "not": frozenset({"not"}),
    "may": UNCERTAIN | {"if"},
    "can": UNCERTAIN | {"if"},
    "must": frozenset({"must"}),
    "sure": frozenset({"sure"}),
}


def _paid_for(pairing: Pairing, part: Part, cue: Cue, head: int) -> bool:
    """Something like it stood in the source beside the same word, and was left out for it."""
    if cue.name in _SAYS_LESS:
        return True
    source, trace = pairing.source, pairing.trace
    number = source.analysis.sentence_at(head)
    span = source.sentences[number]
    theirs = list(pairing.sentence_cues(source, span))
    gone = names([other for other in theirs if not trace.keeps(other.span)])
    if cue.name == "plan":
        return cue.words not in ("will", "shall") or not gone & {"may", "guess"}
    if cue.name == "all":
        return not gone & {"most", "some"}
    if cue.name in ("most", "some"):
        return not gone & ({"all", "most", "some"} - {cue.name})
    if gone & _PAYS[cue.name]:
        return True
    around = source.sentences[max(0, number - 1) : number + 2]
    text = source.text[around[0].start : around[-1].end]
    if cue.name == "not":
        if is_bound(cue, pairing.view.text) or _ANSWERED.search(text) or _UNTIL_DATE.search(pairing.view.text, cue.span.end, part.span.end):
            return True
        words = [*_IN_PLACE_OF_NOT.finditer(source.text, span.start, span.end), *LIKE_NOT.finditer(source.text, span.start, span.end)]
        return any(not trace.keeps(Span(*match.span())) for match in words) or _pole_gone(pairing, span)
    if cue.name == "must":
        return "ought" not in gone and any(not trace.keeps(Span(*match.span())) for match in _SOFT_OBLIGATION.finditer(source.text, span.start, span.end))
    return False


def _pole_gone(pairing: Pairing, span: Span) -> bool:
    """A word of a negative pole that the view leaves out: "not done" for "pending"."""
    poles = pole_stems()
    return any(
        sign < 0 and key.start not in pairing.trace.kept
        for key in pairing.source.keys_in(span)
        for _, sign in poles.get(key.key, ())
    )


def _at(pairing: Pairing, place: int) -> Span:
    return pairing.source.sentences[pairing.source.analysis.sentence_at(place)]


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
        if "not" in there or _IN_PLACE_OF_NOT.search(text) or _pole_in(text, -1):
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
        return bool(there & (UNCERTAIN | {"must", "if"})) or "about" in text or bool(_SOFT_OBLIGATION.search(text))
    if cue.name == "must":
        return "must" in there or ("not" in there and bool(there & {"can", "may"})) or bool(_SOFT_OBLIGATION.search(text))
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
        _IN_PLACE_OF_NOT.search(text)
        or LIKE_NOT.search(text)
        or _pole_in(text, -1)
        or _ANSWERED.search(source.text, around[0].start, around[-1].end)
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
