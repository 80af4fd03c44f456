"""Verbatim is not yet faithful: a copied sentence can lose its neighbour."""

from llmc.fidelity.extract import verbatim

SOURCE = (
    "The board met on Monday. Ana proposed a second site. It was rejected by 5 votes to 4, unless the lease changes. Omar left."
)


def test_whole_sentences_are_recognised_with_their_places():
    extract = verbatim(SOURCE, "The board met on Monday. … Omar left.")
    assert extract.whole
    assert [SOURCE[s.start : s.end] for s, _ in extract.pieces] == ["The board met on Monday.", "Omar left."]
    assert extract.warnings == ()


def test_a_first_word_that_points_back_is_a_warning():
    extract = verbatim(SOURCE, "It was rejected by 5 votes to 4, unless the lease changes.")
    assert [w.message for w in extract.warnings] == ["the sentence points back to one that is left out"]


def test_a_sentence_after_its_neighbour_may_point_back():
    assert (
        verbatim(SOURCE, "Ana proposed a second site. It was rejected by 5 votes to 4, unless the lease changes.").warnings
        == ()
    )


def test_a_quotation_cut_before_its_exception_is_a_warning():
    extract = verbatim(SOURCE, "It was rejected by 5 votes to 4.")
    assert not extract.whole
    assert "unless the lease changes" in extract.warnings[0].message


def test_a_changed_sentence_is_not_verbatim():
    assert not verbatim(SOURCE, "Omar stayed.").whole
