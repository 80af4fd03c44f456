"""Where something stands in a text: half-open ranges of code points, never bytes, never tokens."""

from typing import NamedTuple


class Span(NamedTuple):
    """``text[start:end]``."""

    start: int
    end: int
