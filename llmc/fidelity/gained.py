"""Cues that a shortened sentence has and its source words had not: each must have been taken along with the word it acts on, or
stand for something like it that was left out there.
"""

import re

from llmc.fidelity.cues import Cue, is_bound, names, pole_stems
from llmc.fidelity.lexicon import UNCERTAIN
from llmc.fidelity.opposites import LIKE_NOT
from llmc.fidelity.pairing import Pairing, Part
from llmc.fidelity.spans import Span

ANSWERED = re.compile(
    r"(?<!\w)(?:no|nope|nein|not yet)[,.]|(?:^|[:.!?]\s)not\s|if (?:it|not|this)(?: does| is)?(?: not)?,", re.IGNORECASE
)
SOFT_OBLIGATION = re.compile(
    r"(?<!\w)(?:please|due|deadline|requires?|required|wants?|only|don't|do not|pls|needs?(?! not)|"
    r"can someone|order|send|call)(?!\w)",
    re.IGNORECASE,
)
IN_PLACE_OF_NOT = re.compile(
    r"(?<!\w)(?:fix\w*|prevent\w*|avoid\w*|stop\w*|except|only|unless|instead|rather|"
    r"until|otherwise|allerg\w*|out of|indefinite\w*|unlimited|refus\w+|blown|fail\w*|lack\w*|still has|have to be)(?!\w)",
    re.IGNORECASE,
)
ALONG_CHARS = 120  # between a cue and the word it acts on
_UNTIL_DATE = re.compile(r"(?<!\w)(?:before|until|till) (?:the )?\d")
_SAYS_LESS = frozenset({"guess", "if", "when"})  # put in, they make a statement weaker
_PAYS = {  # a cue that was put in, and what must have stood there in its place
    "not": frozenset({"not"}),
    "may": UNCERTAIN | {"if"},
    "can": UNCERTAIN | {"if"},
    "must": frozenset({"must"}),
    "ought": UNCERTAIN | {"must", "if"},
    "sure": frozenset({"sure"}),
}


def head_of(pairing: Pairing, cue: Cue) -> int | None:
    """Where in the source the word stands that a cue of the view acts on."""
    taken = pairing.trace.taken
    return next((taken[key.start].start for key in cue.scope if key.start in taken), None)


def taken_along(pairing: Pairing, part: Part, cue: Cue, head: int | None) -> bool:
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


def paid_for(pairing: Pairing, part: Part, cue: Cue, head: int) -> bool:
    """Something like it stood in the source beside the same word, and was left out for it."""
    if cue.name in _SAYS_LESS or cue.words.startswith("suggest"):
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
        if (
            is_bound(cue, pairing.view.text)
            or ANSWERED.search(text)
            or _UNTIL_DATE.search(pairing.view.text, cue.span.end, part.span.end)
        ):
            return True
        words = [
            *IN_PLACE_OF_NOT.finditer(source.text, span.start, span.end),
            *LIKE_NOT.finditer(source.text, span.start, span.end),
        ]
        return any(not trace.keeps(Span(*match.span())) for match in words) or _pole_gone(pairing, span)
    if cue.name in ("must", "ought"):
        return not (cue.name == "must" and "ought" in gone) and any(
            not trace.keeps(Span(*match.span())) for match in SOFT_OBLIGATION.finditer(source.text, span.start, span.end)
        )
    return False


def _pole_gone(pairing: Pairing, span: Span) -> bool:
    """A word of a negative pole that the view leaves out: "not done" for "pending"."""
    poles = pole_stems()
    return any(
        sign < 0 and key.start not in pairing.trace.kept
        for key in pairing.source.keys_in(span)
        for _, sign in poles.get(key.key, ())
    )
