"""Hard facts of a text with their offsets and a normal form in which equal facts are equal strings.

Every kind is found by its own pass over the text; what a pass took is blanked before the next one runs, so that facts
never overlap and "12 March" leaves no bare 12 behind. All patterns are anchored and possessive: the time is linear in
the length of the text, whatever the text is.

    >>> [(fact.kind, fact.normal) for fact in facts("Rent falls to 4,850 EUR on 12 March 2026.")]
    [('money', '4850 EUR'), ('date', '2026-03-12')]
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from llmc.fidelity import dates, identifiers, names, quantities

KINDS = (
    "number", "money", "percent", "date", "time", "duration", "range", "version", "id", "hash", "path", "url",
    "email", "phone", "quote", "code", "name",
)  # fmt: skip

BLANK = "\x00"  # neither a letter nor a space: no later pattern reads across it


@dataclass(frozen=True, slots=True)
class Fact:
    """``text`` is exactly ``source[start:end]``; ``normal`` carries the unit and is compared by ``==``."""

    kind: str
    text: str
    start: int
    end: int
    normal: str


Found = tuple[str, int, int, str]  # kind, start, end, normal
Finder = Callable[[str], Iterable[Found]]

# The order is the priority: a URL may hold a date, a date never holds a URL.
FINDERS: tuple[Finder, ...] = (
    identifiers.code, identifiers.addresses, dates.instants, identifiers.versions, identifiers.phones,
    identifiers.labels, dates.dates, dates.times, quantities.quantities, identifiers.quotes, names.names,
)  # fmt: skip


def facts(text: str) -> list[Fact]:
    """Sorted by start, non-overlapping."""
    found: list[Fact] = []
    left = text
    for finder in FINDERS:
        taken = [item for item in finder(left) if item[2] > item[1]]
        if not taken:
            continue
        found.extend(Fact(kind, text[start:end], start, end, normal) for kind, start, end, normal in taken)
        left = "".join(_blanked(left, taken))
    found.sort(key=lambda fact: fact.start)
    return found


def _blanked(text: str, taken: list[Found]) -> Iterator[str]:
    position = 0
    for _, start, end, _ in taken:
        yield text[position:start]
        yield BLANK * (end - start)
        position = end
    yield text[position:]
