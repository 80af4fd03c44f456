"""Text made to break the check is only text: the work stays in proportion to its length.

No clock is read. What is counted are the comparisons of contexts, the part of the check whose number could grow with
the square of the length; everything else is bounded by patterns that cannot backtrack.
"""

import pytest

from llmc.fidelity import Policy, check, facts, sentences
from llmc.fidelity.pairing import Pairing

POLICY = Policy(must_keep=(), coverage_share=0.0)
BAIT = {
    "one letter": "a" * 50_000,
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


def comparisons(monkeypatch, source, view):
    count = 0
    original = Pairing.likeness

    def counted(self, *arguments):
        nonlocal count
        count += 1
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Pairing, "likeness", counted)
        check(source, view, POLICY)
    return count


def numbers(count):
    return " ".join(f"Bin {n} holds {n * 7919 % 100_003} screws." for n in range(count))


def test_comparisons_grow_with_the_length_and_not_with_its_square(monkeypatch):
    view = {n: numbers(n).replace("holds", "has")[: 30 * n // 5] for n in (500, 1000)}
    small = comparisons(monkeypatch, numbers(500), view[500])
    large = comparisons(monkeypatch, numbers(1000), view[1000])
    assert small > 0
    assert large < 3 * small


def test_ten_thousand_numbers_are_all_found():
    text = " ".join(str(n) for n in range(10_000, 20_000))
    assert len(facts(text)) == 10_000
