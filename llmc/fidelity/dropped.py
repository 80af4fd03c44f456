"""Cues of a restated source clause that the view lacks: a lost "not", "probably", "unless"."""

import re
from collections.abc import Iterator

from llmc.fidelity.cues import Cue, is_answer, is_bound, names, pole_stems
from llmc.fidelity.lexicon import CUES, UNCERTAIN
from llmc.fidelity.opposites import LIKE_NOT
from llmc.fidelity.pairing import Pairing, Part, SourceClause
from llmc.fidelity.spans import Span
from llmc.fidelity.trace import Trace
from llmc.fidelity.verdict import Evidence

RESTATED_OF_SOURCE = 0.45  # share of a source clause that a view part must hold for its cues to be demanded
RESTATED_OF_VIEW = 0.2
WITHIN_SOURCE = 0.75  # a view part that says little else restates the clause, however long the clause is
_PAST_WORDS = "paid sent sold bought made took gave went came began chose met told wrote left built drew ran won lost"
_PAST = frozenset(_PAST_WORDS.split())
_ARRANGED = frozenset({"planned", "scheduled", "expected", "intended", "proposed", "geplant"})
_HAPPENED = re.compile(r"(?<!\w)(?:was|were|has been|have been|took place|happened|wurden?)(?!\w)", re.IGNORECASE)
_PRESENT_PASSIVE = re.compile(r"(?<!\w)(?:is|are|be|being|gets?)\s$")
_PROGRESSIVE = re.compile(r"(?<!\w)(?:is|are|was|were|be|been|am)\s$")
_WITHOUT = re.compile(
    r"(?<!\w)without\s(?:[\w'’]+\s){0,4}?(?:consent|agreement|permission|approval|notice|ok)(?!\w)", re.IGNORECASE
)
_NOT_YET = re.compile(r"(?<!\w)(?:before|till|as long as|while)(?!\w)", re.IGNORECASE)
_INFINITIVE = re.compile(r"(?<!\w)to\s$")
_FUTURE = frozenset({"will", "shall", "wird", "werden", "going to"})
_SAID_OTHERWISE = _FUTURE | frozenset(  # what will be so may be told in the present; the rest are mostly nouns
    "to be,offered,asked,asks,requested,requests,can,able,allowed,permitted,offer,offers,proposal,suggestion,draft".split(",")
)
_WORDS = re.compile(r"[^.!?;,:)]*\w")
_ENDED = re.compile(r"[.!?]\s+[A-Z]")
_WISHED = frozenset({"want", "wants", "wanted", "prefer", "prefers", "would like"})
_TO_DO = re.compile(r"\s(?:[\w'’]+\s){0,4}?to\s")
_ASKED_ABOUT = re.compile(r"[^.!\n]{0,60}\?")
_ASKED = re.compile(r"(?:could|can|would|will|may) (?:you|we|i|someone|somebody)(?!\w)", re.IGNORECASE)
_WISHES = frozenset({"would like", "want", "wants", "wanted", "asked", "asks", "should"})
_PLEASE = re.compile(r"(?<!\w)(?:please|pls)(?!\w)", re.IGNORECASE)
ENOUGH = 0.5  # of a source clause's words: with fewer than two of them the view does not restate it
FEW_WORDS = 3
_JOINED = re.compile(r"(?:and|or|but|so)\b", re.IGNORECASE)
ASIDE_CHARS = 40
_PASSIVE = re.compile(r"(?:is|are|was|were|be|been|being) (?:still )?$")
_TENTATIVE = frozenset(
    "thinking of,thinking about,proposed,proposes,suggested,suggests,considered,considering,consider,discussed,wants,want,wanted,would like,would prefer".split(",")
)
_SETTLED = _FUTURE | frozenset({"to be", "planned", "plans", "plan", "scheduled"})
_EXCEPTIONS = ("except", "unless", "save", "apart", "but", "all but", "nobody", "no one", "außer", "excluding")
_SUBJECTS = frozenset({"nobody", "none", "nothing", "neither"})
_GENERAL = frozenset({"consent", "permit", "contain", "there", "ability", "keep"})


