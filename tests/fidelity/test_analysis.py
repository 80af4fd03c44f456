"""A text is taken apart once, and nothing of one check is left over for the next one."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from llmc.fidelity import analysis, check, facts
from llmc.fidelity.alternatives import alternatives
from llmc.fidelity.analysis import analyse
from llmc.fidelity.hard_facts import SEARCHES
from llmc.fidelity.words import stem


def test_the_same_text_is_the_same_analysis_in_every_thread():
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(analyse, ["Rent falls to 4,850 EUR."] * 64))
    assert len({id(each) for each in found}) == 1
    assert found[0].facts == facts("Rent falls to 4,850 EUR.")


def test_only_the_last_few_texts_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(analysis, "KEPT_CHARS", 1000)
    first = analyse("a" * 600)
    assert analyse("a" * 600) is first
    analyse("b" * 600)
    assert analyse("a" * 600) is not first
    huge = analyse("c" * 1001)
    assert analyse("c" * 1001) is not huge


def test_a_view_that_used_up_its_searches_leaves_the_next_one_its_own():
    source = "The ledger names many people. " + " ".join(f"Anna B{i}a Carl met them." for i in range(5))
    hostile = " ".join(f"Anna Carl{i} B{i}a." for i in range(SEARCHES + 20))
    fine = "The ledger names many people. Anna B1a Carl met them."
    before = check(source, fine)
    assert not check(source, hostile).passed
    assert check(source, fine) == before


def test_alternatives_take_the_longest_word_first():
    pattern = alternatives(["mar", "may", "march", "m.x"])
    import re

    assert re.fullmatch(pattern, "march")
    assert re.match(pattern, "marching")[0] == "march"
    assert re.fullmatch(pattern, "m.x")
    assert not re.fullmatch(pattern, "mzx")


@pytest.mark.parametrize(("one", "other"), [("kidney", "kidneys"), ("normal", "normally"), ("bought", "buys")])
def test_inflected_words_meet(one: str, other: str):
    assert stem(one) == stem(other)
