"""Statements turned in ways that leave nearly all words in place: each with the true sentence beside it."""

import pytest

from llmc.fidelity import Policy, check

POLICY = Policy(must_keep=(), coverage_share=0.0, max_view_share=1.0)
REST = " The next meeting is planned for the autumn. Coffee will be served in the hall. Minutes are kept by the secretary."


def failed(source: str, view: str) -> set[str]:
    return set(check(source + REST, view, POLICY).failed)


@pytest.mark.parametrize(
    ("source", "right", "wrong"),
    [
        (
            "I signed the delivery list before unloading.",
            "I signed the delivery list before unloading.",
            "I refused to sign the delivery list before unloading.",
        ),
        (
            "Photos that were deleted cannot be restored by the support team.",
            "Photos that were deleted cannot be restored by the support team.",
            "Photos that were deleted can be restored by the support team.",
        ),
        (
            "The supplier must return all customer data and may not keep copies.",
            "The supplier must return all customer data and is not free to keep copies.",
            "The supplier must return all customer data and is free to keep copies.",
        ),
        (
            "The battery estimate should be more accurate now.",
            "The battery estimate should be more accurate now.",
            "The battery estimate is guaranteed to be more accurate now.",
        ),
        (
            "The release is out probably on 18 November if the tests pass.",
            "The release is probably out on 18 November if the tests pass.",
            "The release is out on 18 November.",
        ),
        (
            "The deposit comes back when the walls have been painted.",
            "The deposit comes back when the walls have been painted.",
            "The deposit comes back even when the walls have not been painted.",
        ),
        (
            "The boost now ends after 45 minutes; before, it ran for two hours.",
            "The boost now ends after 45 minutes; it used to run for two hours.",
            "The boost, which used to end after 45 minutes, now runs for two hours.",
        ),
        (
            "We preferred the first school because its classes are smaller.",
            "We preferred the first school because its classes are smaller.",
            "We preferred the first school because its classes are larger.",
        ),
        (
            "The programme pays for the care of millions of veterans.",
            "The programme pays for the care of millions of veterans.",
            "The programme pays for the care of billions of veterans.",
        ),
        (
            "The copy ran at 25.2 MB/s on the old disk.",
            "The copy ran at 25.2 MB/s on the old disk.",
            "The copy ran at 25.2 MB/min on the old disk.",
        ),
        (
            "No contract shall be made with them except such as the board has negotiated.",
            "No contract shall be made with them except such as the board has negotiated.",
            "No contract shall be made with them.",
        ),
        (
            "The key CKA_ID should match the field SubjectKeyIdentifier of the certificate.",
            "The key CKA_ID should match the field SubjectKeyIdentifier of the certificate.",
            "The key SubjectKeyIdentifier should match the field CKA_ID of the certificate.",
        ),
        (
            "It is in the power of Mexico to pay before the envoy of Canada arrives.",
            "It is in the power of Mexico to pay before the envoy of Canada arrives.",
            "It is in the power of Canada to pay before the envoy of Canada arrives.",
        ),
    ],
)
def test_the_true_sentence_passes_and_the_turned_one_does_not(source: str, right: str, wrong: str):
    assert failed(source, right) == set()
    assert failed(source, wrong) - {"worth_it"}


def test_a_sentence_that_ends_in_the_middle_is_noticed():
    source = "Therefore, even if we were craven enough to abandon our ideals, it would be disastrous to withdraw now."
    assert "polarity" in failed(source, "Therefore, even.")


def test_words_of_another_language_in_between_are_noticed():
    source = "The committee has accepted the report and will send it to the members with the accounts for the year."
    view = "Die committee hat accepted die report und wird send it to members mit accounts for the year."
    assert "language" in failed(source, view)


def test_a_million_is_the_number_and_millions_are_not():
    source = "The plan reaches 1 million homes in the first year and was paid for by the state."
    assert failed(source, "The plan reaches a million homes in the first year and was paid for by the state.") == set()
    assert "precision" in failed(source, "The plan reaches a billion homes in the first year and was paid for by the state.")