def dropped(pairing: Pairing, part: Part, clauses: list[SourceClause]) -> Iterator[Evidence]:
    """Cues of a restated source clause that the view part lacks."""
    if part.span in pairing.trace.traced:
        yield from _lost(pairing, part)
        return
    if len(part.keys) < 2:
        return
    here = pairing.cues_of(pairing.view, part.span)
    sentence = list(pairing.sentence_cues(pairing.view, part.sentence))
    held = {key.key for key in part.keys}
    for clause in clauses[:3]:
        if (clause.of_source < RESTATED_OF_SOURCE or clause.of_view < RESTATED_OF_VIEW) and clause.of_view < WITHIN_SOURCE:
            continue
        if clause.of_source < pairing.keeper.get(clause.span, 0.0) - 0.05:
            continue
        for cue in pairing.cues_of(pairing.source, clause.span):
            near = cue.scope[: 2 if cue.name in ("not", "guess") else 1]
            if not any(key.key in held for key in near):
                continue
            if any(key.key not in held and (key.key.startswith("=") or key.key in pairing.actors) for key in near):
                continue  # it is said of another value or person
            if _keeps(cue, clause, names(here), names(sentence), pairing, part):
                continue
            said = pairing.source.text[clause.span.start : clause.span.end]
            yield Evidence(
                f"the source says {cue.words!r} in {said[:120]!r}, the view does not", source=cue.span, view=part.span
            )
        yield from _condition_dropped(pairing, part, clause, sentence)


