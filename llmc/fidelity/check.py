"""``check(source, view)``: all checks in their fixed order, each reported whatever the others said."""

from llmc.fidelity.align import Keyed, index_of
from llmc.fidelity.analysis import analyse
from llmc.fidelity.grounding import coverage, grounding
from llmc.fidelity.hard_facts import precision, recall
from llmc.fidelity.integrity import integrity, worth_it
from llmc.fidelity.language import language, language_of
from llmc.fidelity.pairing import Pairing
from llmc.fidelity.polarity import polarity
from llmc.fidelity.policy import Policy
from llmc.fidelity.roles import roles
from llmc.fidelity.verdict import Run, Verdict


def check(
    source: str,
    view: str,
    policy: Policy | None = None,
    *,
    run: Run | None = None,
    view_tokens: int | None = None,
    source_tokens: int | None = None,
) -> Verdict:
    """Whether the view may stand in for the source; deterministic, offline, linear in the length of both."""
    policy = policy or Policy()
    of_source, of_view = analyse(source), analyse(view)
    pairing = Pairing(index_of(of_source), Keyed(of_view), policy.pins)
    return Verdict(
        (
            integrity(source, view, run, policy),
            worth_it(source, view, policy, view_tokens, source_tokens),
            precision(of_source, of_view),
            recall(of_source, of_view, policy),
            polarity(pairing),
            roles(pairing, trusted=language_of(source) in ("", *policy.languages)),
            coverage(pairing, policy),
            grounding(pairing, policy),
            language(source, view, policy),
        )
    )
