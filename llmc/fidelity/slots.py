"""What kind of place a name, a value or a contrasting word takes: only words of one kind can be exchanged unseen."""

import re
from functools import lru_cache

from llmc.fidelity.align import Key
from llmc.fidelity.lexicon import contrasts
from llmc.fidelity.pairing import Pairing
from llmc.fidelity.words import stem

_LABELLED = re.compile(
    r"(?:phase|top|room|page|line|clause|section|item|step|chapter|number|no\.|level|press|building|floor|part|day|week|article|table|figure)\s$",
    re.IGNORECASE,
)
NEW_BEFORE = re.compile(
    r"(?:\bto|\bnow|\bis now|\bnow at)\s*$|\bnow\s(?:ends?|runs?|stops?|lasts?|takes?|costs?)\s(?:\w+\s)?$", re.IGNORECASE
)


def slot(pairing: Pairing, key: Key, text: str) -> str:
    """What kind of place a word takes; empty when it has no rivals."""
    if key.key.startswith("="):
        if key.kind == "number" and " " not in key.key and _LABELLED.search(text[max(0, key.start - 12) : key.start]):
            return "label"
        if key.kind == "date":
            return f"date {len(key.key)}"  # a day is no rival of a year
        return f"{key.kind} {key.key.partition(' ')[2]}" if key.kind in ("number", "duration", "range") else key.kind
    if key.key in pairing.actors:
        return "acronym" if sum(map(str.isupper, text[key.start : key.start + 5])) > 1 and key.end - key.start < 5 else "name"
    return "contrast" if key.key in contrast_stems() else ""


def name_mates(pairing: Pairing, key: Key) -> frozenset[str]:
    """Words that stand with this one in one name: Priya is no rival of Raman."""
    return pairing.source.name_mates.get(key.key, frozenset())


@lru_cache(maxsize=1)
def contrast_stems() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for group in contrasts():
        stems = frozenset(stem(word) or word for word in group)
        for word in stems:
            found[word] = found.get(word, frozenset()) | stems
    return found
