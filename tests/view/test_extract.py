"""An extract is the source's own sentences, in order, within the budget, from all over the text."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from llmc.view import bind
from llmc.view.extract import GAP, extract

MINUTES = (Path(__file__).parent.parent / "data" / "minutes.txt").read_text()


def in_order(text: str, source: str) -> bool:
    at = 0
    for piece in text.split(GAP):
        at = source.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


@settings(deadline=None, max_examples=60)
@given(
    sentences=st.lists(st.text("abcdefgh XYZ09'\"(", min_size=3, max_size=60), min_size=1, max_size=30),
    budget=st.integers(1, 200),
)
def test_every_piece_stands_in_the_source_in_its_order(sentences: list[str], budget: int):
    source = ". ".join(sentences) + "."
    text = extract(source, budget, max(1, len(source) // 4))
    assert in_order(text, source)
    assert len(text) <= budget * len(source) / max(1, len(source) // 4) + 1


def test_a_longer_budget_says_more_and_a_tiny_one_says_nothing():
    tokens = len(MINUTES.split())
    lengths = [len(extract(MINUTES, budget, tokens)) for budget in (5, 40, 80, 160)]
    assert lengths[0] == 0
    assert lengths == sorted(lengths)


def test_the_whole_text_is_drawn_on_not_only_its_opening():
    text = extract(MINUTES, 110, len(MINUTES.split()))
    thirds = [MINUTES[i * len(MINUTES) // 3 : (i + 1) * len(MINUTES) // 3] for i in range(3)]
    pieces = text.split(GAP)
    assert all(any(piece in third for piece in pieces) for third in thirds)


def test_a_sentence_that_leans_on_the_one_before_comes_with_it():
    filler = "The garden group met on Monday and counted all of the watering cans in the shed. " * 6
    source = (
        f"{filler}The roof was inspected by Lena Fischer. It will cost 18,300 EUR, paid on 12 March 2026, invoice INV-2231."
    )
    text = extract(source, 75, len(source) // 4)
    assert "It will cost" in text
    assert "The roof was inspected by Lena Fischer. It will cost" in text


def test_facts_are_bound_to_the_place_they_came_from():
    source = "The rent was 5,400 EUR. It is 4,850 EUR from April. The deposit stays at 4,850 EUR."
    view = "It is 4,850 EUR from April."
    bound = next(f for f in bind(source, view) if f.kind == "money")
    assert source[bound.source.start : bound.source.end].startswith("4,850")
    assert view[bound.view.start : bound.view.end] == bound.text


def test_a_long_text_is_read_to_its_end():
    source = "".join(f"Item {i} was counted on shelf {i % 97} by crew {i % 7}. " for i in range(4000))  # 200 kB
    text = extract(source, 200, len(source) // 4)
    assert in_order(text, source)
    assert any(source.index(piece) > len(source) * 0.8 for piece in text.split(GAP))
