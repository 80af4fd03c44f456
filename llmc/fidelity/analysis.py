"""A text taken apart once, so that no check does it again: facts, sentences, tokens, and an index of the content words."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from llmc.fidelity.facts import Fact, facts
from llmc.fidelity.identifiers import quoted
from llmc.fidelity.names import bare
from llmc.fidelity.sentences import sentences
from llmc.fidelity.spans import Span
from llmc.fidelity.words import Token, tokens

SEARCHES = 200  # a view with more facts that need a search of the whole source is refused for the rest of them


class Analysis:
    """Lazy: a check that fails early does not pay for the others."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._searches = 0

    @cached_property
    def facts(self) -> list[Fact]:
        return facts(self.text)

    @cached_property
    def sentences(self) -> list[Span]:
        return sentences(self.text)

    @cached_property
    def _starts(self) -> list[int]:
        return [span.start for span in self.sentences]

    def sentence_at(self, position: int) -> int:
        """Index of the sentence that holds a position (or the one before it); -1 in an empty text."""
        return max(0, bisect_right(self._starts, position) - 1) if self._starts else -1

    @cached_property
    def tokens(self) -> list[Token]:
        return list(tokens(self.text))

    @cached_property
    def _token_starts(self) -> list[int]:
        return [token.start for token in self.tokens]

    def tokens_in(self, span: Span) -> list[Token]:
        return self.tokens[bisect_right(self._token_starts, span.start - 1) : bisect_right(self._token_starts, span.end - 1)]

    @cached_property
    def _fact_starts(self) -> list[int]:
        return [fact.start for fact in self.facts]

    def facts_in(self, span: Span) -> list[Fact]:
        return self.facts[bisect_right(self._fact_starts, span.start - 1) : bisect_right(self._fact_starts, span.end - 1)]

    @cached_property
    def by_normal(self) -> dict[str, list[Fact]]:
        found: dict[str, list[Fact]] = {}
        for fact in self.facts:
            for normal in spellings(fact):
                found.setdefault(normal, []).append(fact)
        return found

    @cached_property
    def folded(self) -> str:
        """The text with single spaces and without case, to look for spellings in."""
        return " ".join(self.text.split()).casefold()

    @cached_property
    def words(self) -> frozenset[str]:
        """Words as names are compared: lower case, without possessive endings and punctuation."""
        return frozenset(bare(word) for word in re.split(r"[\s/()\[\]<>\"“”„,;:…|]+", self.text))

    @cached_property
    def quotations(self) -> frozenset[str]:
        return frozenset(normal for _, _, _, normal in quoted(self.text))

    @cached_property
    def numbers(self) -> frozenset[str]:
        """The numbers of facts with a unit, without it: what "40" may be short for."""
        kinds = ("number", "money", "percent", "duration")
        return frozenset(f.normal.split(" ", 1)[0] for f in self.facts if f.kind in kinds and " " in f.normal)

    @cached_property
    def years(self) -> frozenset[str]:
        return frozenset(fact.normal[:4] for fact in self.facts if fact.kind == "date" and fact.normal[:4].isdigit())

    @cached_property
    def shorter_dates(self) -> frozenset[str]:
        """What the dates of the text may be shortened to: the day without the year, the month, the year."""
        found: set[str] = set()
        for fact in self.facts:
            date = fact.normal
            if fact.kind == "date" and len(date) == 10 and date[:4].isdigit():
                found |= {f"-{date[4:]}", f"-{date[4:7]}", date[:7], date[:4]}
            elif fact.kind == "date" and len(date) == 7 and date[:4].isdigit():
                found |= {f"-{date[4:]}", date[:4]}
            elif fact.kind == "date" and len(date) == 7 and date.startswith("--"):
                found.add(date[:4])
        return frozenset(found)

    def says(self, spelling: str, *, pattern: bool = False) -> bool:
        """Whether the folded text holds a spelling as whole words. Reads the whole text, so only ``SEARCHES`` times."""
        if self._searches >= SEARCHES:
            return False
        self._searches += 1
        inner = spelling if pattern else re.escape(spelling)
        return re.search(rf"(?<!\w){inner}(?:'s|’s|s)?(?!\w)", self.folded) is not None


_RANGE = re.compile(r"(-?[\d.]+)([-:x/])([\d.]+)(?: (.+))?$")


def spellings(fact: Fact) -> Iterator[str]:
    """The normal forms a fact answers to: itself, and for a range its two ends."""
    yield fact.normal
    if fact.kind in ("range", "money") and (match := _RANGE.match(fact.normal)):
        unit = f" {match[4]}" if match[4] else ""
        yield match[1] + unit
        yield match[3] + unit
