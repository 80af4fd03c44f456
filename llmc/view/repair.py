"""Mending a gist that was refused: what the source says, word for word, in the place of a sentence that was found wrong."""

from llmc import fidelity
from llmc.fidelity import Span, Verdict
from llmc.fidelity.beside import beside

MOST_FOR_ONE = 2  # source sentences in the place of one: a sentence of a gist may join two, and more would be the source
ENDS = (".", "!", "?", "…", ":", ";", "。", '."', ".)")


def replaced(source: str, content: str, verdict: Verdict) -> str:
    """The view with every sentence that a failed check points at replaced by the source sentences it speaks of.

    ``""`` when a failure has no place in the view, or when nothing would remain of the model's own: then an extract, whose
    sentences were chosen for the whole text, is the better view.
    """
    wrong = _wrong(verdict)
    if wrong is None:
        return ""
    pieces: list[str] = []
    own = False
    for row in beside(source, content):
        if not any(span.start < row.view.end and row.view.start < span.end for span in wrong):
            pieces.append(content[row.view.start : row.view.end])
            own = True
            continue
        for span in row.source[:MOST_FOR_ONE]:
            said = " ".join(source[span.start : span.end].split())
            if said not in pieces:
                pieces.append(said)
    return _joined(pieces) if own else ""


def without(source: str, content: str, verdict: Verdict) -> str:
    """The view less every sentence that a failed check points at; ``""`` when a failure has no place in the view."""
    wrong = _wrong(verdict)
    if wrong is None:
        return ""
    kept = [
        content[s.start : s.end]
        for s in fidelity.analyse(content).sentences
        if not any(span.start < s.end and s.start < span.end for span in wrong)
    ]
    return _joined(kept)


def _joined(pieces: list[str]) -> str:
    """As running text; what ends without a full stop (a line of a chat) ends its line, or it would run into the next."""
    return "".join(piece + (" " if piece.endswith(ENDS) else "\n") for piece in pieces).rstrip()


def _wrong(verdict: Verdict) -> list[Span] | None:
    """The places in the view that failed checks point at; None when one of them has no place."""
    found = []
    for check in verdict.checks:
        if not check.passed:
            places = [e.view for e in check.evidence if e.view is not None]
            if not places:
                return None
            found.extend(places)
    return found
