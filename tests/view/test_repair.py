"""Mending: what the source says, word for word, in place of what was found wrong."""

import json
from pathlib import Path

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
    mended = repair.mended(SOURCE, view, checked(view))
    assert mended == f"{RIGHT} The roof repair is not covered by the landlord."
    assert checked(mended).passed


def test_beside_a_wrong_sentence_one_in_other_words_is_not_trusted_either():
    free = "Ana will post the contract, which has been signed, no later than Friday."
    view = f"{RIGHT} {WRONG} {free}"
    mended = repair.mended(SOURCE, view, checked(view))
    assert free not in mended
    assert "Ana sends the signed contract by Friday." in mended


def test_a_copied_sentence_that_misleads_is_left_out():
    source = SOURCE.replace("The garden remains", "It is expected to end soon. The garden remains")
    view = "The roof repair is not covered by the landlord. Even. The garden remains shared with number 14."
    verdict = fidelity.check(source, fidelity.declare(source, view))
    assert not verdict.passed
    assert "Even." not in repair.mended(source, view, verdict).split("landlord.")[1].split("The garden")[0]


def test_when_nothing_of_the_models_own_remains_there_is_nothing_to_mend():
    assert repair.mended(SOURCE, WRONG, checked(WRONG)) == ""


def test_a_failure_without_a_place_cannot_be_mended():
    run = fidelity.Run(finish_reason="length", prompt_tokens_expected=10, prompt_tokens_seen=10, schema_valid=True, raw="")
    verdict = fidelity.check(SOURCE, RIGHT, run=run)
    assert not verdict.passed
    assert repair.mended(SOURCE, RIGHT, verdict) == ""


PAIRS = Path(__file__).parents[2] / "bench/fidelity/pairs/tuning_b.jsonl"


def test_wrong_words_do_not_survive_mending():
    """Of the pairs with their wrong words marked, at most 2 in 100 keep them; ``bench/README.md`` has the blind figure."""
    pairs = [pair for line in PAIRS.read_text().splitlines() if (pair := json.loads(line)).get("wrong")][::3]
    kept = mended_views = 0
    for pair in pairs:
        verdict = fidelity.check(pair["source"], fidelity.declare(pair["source"], pair["view"]))
        if not verdict.passed and (mended := repair.mended(pair["source"], pair["view"], verdict)):
            mended_views += 1
            kept += any(words in mended for words in pair["wrong"])
    assert mended_views >= 10
    assert kept <= 1
