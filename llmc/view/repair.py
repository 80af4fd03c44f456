"""Mending a gist that was refused: what the source says, word for word, in the place of what cannot be trusted."""

from llmc.fidelity import Span, Verdict
from llmc.fidelity.beside import beside

MOST_FOR_ONE = 2  # source sentences in the place of one: a sentence of a gist may join two, and more would be the source
ENDS = (".", "!", "?", "…", ":", ";", "。", '."', ".)")


def mended(source: str, content: str, verdict: Verdict) -> str:
    """The refused view with only those of its sentences that no failed check points at and that are nearly the source's own;
    in the place of every other one the source sentences that it speaks of.

    Where one sentence of a model was wrong, another one in words of its own may be wrong unnoticed: of 135 wrong statements in
    free paraphrases, 36 stood in sentences that no check had pointed at. After this, 2 did (``bench/README.md``).
    ``""`` when a failure has no place in the view, or when nothing would remain of the model's own: then an extract, whose
    sentences were chosen for the whole text, is the better view.
    """
    wrong = _wrong(verdict)
    if wrong is None:
        return ""
    pieces: list[str] = []
    own = False
    for row in beside(source, content):
        mine = content[row.view.start : row.view.end]
        if row.near and not any(span.start < row.view.end and row.view.start < span.end for span in wrong):
            pieces.append(mine)
            own = True
            continue
        for span in row.source[:MOST_FOR_ONE]:
            said = " ".join(source[span.start : span.end].split())
            if said not in pieces and said != " ".join(mine.split()):  # a copied sentence that misleads is left out
                pieces.append(said)
    return _joined(pieces) if own else ""


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
