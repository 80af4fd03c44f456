"""Planted errors: a faithful view, and the same view with one thing wrong. The same seed gives the same error.

    corrupted = corrupt("digit", source, view, seed=7)     # None when the view has nothing to go wrong in that way

They are what a language model gets wrong (facts/number/unit/date slips, a dropped "not", two names exchanged), one at
a time, so that the miss rate of each kind can be measured on anybody's own text.
"""

import random
import re
from collections.abc import Callable

from llmc.fidelity.align import flat
from llmc.fidelity.analysis import analyse
from llmc.fidelity.appended import own_end
from llmc.fidelity.facts import Fact, facts
from llmc.fidelity.policy import Policy
from llmc.fidelity.sentences import clauses, sentences
from llmc.fidelity.tables import MONTHS, WEEKDAYS

Corruption = Callable[[str, str, random.Random], str | None]

_UNIT_SWAPS = {
    "kg": "lb", "lb": "kg", "mg": "g", "g": "mg", "µg": "mg", "ms": "s", "seconds": "minutes", "minutes": "hours",
    "hours": "days", "days": "weeks", "weeks": "months", "months": "years", "years": "months", "hour": "day",
    "day": "week", "week": "month", "month": "year", "year": "month", "second": "minute", "minute": "hour",
    "km": "miles", "miles": "km", "mile": "foot", "m": "ft", "cm": "mm", "mm": "cm", "feet": "inches",
    "inches": "feet", "kW": "MW", "MW": "kW", "GB": "MB", "MB": "GB", "KB": "MB", "kB": "MB", "KiB": "MiB",
    "MiB": "GiB", "GiB": "MiB", "°C": "°F", "EUR": "USD", "USD": "EUR", "GBP": "EUR", "dollars": "euros",
    "euros": "dollars", "pounds": "dollars", "cents": "dollars", "l": "ml", "ml": "l", "litres": "gallons",
    "acres": "hectares", "tons": "pounds", "bytes": "bits", "bits": "bytes", "s": "min", "min": "h", "h": "min",
    "%": "‰", "percent": "percentage points",
}  # fmt: skip
_SIGN_SWAPS = {"$": "€", "€": "$", "£": "€"}
_MAGNITUDE_SWAPS = {
    "million": "billion",
    "billion": "million",
    "thousand": "million",
    "millions": "billions",
    "hundred": "thousand",
}
_AUXILIARY = re.compile(
    r"\b(is|are|was|were|has|have|had|will|would|can|could|should|must|may|might|shall|does|did|do)\b(?! not|n't)",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"(?i)\b(?:(cannot)\b|(can|could|do|does|did|is|are|was|were|has|have|had|would|should|must)n['’]t\b"
    r"|(not|never) |(no) (?=[a-z]))"
)
_MODAL_SWAPS = {
    "must": "may",
    "may": "must",
    "can": "must",
    "should": "must",
    "might": "will",
    "could": "will",
    "will": "may",
    "shall": "may",
}
_HEDGES = re.compile(
    r"(?i)\b(?:probably|perhaps|possibly|maybe|apparently|presumably|likely|about|approximately|roughly|"
    r"around|nearly|almost|up to|at least|at most|mostly|usually|generally) "
)
_EXCEPTION = re.compile(
    r"(?i),? ?\b(?:unless|except|provided that|provided|only if|if|but only|apart from|excluding)\b[^.;…\n]*(?=[.;…\n]|$)"
)
_INVENTED = (
    "The auditors praised the careful preparation.", "A second inspection by an outside firm will follow.",
    "Several journalists attended the presentation.", "The insurance company has already been informed.",
    "An apology was published in the local newspaper.", "The manager resigned shortly afterwards.",
    "Volunteers from the village helped with the cleaning.", "The prototype won a design award.",
)  # fmt: skip
_GERMAN = {
    "the": "die", "a": "eine", "an": "eine", "and": "und", "or": "oder", "of": "von", "to": "zu", "in": "in",
    "is": "ist", "are": "sind", "was": "war", "were": "waren", "not": "nicht", "for": "für", "with": "mit",
    "on": "auf", "by": "durch", "from": "von", "it": "es", "that": "dass", "this": "dies", "be": "sein",
    "has": "hat", "have": "haben", "will": "wird", "at": "bei", "as": "als", "but": "aber", "they": "sie",
    "he": "er", "she": "sie", "his": "sein", "her": "ihr", "which": "die", "no": "kein", "if": "wenn",
}  # fmt: skip


