"""Repair of recall without a model: missing must-keep facts are appended by copy, and what does not fit is counted.

    Rent falls in spring.
    Also: 4,850 EUR per month; 12 March 2026. [left out: 2 amounts]

The copied pieces are slices of the source, so the line passes the checks for the same reason an extract does. A section that
the policy pins is copied whole, with its heading, as a paragraph of its own.
"""

from collections import Counter

from llmc.fidelity.analysis import analyse
from llmc.fidelity.appended import ALSO, BEHIND, LEFT_OUT, PLURAL, SINGULAR
from llmc.fidelity.facts import Fact
from llmc.fidelity.hard_facts import WHOLE, missing
from llmc.fidelity.policy import Policy


def left_out(source: str, view: str, policy: Policy | None = None) -> list[Fact]:
    """Must-keep facts, pinned passages and pinned sections of the source that the view does not hold; a receipt lists them."""
    return missing(analyse(source), analyse(view), policy or Policy())


def declare(source: str, view: str, policy: Policy | None = None, budget_chars: int | None = None) -> str:
    """The view with its missing facts appended by copy, as many as ``budget_chars`` allow, the others counted.

    A view that misses nothing comes back as it is. With ``missing="refuse"`` nothing is counted, only copied.
    """
    policy = policy or Policy()
    budget = policy.declare_chars if budget_chars is None else budget_chars
    bare_view = LEFT_OUT.sub("", view).rstrip()
    dropped = left_out(source, bare_view, policy)
    if not dropped:
        return bare_view if bare_view != view.rstrip() else view
    copied: list[str] = []
    used = len(ALSO) + 1
    for section in (fact for fact in dropped if fact.kind == "section"):
        if used + len(section.text) + 2 <= budget:
            used += len(section.text) + 2
            bare_view = f"{bare_view}\n\n{section.text}".lstrip()
    for fact in left_out(source, bare_view, policy):
        if fact.kind == "section":
            continue
        piece = " ".join(_piece(source, fact).split()) if fact.kind != "pin" else fact.text
        if used + len(piece) + 2 > budget:
            break
        used += len(piece) + 2
        copied.append(piece)
    lines = [bare_view]
    if copied:
        lines.append(f"{ALSO}{'; '.join(copied)}.")
    rest = Counter(fact.kind for fact in left_out(source, "\n".join(lines), policy) if fact.kind not in WHOLE)
    footer = _footer(rest) if rest and policy.missing == "declare" else ""
    lines[-1] += f" {footer}" if footer else ""
    return "\n".join(lines)


def _piece(source: str, fact: Fact) -> str:
    behind = BEHIND.match(source, fact.end)
    return source[fact.start : behind.end() if behind else fact.end]


def _footer(rest: Counter[str]) -> str:
    counts = ", ".join(f"{count} {(SINGULAR if count == 1 else PLURAL)[kind]}" for kind, count in rest.items())
    return f"[left out: {counts}]"
