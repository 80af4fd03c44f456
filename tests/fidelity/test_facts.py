"""Facts are found with their offsets and compare by what they mean."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmc.fidelity import facts, sentences


def normals(text, kind=None):
    return [fact.normal for fact in facts(text) if kind in (None, fact.kind)]


@pytest.mark.parametrize(
    ("text", "kind", "normal"),
    [
        ("for 4,850 EUR per month", "money", "4850 EUR"),
        ("for €4,850.00 a month", "money", "4850 EUR"),
        ("kostet 48.700 EUR", "money", "48700 EUR"),
        ("about $1.4 million", "money", "1400000 USD"),
        ("two hundred euros", "money", "200 EUR"),
        ("rose by 8.5%", "percent", "8.5 %"),
        ("rose by 8.5 per cent", "percent", "8.5 %"),
        ("on 12 March 2026", "date", "2026-03-12"),
        ("on March 12, 2026", "date", "2026-03-12"),
        ("am 12.03.2026", "date", "2026-03-12"),
        ("on 2026-03-12", "date", "2026-03-12"),
        ("before 12 March", "date", "--03-12"),
        ("at 9:30 pm", "time", "T21:30"),
        ("within six weeks", "duration", "6 week"),
        ("within 6 weeks", "duration", "6 week"),
        ("passed 7-2", "range", "7-2"),
        ("31 x 12 mm", "range", "31x12 mm"),
        ("release 3.8.1", "version", "3.8.1"),
        ("see CVE-2025-31882", "id", "cve-2025-31882"),
        ("commit 9f3ac21", "hash", "9f3ac21"),
        ("in /etc/kestrel/hold", "path", "/etc/kestrel/hold"),
        ("see https://a.example/b?c=1.", "url", "https://a.example/b?c=1"),
        ("mail dpo@example.com", "email", "dpo@example.com"),
        ("call +49 30 1234567", "phone", "+49301234567"),
        ("run `tinyq rebuild` now", "code", "tinyq rebuild"),
        ("asked Priya Raman for help", "name", "priya raman"),
    ],
)
def test_a_fact_has_a_normal_form(text, kind, normal):
    assert (kind, normal) in [(fact.kind, fact.normal) for fact in facts(text)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12 March", "12 votes"),
        ("3 kW", "3 MW"),
        ("40 kg", "40 lb"),
        ("passed 7-2", "passed 2-7"),
        ("20 mg", "20 g"),
        ("840 ms", "840 s"),
        ("$12", "€12"),
        ("1.4 million CZK", "1.4 billion CZK"),
        ("-5 °C", "5 °C"),
        ("12 March 2026", "12 May 2026"),
    ],
)
def test_different_things_have_different_normal_forms(one, other):
    assert not set(normals(one)) & set(normals(other))


def test_both_ways_of_grouping_digits_are_read():
    assert normals("1,234.50 EUR") == normals("1.234,50 EUR") == ["1234.5 EUR"]


def test_an_elliptical_unit_belongs_to_both_numbers():
    assert normals("from 20 to 40 mg", "number") == ["20 mg", "40 mg"]


def test_a_date_leaves_no_bare_number_behind():
    assert [fact.kind for fact in facts("on 12 March 2026")] == ["date"]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("aB1 2.,:-/@#\"'`“”€$%\n()[]üß中May "), max_size=300))
def test_facts_are_sorted_and_never_overlap_and_quote_the_text(text):
    end = 0
    for fact in facts(text):
        assert end <= fact.start < fact.end
        assert fact.text == text[fact.start : fact.end]
        end = fact.end


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=400))
def test_sentences_cover_everything_but_white_space(text):
    covered = "".join(text[start:end] for start, end in sentences(text))
    assert "".join(covered.split()) == "".join(text.split())


def test_list_items_and_headings_are_units():
    text = "Decisions\n- keep the index\n- rotate the keys\n\n1. First point\n2. Second point"
    assert [text[s.start : s.end] for s in sentences(text)] == [
        "Decisions",
        "- keep the index",
        "- rotate the keys",
        "1. First point",
        "2. Second point",
    ]


def test_a_sentence_is_never_longer_than_its_bound():
    assert max(span.end - span.start for span in sentences("word " * 20_000)) <= 2000
