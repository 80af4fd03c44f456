"""G4: the view says yes where the source says yes, "may" where it says "may", "unless" where it says "unless".

Each rule compares a clause of the view with the source clauses it restates or, where it is made of the source's own words, with
the places they were taken from. A rule is silent when it finds nothing to compare with; whether the clause is carried by the
source at all is a question of grounding.
"""

from llmc.fidelity.added import added
from llmc.fidelity.bounds import bounds
from llmc.fidelity.dropped import dropped
from llmc.fidelity.lost import lost
from llmc.fidelity.near_copy import cut_short, small_words
from llmc.fidelity.opposites import deeds, opposites
from llmc.fidelity.pairing import Pairing
from llmc.fidelity.verdict import Check, failed_check


def polarity(pairing: Pairing) -> Check:
    """Negation, modality, conditions, quantifiers, opposites, bounds, and deeds the source does not report."""
    copied = (*small_words(pairing), *cut_short(pairing))
    problems = {(evidence.message, evidence.view): evidence for evidence in copied}
    for part in pairing.parts:
        clauses = pairing.restated(part)
        for evidence in (
            *(lost(pairing, part) if part.span in pairing.trace.traced else ()),
            *(() if part.span in pairing.trace.settled else dropped(pairing, part, clauses)),
            *added(pairing, part, clauses),
            *opposites(pairing, part),
            *bounds(pairing, part),
            *deeds(pairing, part),
        ):
            problems.setdefault((evidence.message, evidence.view), evidence)
    return failed_check("polarity", problems.values())
