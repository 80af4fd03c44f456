"""G4: the view says yes where the source says yes, "may" where it says "may", "unless" where it says "unless".

Each rule compares a clause of the view with the source clauses it restates. A rule is silent when it finds no clause to
compare with; whether the clause is carried by the source at all is a question of grounding.
"""

import re
from collections.abc import Iterator

from llmc.fidelity.align import Key
from llmc.fidelity.cues import Cue, bound, pole_stems
from llmc.fidelity.lexicon import AFTER, BEFORE, UNCERTAIN, deed_families
from llmc.fidelity.near_copy import small_words
from llmc.fidelity.pairing import Pairing, Part, SourceClause
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Check, Evidence, failed_check
from llmc.fidelity.words import stem

RESTATED_OF_SOURCE = 0.45  # share of a source clause that a view part must hold for its cues to be demanded
RESTATED_OF_VIEW = 0.2
WITHIN_SOURCE = 0.75  # a view part that says little else restates the clause, however long the clause is
OPPOSITE_FIT = 0.3  # below this the two words are not said of the same thing
OPPOSITE_MARGIN = 0.15  # by how much the opposite's place must fit better than the place of the word itself
_LIKE_NOT = re.compile(
    r"(?<!\w)(?:before|instead of|rather than|until|yet to|remains?|only|"
    r"stop(?:s|ped)?|free|non-|un\w{4,}|missing|miss(?:es|ed)?|"
    r"dry|except|exclud\w+"
    r"|gone|disput\w+|lower|less|still)(?!\w)",
    re.IGNORECASE,
)
_IN_PLACE_OF_NOT = re.compile(
    r"(?<!\w)(?:fix\w*|prevent\w*|avoid\w*|stop\w*|except|only|unless|instead|rather|"
    r"until|refus\w+|blown|fail\w*|lack\w*|still has|have to be)(?!\w)",
    re.IGNORECASE,
)
_SOFT_OBLIGATION = re.compile(
    r"(?<!\w)(?:please|due|deadline|wants?|only|don't|do not|pls|needs?|can someone|order|send|call)(?!\w)", re.IGNORECASE
)
_DEEDS = {stem(deed): frozenset(stem(word) or word for word in family) for deed, family in deed_families().items()}


def polarity(pairing: Pairing) -> Check:
    """Negation, modality, conditions, quantifiers, opposites, bounds, and deeds the source does not report."""
    problems = {(evidence.message, evidence.view): evidence for evidence in small_words(pairing)}
    for part in pairing.parts:
        clauses = pairing.restated(part)
        for evidence in (
            *_dropped(pairing, part, clauses),
            *_added(pairing, part, clauses),
            *_opposites(pairing, part),
            *_bounds(pairing, part),
            *_deeds(pairing, part),
        ):
            problems.setdefault((evidence.message, evidence.view), evidence)
    return failed_check("polarity", problems.values())


def _names(cues: list[Cue]) -> set[str]:
    return {cue.name for cue in cues}


def _dropped(pairing: Pairing, part: Part, clauses: list[SourceClause]) -> Iterator[Evidence]:
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
            if _keeps(cue, clause, _names(here), _names(sentence), pairing, part):
                continue
            said = pairing.source.text[clause.span.start : clause.span.end]
            yield Evidence(
                f"the source says {cue.words!r} in {said[:120]!r}, the view does not", source=cue.span, view=part.span
            )
        yield from _condition_dropped(pairing, part, clause, sentence)


def _keeps(cue: Cue, clause: SourceClause, here: set[str], sentence: set[str], pairing: Pairing, part: Part) -> bool:
    name = cue.name
    if name == "not":
        text = pairing.view.text[part.sentence.start : part.span.end]
        return "not" in here or _negative_pole(part, cue) or bool(_LIKE_NOT.search(text))
    if name == "plan":
        return bool((here | sentence) & (UNCERTAIN | {"if", "must"})) or not _past(part, cue, clause)
    if name == "guess" and re.search(
        r"\b(?:about|approximately|roughly|around)\b", pairing.view.text[part.span.start : part.span.end]
    ):
        return True
    if name in ("may", "guess", "ought"):
        return bool((here | sentence) & (UNCERTAIN | {"if", "must"} if name == "ought" else UNCERTAIN | {"if"}))
    if name in ("most", "some"):
        return bool(here & {"most", "some"}) or any(key.key.startswith("=") for key in part.keys)
    return True  # a dropped "must" or "all" says less, not something else


def _past(part: Part, cue: Cue, clause: SourceClause) -> bool:
    """The part reports as having happened what the cue puts in the future."""
    near = {key.key for key in clause.keys if abs(key.start - cue.span.start) < 40}
    return any(key.key in near and (key.lower.endswith("ed") or key.lower in _PAST) for key in part.keys)


