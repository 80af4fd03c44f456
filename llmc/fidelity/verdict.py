"""What the fidelity check says: one entry per check, each passed or failed with its evidence. Never one blended score.

A number such as "0.91 faithful" hides which sentence is wrong; a list of checks does not:

    verdict = check(source, view)
    verdict.passed            # every check passed
    verdict.failed            # ("precision", "polarity")
"""

from collections.abc import Iterable
from dataclasses import dataclass

from llmc.fidelity.spans import Span

EVIDENCE_ENTRIES = 20  # per check; a hostile view could otherwise make the verdict larger than the document


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing a check saw, and where: in the source, in the view, or in both."""

    message: str
    source: Span | None = None
    view: Span | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One check. A check that passed may carry evidence too (a warning, or what was declared as left out)."""

    name: str
    passed: bool
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks in their fixed order; every check is present, whatever the others said."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(check.name for check in self.checks if not check.passed)

    def __getitem__(self, name: str) -> Check:
        """The check of that name; KeyError when there is none."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Run:
    """What the engine said of the generation that made the view. Everything is optional: an extract has no run.

    ``prompt_tokens_expected`` is our own count of the prompt, ``prompt_tokens_seen`` what the engine says it read: a
    server with a small window cuts the prompt silently, and a view of half a document reads like a view of all of it.
    """

    finish_reason: str = "stop"
    prompt_tokens_expected: int | None = None
    prompt_tokens_seen: int | None = None
    schema_valid: bool = True
    raw: str = ""


def failed_check(name: str, problems: Iterable[Evidence], notes: Iterable[Evidence] = ()) -> Check:
    """A check that fails when there is any problem; notes are shown but fail nothing."""
    found = list(problems)
    return Check(name, not found, bounded([*found, *notes]))


def bounded(evidence: list[Evidence]) -> tuple[Evidence, ...]:
    """At most ``EVIDENCE_ENTRIES`` entries, and one that counts the rest."""
    if len(evidence) <= EVIDENCE_ENTRIES:
        return tuple(evidence)
    rest = len(evidence) - EVIDENCE_ENTRIES
    return (*evidence[:EVIDENCE_ENTRIES], Evidence(f"and {rest:,} more"))