def _lost(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """Of words taken from the source: what stood with them there and turns them, and was left behind."""
    trace = pairing.trace
    sentence = list(pairing.sentence_cues(pairing.view, part.sentence))
    new = [cue for cue in sentence if not trace.copies(cue.span)]
    whole = pairing.source.analysis.sentence_at
    taken = {word.start for word in trace.taken_by(part, together=True)}
    said_keys = {key.key for key in part.keys}
    for clause in pairing.touched(part):
        for cue in (*pairing.cues_of(pairing.source, clause.span), *_aside(pairing, clause)):
            if _kept_with(trace, part, cue) or not _turns(pairing, clause.span, cue, taken, said_keys) or _said_anew(pairing, part, clause, cue, new):
                continue
            said = pairing.source.text[clause.span.start : clause.span.end]
            yield Evidence(
                f"the source says {cue.words!r} in {said[:120]!r}, the view does not", source=cue.span, view=part.span
            )
        if clause.of_source < ENOUGH and sum(key.start in taken for key in clause.keys) < 2:
            continue
        there = [cue for cue in sentence if cue in new or clause.sentence in {whole(p) for p in trace.places(cue.span)}]
        yield from _condition_dropped(pairing, part, clause, there)


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


def _turns(pairing: Pairing, clause: Span, cue: Cue, taken: set[int], said: set[str]) -> bool:
    """Whether the words that a cue acts on are among those taken."""
    text = pairing.source.text
    before = [key for key in pairing.source.keys_in(clause) if key.end <= cue.span.start][-1:]
    passive = cue.words in _TENTATIVE and _PASSIVE.search(text, max(0, cue.span.start - 12), cue.span.start)
    scope = before if passive else [key for key in cue.scope if not _ENDED.search(text, min(cue.span.end, key.end), max(cue.span.start, key.start) + 1)]
    behind = bool(scope) and scope[0].start < cue.span.start
    ends = not _WORDS.match(text, cue.span.end, pairing.source.sentences[pairing.source.analysis.sentence_at(cue.span.start)].end)
    if behind and cue.name in ("may", "can", "ought") and not ends:
        return any(cue.span.end < start <= cue.span.end + ASIDE_CHARS for start in taken)  # "may, but need not, grant": "grant"
    if passive:
        return bool(scope) and scope[0].start in taken
    if cue.words in _WISHED and not _TO_DO.match(text, cue.span.end):
        return False  # "wants an answer": a thing
    if _ASKED_ABOUT.match(text, cue.span.end, cue.span.end + 60):
        return False
    if (behind and not (cue.name == "guess" or (cue.name == "not" and ends))) or _ASKED.match(text, cue.span.start):
        return False
    if cue.words in _SUBJECTS:  # "nothing from there was sold": of "there" alone it says nothing
        return bool(scope) and scope[-1].start in taken
    if cue.name == "not" and len(scope) > 1 and scope[0].key in said and scope[1].start in taken:
        return True  # "reproduced on one and the other" for "reproduced on one, could not reproduce on the other"
    if len(scope) > 1 and scope[0].lower in CUES:
        scope = scope[1:]  # "may, but is not obliged to, grant"
    near = scope[: 2 if cue.words in ("no", "without") or cue.name == "guess" else 1]
    hit = next((n for n, key in enumerate(near) if key.start in taken), -1)
    return hit >= 0 and not any(key.key.startswith("=") or key.key in pairing.actors for key in near[:hit])


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
        if "not" in mine or _negative_pole(part, cue) or is_bound(cue, pairing.source.text) or is_answer(cue, pairing.source.text):
            return True
        matches = LIKE_NOT.finditer(text, part.span.start, part.span.end)
        return any(not pairing.trace.copies(Span(*match.span())) for match in matches)
    if cue.name in ("may", "can", "ought", "plan") and not _finite(pairing, part, cue):
        return True
    if cue.words in _SAID_OTHERWISE and cue.name == "plan" and _past(pairing, part, cue, clause):
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
        settled = any(other.words in _SETTLED for other in new) or _HAPPENED.search(text, part.span.start, part.span.end)
        if not settled and not _finite(pairing, part, cue):
            return True
        mine = names([other for other in new if other.words not in _SETTLED])
    if cue.name in UNCERTAIN:
        return bool(mine & (UNCERTAIN | {"if", "must"} if cue.name in ("ought", "plan") else UNCERTAIN | {"if"}))
    if cue.name in ("most", "some"):
        denied = cue.words == "part of" and "not" in names(pairing.cues_of(pairing.view, part.sentence))
        return denied or bool(mine & {"most", "some"})
    return True  # a dropped "must" or "all" says less, not something else


def _keeps(cue: Cue, clause: SourceClause, here: set[str], sentence: set[str], pairing: Pairing, part: Part) -> bool:
    name = cue.name
    if name == "not":
        text = pairing.view.text[part.sentence.start : part.span.end]
        if "not" in here or _negative_pole(part, cue) or LIKE_NOT.search(text):
            return True
        source = pairing.source.text
        return is_bound(cue, source) or is_answer(cue, source) or _negated_beside(pairing, part, cue)
    if name in ("may", "can", "ought", "plan") and not _finite(pairing, part, cue):
        return True
    if name == "plan":
        return bool((here | sentence) & (UNCERTAIN | {"if", "must"})) or not _past(pairing, part, cue, clause)
    if name == "guess" and re.search(
        r"\b(?:about|approximately|roughly|around)\b", pairing.view.text[part.span.start : part.span.end]
    ):
        return True
    if name in ("may", "guess", "ought"):
        return bool((here | sentence) & (UNCERTAIN | {"if", "must"} if name == "ought" else UNCERTAIN | {"if"}))
    if name in ("most", "some"):
        return bool(here & {"most", "some"}) or any(key.key.startswith("=") for key in part.keys)
    return True  # a dropped "must" or "all" says less, not something else


def _past(pairing: Pairing, part: Part, cue: Cue, clause: SourceClause) -> bool:
    """The part reports as having happened what the cue puts in the future."""
    near = {key.key for key in clause.keys if abs(key.start - cue.span.start) < 40}
    if cue.words in _ARRANGED and _HAPPENED.search(pairing.view.text, part.span.start, part.span.end):
        return True
    future = cue.words in ("will", "shall", "wird")
    return any(
        key.key in near
        and (key.lower.endswith("ed") or key.lower in _PAST)
        and not (future and _PRESENT_PASSIVE.search(pairing.view.text, max(0, key.start - 12), key.start))
        for key in part.keys
    )


def _finite(pairing: Pairing, part: Part, cue: Cue) -> bool:
    """Whether the view says the word that the cue acts on as a verb: "sharing" and "to object" assert nothing."""
    wanted = {key.key for key in cue.scope[:1]}
    text = pairing.view.text
    return any(
        key.key in wanted
        and not _INFINITIVE.search(text, max(0, key.start - 8), key.start)
        and not (key.lower.endswith("ing") and not _PROGRESSIVE.search(text, max(0, key.start - 8), key.start))
        for key in part.keys
    )


def _negated_beside(pairing: Pairing, part: Part, cue: Cue) -> bool:
    """Another clause of the sentence negates the same word: "one was there, but no nest"."""
    scope = {key.key for key in cue.scope[:3]}
    said = pairing.sentence_cues(pairing.view, part.sentence)
    return cue.words == "no" and any(other.words == "no" and scope & {key.key for key in other.scope[:2]} for other in said)


def _negative_pole(part: Part, cue: Cue) -> bool:
    """ "refuses" for "will not accept": a negative word of the same family as a negated one, or of a general family."""
    poles = pole_stems()
    negated = {(family, sign) for key in cue.scope for family, sign in poles.get(key.key, ())}
    return any(
        (family, -sign) in negated or (sign < 0 and family in _GENERAL and not negated)
        for key in part.keys
        for family, sign in poles.get(key.key, ())
    )


def _condition_dropped(pairing: Pairing, part: Part, clause: SourceClause, said: list[Cue]) -> Iterator[Evidence]:
    """The restated clause hangs on a condition or has an exception; the view's sentence must show one too."""
    main = pairing.source.text[clause.span.start : clause.span.end].lower()
    yield from _exception_turned(pairing, part, clause, said)
    if any(cue.name == "if" or (cue.name == "when" and (cue.words == "only" or cue.words not in main)) for cue in said):
        return
    span = pairing.source.sentences[clause.sentence]
    held = {key.key for key in part.keys}
    for cue in pairing.sentence_cues(pairing.source, span):
        if cue.name != "if" or (cue.words == "limited to") or not clause.keys:
            continue
        if part.span in pairing.trace.traced and pairing.trace.keeps(cue.span):
            continue
        inside = clause.span.start <= cue.span.start < clause.span.end
        if inside and not any(key.key in held for key in cue.scope[:2]) and not _before(cue, clause, held):
            continue
        if not inside and not _adjacent(pairing, clause, cue):
            continue
        if _ENDED.search(pairing.source.text, cue.span.end, clause.span.end) and cue.span.end < clause.span.end:
            continue
        if _kept_otherwise(pairing, part, cue) or (
            cue.words.startswith("except") and any(other.name == "not" for other in said)
        ):
            continue
        yield Evidence(
            f"the source makes it conditional: {pairing.source.text[cue.span.start : cue.span.start + 80]!r}",
            source=cue.span,
            view=part.span,
        )
        return


def _exception_turned(pairing: Pairing, part: Part, clause: SourceClause, said: list[Cue]) -> Iterator[Evidence]:
    """What the source excepts stands in the view, but no longer as an exception: "once it is empty" for "unless it is"."""
    trace = pairing.trace
    if part.span not in trace.traced:
        return
    taken = {word.start for word in trace.taken_by(part)}
    for cue in pairing.cues_of(pairing.source, clause.span):
        if cue.name != "if" or not cue.words.startswith(_EXCEPTIONS) or trace.keeps(cue.span):
            continue
        held = sum(key.start in taken for key in cue.scope)
        new = [other for other in said if not trace.copies(other.span)]
        kept = any(other.name == "not" or other.words.startswith(_EXCEPTIONS) for other in new)
        if held * 2 > len(cue.scope) and not kept and not _WITHOUT.search(pairing.view.text, part.sentence.start, part.sentence.end):
            yield Evidence(
                f"the source makes it an exception: {pairing.source.text[cue.span.start : cue.span.start + 80]!r}",
                source=cue.span,
                view=part.span,
            )


def _kept_otherwise(pairing: Pairing, part: Part, cue: Cue) -> bool:
    """The words of the condition stand in the view without its conjunction: "4% off for payment within ten days"."""
    text = pairing.view.text[part.sentence.start : part.sentence.end]
    if _WITHOUT.search(text) or (cue.words == "until" and _NOT_YET.search(text)):
        return True
    if cue.words.startswith(_EXCEPTIONS):
        return False
    held = {key.key for key in pairing.view.keys_in(part.sentence)}
    return len(cue.scope) > 1 and sum(key.key in held for key in cue.scope) >= 0.5 * len(cue.scope)


def _before(cue: Cue, clause: SourceClause, held: set[str]) -> bool:
    """The words in front of a condition in the same clause are in the view."""
    edge = cue.span.end if cue.words.startswith("only ") else cue.span.start  # "only return it when": "return it" is in front
    front = [key for key in clause.keys if key.end <= edge]
    if not front:  # "if it blows we cancel": no comma tells the condition from what follows it
        return any(key.key in held for key in clause.keys[-2:]) and len(clause.keys) > 2
    return sum(key.key in held for key in front) * 2 >= len(front)


def _adjacent(pairing: Pairing, clause: SourceClause, cue: Cue) -> bool:
    clauses = pairing.source.clauses_of(clause.sentence)
    mine = next((i for i, c in enumerate(clauses) if c == clause.span), -9)
    its = next((i for i, c in enumerate(clauses) if c.start <= cue.span.start < c.end), 9)
    if its - mine == 2:  # "once, by up to eight weeks, if the Lender agrees"
        aside = clauses[mine + 1]
        small = len(pairing.source.keys_in(aside)) <= FEW_WORDS and not _JOINED.match(pairing.source.text, aside.start)
        mine = mine + 1 if small else mine
    if abs(mine - its) != 1:
        return False
    between = pairing.source.text[clauses[min(mine, its)].end : clauses[max(mine, its)].start]
    if ";" in between or ":" in between:
        return False
    its_start = clauses[its].start
    return its < mine or not any(its_start <= key.start < cue.span.start for key in pairing.source.keys_in(clauses[its]))
