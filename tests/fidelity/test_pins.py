"""Pinned passages and sections: in the view word for word, copied where there is room, refused otherwise; bounded in time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmc.errors import UsageError
from llmc.fidelity import Policy, check, declare
from llmc.fidelity.pins import passages
from llmc.fidelity.sections import body, sections

MINUTES = """# Board, 12 March 2026

Ana Duarte took the chair. The minutes of the last meeting were approved without changes by all members present.

## Roof

The storm damaged about 40 square metres of the roof above the workshop. The insurance company refused to pay.
The repair is not covered and must be paid from the reserve fund, which the members discussed for a long while.

## Decisions

- The lease is extended until 31 December 2029, if the city agrees.
- Tom Berger does not get a key.

### Open

Nobody may work alone at the saw.

## Any other business

The garden group thanked all helpers and asks for old watering cans.
"""
DECISIONS = MINUTES[MINUTES.index("## Decisions") : MINUTES.index("\n\n## Any other")]
VIEW = "The insurance company refused to pay for the roof, so the reserve fund must."


def titles(text):
    return [(s.title, text[s.body.start : s.body.end]) for s in sections(text)]


def test_a_markdown_section_holds_those_below_it_and_ends_at_the_next_of_its_rank():
    found = dict(titles(MINUTES))
    assert list(found) == ["Board, 12 March 2026", "Roof", "Decisions", "Open", "Any other business"]
    assert found["Decisions"].startswith("- The lease")
    assert found["Decisions"].endswith("alone at the saw.")
    assert found["Board, 12 March 2026"].endswith("watering cans.")


@pytest.mark.parametrize(
    ("text", "title", "wanted"),
    [
        ("Decisions\n=========\nWe go.\n\nOpen\n====\nx", "Decisions", "We go."),
        ("Notes.\n\nDecisions:\n- a\n- b\n\n- c\n\nWe ended at ten.", "Decisions", "- a\n- b\n\n- c"),
        ("Hello.\n\nDecision: the stop stays\nin force.\n\nBye.", "Decision", "the stop stays\nin force."),
        ("**Decisions**\n\nWe go.\n\n**Open**\n\nx", "Decisions", "We go."),
        ("**Decision:** we go.\n\nBye.", "Decision", "we go."),
        ("text\n\nEXIT STATUS\n     0 when done\n\nSEE ALSO\n     x", "EXIT STATUS", "0 when done"),
        ("3. Decisions:\nWe go.\n\nBye.", "Decisions", "We go."),
        ("## Decisions\r\n\r\nWe go.\r\n\r\n## Open\r\nx", "Decisions", "We go."),
    ],
)
def test_headings_of_plain_text_are_headings(text, title, wanted):
    assert dict(titles(text))[title].replace("\r", "") == wanted


def test_a_heading_inside_code_is_no_heading():
    assert titles("```\n# Decisions\nx = 1\n```\n") == []


def test_a_section_that_is_missing_refuses_the_view_whatever_else_is_declared():
    policy = Policy(sections=("decisions",), must_keep=())
    verdict = check(MINUTES, VIEW, policy)
    assert "recall" in verdict.failed
    assert verdict["recall"].evidence[0].message == "pinned section '## Decisions' is not in the view"
    assert not check(MINUTES, VIEW + " [left out: 1 pinned section]", policy)["recall"].passed


def test_a_section_is_appended_by_copy_when_there_is_room_and_the_view_passes_with_it():
    policy = Policy(sections=("decisions",))
    view = declare(MINUTES, VIEW, policy, budget_chars=len(DECISIONS) + 100)
    assert f"\n\n{DECISIONS}" in view
    assert "31 December 2029" not in view.split(DECISIONS)[1]  # held by the section, so not appended again
    verdict = check(MINUTES, view, policy)
    assert verdict.failed == ()
    assert declare(MINUTES, view, policy) == view


def test_a_section_that_does_not_fit_is_not_cut():
    policy = Policy(sections=("decisions",), must_keep=())
    view = declare(MINUTES, VIEW, policy, budget_chars=60)
    assert view == VIEW
    assert "recall" in check(MINUTES, view, policy).failed


@pytest.mark.parametrize("wrong", ["may be extended until 31", "Tom Berger does get"])
def test_a_section_with_a_changed_word_is_not_the_section(wrong):
    right = {"may be extended until 31": "is extended until 31", "Tom Berger does get": "Tom Berger does not get"}[wrong]
    view = f"{VIEW}\n\n{DECISIONS.replace(right, wrong)}"
    assert "recall" in check(MINUTES, view, Policy(sections=("Decisions",))).failed


def test_a_section_may_be_joined_into_one_line_and_its_heading_left_out():
    view = f"{VIEW} {' '.join(body(DECISIONS).split())}"
    assert check(MINUTES, view, Policy(sections=("Decisions",), must_keep=()))["recall"].passed


def test_a_title_is_matched_whole_and_no_section_is_asked_for_where_none_has_it():
    assert check(MINUTES, VIEW, Policy(sections=("Decision", "Budget"), must_keep=()))["recall"].passed
    assert not check(MINUTES, VIEW, Policy(sections=("Decision.*",), must_keep=()))["recall"].passed


@pytest.mark.parametrize("key", ["pins", "sections"])
@pytest.mark.parametrize("bad", ["(", "a{2", "[z-a]", "*", "", "  ", "x" * 1001, 7])
def test_a_bad_pattern_is_one_line_before_anything_is_read(key, bad):
    if bad == "a{2":
        Policy.of({key: [bad]})  # a brace that opens no count is a brace, as in re
        return
    with pytest.raises(UsageError, match="no regular expression") as error:
        Policy.of({key: [bad]})
    assert "\n" not in error.value.message


@pytest.mark.parametrize("key", ["pins", "sections"])
def test_a_catastrophic_pattern_ends_and_refuses_the_view_instead_of_passing_it(key, monkeypatch):
    monkeypatch.setattr("llmc.fidelity.pins.SECONDS", 0.05)
    source = f"{'a' * 90}!:\ntext\n\n" * 300
    started = time.perf_counter()
    verdict = check(source, "text", Policy.of({key: ["(a|aa)+$"], "must_keep": []}))
    assert not verdict["recall"].passed
    assert "could not be looked for" in verdict["recall"].evidence[0].message
    assert time.perf_counter() - started < 60  # for ever otherwise: 300 lines of 2^60 ways


def test_pins_that_match_are_each_looked_for_once_and_letter_by_letter():
    source = "See ticket-17, ticket-9 and ticket-17 again. " * 3
    assert [source[s.start : s.end] for s in passages(source, r"ticket-\d+").spans] == ["ticket-17", "ticket-9"]
    missing = check(source, "See ticket-17.", Policy(pins=(r"ticket-\d+",)))["recall"]
    assert [e.message for e in missing.evidence] == ["pinned passage 'ticket-9' is not in the view"]


@pytest.mark.parametrize("line", ["a:\n", "\n", " \n", "# a\n", "a: b\n\n", "- \n", "A\n\n", " ", "=\n"])
def test_hostile_lines_take_time_in_proportion_to_their_number(line):
    text = "Decisions:\n" + line * (200_000 // len(line))
    assert len(list(sections(text))) <= len(text)  # a quadratic pass would take hours


@given(st.text("#a:* \nA-=1.", max_size=60))
def test_sections_lie_within_the_text_and_their_bodies_within_them(text):
    for section in sections(text):
        assert 0 <= section.span.start <= section.body.start <= section.body.end <= section.span.end <= len(text)
        assert "\n" not in section.title


@given(st.text("#a:* \nA-=1.", max_size=60).map("# A\nb {}".format))
def test_a_text_holds_its_own_sections(text):
    policy = Policy(sections=(".*",), must_keep=())
    assert check(text, text, policy)["recall"].passed


def test_an_extract_makes_room_for_a_pinned_section(llmc_inside):
    (llmc_inside.cwd / "board.md").write_text(MINUTES.replace("\n## Roof\n", "\n## Roof\n" + "\nIt rained on the roof. " * 30))
    common = ("compress", "input=board.md", "view=extract", "quiet=true", "force=true", "view.target_ratio=3")
    llmc_inside(*common, "output=a.llmc", "policy.sections=[Decisions]").ok()
    assert DECISIONS in llmc_inside("show", "archive=a.llmc", "id=board.md").ok().json["view"]["text"]
    llmc_inside(*common, "output=b.llmc", "policy.sections=[Decisions]", "view.max_tokens=30").ok()
    shown = llmc_inside("why", "archive=b.llmc", "id=board.md").ok().json["view"]
    assert shown["kind"] == "none"
    assert "pinned section '## Decisions' is not in the view" in shown["attempts"][0]["reason"]


def test_the_command_line_names_a_bad_pattern(llmc_inside):
    (llmc_inside.cwd / "a.md").write_text("text")
    message, hint = llmc_inside("compress", "input=a.md", "output=a.llmc", "view=none", "policy.sections=['(']").usage()
    assert message == "policy.sections holds '(', which is no regular expression: missing ) at position 1"
    assert hint
