"""Which source sentences a part of the view speaks of.

Both texts become sequences of keys: the stems of content words, and for a fact its normal form, so that "two" meets
"2" and "12 March 2026" meets "2026-03-12". An inverted index from keys to source sentences gives candidates; a key is
worth its inverse document frequency, ``log(1 + sentences / sentences_with_key)`` (Sparck Jones 1972). Posting lists
longer than ``POSTINGS`` are not followed: a word that stands everywhere tells nothing, and the time stays linear.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from llmc.fidelity.analysis import Analysis, spellings
from llmc.fidelity.facts import Fact
from llmc.fidelity.names import bare
from llmc.fidelity.sentences import clauses
from llmc.fidelity.spans import Span
from llmc.fidelity.words import Token, stem, stems, tokens

POSTINGS = 64  # sentences per key that are looked at; keeps a 5 MB source linear
PREFIX_LETTERS = 5  # a word of the view that is these letters of a source word stands for it
CANDIDATES = 5  # source sentences a view clause is compared with


_VERBS = (
    "is|was|has|had|will|may|must|can|could|does|did|and|or|said|says|\\w+ed|makes|takes|wrote|told|met|paid|sent|gave|took|came|"
    "went|left|saw|bought|sold|kept|found|wants|thinks|needs|asks|shows"
)
_SUBJECT = re.compile(
    r"(?:^|[.!?:;\]]\s|\n)[ \t]{0,8}(?:[-*•–]\s)?(?:(?:[A-Z]\w\w\s)?\d{1,2}[:.]\d\d\s)?(?:(?P<a>[A-Z][^\W\d_]{1,20})(?:'s)?\s"
    rf"(?:(?:already|also|still|now|then|never|only|just|[a-z]+ly)\s)?(?=(?:{_VERBS})\b)"
    r"|(?P<b>[^\W\d_]{2,20}):\s)"
)


_NO_NAMES = """
everything something anything everyone everybody somebody someone fixed changed new removed added deprecated security known
note notes summary cause action actions open done proposed measures next result status update
"""
_NOBODY = frozenset({"", *map(stem, _NO_NAMES.split())})  # nobody's name, though it opens a line


TURNS = 3  # lines that begin with a name and a colon: fewer are no conversation
LABEL = r"([A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){0,3}|[a-z][\w.-]*)(?: \([^)\n]{1,40}\))?:\s"
_TURN = re.compile(r"^[ \t]*(?:\[[^\]\n]{1,12}\][ \t]*|\d\d?[:.]\d\d[ \t]+)?" + LABEL, re.MULTILINE)
_TOLD_OF = re.compile(
    r"([^\W\d_]+) (?:has|is|was|had|will|says|said|thinks|wants|found|asked|told|measured|needs|can|cannot|could|would|may|"
    r"does|did)\b"
)


class Key(NamedTuple):
    """A content word (its stem) or a fact (``=`` and its normal form) at a place."""

    key: str
    start: int
    end: int
    kind: str  # "word", "name", or the fact's kind
    lower: str


class Aligned(NamedTuple):
    """A source sentence and the share of the view part's key weight that it holds."""

    sentence: int
    share: float


class Keyed:
    """A text as keys, per sentence and clause."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.text = analysis.text
        self.sentences = analysis.sentences
        self._clauses: dict[int, list[Span]] = {}
        self._keys: dict[int, list[Key]] = {}
        self.words: dict[Span, list[Token]] = {}
        """Those of a sentence, once they were asked for (``trace.words``)."""

    @cached_property
    def keys(self) -> list[Key]:
        text = self.text
        found: list[Key] = []
        position = 0
        for fact in self.analysis.facts:
            if fact.kind in ("name", "quote", "code"):
                continue
            found += [Key(t.stem, t.start, t.end, "word", t.lower) for t in tokens(text, position, fact.start) if t.stem]
            found.append(Key("=" + fact.normal, fact.start, fact.end, fact.kind, fact.text.lower()))
            position = fact.end
        found += [Key(t.stem, t.start, t.end, "word", t.lower) for t in tokens(text, position) if t.stem]
        return found

    @cached_property
    def _starts(self) -> list[int]:
        return [key.start for key in self.keys]

    def keys_in(self, span: Span) -> list[Key]:
        return self.keys[bisect_left(self._starts, span.start) : bisect_left(self._starts, span.end)]

    def keys_of(self, sentence: int) -> list[Key]:
        if sentence not in self._keys:
            self._keys[sentence] = self.keys_in(self.sentences[sentence])
        return self._keys[sentence]

    def clauses_of(self, sentence: int) -> list[Span]:
        if sentence not in self._clauses:
            self._clauses[sentence] = clauses(self.text, self.sentences[sentence])
        return self._clauses[sentence]

    @cached_property
    def name_words(self) -> frozenset[str]:
        """Stems of the words that names are made of."""
        words = (bare(word) for fact in self.analysis.facts if fact.kind == "name" for word in fact.text.split())
        return frozenset(stem(word) for word in words if len(word) > 1) - {""}

    @cached_property
    def name_mates(self) -> dict[str, frozenset[str]]:
        """Stem of a name's word to the stems that stand with it in one name."""
        found: dict[str, set[str]] = {}
        for fact in self.analysis.facts:
            if fact.kind == "name":
                words = {stem(word.strip(".,")) for word in fact.normal.split()}
                for word in words:
                    found.setdefault(word, set()).update(words)
        return {word: frozenset(words) for word, words in found.items()}

    @cached_property
    def turns(self) -> list[tuple[int, frozenset[str]]]:
        """Where each turn of a conversation begins, and the words of its speaker's name; empty for other texts."""
        found = [(match.start(1), stems(match[1])) for match in _TURN.finditer(self.text)]
        return found if len(found) >= TURNS else []

    @cached_property
    def handles(self) -> frozenset[str]:
        """Words of the names that the turns of a conversation begin with."""
        return frozenset().union(*(label for _, label in self.turns))

    @cached_property
    def told_of(self) -> frozenset[str]:
        """Words, in lower case, of which something is said in the third person."""
        return frozenset(match[1].lower() for match in _TOLD_OF.finditer(self.text))

    @cached_property
    def subject_words(self) -> frozenset[str]:
        """Speakers of a chat, and capitalised words at the start of a sentence with a verb behind: "Luis noticed"."""
        found = {stem((match["a"] or match["b"]).lower()) for match in _SUBJECT.finditer(self.text)}
        return frozenset(found) - _NOBODY


