"""What a view must keep and how strict the checks are. Plain values: a YAML mapping builds it.

policy = Policy.of({"must_keep": ["money", "date"], "missing": "refuse", "pins": ["ticket-\\\\d+"]})
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from llmc.errors import UsageError
from llmc.fidelity.facts import KINDS
from llmc.fidelity.pins import problem

LANGUAGES = ("en",)  # the language all checks were measured in
MOST_PROBES = 20  # one request asks for all of them


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers behind the checks; ``llmc compress`` uses the defaults."""

    must_keep: tuple[str, ...] = ("money", "percent", "date")
    """Fact kinds that the view must hold, every one of them."""

    pins: tuple[str, ...] = ()
    """Regular expressions; whatever they match in the source must stand in the view, letter by letter."""

    sections: tuple[str, ...] = ()
    """Regular expressions for the titles of sections; what stands below a heading that one matches whole, whatever its case,
    must stand in the view word for word. A missing one is appended by copy where there is room, else the view is refused."""

    missing: str = "declare"
    """``declare``: a must-keep fact may be missing if the view says how many were left out. ``refuse``: it may not."""

    max_view_tokens: int | None = None
    """Upper limit of the view in the engine's tokens; None leaves the limit to ``max_view_share``."""

    max_view_share: float = 0.9
    """View divided by source, in tokens where both counts are known, else in characters. Above it the view saves nothing."""

    min_prompt_seen_share: float = 0.98
    """Prompt tokens the engine read divided by our own count; below it the prompt was cut. Room for template differences."""

    coverage_share: float = 0.85
    """Share of the source's windows that the view must touch; see ``coverage.py`` for what a window is.

    It is not a cosine similarity and not a quality score: 0.85 means that a view may be silent on 15% of the windows.
    """

    window_tokens: int = 128
    """Smallest coverage window in words; it grows with the compression the view was asked for."""

    grounded_share: float = 0.5
    """Share of a view clause's content words that its source sentences must hold; below it the clause counts as invented."""

    compact_share: float = 0.65
    """Share of a view sentence's content words that three neighbouring source sentences must hold; 0: not asked. What is said
    in other words than the source's cannot be told right from wrong by the words alone: on free paraphrases nobody had tuned
    on, 19% of the wrong ones passed without this, 7% with 0.65 (``bench/README.md``)."""

    languages: tuple[str, ...] = LANGUAGES
    """Languages in which names can be told by their capitals and the role check was measured; elsewhere it only takes notes."""

    probes: int = 0
    """Sentences of the source with a fact left blank that the model has to fill in from its own view alone; 0: not asked.
    Costs one more request a view, and only means something with a model that can do it."""

    probe_share: float = 0.85
    """Share of these blanks that must be filled in rightly."""

    declare_chars: int = 400
    """Longest line of copied facts that ``declare`` appends to a view."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.must_keep) - set(KINDS))
        if unknown:
            raise UsageError(f"must_keep holds {unknown[0]!r}, which is no fact kind", hint=f"use {', '.join(KINDS)}")
        if self.missing not in ("declare", "refuse"):
            raise UsageError(f"missing is {self.missing!r}, not 'declare' or 'refuse'")
        for name in (
            "max_view_share",
            "min_prompt_seen_share",
            "coverage_share",
            "grounded_share",
            "compact_share",
            "probe_share",
        ):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise UsageError(f"{name} is {value}, not between 0 and 1")
        if not 0 <= self.probes <= MOST_PROBES:
            raise UsageError(f"policy.probes is {self.probes}, not between 0 and {MOST_PROBES}")
        if self.window_tokens < 1 or self.declare_chars < 0:
            raise UsageError("window_tokens must be at least 1 and declare_chars at least 0")
        for key in ("pins", "sections"):
            for pattern in getattr(self, key):
                if wrong := problem(pattern) if isinstance(pattern, str) else "it is no text":
                    raise UsageError(
                        f"policy.{key} holds {pattern!r}, which is no regular expression: {wrong}",
                        hint="quote special characters with \\",
                    )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Policy":
        """A policy from a mapping as YAML gives it: lists become tuples, unknown keys are an error."""
        names = {field.name for field in fields(cls)}
        for key in values:
            if key not in names:
                close = get_close_matches(key, names, n=1)
                raise UsageError(f"policy has no key {key!r}", hint=f"did you mean {close[0]!r}?" if close else "")
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list | tuple) else value for key, value in values.items()
        }
        return cls(**plain)