_PAST_WORDS = "paid sent sold bought made took gave went came began chose met told wrote left built drew ran won lost"
_PAST = frozenset(_PAST_WORDS.split())


_GENERAL = frozenset({"consent", "permit", "contain", "there", "ability", "keep"})


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
    if any(cue.name == "if" or (cue.name == "when" and (cue.words == "only" or cue.words not in main)) for cue in said):
        return
    span = pairing.source.sentences[clause.sentence]
    held = {key.key for key in part.keys}
    for cue in pairing.sentence_cues(pairing.source, span):
        if cue.name != "if" or (cue.words == "limited to") or not clause.keys:
            continue
        inside = clause.span.start <= cue.span.start < clause.span.end
        if inside and not any(key.key in held for key in cue.scope[:2]) and not _before(cue, clause, held):
            continue
        if not inside and not _adjacent(pairing, clause, cue):
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
    if cue.words.startswith(("except", "unless", "but", "apart", "all but", "nobody", "no one", "außer")):
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
    if abs(mine - its) != 1:
        return False
    between = pairing.source.text[clauses[min(mine, its)].end : clauses[max(mine, its)].start]
    return ";" not in between and ":" not in between


def _added(pairing: Pairing, part: Part, clauses: list[SourceClause]) -> Iterator[Evidence]:
    """Cues of the view part that the source clauses it restates do not carry."""
    if not part.aligned:
        return
    best = {aligned.sentence for aligned in part.aligned[:3]}
    there: set[str] = set()
    text = ""
    for number in sorted(best):
        span = pairing.source.sentences[number]
        there |= _names(list(pairing.sentence_cues(pairing.source, span)))
        around = pairing.source.sentences[max(0, number - 1) : number + 2]
        text += pairing.source.text[around[0].start : around[-1].end] + " "
    nearest = _names(pairing.cues_of(pairing.source, clauses[0].span)) if clauses else there
    for cue in pairing.cues_of(pairing.view, part.span) if len(part.keys) > 1 else ():
        if not _clashes(pairing, part, cue) and _carried(cue, there, nearest, text, pairing, part):
            continue
        yield Evidence(
            f"the view says {cue.words!r}, the source does not",
            source=pairing.source.sentences[part.aligned[0].sentence],
            view=cue.span,
        )


def _clashes(pairing: Pairing, part: Part, cue: Cue) -> bool:
    """The source has the same verb under a weaker or stronger modal: "will send" for "might send"."""
    if not cue.scope or cue.name not in _CLASHES:
        return False
    head = cue.scope[0].key
    theirs = {
        other.name
        for aligned in part.aligned[:2]
        for other in pairing.sentence_cues(pairing.source, pairing.source.sentences[aligned.sentence])
        if other.scope and other.scope[0].key == head and other.name in _MODALS
    }
    mine = {other.name for other in pairing.cues_of(pairing.view, part.span)}
    return bool(theirs) and not theirs & _CLASHES[cue.name] and not mine & theirs  # "will probably" is no "will"


_MODALS = frozenset({"may", "can", "guess", "ought", "plan", "must"})
_CLASHES = {  # a modal of the view, and the modals of the source that carry it
    "plan": frozenset({"plan", "must", "ought"}),
    "must": frozenset({"must"}),
    "may": frozenset({"may", "can", "guess", "plan", "ought"}),
    "can": frozenset({"may", "can", "guess", "plan"}),
}


def _carried(cue: Cue, there: set[str], nearest: set[str], text: str, pairing: Pairing, part: Part) -> bool:
    if cue.name == "not":
        if "not" in there or _IN_PLACE_OF_NOT.search(text) or _pole_in(text, -1):
            return True
        ends = all(key.end <= cue.span.start for key in cue.scope)  # "the bedroom is not": what is negated was said before
        return ends or _negated_elsewhere(cue, pairing, part)
    if cue.name in ("may", "can"):
        return bool(there & (UNCERTAIN | {"if"})) and not ("must" in nearest and not there & {"can", "may"})
    if cue.name == "guess":
        return True  # a view that is less certain than its source does no harm
    if cue.name == "ought":
        return bool(there & (UNCERTAIN | {"must", "if"})) or "about" in text or bool(_SOFT_OBLIGATION.search(text))
    if cue.name == "must":
        return "must" in there or ("not" in there and bool(there & {"can", "may"})) or bool(_SOFT_OBLIGATION.search(text))
    if cue.name == "plan" and cue.words in ("will", "shall", "wird"):
        mine = _names(pairing.cues_of(pairing.view, part.span))
        return bool(there & {"plan", "must"}) or not there & {"may", "guess"} or "guess" in mine
    if cue.name == "all":
        return "all" in there or not there & {"most", "some"}
    if cue.name in ("most", "some"):
        return "all" not in nearest
    return True


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


