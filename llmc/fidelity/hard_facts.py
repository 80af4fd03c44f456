"""G2 and G3: every hard fact of the view is a fact of the source, and every must-keep fact of the source is in the view.

Facts are compared in their normal form, so "12 March" is not "12 votes" and 3 kW is not 3 MW. Whether a value stands
with its owner is a question of roles (``roles.py``); here it is a question of existence.
"""

import re
from collections import Counter

from llmc.fidelity.analysis import Analysis, analyse, spellings
from llmc.fidelity.appended import SINGULAR, declared, declared_span
from llmc.fidelity.facts import Fact
from llmc.fidelity.identifiers import quoted
from llmc.fidelity.names import starts_sentence
from llmc.fidelity.pins import SECONDS, holds
from llmc.fidelity.policy import Policy
from llmc.fidelity.sections import MOST_TITLE_CHARS, body
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Check, Evidence, failed_check

UNIT_CHARS = 40  # between a number with its unit and one that leaves it out
SEARCHES = 200  # a view with more facts that need a search of the whole source is refused for the rest of them
WHOLE = ("pin", "section")  # never counted as left out: they are in the view, or there is no view
_FALLING = re.compile(r"\b(?:fell|fall|drop|decreas|declin|reduc|lower|down|less|minus|cut)", re.IGNORECASE)


def precision(source: Analysis, view: Analysis) -> Check:
    """Fails for a fact or a quotation in the view that the source does not hold."""
    problems = []
    footer = declared_span(view.text)
    end = footer.start if footer else len(view.text)
    searched = _Searched(source)
    for fact in view.facts:
        if fact.start < end and not _holds(searched, fact) and not _opens_with_a_name(searched, fact, view.text):
            problems.append(Evidence(f"{fact.kind} {fact.text!r} is not in the source", view=Span(fact.start, fact.end)))
    for _, start, stop, normal in quoted(view.text):
        if start < end and normal not in source.quotations and not searched.says(normal):
            problems.append(Evidence(f"quotation {view.text[start:stop]!r} is not in the source", view=Span(start, stop)))
    return failed_check("precision", problems)


class _Searched:
    """A source that is searched for at most ``SEARCHES`` spellings of one view."""

    def __init__(self, source: Analysis) -> None:
        self.source = source
        self._left = SEARCHES

    def says(self, spelling: str, *, pattern: bool = False) -> bool:
        self._left -= 1
        return self._left >= 0 and self.source.says(spelling, pattern=pattern)


def _holds(searched: _Searched, fact: Fact) -> bool:
    """Whether the source states the fact: the same normal form, or one that says the same in less or more detail."""
    source = searched.source
    known = source.by_normal
    if fact.normal in known:
        return True
    if fact.kind == "quote":
        return fact.normal in source.quotations or searched.says(fact.normal)
    if fact.kind == "name":
        return _name_is_known(searched, fact)
    if fact.kind == "date":
        return _date_is_known(source, fact.normal, fact.text)
    if fact.normal.startswith("-") and fact.kind in ("percent", "money", "number"):
        return _falls(source, fact.normal[1:])
    if fact.kind == "range":
        ends = [normal for normal in spellings(fact) if normal != fact.normal]
        alone = {fact.normal for end in ends for fact in known.get(end, ())}  # 2 and 7 of "7-2" do not make a "2-7"
        return bool(ends) and alone.issuperset(ends)
    if fact.kind == "number" and " " not in fact.normal:
        return fact.normal in source.numbers  # a bare number of the view may leave out the unit that the source names
    if fact.kind in ("number", "duration") and _unit_before(source, fact):
        return True
    if fact.kind in ("code", "path", "url", "email", "id", "version"):  # spelled inside a longer one: db-3:5432
        return searched.says(fact.text.strip("`").casefold())
    return False


def _unit_before(source: Analysis, fact: Fact) -> bool:
    """ "3.4 metres" for "it should be 3.7 metres wide; it's 3.4": the unit stands with the number before."""
    value, _, unit = fact.normal.partition(" ")
    for bare in source.by_normal.get(value, ())[:20]:
        before = source.facts_in(Span(max(0, bare.start - UNIT_CHARS), bare.start))
        if before and before[-1].normal.endswith(f" {unit}"):
            return True
    return False


def _falls(source: Analysis, positive: str) -> bool:
    """ "-2%" for "fell by 2%"."""
    return any(
        _FALLING.search(source.text[max(0, fact.start - 40) : fact.end + 20])
        for fact in source.by_normal.get(positive, ())[:20]
    )


