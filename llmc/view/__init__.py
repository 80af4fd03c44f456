"""Views: the short text that may stand in for a document, and the record of how it came to be.

A view is a ``gist`` (written by a model), an ``extract`` (whole sentences of the source, verbatim) or ``none``. Only a view
whose every check passed is kept; all that was tried, and why it was not taken, is in the attempts.
"""

import bisect
from dataclasses import dataclass

from llmc.fidelity import Fact, Span, Verdict, analyse

REUSED = ("cached", "shared")
"""Outcomes of an attempt whose view was made for another document, or another time."""


@dataclass(frozen=True, slots=True)
class BoundFact:
    """A hard fact and the place in the source it was taken from; offsets are code points.

    ``kind`` is the fidelity check's, or ``key`` for a passage that the model listed as a key fact and that stands in the
    source word for word. ``view`` is None for a fact that stands beside the view, not in it.
    """

    kind: str
    text: str
    view: Span | None
    source: Span


@dataclass(frozen=True, slots=True)
class Attempt:
    """One step down the ladder."""

    tier: str
    """What was tried: ``gist``, ``extract`` or ``none``."""
    outcome: str
    """``kept``; ``refused`` by the fidelity check; ``failed``: the engine did; ``skipped``: not tried; ``cached``: made before
    of the same text; ``shared``: made of a near-duplicate. What is used again has passed the check again."""
    reason: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    by: str = ""
    """The rung that was asked, as the profile names it; ``""`` when no model was."""
    model: str = ""
    model_digest: str = ""
    cause: str = ""
    """Why it was not kept, in a word or two that can be counted: ``fidelity precision``, ``timeout``, ``busy``, ..."""


@dataclass(frozen=True, slots=True)
class View:
    """What stands in for one document, with all that says why."""

    kind: str
    text: str | None
    source_tokens: int
    tokens: int
    """Of the view; for ``none`` the source's own, since the source is what a prompt would then hold."""
    facts: tuple[BoundFact, ...] = ()
    left_out: tuple[Fact, ...] = ()
    """Must-keep facts of the source that the view declares it does not carry; at most 50 are listed."""
    verdict: Verdict | None = None
    attempts: tuple[Attempt, ...] = ()
    seconds: float = 0.0


def bind(source: str, view: str) -> tuple[BoundFact, ...]:
    """Each fact of the view with the nearest following occurrence in the source, else the first.

    Views follow the order of their source, so the search goes on from the last fact found.
    """
    places: dict[tuple[str, str], list[Fact]] = {}
    for fact in analyse(source).facts:
        places.setdefault((fact.kind, fact.normal), []).append(fact)
    bound = []
    at = 0
    for fact in analyse(view).facts:
        candidates = places.get((fact.kind, fact.normal))
        if not candidates:
            continue
        i = bisect.bisect_left(candidates, at, key=lambda f: f.start)
        found = candidates[i if i < len(candidates) else 0]
        at = found.start
        bound.append(BoundFact(fact.kind, fact.text, Span(fact.start, fact.end), Span(found.start, found.end)))
    return tuple(bound)
