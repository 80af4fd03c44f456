"""Numbers as people read them."""

import pytest

from llmc import units


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (712_345, "712 kB"),
        (2_310_000, "2.31 MB"),
        (999_600, "1 MB"),
        (5e12, "5,000 GB"),
    ],
)
def test_size(n: int, text: str):
    assert units.size(n) == text


@pytest.mark.parametrize(
    ("s", "text"),
    [
        (0.04, "40 ms"),
        (0.0000042, "4.2 µs"),
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (61, "61 s"),
        (960, "16 min"),
        (3725, "1 h 02 min"),
    ],
)
def test_seconds(s: float, text: str):
    assert units.seconds(s) == text


def test_ratio_and_count():
    assert units.ratio(2_310_000, 712_345) == "3.2x"
    assert units.ratio(5, 0) == "-"
    assert [units.count(n) for n in (7, 9999, 74_321, 12_300_000)] == ["7", "9,999", "74k", "12.3M"]
