"""A text taken apart once, so that no check does it again: its facts, its sentences, and what they answer to.

One document is asked about many times on the way to its view (choosing sentences, declaring facts, checking, binding), so
``analyse`` keeps the last few texts it took apart.
"""

import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property

from llmc.fidelity.facts import Fact, facts
from llmc.fidelity.identifiers import quoted
from llmc.fidelity.names import bare
from llmc.fidelity.pins import Pinned, passages, sections_named
from llmc.fidelity.sentences import sentences
from llmc.fidelity.spans import Span

KEPT_TEXTS = 256  # a source and its candidate views, for the 64 documents that the largest batch has in work
KEPT_CHARS = 6_000_000  # of all kept texts; an analysis kept 16 bytes per character (changelogs, tracemalloc)


class Analysis:
    """Lazy, and never changed once computed: threads and checks share it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._pinned: dict[tuple[str, bool], Pinned] = {}

    def pinned(self, pattern: str) -> Pinned:
        """Where a pattern of ``policy.pins`` matches."""
        if (pattern, False) not in self._pinned:
            self._pinned[pattern, False] = passages(self.text, pattern)
        return self._pinned[pattern, False]

    def sections_named(self, pattern: str) -> Pinned:
        """The sections that a pattern of ``policy.sections`` names, with their headings."""
        if (pattern, True) not in self._pinned:
            self._pinned[pattern, True] = sections_named(self.text, pattern)
        return self._pinned[pattern, True]

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
    def name_words(self) -> frozenset[str]:
        """The words of the names, as their normal forms have them."""
        return frozenset(word for fact in self.facts if fact.kind == "name" for word in fact.normal.split())

    @cached_property
    def words(self) -> frozenset[str]:
        """Words as names are compared: lower case, without possessive endings and punctuation."""
        return frozenset(bare(word) for word in re.split(r"[\s/()\[\]<>\"“”„,;:…|]+", self.text))

    @cached_property
    def quotations(self) -> frozenset[str]:
        return frozenset(normal for _, _, _, normal in quoted(self.text))

    @cached_property
    def fact_texts(self) -> frozenset[str]:
        """The facts as they are spelled, with single spaces and without case."""
        return frozenset(" ".join(fact.text.split()).casefold() for fact in self.facts)

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
        """Whether the folded text holds a spelling as whole words. Reads the whole text: callers count their searches."""
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


_kept: OrderedDict[str, Analysis] = OrderedDict()
_lock = threading.Lock()


def analyse(text: str) -> Analysis:
    """The analysis of a text; the same object as long as the text is among the last few."""
    with _lock:
        found = _kept.get(text)
        if found is not None:
            _kept.move_to_end(text)
            return found
        found = Analysis(text)
        if len(text) <= KEPT_CHARS:
            _kept[text] = found
            while len(_kept) > KEPT_TEXTS or sum(map(len, _kept)) > KEPT_CHARS:
                _kept.popitem(last=False)
        return found
