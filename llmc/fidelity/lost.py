"""What stood with the words that a shortened sentence was made of, turns them, and was left behind: "not", "may", "unless".

The words that a cue acts on are known by their places (``trace.py``), so a "not" that belongs to another sentence with the same
words is none of theirs.
"""

import re
from collections.abc import Iterator

from llmc.fidelity.cues import Cue, is_answer, is_bound, names
from llmc.fidelity.dropped import ENDED, EXCEPTIONS, HAPPENED, WITHOUT, condition_dropped, finite, negative_pole, past
from llmc.fidelity.lexicon import CUES, UNCERTAIN
from llmc.fidelity.opposites import LIKE_NOT
from llmc.fidelity.pairing import Pairing, Part, SourceClause
from llmc.fidelity.spans import Span
from llmc.fidelity.trace import Trace
from llmc.fidelity.verdict import Evidence

_FUTURE = frozenset({"will", "shall", "wird", "werden", "going to"})
_SAID_OTHERWISE = _FUTURE | {  # what will be so may be told in the present; the rest are mostly nouns
    *("to be", "offered", "asked", "asks", "requested", "requests", "can", "able", "allowed", "permitted"),
    *("offer", "offers", "proposal", "suggestion", "draft"),
}
_WORDS = re.compile(r"[^.!?;,:)]*\w")
_WISHED = frozenset({"want", "wants", "wanted", "prefer", "prefers", "would like"})
_TO_DO = re.compile(r"\s(?:[\w'’]+\s){0,4}?to\s")
_ASKED_ABOUT = re.compile(r"[^.!\n]{0,60}\?")
_ASKED = re.compile(r"(?:could|can|would|will|may) (?:you|we|i|someone|somebody)(?!\w)", re.IGNORECASE)
_WISHES = frozenset({"would like", "want", "wants", "wanted", "asked", "asks", "should"})
_AS = re.compile(r"\bas (?:I|we|he|she|they) $", re.IGNORECASE)
_NOT_DONE = re.compile(r"\b(?:not|n't) (?:been|yet)$")
_VERB = re.compile(r"\s(do|get|make|take|put|bring)\s")
_PLEASE = re.compile(r"(?<!\w)(?:please|pls)(?!\w)", re.IGNORECASE)
ENOUGH = 0.5  # of a source clause's words: with fewer than two of them the view does not restate it
ASIDE_CHARS = 40
_PASSIVE = re.compile(r"(?:is|are|was|were|be|been|being) (?:still )?$")
_TENTATIVE = frozenset(
    {
        *(
            "thinking of",
            "thinking about",
            "proposed",
            "proposes",
            "suggested",
            "suggests",
            "considered",
            "considering",
            "consider",
        ),
        *("discussed", "wants", "want", "wanted", "would like", "would prefer"),
    }
)
_SETTLED = _FUTURE | frozenset({"to be", "planned", "plans", "plan", "scheduled"})
_SUBJECTS = frozenset({"nobody", "none", "nothing", "neither"})


