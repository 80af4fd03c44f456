"""Numbers and dates with what bounds them: "about 40", "at most 40" and "40" are three statements, before is not after."""

import re
from collections.abc import Iterator

from llmc.fidelity.align import Key, Keyed
from llmc.fidelity.cues import bound, names, pole_stems
from llmc.fidelity.lexicon import AFTER, BEFORE, UNCERTAIN
from llmc.fidelity.pairing import Pairing, Part
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Evidence


def _turned(pairing: Pairing, part: Part, there: list[Key]) -> bool:
    """ "works until January", "will not mow before July": the other side of the date, and the other answer."""
    mine = _denies(pairing, pairing.view, part.span)
    spans = [pairing.source.sentences[pairing.source.analysis.sentence_at(key.start)] for key in there]
    clauses = [c for span, key in zip(spans, there, strict=True) for c in _clauses(pairing, span, key)]
    return any(_denies(pairing, pairing.source, clause) != mine for clause in clauses)


def _clauses(pairing: Pairing, sentence: Span, key: Key) -> list[Span]:
    number = pairing.source.analysis.sentence_at(key.start)
    return [c for c in pairing.source.clauses_of(number) if c.start <= key.start < c.end] or [sentence]


def _denies(pairing: Pairing, keyed: Keyed, clause: Span) -> bool:
    """Whether a clause says no: a negation, or a word of a negative pole."""
    poles = pole_stems()
    signs = [sign for key in keyed.keys_in(clause) for _, sign in poles.get(key.key, ())[:1]]
    turns = sum(cue.name == "not" for cue in pairing.cues_of(keyed, clause)) + sum(sign < 0 for sign in signs)
    return turns % 2 == 1


_MORE = re.compile(
    r"\s(?:[^\W\d]+\s)?(?:over|above|more|higher|ahead|faster|larger|longer|better|older|increase|growth|rise)\b", re.IGNORECASE
)
_LESS = re.compile(
    r"\s(?:[^\W\d]+\s)?(?:under|below|less|fewer|lower|behind|slower|smaller|shorter|worse|younger|decrease|drop|fall|off)\b",
    re.IGNORECASE,
)


_GUESSED = re.compile(
    r"(?<!\w)(?:probably|likely|perhaps|maybe|possibly|tentatively|hopefully)(?:\s(?:on|by|at|in|around))?\s$", re.I
)
_LIMIT = re.compile(r"(?<!\w)(?:limit\w*|maximum|max|cap|capped|within)(?!\w)", re.IGNORECASE)


def bounds(pairing: Pairing, part: Part) -> Iterator[Evidence]:
    """ "about 40", "at most 40" and "40" are three different statements; before and after a date are opposites."""
    for key in part.keys:
        if not key.key.startswith("=") or key.kind not in ("number", "money", "percent", "duration", "date", "time"):
            continue
        there = pairing.occurrences(part, key.key)
        if not there:
            continue
        if key.kind in ("date", "time"):
            if all(_GUESSED.search(pairing.source.text[max(0, o.start - 16) : o.start]) for o in there) and not (
                names(pairing.cues_of(pairing.view, part.sentence)) & (UNCERTAIN - {"plan"} | {"if"})
            ):
                yield Evidence(
                    f"{key.lower!r} is a guess in the source",
                    source=Span(there[0].start, there[0].end),
                    view=Span(key.start, key.end),
                )
            mine = _side(pairing.view.text, key)
            theirs = {_side(pairing.source.text, other) for other in there}
            if mine and mine not in theirs and "" not in theirs and not _turned(pairing, part, there):
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
            or (mine == "at most" and "" in found and _limits(pairing, there))
        ):
            continue
        yield Evidence(
            f"the source says {' or '.join(sorted(b or 'just' for b in found))} {there[0].lower!r}, "
            f"the view {mine or 'just'} {key.lower!r}",
            source=Span(there[0].start, there[0].end),
            view=Span(key.start, key.end),
        )


def _way(text: str, key: Key) -> int:
    """What stands behind a difference: "3% over budget" is +1, "3% under budget" -1."""
    return 1 if _MORE.match(text, key.end) else -1 if _LESS.match(text, key.end) else 0


def _limits(pairing: Pairing, there: list[Key]) -> bool:
    """ "Limited to 5" for "the limit is 5"."""
    source = pairing.source
    spans = [source.sentences[source.analysis.sentence_at(key.start)] for key in there]
    return any(_LIMIT.search(source.text, span.start, span.end) for span in spans)


def _bounded_otherwise(pairing: Pairing, part: Part, found: set[str]) -> bool:
    """ "The badge limit is 2,000" for "up to 2,000 badges"; "probably six hours" for "about six hours"."""
    if "at most" in found and _LIMIT.search(pairing.view.text, part.sentence.start, part.sentence.end):
        return True
    return "about" in found and "guess" in names(pairing.cues_of(pairing.view, part.span))


def _side(text: str, key: Key) -> str:
    words = re.findall(r"\w+", text[max(0, key.start - 24) : key.start].lower())[-2:]
    if not words:
        return ""
    if words[0] == "not":
        return {"before": "after", "until": "after", "after": "before"}.get(words[-1], "")
    return "before" if words[-1] in BEFORE else "after" if words[-1] in AFTER else ""