class Index:
    """The source's sentences by their keys."""

    def __init__(self, source: Keyed) -> None:
        self.source = source
        self.postings: dict[str, list[int]] = {}
        ends = [span.end for span in source.sentences]
        for key in source.keys:
            sentence = bisect_right(ends, key.start)
            names = {key.key}
            if key.kind in ("range", "money", "date"):
                names |= {"=" + name for name in _also(key.key[1:], key.kind)}
            for name in names:
                posting = self.postings.setdefault(name, [])
                if not posting or posting[-1] != sentence:
                    posting.append(sentence)
        self.count = max(1, len(source.sentences))

    @cached_property
    def prefixes(self) -> dict[str, str]:
        """The first letters of a stem to a stem: "photo" meets "photograph"."""
        stems = (name for name in self.postings if len(name) > PREFIX_LETTERS and name[0] != "=")
        return {name[:PREFIX_LETTERS]: name for name in stems}

    @cached_property
    def verbatim(self) -> dict[str, list[int]]:
        """Normalised sentence to its numbers: some texts say the same thing twice."""
        text = self.source.text
        found: dict[str, list[int]] = {}
        for number, span in enumerate(self.source.sentences):
            found.setdefault(flat(text[span.start : span.end]), []).append(number)
        return found

    def weight(self, key: str) -> float:
        """Inverse document frequency; a key the source lacks weighs like one that stands in a single sentence."""
        return math.log1p(self.count / max(1, len(self.postings.get(key, ()))))

    def align(self, keys: Sequence[Key], near: int = -1) -> list[Aligned]:
        """Best source sentences first, at most ``CANDIDATES``; ``near`` breaks ties towards the previous alignment."""
        wanted = {name: self.weight(name) for name in dict.fromkeys(known(key, self) for key in keys)}
        total = sum(wanted.values())
        if not total:
            return []
        scores: dict[int, float] = {}
        for name, weight in wanted.items():
            posting = self.postings.get(name, ())
            if len(posting) > POSTINGS:
                continue
            for sentence in posting:
                scores[sentence] = scores.get(sentence, 0.0) + weight
        if not scores:  # only words that stand everywhere
            for name, weight in wanted.items():
                for sentence in self.postings.get(name, ())[:POSTINGS]:
                    scores[sentence] = scores.get(sentence, 0.0) + weight
        best = sorted(scores, key=lambda s: (-scores[s], abs(s - near) if near >= 0 else s))[:CANDIDATES]
        return [Aligned(sentence, scores[sentence] / total) for sentence in best]


@lru_cache(maxsize=1)
def index_of(source: Analysis) -> Index:
    """The index of a source; that of the last one is kept, for views are checked one after the other."""
    return Index(Keyed(source))


def _also(normal: str, kind: str) -> list[str]:
    """Other forms a fact of the source is found under: a date without its year, the ends of a range."""
    if kind == "date":
        return [f"-{normal[4:]}"] if len(normal) == 10 and normal[:4].isdigit() else []
    return [name for name in spellings(Fact(kind, "", 0, 0, normal)) if name != normal]


def known(key: Key, index: Index) -> str:
    """A date of the view without (or with) its year meets the source's date, a shortened word the long one."""
    if key.key in index.postings:
        return key.key
    if key.kind == "word" and len(key.key) == PREFIX_LETTERS:
        return index.prefixes.get(key.key, key.key)
    if key.kind != "date":
        return key.key
    without_year = f"=-{key.key[5:]}"
    return without_year if key.key[1:5].isdigit() and without_year in index.postings else key.key


def flat(text: str) -> str:
    """Single spaces, no closing full stop, no case: what makes a copied sentence the same sentence."""
    return " ".join(text.split()).rstrip(".;,:… ").lstrip("… ").casefold()
