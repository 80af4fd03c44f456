"""Names: sequences of capitalised words. A soft notion on purpose, done without a model.

The first word of a sentence is capitalised anyway, so alone it is a name only when the same text writes it with a
capital in the middle of a sentence too, or when it has a capital inside (``GreenFork``, ``UTC``).
"""

import re
from collections.abc import Iterator

from llmc.fidelity.patterns import compiled
from llmc.fidelity.tables import CURRENCY_CODES, MONTHS, WEEKDAYS
from llmc.fidelity.words import STOPWORDS

Found = tuple[str, int, int, str]

_WORD = r"[A-ZÀ-ÖØ-ÞĀŁŚŠŽČ][\w'’&]*+(?:-\w++)*+"
_INITIALS = r"(?:[A-Z]\.\s?){1,3}+"
_NAME = compiled(
    rf"(?<![\w\x00@#/.-])(?:(?:Dr|Mr|Mrs|Ms|Prof|St)\.\s)?(?:{_INITIALS}(?={_WORD}))?{_WORD}"
    rf"(?:[ ](?:(?:van|von|de|del|der|den|di|da|du|la|le|of|the|al|bin|ibn)[ ]){{0,2}}(?:{_INITIALS})?{_WORD}){{0,6}}+"
)
_SENTENCE_START = re.compile(r"(?:^|[.!?:…]['\"”)\]]?\s+|\n\s*(?:[-*•>]\s*)?|[-–—*•|]\s+|[\"“„«(\[]\s?)$")
_TITLE_WORDS = """
mr mrs ms miss dr prof professor sir madam herr frau monsieur madame ltd inc gmbh ag plc llc corp co
"""
_TITLES = frozenset(_TITLE_WORDS.split())
_NOT_NAMES = frozenset(MONTHS) | frozenset(WEEKDAYS) | frozenset(code.lower() for code in CURRENCY_CODES) | {
    "i", "ok", "yes", "no", "re", "fwd", "fw", "subject", "from", "to", "cc", "date", "hi", "hello", "dear", "regards",
    "best", "kind", "thanks", "please", "note", "uhr",
}  # fmt: skip


def names(text: str) -> Iterator[Found]:
    """Normal form: the words in lower case without titles and possessive endings."""
    found = [(match.start(), _words(text, match)) for match in _NAME.finditer(text)]
    certain = {  # words with a capital where no sentence starts
        bare(text[start:end])
        for first, words in found
        for start, end in words
        if start != first or not starts_sentence(text, first)
    }
    for first, words in found:
        if not words:
            continue
        if len(words) == 1 and words[0][0] == first and starts_sentence(text, first):
            written = text[words[0][0] : words[0][1]]
            if not any(letter.isupper() for letter in written[1:]) and bare(written) not in certain:
                continue
        normal = " ".join(word for start, end in words if (word := bare(text[start:end])) and word not in _TITLES)
        if normal:
            yield "name", words[0][0], words[-1][1], normal


def _words(text: str, match: re.Match[str]) -> list[tuple[int, int]]:
    """The words of a capitalised sequence, without function words at its ends."""
    start = match.start()
    words = [(start + word.start(), start + word.end()) for word in re.finditer(r"\S+", match[0])]
    while words and _is_plain(text[words[0][0] : words[0][1]]):
        words.pop(0)
    while words and _is_plain(text[words[-1][0] : words[-1][1]]):
        words.pop()
    return words


def _is_plain(word: str) -> bool:
    lower = bare(word)
    return lower in STOPWORDS or lower in _NOT_NAMES


def bare(word: str) -> str:
    """Lower case, without a possessive ending, points and brackets."""
    lower = word.casefold().replace("’", "'").strip(".,;:()")
    return lower.removesuffix("'s").rstrip("'")


def starts_sentence(text: str, start: int) -> bool:
    return start == 0 or bool(_SENTENCE_START.search(text[max(0, start - 8) : start]))
