"""What ``declare`` appends to a view, and where the view's own words end.

    Rent falls in spring.
    Also: 4,850 EUR per month; 12 March 2026. [left out: 2 amounts]

The appended line is no sentence of the view: it covers nothing of the source and is not taken apart. A model could write
such a line itself, so it counts as appended only when every piece of it is a fact or a pinned passage of the source.
"""

import re
from collections.abc import Sequence

from llmc.fidelity.analysis import Analysis
from llmc.fidelity.spans import Span

ALSO = "Also: "
BEHIND = re.compile(r"(?: (?:per|a|an|each|every|pro|par) [^\W\d_]{2,14}\b)?")  # "4,850 EUR per month"
LEFT_OUT = re.compile(r"\[left out: (?P<what>\d[^\[\]\n]{0,400})\]\s*$")
_LEFT_OUT_ITEM = re.compile(r"(\d+) ([a-z ]+?)(?:,|$)")
PLURAL = {
    "number": "numbers", "money": "amounts", "percent": "percentages", "date": "dates", "time": "times",
    "duration": "durations", "range": "ranges", "version": "versions", "id": "ids", "hash": "hashes", "path": "paths",
    "url": "links", "email": "e-mails", "phone": "phones", "quote": "quotes", "code": "code spans", "name": "names",
    "pin": "pinned passages", "section": "pinned sections",
}  # fmt: skip
SINGULAR = {kind: word.removesuffix("s") if kind != "hash" else "hash" for kind, word in PLURAL.items()} | {"money": "amount"}
_KINDS = {word: kind for table in (PLURAL, SINGULAR) for kind, word in table.items()}


def declared_span(view: str) -> Span | None:
    """Where the ``[left out: ...]`` line stands."""
    match = LEFT_OUT.search(view)
    return Span(*match.span()) if match else None


def declared(view: str) -> dict[str, int]:
    """What the view says it leaves out: fact kind to count."""
    match = LEFT_OUT.search(view)
    items = _LEFT_OUT_ITEM.findall(match["what"]) if match else []
    return {_KINDS[word.strip()]: int(number) for number, word in items if word.strip() in _KINDS}


def own_end(source: Analysis, view: str, pins: Sequence[str] = ()) -> int:
    """Where the view's own words end and the appended line of copied facts, or the count of the others, begins."""
    footer = declared_span(view)
    end = footer.start if footer else len(view)
    start = 0 if view.startswith(ALSO) else view.rfind(f"\n{ALSO}", 0, end) + 1
    if not view.startswith(ALSO, start):
        return end
    return start if _is_copied(source, view[start + len(ALSO) : end].rstrip(), pins) else end


def _is_copied(source: Analysis, line: str, pins: Sequence[str]) -> bool:
    position = 0
    while position < len(line):
        pinned = [len(text) for pin in pins for text in source.pinned(pin).texts if line.startswith(text, position)]
        stop = position + max(pinned) if pinned else line.find("; ", position)
        stop = len(line) if stop < 0 else stop
        if not pinned and not _is_fact(source, line[position:stop]):
            return False
        position = stop + len("; ")
    return True


def _is_fact(source: Analysis, piece: str) -> bool:
    for words in (piece.casefold(), piece.casefold().removesuffix(".")):
        if words in source.fact_texts:
            return True
        short = next((words[: m.start()] for m in BEHIND.finditer(words) if m[0] and m.end() == len(words)), "")
        if short in source.fact_texts and words in source.folded:
            return True
    return False