def _opposites(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """A word of one pole where the source has the other pole, or the same one under a negation."""
    poles = pole_stems()
    for key in part.keys:
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
    return conditional or bool(_LIKE_NOT.search(view)) or bool(_FIXED.search(pairing.source.text, span.start, span.end))


_FIXED = re.compile(r"(?<!\w)(?:fix(?:ed|es)?|prevent\w*|avoid\w*)(?!\w)", re.IGNORECASE)


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


def _sign(pairing: Pairing, keyed: object, clause: Span, key: Key) -> int:
    """-1 when a negation acts on the word."""
    text = pairing.source if keyed is pairing.source else pairing.view
    negated = any(
        cue.name == "not" and any(scoped.start == key.start for scoped in cue.scope[:3])
        for cue in pairing.cues_of(text, clause)
    )
    return -1 if negated else 1


def _bounds(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """ "about 40", "at most 40" and "40" are three different statements; before and after a date are opposites."""
    for key in part.keys:
        if not key.key.startswith("=") or key.kind not in ("number", "money", "percent", "duration", "date", "time"):
            continue
        there = pairing.occurrences(part, key.key)
        if not there:
            continue
        if key.kind in ("date", "time"):
            mine = _side(pairing.view.text, key)
            theirs = {_side(pairing.source.text, other) for other in there}
            if mine and mine not in theirs and "" not in theirs:
                yield Evidence(
                    f"the view says {mine} {key.lower!r}, the source the opposite",
                    source=Span(there[0].start, there[0].end),
                    view=Span(key.start, key.end),
                )
            continue
        mine = bound(pairing.view.text, part.sentence.start, key)
        if (
            (way := _way(pairing.view.text, key))
            and (ways := {_way(pairing.source.text, o) for o in there})
            and -way in ways
            and way not in ways
        ):
            yield Evidence(
                f"{key.lower!r} goes the other way in the source",
                source=Span(there[0].start, there[0].end),
                view=Span(key.start, key.end),
            )
        found = {
            bound(pairing.source.text, pairing.source.sentences[pairing.source.analysis.sentence_at(o.start)].start, o)
            for o in there
        }
        if (
            mine in found
            or (mine == "exactly" and "" in found)
            or ("need" in {mine, *found} and {mine, *found} <= {"need", "", "at least"})
            or _bounded_otherwise(pairing, part, found)
        ):
            continue
        yield Evidence(
            f"the source says {' or '.join(sorted(b or 'just' for b in found))} {there[0].lower!r}, "
            f"the view {mine or 'just'} {key.lower!r}",
            source=Span(there[0].start, there[0].end),
            view=Span(key.start, key.end),
        )


_MORE = re.compile(
    r"\s(?:[^\W\d]+\s)?(?:over|above|more|higher|ahead|faster|larger|longer|better|older|increase|growth|rise)\b", re.IGNORECASE
)
_LESS = re.compile(
    r"\s(?:[^\W\d]+\s)?(?:under|below|less|fewer|lower|behind|slower|smaller|shorter|worse|younger|decrease|drop|fall|off)\b",
    re.IGNORECASE,
)


def _way(text: str, key: Key) -> int:
    """What stands behind a difference: "3% over budget" is +1, "3% under budget" -1."""
    return 1 if _MORE.match(text, key.end) else -1 if _LESS.match(text, key.end) else 0


_LIMIT = re.compile(r"(?<!\w)(?:limit\w*|maximum|max|cap|capped|within)(?!\w)", re.IGNORECASE)


def _bounded_otherwise(pairing: Pairing, part: Part, found: set[str]) -> bool:
    """ "The badge limit is 2,000" for "up to 2,000 badges"; "probably six hours" for "about six hours"."""
    if "at most" in found and _LIMIT.search(pairing.view.text, part.sentence.start, part.sentence.end):
        return True
    return "about" in found and "guess" in _names(pairing.cues_of(pairing.view, part.span))


def _side(text: str, key: Key) -> str:
    words = re.findall(r"\w+", text[max(0, key.start - 24) : key.start].lower())[-2:]
    if not words or "not" in words:
        return ""
    return "before" if words[-1] in BEFORE else "after" if words[-1] in AFTER else ""


def _deeds(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """The view reports a deed (approved, signed, delivered) that the source sentences do not name."""
    for key in part.keys:
        family = _DEEDS.get(key.key)
        if family is None or key.kind != "word":
            continue
        near = [a.sentence for a in part.aligned[:3]]
        around = {n + step for n in near for step in (-1, 0, 1) if 0 <= n + step < len(pairing.source.sentences)}
        if any(other.key in family for n in around for other in pairing.source.keys_of(n)):
            continue
        yield Evidence(
            f"the view says {pairing.view.text[key.start : key.end]!r}, the source does not",
            source=pairing.source.sentences[near[0]] if near else None,
            view=Span(key.start, key.end),
        )
