"""G7: sentences of the source with a fact left blank, to be filled in from the view alone.

Only facts that the view holds are asked for: what it leaves out it may leave out. A view that gives the right amounts to the
wrong owners has every fact and still cannot fill the blanks. This module makes the blanks and judges the answers; whoever has
an engine asks.

    blanks = probes(source, view, 4, seed=1)
    verdict_entry = judged(blanks, answers, least_share=0.85)
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from llmc.fidelity.analysis import analyse, spellings
from llmc.fidelity.appended import own_end
from llmc.fidelity.facts import facts
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Check, Evidence, bounded
from llmc.fidelity.words import tokens

BLANK = "____"
ASKED = ("number", "money", "percent", "date", "time", "duration", "range")  # with a normal form that answers can be held to
LEAST_WORDS = 4  # content words around a blank; with fewer nobody could know what is asked
MOST_CHARS = 300  # of a sentence with its blank


@dataclass(frozen=True, slots=True)
class Probe:
    """A sentence of the source with ``BLANK`` in place of a fact."""

    sentence: str
    kind: str
    answer: str
    """As the source spells it."""
    normal: str
    source: Span


def probes(source: str, view: str, count: int, *, seed: int) -> list[Probe]:
    """At most ``count``, drawn by the seed, in source order; a fact that stands twice in its sentence is not asked."""
    whole = analyse(source)
    own = analyse(view[: own_end(whole, view)])
    held = {normal for fact in own.facts for normal in spellings(fact)}
    found: dict[str, Probe] = {}
    for fact in whole.facts:
        if fact.kind not in ASKED or fact.normal not in held or fact.normal.startswith("-W"):
            continue
        span = whole.sentences[whole.sentence_at(fact.start)]
        said = source[span.start : fact.start] + BLANK + source[fact.end : span.end]
        if not span.start <= fact.start < fact.end <= span.end or len(said) > MOST_CHARS:
            continue
        others = [other.normal for other in whole.facts_in(span) if other.start != fact.start]
        if fact.normal not in others and sum(bool(token.stem) for token in tokens(said, 0, len(said))) >= LEAST_WORDS:
            sentence = " ".join(said.split())
            found.setdefault(sentence, Probe(sentence, fact.kind, fact.text, fact.normal, Span(fact.start, fact.end)))
    asked = list(found.values())
    chosen = sorted(random.Random(seed).sample(range(len(asked)), min(count, len(asked))))
    return [asked[i] for i in chosen]


def judged(asked: Sequence[Probe], answers: Sequence[str], *, least_share: float) -> Check:
    """The check ``probes``: passed when at least that share of the blanks was filled in rightly; a missing answer is wrong."""
    wrong = []
    for number, probe in enumerate(asked):
        answer = " ".join(answers[number].split()) if number < len(answers) else ""
        if not is_right(probe, answer):
            said = f"the view says {answer[:60]!r}" if answer else "the view gives no answer"
            wrong.append(Evidence(f"{probe.sentence!r}: {said}, the source {probe.answer!r}", source=probe.source))
    right = len(asked) - len(wrong)
    passed = right >= least_share * len(asked)
    counted = f"{right} of {len(asked)} blanks filled in rightly, {least_share:.0%} are needed" if asked else "nothing to ask"
    return Check("probes", passed, bounded([Evidence(counted), *wrong]))


def is_right(probe: Probe, answer: str) -> bool:
    """Whether an answer states the fact, and no other of its kind; a bare number will do where the sentence has the unit."""
    given = facts(answer)
    value = probe.normal.split(" ", 1)[0]
    stated = {fact.normal for fact in given if fact.kind in ASKED}
    if not stated:
        return answer.strip(" .").casefold() == probe.answer.casefold()
    return all(normal == probe.normal or (normal == value and probe.kind != "date") for normal in stated)