def corrupt(kind: str, source: str, view: str, *, seed: int) -> str | None:
    """The view with one error of that kind planted; None when it has no place for one.

    In a list of nearly equal lines a changed line can be another line of the source. That is no error, so it is None.
    """
    changed = CORRUPTIONS[kind](source, view, random.Random(f"{kind} {seed}"))
    if changed is None or changed == view:
        return None
    fresh = _lines(changed) - _lines(view)
    return None if fresh and kind != "omission" and fresh <= _lines(source) else changed


def _lines(text: str) -> set[str]:
    return {flat(text[span.start : span.end]) for span in analyse(text).sentences}


def _replaced(view: str, start: int, end: int, text: str) -> str:
    return view[:start] + text + view[end:]


def _pick(view: str, rng: random.Random, kinds: tuple[str, ...]) -> Fact | None:
    found = [fact for fact in facts(view) if fact.kind in kinds and any(c.isdigit() for c in fact.text)]
    return rng.choice(found) if found else None


def _other_digit(view: str, fact: Fact, rng: random.Random) -> str:
    """One digit of the fact becomes another; a first digit never becomes zero."""
    place = rng.choice([i for i, c in enumerate(fact.text) if c.isascii() and c.isdigit()])
    first = place == 0 or not fact.text[place - 1].isalnum()
    digit = rng.choice([d for d in "0123456789" if d != fact.text[place] and not (first and d == "0")])
    return _replaced(view, fact.start + place, fact.start + place + 1, digit)


def _digits_of(*kinds: str) -> Corruption:
    def corruption(_source: str, view: str, rng: random.Random) -> str | None:
        fact = _pick(view, rng, kinds)
        return _other_digit(view, fact, rng) if fact else None

    return corruption


def _unit(_source: str, view: str, rng: random.Random) -> str | None:
    places = []
    for fact in facts(view):
        if fact.kind not in ("number", "money", "percent", "duration", "range"):
            continue
        for match in re.finditer(r"[^\W\d]+|[%°$€£]C?", fact.text):
            swap = _UNIT_SWAPS.get(match[0]) or _SIGN_SWAPS.get(match[0])
            if swap:
                places.append((fact.start + match.start(), fact.start + match.end(), swap))
    return _replaced(view, *rng.choice(places)) if places else None


def _magnitude(_source: str, view: str, rng: random.Random) -> str | None:
    words = [m for m in re.finditer(r"[A-Za-z]+", view) if m[0] in _MAGNITUDE_SWAPS]
    if words:
        word = rng.choice(words)
        return _replaced(view, word.start(), word.end(), _MAGNITUDE_SWAPS[word[0]])
    found = [f for f in facts(view) if f.kind in ("number", "money", "percent", "duration") and re.search(r"\d", f.text)]
    if not found:
        return None
    fact = rng.choice(found)
    last = next(re.finditer(r"\d+", fact.text))
    more = last[0] + ("0" if "," not in fact.text else "7")
    return _replaced(view, fact.start + last.start(), fact.start + last.end(), more if int(last[0]) else "10")


def _date(_source: str, view: str, rng: random.Random) -> str | None:
    """Another day, month or year."""
    found = [fact for fact in facts(view) if fact.kind == "date"]
    if not found:
        return None
    fact = rng.choice(found)
    for word in re.finditer(r"[^\W\d]+", fact.text):
        table = MONTHS if word[0].lower() in MONTHS else WEEKDAYS if word[0].lower() in WEEKDAYS else None
        if table and (not any(c.isdigit() for c in fact.text) or rng.random() < 0.4):
            others = [
                name for name, number in table.items() if number != table[word[0].lower()] and name.isascii() and len(name) > 3
            ]
            return _replaced(
                view,
                fact.start + word.start(),
                fact.start + word.end(),
                rng.choice(others[: 12 if table is WEEKDAYS else 40]).capitalize(),
            )
    numbers = list(re.finditer(r"\d+", fact.text))
    number = rng.choice(numbers)
    value = int(number[0])
    if len(number[0]) == 4:
        changed = value + rng.choice((-2, -1, 1, 2))
    else:
        changed = rng.choice([day for day in range(1, 13 if "-" in fact.text or "." in fact.text else 29) if day != value])
    return _replaced(view, fact.start + number.start(), fact.start + number.end(), str(changed).zfill(len(number[0])))