def _date_is_known(source: Analysis, normal: str, text: str) -> bool:
    """The same date with less said ("12 March" for 12 March 2026), or with the year that the source gives elsewhere."""
    in_lower_case = len(normal) < 5 and len(text) > 3 and text.lower() in source.words  # "sunday" in a chat; "may" is a word
    if normal in source.shorter_dates or in_lower_case:
        return True
    return normal[:4] in source.years and len(normal) > 4 and f"-{normal[4:]}" in source.by_normal


def _name_is_known(searched: _Searched, fact: Fact) -> bool:
    """All words of the name stand together in the source, in this order; a part of a longer name will do."""
    words = fact.normal.split()
    if not all(word in searched.source.words for word in words):
        return False
    if len(words) == 1:
        return True
    return searched.says(r"\W{1,4}(?:\w{1,3}\W{1,3})?".join(re.escape(word) for word in words), pattern=True)


def _opens_with_a_name(searched: _Searched, fact: Fact, view: str) -> bool:
    """ "Give Marta's book back": the first word of a sentence, which is no name in the source, and a name."""
    words = fact.normal.split()
    return (
        fact.kind == "name"
        and len(words) == 2
        and starts_sentence(view, fact.start)
        and words[0] not in searched.source.name_words
        and all(word in searched.source.words for word in words)
    )


def recall(source: Analysis, view: Analysis, policy: Policy) -> Check:
    """Every must-keep fact and pinned passage is in the view, or counted in its ``[left out: ...]`` line."""
    footer = declared_span(view.text)
    said = declared(view.text)
    if footer:  # its numbers are no facts of the source
        view = analyse(view.text[: footer.start].rstrip())
    dropped = missing(source, view, policy)
    counts = Counter(fact.kind for fact in dropped)
    problems: list[Evidence] = []
    notes: list[Evidence] = []
    for pattern in (*policy.pins, *policy.sections):
        if (source.pinned if pattern in policy.pins else source.sections_named)(pattern).spans is None:
            problems.append(Evidence(f"{pattern!r} could not be looked for within {SECONDS:g} s: a simpler pattern is needed"))
    for fact in dropped:
        shown = fact.text if fact.kind != "section" else fact.text.split("\n", 1)[0][:MOST_TITLE_CHARS]
        entry = Evidence(f"{SINGULAR[fact.kind]} {shown!r} is not in the view", source=Span(fact.start, fact.end))
        allowed = policy.missing == "declare" and fact.kind not in WHOLE and said.get(fact.kind) == counts[fact.kind]
        (notes if allowed else problems).append(entry)
    return failed_check("recall", problems, notes)


def missing(source: Analysis, view: Analysis, policy: Policy) -> list[Fact]:
    """Must-keep facts, pins and sections of the source that the view does not hold, each once, in the order of the source."""
    held = set(view.by_normal)
    seen: set[tuple[str, str]] = set()
    dropped = []
    for fact in source.facts:
        if fact.kind not in policy.must_keep or (fact.kind, fact.normal) in seen or fact.normal.startswith("-W"):
            continue  # a weekday is a date only to those who know the week: it must be right, but it may be left out
        seen.add((fact.kind, fact.normal))
        if fact.normal not in held and not _held_otherwise(fact, view):
            dropped.append(fact)
    for pin in policy.pins:
        for span in source.pinned(pin).spans or ():
            text = source.text[span.start : span.end]
            if ("pin", text) not in seen and text not in view.text:
                dropped.append(Fact("pin", text, *span, text))
            seen.add(("pin", text))
    for name in policy.sections:
        for span in source.sections_named(name).spans or ():
            text = source.text[span.start : span.end]
            if ("section", text) not in seen and not holds(view.text, body(text)):
                dropped.append(Fact("section", text, *span, text))
            seen.add(("section", text))
    dropped.sort(key=lambda fact: fact.start)
    return dropped


def _held_otherwise(fact: Fact, view: Analysis) -> bool:
    """Said in less detail: a date without its year, "40" for 40%, "-2%" for "fell by 2%"."""
    if fact.kind == "date":
        day = f"-{fact.normal[4:]}"
        return fact.normal in view.shorter_dates or (len(fact.normal) == 10 and fact.normal[0] != "-" and day in view.by_normal)
    if f"-{fact.normal}" in view.by_normal:
        return True
    value = fact.normal.split(" ", 1)[0]
    return fact.kind in ("number", "percent", "duration") and value in view.by_normal and value not in view.numbers
