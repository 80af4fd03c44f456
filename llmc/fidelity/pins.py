"""What a policy pins: passages by regular expression and sections by their heading, found in a text within a time limit.

The patterns are the user's, the texts are anybody's: together they could take for ever in an engine that backtracks. ``regex``
reads what ``re`` does and stops after :data:`SECONDS`; what could not be looked for in that time is not taken for found, so the
check refuses the view and says why.
"""

from collections.abc import Callable
from typing import NamedTuple

import regex

from llmc.fidelity.sections import sections
from llmc.fidelity.spans import Span

SECONDS = 2.0  # for one pattern in one text; a sane one takes milliseconds in a text of megabytes
MOST_CHARS = 1000  # of a pattern


class Pinned(NamedTuple):
    """The places of one pattern and their words; None where the time did not suffice."""

    spans: tuple[Span, ...] | None
    texts: frozenset[str] = frozenset()


def problem(pattern: str) -> str:
    """Why this is no pattern that can be used, in a few words; ``""`` when it is one."""
    if not pattern.strip():
        return "it is empty"
    if len(pattern) > MOST_CHARS:
        return f"it has {len(pattern):,} characters, {MOST_CHARS:,} is the most"
    try:
        regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""


def passages(text: str, pattern: str) -> Pinned:
    """Every match of a pattern, each text once."""
    found: dict[str, Span] = {}

    def look() -> None:
        for match in regex.compile(pattern).finditer(text, timeout=SECONDS):
            if match[0]:
                found.setdefault(match[0], Span(*match.span()))

    return Pinned(tuple(found.values()), frozenset(found)) if _in_time(look) else Pinned(None)


def sections_named(text: str, pattern: str) -> Pinned:
    """Every section whose whole title the pattern matches, whatever its case; one inside another only as part of it."""
    found: list[Span] = []

    def look() -> None:
        compiled = regex.compile(pattern, regex.IGNORECASE)
        for section in sections(text):
            inside = found and section.span.end <= found[-1].end
            if not inside and section.body.start < section.body.end and compiled.fullmatch(section.title, timeout=SECONDS):
                found.append(section.span)

    return Pinned(tuple(found), frozenset(text[span.start : span.end] for span in found)) if _in_time(look) else Pinned(None)


def _in_time(look: Callable[[], None]) -> bool:
    try:
        look()
    except TimeoutError:
        return False
    return True


def holds(text: str, passage: str) -> bool:
    """Whether a text holds a passage word for word; line breaks and runs of spaces do not count."""
    return passage in text or " ".join(passage.split()) in " ".join(text.split())