def _negation(_source: str, view: str, rng: random.Random) -> str | None:
    """A "not" comes in, or one goes."""
    present = list(_NEGATION.finditer(view))
    if present and rng.random() < 0.5:
        match = rng.choice(present)
        return _replaced(view, match.start(), match.end(), "can" if match[1] else match[2] or "")
    found = list(_AUXILIARY.finditer(view))
    if not found:
        return None
    match = rng.choice(found)
    return _replaced(view, match.end(), match.end(), " not")


def _modality(_source: str, view: str, rng: random.Random) -> str | None:
    found = [m for m in re.finditer(r"\b[a-z]+\b", view) if m[0] in _MODAL_SWAPS]
    if not found:
        return None
    match = rng.choice(found)
    return _replaced(view, match.start(), match.end(), _MODAL_SWAPS[match[0]])


def _hedge(_source: str, view: str, rng: random.Random) -> str | None:
    found = list(_HEDGES.finditer(view))
    if not found:
        return None
    match = rng.choice(found)
    return _replaced(view, match.start(), match.end(), "")


def _role(source: str, view: str, rng: random.Random) -> str | None:
    """Two facts of one kind in one sentence change places; in the appended list of facts no place means anything."""
    pairs = []
    for span in sentences(view[: own_end(analyse(source), view)]):
        inside = [
            f
            for f in facts(view[span.start : span.end])
            if f.kind in ("name", "money", "percent", "date", "number", "duration", "time")
        ]
        for i, first in enumerate(inside):
            pairs += [
                (span.start, first, second)
                for second in inside[i + 1 :]
                if second.kind == first.kind
                and second.normal != first.normal
                and first.text not in second.text
                and second.text not in first.text
            ]
    if not pairs:
        return None
    base, first, second = rng.choice(pairs)
    a, b, c, d = (base + x for x in (first.start, first.end, second.start, second.end))
    return view[:a] + second.text + view[b:c] + first.text + view[d:]


def _exception(_source: str, view: str, rng: random.Random) -> str | None:
    found = [m for m in _EXCEPTION.finditer(view) if m.start() > 0 and view[m.start() - 1] not in ".;\n"]
    if not found:
        return None
    match = rng.choice(found)
    return _replaced(view, match.start(), match.end(), "")


def _invented(source: str, view: str, rng: random.Random) -> str | None:
    fresh = [sentence for sentence in _INVENTED if sentence not in source]
    end = own_end(analyse(source), view)
    own = view[:end].rstrip()
    gap = " " if own.endswith((".", "!", "?")) else "\n"
    return f"{own}{gap}{rng.choice(fresh)}\n{view[end:]}".rstrip() if fresh else None


def _language(_source: str, view: str, _rng: random.Random) -> str | None:
    changed = re.sub(r"[A-Za-z]+", lambda m: _GERMAN.get(m[0].lower(), m[0]), view)
    swapped = sum(word.lower() in _GERMAN for word in re.findall(r"[A-Za-z]+", view))
    words = len(re.findall(r"[A-Za-z]+", view))
    return changed if swapped >= max(6, 0.15 * words) else None  # fewer are foreign words in a text, not another language


def _omission(source: str, view: str, rng: random.Random) -> str | None:
    """A must-keep fact goes, with its clause where that has company."""
    kinds = Policy().must_keep
    held = {fact.normal for fact in analyse(source).facts if fact.kind in kinds}
    found = [fact for fact in facts(view) if fact.kind in kinds and fact.normal in held]
    counts: dict[str, int] = {}
    for fact in found:
        counts[fact.normal] = counts.get(fact.normal, 0) + 1
    found = [fact for fact in found if counts[fact.normal] == 1]
    if not found:
        return None
    fact = rng.choice(found)
    parts = [c for s in sentences(view) for c in clauses(view, s)]
    clause = next((c for c in parts if c.start <= fact.start and fact.end <= c.end), None)
    if clause and len(parts) > 1:
        return _replaced(view, clause.start, clause.end, "").strip()
    return _replaced(view, fact.start, fact.end, "").strip()


CORRUPTIONS: dict[str, Corruption] = {
    "digit": _digits_of("number", "percent", "duration", "range", "time"),
    "money": _digits_of("money"),
    "id": _digits_of("id", "version", "hash", "phone", "path"),
    "unit": _unit,
    "magnitude": _magnitude,
    "date": _date,
    "negation": _negation,
    "modality": _modality,
    "hedge": _hedge,
    "role": _role,
    "exception": _exception,
    "invented": _invented,
    "language": _language,
    "omission": _omission,
}  # fmt: skip