def lost(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """Of words taken from the source: what stood with them there and turns them, and was left behind."""
    trace = pairing.trace
    sentence = list(pairing.sentence_cues(pairing.view, part.sentence))
    new = [cue for cue in sentence if not trace.copies(cue.span)]
    whole = pairing.source.analysis.sentence_at
    taken = {word.start for word in trace.taken_by(part, together=True)}
    said_keys = {key.key for key in part.keys}
    for clause in pairing.touched(part):
        for cue in (*pairing.cues_of(pairing.source, clause.span), *_aside(pairing, clause), *_announced(pairing, clause)):
            if (
                _kept_with(trace, part, cue)
                or not _turns(pairing, clause.span, cue, taken, said_keys)
                or _said_anew(pairing, part, clause, cue, new)
            ):
                continue
            said = pairing.source.text[clause.span.start : clause.span.end]
            yield Evidence(
                f"the source says {cue.words!r} in {said[:120]!r}, the view does not", source=cue.span, view=part.span
            )
        if clause.of_source < ENOUGH and sum(key.start in taken for key in clause.keys) < 2:
            continue
        there = [cue for cue in sentence if cue in new or clause.sentence in {whole(p) for p in trace.places(cue.span)}]
        yield from _exception_turned(pairing, part, clause, new)
        yield from condition_dropped(pairing, part, clause, there)


def _kept_with(trace: Trace, part: Part, cue: Cue) -> bool:
    """The cue is in the view too, and not behind what it stands before in the source."""
    kept = [trace.kept[start] for start in range(cue.span.start, cue.span.end) if start in trace.kept]
    acts_on = [trace.kept[key.start] for key in cue.scope[:1] if key.start in trace.kept]
    if not kept or not acts_on or cue.name != "not" or cue.scope[0].start < cue.span.start:
        return bool(kept)
    return kept[0].start < acts_on[0].start or acts_on[0].start < part.span.start


def _aside(pairing: Pairing, clause: SourceClause) -> Iterator[Cue]:
    """A modal that another clause parts from its verb: "may, but need not, grant"."""
    clauses = pairing.source.clauses_of(clause.sentence)
    for other in clauses[max(0, clauses.index(clause.span) - 2) : clauses.index(clause.span)]:
        last = pairing.cues_of(pairing.source, other)[-1:]
        yield from (cue for cue in last if cue.name in ("may", "can", "ought") and other.end - cue.span.end <= 1)


def _announced(pairing: Pairing, clause: SourceClause) -> Iterator[Cue]:
    """What stands before a colon: "proposed by the works council: a mirror"."""
    clauses = pairing.source.clauses_of(clause.sentence)
    place = clauses.index(clause.span)
    if place and pairing.source.text[clauses[place - 1].end : clause.span.start].strip() == ":":
        for cue in pairing.cues_of(pairing.source, clauses[place - 1]):
            if cue.words in _TENTATIVE:
                yield cue._replace(scope=tuple(clause.keys[:3]))


def _turns(pairing: Pairing, clause: Span, cue: Cue, taken: set[int], said: set[str]) -> bool:
    """Whether the words that a cue acts on are among those taken."""
    text = pairing.source.text
    before = [key for key in pairing.source.keys_in(clause) if key.end <= cue.span.start][-1:]
    passive = cue.words in _TENTATIVE and _PASSIVE.search(text, max(0, cue.span.start - 12), cue.span.start)
    scope = (
        before
        if passive
        else [
            key for key in cue.scope if not ENDED.search(text, min(cue.span.end, key.end), max(cue.span.start, key.start) + 1)
        ]
    )
    behind = bool(scope) and scope[0].start < cue.span.start
    ends = not _WORDS.match(
        text, cue.span.end, pairing.source.sentences[pairing.source.analysis.sentence_at(cue.span.start)].end
    )
    if behind and cue.name in ("may", "can", "ought") and not ends:
        return any(cue.span.end < start <= cue.span.end + ASIDE_CHARS for start in taken)  # "may, but need not, grant": "grant"
    if passive:
        return bool(scope) and scope[0].start in taken
    if cue.words in _WISHED and not _TO_DO.match(text, cue.span.end):
        return False  # "wants an answer": a thing
    if _ASKED_ABOUT.match(text, cue.span.end, cue.span.end + 60):
        return False
    spoken_to = _ASKED.match(text, cue.span.start) or _AS.search(text, max(0, cue.span.start - 8), cue.span.start)
    if spoken_to or (behind and not (cue.name == "guess" or (cue.name == "not" and ends))):
        return False
    verb = _VERB.match(text, cue.span.end) if cue.name == "not" and scope and not behind else None
    if verb and verb.start(1) < scope[0].start and verb.start(1) not in pairing.trace.kept:
        return False  # "can't do the order": "the order" alone is not denied
    if cue.words in _SUBJECTS:  # "nothing from there was sold": of "there" alone it says nothing
        return bool(scope) and scope[-1].start in taken
    if cue.name == "not" and len(scope) > 1 and scope[0].key in said and scope[1].start in taken:
        return True  # "reproduced on one and the other" for "reproduced on one, could not reproduce on the other"
    if len(scope) > 1 and scope[0].lower in CUES:
        scope = scope[1:]  # "may, but is not obliged to, grant"
    near = scope[: 3 if cue.words in _TENTATIVE else 2 if cue.words == "no" or cue.name == "guess" else 1]
    hit = next((n for n, key in enumerate(near) if key.start in taken), -1)
    others = any(key.key.startswith("=") or key.key in pairing.actors for key in near[:hit])  # it is said of them
    return hit >= 0 and not (others and cue.words not in _TENTATIVE)


def _said_anew(pairing: Pairing, part: Part, clause: SourceClause, cue: Cue, new: list[Cue]) -> bool:
    """The view says in other words what the cue says, or may leave it out."""
    text = pairing.view.text
    acts_on = {key.start for key in cue.scope[: 1 if cue.name == "not" else 2]}
    for other in pairing.cues_of(pairing.view, part.span):
        if cue.words in _TENTATIVE and other.words in _SETTLED:
            continue
        alike = other.name == cue.name or {other.name, cue.name} <= UNCERTAIN - {"plan"}
        if alike and acts_on & {place for key in other.scope for place in pairing.trace.places(key)}:
            return True
    if cue.words in _WISHES and _PLEASE.search(text, part.span.start, part.span.end):
        return True
    mine = names([other for other in new if other.words not in _FUTURE])
    if cue.name == "not":
        waiting = any(other.words in _SETTLED for other in new) and _NOT_DONE.search(
            pairing.source.text, cue.span.start, cue.span.end + 5
        )
        if waiting:
            return True  # "to be checked" for "has not been checked"
        if (
            any(other.name == "not" and part.span.start <= other.span.start < part.span.end for other in new)
            or negative_pole(part, cue)
            or is_bound(cue, pairing.source.text)
            or is_answer(cue, pairing.source.text)
        ):
            return True
        matches = LIKE_NOT.finditer(text, part.span.start, part.span.end)
        return any(not pairing.trace.copies(Span(*match.span())) for match in matches)
    if cue.name in ("may", "can", "ought", "plan") and not finite(pairing, part, cue):
        return True
    if cue.words in _SAID_OTHERWISE and cue.name == "plan" and cue.words != "to be" and past(pairing, part, cue, clause):
        return False
    if cue.words in _TENTATIVE and "not" in names(pairing.cues_of(pairing.view, part.span)):
        return True  # "was not done" for "was discussed, but not done"
    if cue.words in _SAID_OTHERWISE or (
        cue.name == "plan" and cue.words not in _TENTATIVE and cue.scope[:1] and cue.scope[0].kind != "word"
    ):
        return True
    if cue.name in ("may", "can") and any(other.words.startswith("can") for other in new):
        return True  # "we can't skip it" for "could we skip it? no"
    if cue.words in _TENTATIVE:
        settled = any(other.words in _SETTLED for other in new) or HAPPENED.search(text, part.span.start, part.span.end)
        if not settled and not finite(pairing, part, cue):
            return True
        mine = names([other for other in new if other.words not in _SETTLED])
    if cue.name in UNCERTAIN:
        return bool(mine & (UNCERTAIN | {"if", "must"} if cue.name in ("ought", "plan") else UNCERTAIN | {"if"}))
    if cue.name in ("most", "some"):
        denied = cue.words == "part of" and "not" in names(pairing.cues_of(pairing.view, part.sentence))
        return denied or bool(mine & {"most", "some"})
    return True  # a dropped "must" or "all" says less, not something else


def _exception_turned(pairing: Pairing, part: Part, clause: SourceClause, said: list[Cue]) -> Iterator[Evidence]:
    """What the source excepts stands in the view, but no longer as an exception: "once it is empty" for "unless it is"."""
    trace = pairing.trace
    if part.span not in trace.traced:
        return
    taken = {word.start for word in trace.taken_by(part)}
    for cue in pairing.cues_of(pairing.source, clause.span):
        if cue.name != "if" or not cue.words.startswith(EXCEPTIONS) or trace.keeps(cue.span):
            continue
        held = sum(key.start in taken for key in cue.scope)
        new = [other for other in said if not trace.copies(other.span)]
        kept = any(other.name == "not" or other.words.startswith(EXCEPTIONS) for other in new)
        if (
            held * 2 >= max(1, len(cue.scope))
            and not kept
            and not WITHOUT.search(pairing.view.text, part.sentence.start, part.sentence.end)
        ):
            yield Evidence(
                f"the source makes it an exception: {pairing.source.text[cue.span.start : cue.span.start + 80]!r}",
                source=cue.span,
                view=part.span,
            )
