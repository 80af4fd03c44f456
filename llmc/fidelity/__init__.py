"""The fidelity check: whether a short view may stand in for its source. Knows nothing of engines, archives or models.

from llmc.fidelity import check
check("Rent falls to 4,850 EUR on 12 March.", "Rent falls to 4,580 EUR.").failed   # ("precision", "recall")
"""

from llmc.fidelity.analysis import analyse
from llmc.fidelity.check import check
from llmc.fidelity.declare import declare, left_out
from llmc.fidelity.facts import Fact, facts
from llmc.fidelity.hard_facts import WHOLE
from llmc.fidelity.policy import Policy
from llmc.fidelity.sentences import sentences
from llmc.fidelity.spans import Span
from llmc.fidelity.verdict import Check, Evidence, Run, Verdict

__all__ = [
    "WHOLE",
    "Check",
    "Evidence",
    "Fact",
    "Policy",
    "Run",
    "Span",
    "Verdict",
    "analyse",
    "check",
    "declare",
    "facts",
    "left_out",
    "sentences",
]
