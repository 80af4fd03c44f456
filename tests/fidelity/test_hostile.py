"""Text made to break the check is only text: the work stays in proportion to its length.

No clock is read. What is counted are the functions that a check calls; patterns that cannot backtrack bound the rest.
"""

import sys

import pytest

from llmc.fidelity import Policy, check, facts, sentences

POLICY = Policy(must_keep=(), coverage_share=0.0)
BAIT = {
    "one letter": "a" * 50_000,
    "speakers": "Ana: yes, we can do it.\n" * 3_000,
    "digits and points": "1." * 30_000,
    "dashes": "-" * 50_000,
    "at signs": "a@" * 30_000,
    "capitals": "aA" * 30_000,
    "slashes": "/a" * 30_000,
    "open quotes": '"' * 20_000 + ' "abc' * 5_000,
    "open brackets": "(" * 30_000 + "[" * 30_000,
    "back ticks": "`" * 30_000 + "`a" * 10_000,
    "hex": "deadbeef1" * 8_000,
    "colons": "12:" * 30_000,
    "labels": "A-1" * 20_000,
    "empty lines": "\n" * 60_000 + "a",
    "left out": "[left out: 1 " * 10_000,
    "only": "only " * 20_000,
}


@pytest.mark.parametrize("name", BAIT)
def test_bait_for_patterns_is_read_to_its_end(name):
    text = BAIT[name]
    assert all(text[fact.start : fact.end] == fact.text for fact in facts(text))
    assert sum(end - start for start, end in sentences(text)) <= len(text)
    assert check(text, "A short view.", POLICY).checks


def calls(source, view):
    """How many functions of llmc's a check calls: what it does, whatever the machine."""
    count = 0

    def counted(frame, event, _):
        nonlocal count
        count += event == "call" and "llmc" in frame.f_code.co_filename

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        check(source, view, POLICY)
    finally:
        sys.setprofile(before)
    return count


def numbers(count):
    return " ".join(f"Bin {n} holds {n * 7919 % 100_003} screws." for n in range(count))


@pytest.mark.parametrize("changed", ["has", "holds"])
def test_the_work_grows_with_the_length_and_not_with_its_square(changed):
    sources = {n: numbers(n) for n in (500, 1000)}
    views = {n: text.replace("holds", changed).replace(" screws", ", screws")[: 30 * n // 5] for n, text in sources.items()}
    assert calls(sources[1000], views[1000]) < 2.5 * calls(sources[500], views[500])


def test_ten_thousand_numbers_are_all_found():
    text = " ".join(str(n) for n in range(10_000, 20_000))
    assert len(facts(text)) == 10_000
