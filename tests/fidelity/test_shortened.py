"""Views made of the source's own words: what was joined, and what was left out, may not change what is said."""

import pytest

from llmc.fidelity import Policy, check
from llmc.fidelity.align import Keyed, index_of
from llmc.fidelity.analysis import analyse
from llmc.fidelity.pairing import Pairing

POLICY = Policy(must_keep=(), coverage_share=0.0)
MAIL = """You asked whether SKR parts could replace the missing ones. Our engineer, Mr Tadic, says they fit, but he would
not run them above 9,000 rpm. Your Mr Hollis should decide that, not we. Freight for the late bearings is on us. You were
charged EUR 4,380 for the first lot. It should have been EUR 3,840, someone here swapped the digits."""
INCIDENT = """14:12 Connections exhausted, alerts fire
14:21 Moussa restarts the pool. No effect.
14:38 Lena stops the vacuum; locks remain
14:51 Failover to replica-b.
We do not know yet why the lock stayed. Actions: replica-a must not be a failover target until its disk has been replaced.
Moving the vacuum to weekends was proposed by Lena. About 2,300 checkouts failed."""
TERMS = """The Landlord may, but is not obliged to, grant exceptions for single days. The period may be extended once, by up
to eight weeks, if the Lender agrees in writing. Do not switch the unit off for longer than 12 h in winter, unless the drain
has been emptied. Citric acid is allowed if cold, no more than 2 tablespoons per litre. Some pupils will have to stay
overnight. Waste was 1.1 %, lower than last night. Suction on hard floor is better than before, on carpet it is worse."""
CHAT = """MR QUENNELL: We might be able to buy a strip from the church.
CLLR OBASI: I can't support five storeys next to the almshouses.
CLLR FENWICK: My worry is the lane, it is 3.4 metres at the bend.
CLLR OBASI: You said sixteen at the exhibition."""


def failed(source: str, view: str) -> set[str]:
    return set(check(source, view, POLICY).failed) - {"worth_it"}


@pytest.mark.parametrize(
    ("source", "view"),
    [
        (
            MAIL,
            "Our engineer Mr Tadic says they fit, but would not run them above 9,000 rpm; Mr Hollis should decide that.",
        ),
        (
            MAIL,
            "You were charged EUR 4,380 for the first lot; it should have been EUR 3,840.",
        ),
        (INCIDENT, "14:21 Moussa restarts the pool, no effect; 14:38 Lena stops the vacuum. About 2,300 checkouts failed."),
        (
            INCIDENT,
            "Why the lock stayed we do not know yet; replica-a must not be a failover target until its disk has been replaced.",
        ),
        (
            TERMS,
            "The Landlord may grant exceptions for single days; it may be extended once if the Lender agrees.",
        ),
        (TERMS, "Do not switch the unit off for longer than 12 h unless the drain has been emptied. Waste was 1.1 %."),
        (CHAT, "CLLR OBASI: I can't support five storeys. CLLR FENWICK: My worry is the lane, 3.4 metres at the bend."),
    ],
)
def test_a_faithful_shortening_passes(source: str, view: str):
    assert failed(source, view) == set()


@pytest.mark.parametrize(
    ("source", "view", "check_name"),
    [
        (MAIL, "On SKR parts your Mr Hollis says they fit, but would not run them above 9,000 rpm.", "roles"),
        (MAIL, "For the first lot you should have been charged EUR 4,380. Freight for the late bearings is on us.", "polarity"),
        (
            INCIDENT,
            "Moussa restarts the pool, no effect; Lena stops the vacuum at 14:21. About 2,300 checkouts failed.",
            "roles",
        ),
        (
            INCIDENT,
            "14:51 Failover to replica-b; replica-a must be a failover target until its disk has been replaced.",
            "polarity",
        ),
        (INCIDENT, "14:38 Lena stops the vacuum; moving the vacuum to weekends was decided by Lena.", "polarity"),
        (INCIDENT, "2,300 checkouts failed; 14:38 Lena stops the vacuum.", "polarity"),
        (TERMS, "The Landlord shall grant exceptions for single days.", "roles"),
        (TERMS, "The period may be extended once, by up to eight weeks. Waste was 1.1 %.", "polarity"),
        (TERMS, "Do not switch the unit off for longer than 12 h in winter once the drain has been emptied.", "polarity"),
        (TERMS, "Citric acid is allowed if cold, no more than 2 teaspoons per litre.", "roles"),
        (TERMS, "All pupils will have to stay overnight. Waste was 1.1 %.", "polarity"),
        (TERMS, "Waste was 1.1 %, higher than last night.", "roles"),
        (TERMS, "Suction on carpet is better than before, on hard floor it is worse.", "roles"),
        (TERMS, "Waste was 1.1 %, lower than last night, and reporters praised management.", "grounding"),
        (CHAT, "CLLR FENWICK: I can't support five storeys next to the almshouses.", "roles"),
    ],
)
def test_a_shortening_that_says_something_else_is_refused(source: str, view: str, check_name: str):
    assert check_name in failed(source, view)


@pytest.mark.parametrize(
    ("source", "view", "passes"),
    [
        ("Please give the green book of Marta Miller back.", "Give Marta's green book back.", True),
        ("Please give the green book of Marta Miller back.", "The book of Green Miller.", False),
        ("We may meet on sunday.", "We may meet on Sunday.", True),
        ("We may meet on sunday, and ana sat down.", "We may meet in May.", False),
    ],
)
def test_a_capital_does_not_make_a_name_or_a_month(source: str, view: str, passes: bool):
    assert check(source, view, POLICY)["precision"].passed is passes


def test_a_word_is_traced_to_the_place_it_was_taken_from():
    source = "The pump failed on Monday. The valve was checked on Monday and the pump on Friday."
    view = "The valve was checked, and the pump on Friday."
    taken = Pairing(index_of(analyse(source)), Keyed(analyse(view))).trace.taken
    assert taken[view.index("pump")].start == source.rindex("pump")
    assert taken[view.index("checked")].start == source.index("checked")
