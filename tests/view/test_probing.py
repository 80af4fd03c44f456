"""Blanks for facts: what is asked, what counts as right, and a gist that does not answer them is refused, with its evidence."""

import pytest

from llmc.errors import UsageError
from llmc.fidelity import Policy
from llmc.fidelity.probes import BLANK, Probe, is_right, judged, probes
from llmc.fidelity.spans import Span
from tests.route.falling import cloud, minutes, run

SOURCE = (
    "The rent of the Harbour Street office falls to 4,850 EUR per month. The reserve fund holds 61,200 EUR at the end of "
    "the year. The board voted 7-2 to extend the lease by 3 years. The meeting on 9 April 2026 begins at seven."
)
VIEW = "The rent of the Harbour Street office falls to 4,850 EUR per month; the reserve fund holds 61,200 EUR."


def test_only_facts_that_the_view_holds_are_asked_for_with_their_place_in_the_source():
    asked = probes(SOURCE, VIEW, 9, seed=1)
    assert [(p.answer, p.sentence.count(BLANK)) for p in asked] == [("4,850 EUR", 1), ("61,200 EUR", 1)]
    assert [SOURCE[p.source.start : p.source.end] for p in asked] == ["4,850 EUR", "61,200 EUR"]
    assert asked[0].sentence == "The rent of the Harbour Street office falls to ____ per month."


def test_the_seed_draws_them():
    source = " ".join(f"The pump number {chr(65 + n)} in the old cellar needs {n + 3} litres of oil." for n in range(20))
    drawn = [probes(source, source, 4, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 4


def test_what_is_copied_into_the_also_line_is_not_asked_for():
    assert probes(SOURCE, "The rent falls.\nAlso: 4,850 EUR per month.", 9, seed=1) == []


def probe(kind, answer, normal):
    return Probe(f"It is {BLANK} there.", kind, answer, normal, Span(0, 1))


@pytest.mark.parametrize(
    ("wanted", "answer", "right"),
    [
        (("money", "4,850 EUR", "4850 EUR"), "4,850 EUR", True),
        (("money", "4,850 EUR", "4850 EUR"), "€4,850", True),
        (("money", "4,850 EUR", "4850 EUR"), "4850", True),
        (("money", "4,850 EUR", "4850 EUR"), "4,850 USD", False),
        (("money", "4,850 EUR", "4850 EUR"), "5,400 EUR", False),
        (("money", "4,850 EUR", "4850 EUR"), "4,850 EUR or 5,400 EUR", False),
        (("date", "9 April 2026", "2026-04-09"), "April 9, 2026", True),
        (("date", "9 April 2026", "2026-04-09"), "2026", False),
        (("range", "7-2", "7-2"), "2-7", False),
        (("percent", "3.5%", "3.5 %"), "-", False),
        (("percent", "3.5%", "3.5 %"), "", False),
    ],
)
def test_an_answer_is_held_to_the_normal_form_of_the_fact(wanted, answer, right):
    assert is_right(probe(*wanted), answer) is right


def test_a_missing_answer_is_wrong_and_the_evidence_names_both_sides():
    asked = probes(SOURCE, VIEW, 9, seed=1)
    check = judged(asked, ["61,200 EUR"], least_share=0.5)
    assert not check.passed
    first, second, third = (e.message for e in check.evidence)
    assert first == "0 of 2 blanks filled in rightly, 50% are needed"
    assert "the view says '61,200 EUR', the source '4,850 EUR'" in second
    assert "the view gives no answer, the source '61,200 EUR'" in third
    assert check.evidence[1].source == asked[0].source
    assert judged(asked, ["4,850", "-"], least_share=0.5).passed


def test_a_gist_that_answers_is_kept_with_the_check_and_its_tokens_are_counted(tmp_path, fake):
    server = fake("cloud")
    (view,) = run(tmp_path, [cloud(server.url)], policy=Policy(probes=3))[0].values()
    (plain,) = run(tmp_path / "plain", [cloud(server.url)], policy=Policy())[0].values()
    assert (view.kind, view.text) == ("gist", plain.text)
    assert view.verdict["probes"].passed
    assert view.attempts[-1].prompt_tokens > plain.attempts[-1].prompt_tokens
    assert view.attempts[-1].output_tokens > plain.attempts[-1].output_tokens


def test_a_gist_from_which_nothing_can_be_told_is_refused_and_the_receipt_says_so(tmp_path, fake):
    (view,) = run(tmp_path, [cloud(fake("cloud", "--fill", "17 litres").url)], policy=Policy(probes=3))[0].values()
    assert view.kind == "extract"
    refused = [a for a in view.attempts if a.outcome == "refused"]
    assert refused
    assert all(a.reason.startswith("probes: 0 of ") for a in refused)


def test_more_probes_than_one_request_asks_is_a_usage_error():
    with pytest.raises(UsageError, match=r"policy\.probes is 21, not between 0 and 20"):
        Policy(probes=21)


def test_the_texts_of_these_tests_have_something_to_ask():
    assert probes(minutes(1), minutes(1), 3, seed=1)
