"""Where in the source each sentence of a view is said: the two texts side by side, for people to compare.

for row in beside(source, view):
    print(view[row.view.start : row.view.end], [source[s.start : s.end] for s in row.source])
"""

from typing import NamedTuple

from llmc.fidelity.align import Keyed, index_of
from llmc.fidelity.analysis import analyse
from llmc.fidelity.near_copy import near_copies
from llmc.fidelity.pairing import Pairing
from llmc.fidelity.spans import Span

MOST = 3  # source sentences a view sentence
LEAST_SHARE = 0.25  # of a clause's key weight; what holds less is about something else


class Beside(NamedTuple):
    """A sentence of the view and the source sentences it speaks of, in their order; none for what stands nowhere."""

    view: Span
    source: tuple[Span, ...]
    near: bool
    """Word for word or nearly so: every word that differs from the source's was looked at."""


def beside(source: str, view: str) -> list[Beside]:
    """Each sentence of the view's own words (what ``declare`` appended is copied and needs no comparison)."""
    pairing = Pairing(index_of(analyse(source)), Keyed(analyse(view)))
    near = {copy.view for copy in near_copies(pairing) if not copy.moved} | pairing.copied.keys()
    rows = []
    for number, span in enumerate(pairing.view.sentences):
        found = pairing.copied.get(number, [])[:1]
        if not found:
            shares: dict[int, float] = {}
            for part in pairing.parts_of.get(span, ()):
                best = part.aligned[0] if part.aligned else None
                if best and best.share >= LEAST_SHARE:
                    shares[best.sentence] = max(shares.get(best.sentence, 0.0), best.share)
            found = sorted(sorted(shares, key=lambda n: -shares[n])[:MOST])
        rows.append(Beside(span, tuple(pairing.source.sentences[n] for n in found), number in near))
    return rows
