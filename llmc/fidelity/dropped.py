"""Cues of a restated source clause that the view lacks: a lost "not", "probably", "unless"."""

import re
from collections.abc import Iterator

from llmc.fidelity.cues import Cue, is_answer, is_bound, names, pole_stems
from llmc.fidelity.lexicon import UNCERTAIN
from llmc.fidelity.opposites import LIKE_NOT
from llmc.fidelity.pairing import Pairing, Part, SourceClause
from llmc.fidelity.verdict import Evidence

RESTATED_OF_SOURCE = 0.45  # share of a source clause that a view part must hold for its cues to be demanded
RESTATED_OF_VIEW = 0.2
WITHIN_SOURCE = 0.75  # a view part that says little else restates the clause, however long the clause is
_PAST_WORDS = "paid sent sold bought made took gave went came began chose met told wrote left built drew ran won lost"
_PAST = frozenset(_PAST_WORDS.split())
_ARRANGED = frozenset({"planned", "scheduled", "expected", "intended", "proposed", "geplant"})
HAPPENED = re.compile(r"(?<!\w)(?:was|were|has been|have been|took place|happened|wurden?)(?!\w)", re.IGNORECASE)
_PRESENT_PASSIVE = re.compile(r"(?<!\w)(?:is|are|be|being|gets?)\s$")
_PROGRESSIVE = re.compile(r"(?<!\w)(?:is|are|was|were|be|been|am)\s$")
WITHOUT = re.compile(
    r"(?<!\w)without\s(?:[\w'’]+\s){0,4}?(?:consent|agreement|permission|approval|notice|ok)(?!\w)", re.IGNORECASE
)
_NOT_YET = re.compile(r"(?<!\w)(?:before|till|as long as|while)(?!\w)", re.IGNORECASE)
_INFINITIVE = re.compile(r"(?<!\w)to\s$")
ENDED = re.compile(r"[.!?]\s+[A-Z]")
FEW_WORDS = 3
_JOINED = re.compile(r"(?:and|or|but|so)\b", re.IGNORECASE)
EXCEPTIONS = ("except", "unless", "save", "apart", "but", "all but", "nobody", "no one", "außer", "excluding")
_GENERAL = frozenset({"consent", "permit", "contain", "there", "ability", "keep"})


def dropped(pairing: Pairing, part: Part, clauses: list[SourceClause]) -> Iterator[Evidence]:
    """Cues of a restated source clause that the view part lacks."""
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
        yield from condition_dropped(pairing, part, clause, sentence)


def _keeps(cue: Cue, clause: SourceClause, here: set[str], sentence: set[str], pairing: Pairing, part: Part) -> bool:
    name = cue.name
    if name == "not":
        text = pairing.view.text[part.sentence.start : part.span.end]
        if "not" in here or negative_pole(part, cue) or LIKE_NOT.search(text):
            return True
        source = pairing.source.text
        return is_bound(cue, source) or is_answer(cue, source) or _negated_beside(pairing, part, cue)
    if name in ("may", "can", "ought", "plan") and not finite(pairing, part, cue):
        return True
    if name == "plan":
        return bool((here | sentence) & (UNCERTAIN | {"if", "must"})) or not past(pairing, part, cue, clause)
    if name == "guess" and re.search(
        r"\b(?:about|approximately|roughly|around)\b", pairing.view.text[part.span.start : part.span.end]
    ):
        return True
    if name in ("may", "guess", "ought"):
        return bool((here | sentence) & (UNCERTAIN | {"if", "must"} if name == "ought" else UNCERTAIN | {"if"}))
    if name in ("most", "some"):
        return bool(here & {"most", "some"}) or any(key.key.startswith("=") for key in part.keys)
    return True  # a dropped "must" or "all" says less, not something else


def past(pairing: Pairing, part: Part, cue: Cue, clause: SourceClause) -> bool:
    """The part reports as having happened what the cue puts in the future."""
    near = {key.key for key in clause.keys if abs(key.start - cue.span.start) < 40}
    if cue.words in _ARRANGED and HAPPENED.search(pairing.view.text, part.span.start, part.span.end):
        return True
    future = cue.words in ("will", "shall", "wird")
    return any(
        key.key in near
        and (key.lower.endswith("ed") or key.lower in _PAST)
        and not (future and _PRESENT_PASSIVE.search(pairing.view.text, max(0, key.start - 12), key.start))
        for key in part.keys
    )


def finite(pairing: Pairing, part: Part, cue: Cue) -> bool:
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


def negative_pole(part: Part, cue: Cue) -> bool:
    """ "refuses" for "will not accept": a negative word of the same family as a negated one, or of a general family."""
    poles = pole_stems()
    negated = {(family, sign) for key in cue.scope for family, sign in poles.get(key.key, ())}
    return any(
        (family, -sign) in negated or (sign < 0 and family in _GENERAL and not negated)
        for key in part.keys
        for family, sign in poles.get(key.key, ())
    )


def condition_dropped(pairing: Pairing, part: Part, clause: SourceClause, said: list[Cue]) -> Iterator[Evidence]:
    """The restated clause hangs on a condition or has an exception; the view's sentence must show one too."""
    main = pairing.source.text[clause.span.start : clause.span.end].lower()
    if any(cue.name == "if" or (cue.name == "when" and (cue.words == "only" or cue.words not in main)) for cue in said):
        return
    span = pairing.source.sentences[clause.sentence]
    held = {key.key for key in part.keys}
    for cue in pairing.sentence_cues(pairing.source, span):
        if cue.name != "if" or (cue.words == "limited to") or not clause.keys:
            continue
        if part.span in pairing.trace.traced and pairing.trace.keeps_ends(cue.span):
            continue
        inside = clause.span.start <= cue.span.start < clause.span.end
        if inside and not any(key.key in held for key in cue.scope[:2]) and not _before(cue, clause, held):
            continue
        if not inside and not _adjacent(pairing, clause, cue):
            continue
        ended = ENDED.search(pairing.source.text, cue.span.end, clause.span.end)
        if ended and all(key.start > ended.start() for key in clause.keys if key.key in held):
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


def _kept_otherwise(pairing: Pairing, part: Part, cue: Cue) -> bool:
    """The words of the condition stand in the view without its conjunction: "4% off for payment within ten days"."""
    text = pairing.view.text[part.sentence.start : part.sentence.end]
    if WITHOUT.search(text) or (cue.words == "until" and _NOT_YET.search(text)):
        return True
    if cue.words.startswith(EXCEPTIONS):
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
