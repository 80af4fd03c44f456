"""Mending: what the source says, word for word, in place of what was found wrong."""

import json
from pathlib import Path

import pytest

from llmc import fidelity
from llmc.view import repair

SOURCE = (
    "On 12 March 2026 the board voted 7-2 to extend the Harbour Street lease by two years. The rent falls to 4,850 EUR a month "
    "from 1 July. The roof repair is not covered by the landlord. Ana sends the signed contract by Friday. The garden remains "
    "shared with number 14."
)
RIGHT = "On 12 March 2026 the board voted 7-2 to extend the Harbour Street lease."
WRONG = "The roof repair is covered by the landlord."


def checked(view: str) -> fidelity.Verdict:
    """As the ladder asks: with the must-keep facts appended, which leaves every place in the view where it was."""
    return fidelity.check(SOURCE, fidelity.declare(SOURCE, view))


def test_a_wrong_sentence_gives_way_to_the_sources_own():
    view = f"{RIGHT} {WRONG}"
    mended = repair.replaced(SOURCE, view, checked(view))
    assert mended == f"{RIGHT} The roof repair is not covered by the landlord."
    assert checked(mended).passed


def test_a_wrong_sentence_is_left_out():
    view = f"{RIGHT} {WRONG}"
    assert repair.without(SOURCE, view, checked(view)) == RIGHT


def test_when_nothing_of_the_models_own_remains_there_is_nothing_to_mend():
    assert repair.replaced(SOURCE, WRONG, checked(WRONG)) == ""


def test_a_failure_without_a_place_cannot_be_mended():
    run = fidelity.Run(finish_reason="length", prompt_tokens_expected=10, prompt_tokens_seen=10, schema_valid=True, raw="")
    verdict = fidelity.check(SOURCE, RIGHT, run=run)
    assert not verdict.passed
    assert repair.replaced(SOURCE, RIGHT, verdict) == repair.without(SOURCE, RIGHT, verdict) == ""


PAIRS = Path(__file__).parents[2] / "bench/fidelity/pairs/tuning_b.jsonl"


@pytest.mark.parametrize("label", ["good", "bad"])
def test_no_sentence_that_a_check_points_at_is_left(label: str):
    pairs = [json.loads(line) for line in PAIRS.read_text().splitlines()]
    mended_views = 0
    for pair in [p for p in pairs if p["label"] == label][::4]:
        source, view = pair["source"], pair["view"]
        verdict = fidelity.check(source, fidelity.declare(source, view))
        wrong = [e.view for c in verdict.checks if not c.passed for e in c.evidence if e.view]
        mended = repair.replaced(source, view, verdict)
        mended_views += bool(mended)
        for span in fidelity.analyse(view).sentences:
            if any(w.start < span.end and span.start < w.end for w in wrong):
                said = view[span.start : span.end]
                assert said not in mended or said in " ".join(source.split()), pair["id"]
    assert mended_views > 10
