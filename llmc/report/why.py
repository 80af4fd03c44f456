"""``llmc why`` as one HTML page: source and view side by side, and all that was tried and checked.

Both texts are cut at the borders of facts and of what the checks point at, so that every fact of the view is a link to its
place in the source and back, and each piece of evidence can be jumped to. Offsets come from an archive, which may be hostile:
they are only trusted as far as the text goes.
"""

import bisect
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llmc import units
from llmc.fidelity import Span
from llmc.fidelity.beside import beside
from llmc.report.html import Table, Tile, page
from llmc.view import View

WHOLE_CHARS = 300_000  # a longer source is shown around what is marked in it: browsers lay out megabytes badly
NEAR_LINES = 2  # that are shown on each side of a marked one
LONG_CHARS = 1200  # of an unmarked piece of a long source, before its middle is left out
CHECKS = {
    "integrity": "the engine read all of the text, ended by itself, and answered with a text",
    "worth_it": "the view is short enough to save something",
    "precision": "every number, date, amount, id and name of the view is in the source",
    "recall": "what must be kept is in the view, or counted as left out",
    "polarity": "nothing was denied, confirmed, promised or made certain that was not",
    "roles": "who did what, and which value belongs to whom, is as in the source",
    "coverage": "the view speaks of all parts of the source",
    "grounding": "the view says nothing that the source does not",
    "language": "the view is in the language and script of the source",
    "probes": "questions about the source can be answered from the view alone",
}


class Mark(NamedTuple):
    """A place in a text that is pointed at. ``kind``: ``fact``, ``out`` (must keep, left out), ``key``, ``bad`` or ``note``."""

    span: Span
    kind: str
    group: str
    """What shares it is lit together."""
    id: str
    href: str = ""


class Piece(NamedTuple):
    """Characters of one line that are marked in the same way."""

    text: str
    link: Mark | None
    """The fact it belongs to, or the beginning of."""
    first: bool
    """The fact begins here: its id goes here."""
    layers: tuple[Mark, ...]
    anchors: tuple[str, ...]
    """Ids of evidence that begins here."""


@dataclass(slots=True)
class Line:
    """``skipped``: lines that were left out before this one."""

    number: int
    pieces: list[Piece] = field(default_factory=list)
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A fact of the view beside its place in the source, or one that is not in the view."""

    kind: str
    text: str
    line: int | None
    source_id: str
    view_id: str = ""
    said: str = ""
    """As the source spells it, where that differs."""


def render(id: str, view: View | None, receipt: dict[str, Any], source: str | None) -> str:
    """The page of one document."""
    text = view.text if view and view.text else ""
    original = source or ""
    starts = line_starts(original)
    source_marks, view_marks, facts, left_out = _facts(view, original, text, starts)
    checks = _evidence(view, original, text, starts, source_marks, view_marks)
    return page(
        "why.html",
        title=f"Why: {id}",
        script="why.js",
        id=id,
        verdict=verdict_line(view),
        tiles=_tiles(view, receipt),
        kind=view.kind if view else "pending",
        has_source=source is not None,
        source_lines=list(_lines(original, source_marks, whole=len(original) <= WHOLE_CHARS)),
        view_lines=list(_lines(text, view_marks, whole=True)),
        sentences=_sentences(original, text, starts),
        facts=facts,
        respelled=any(fact.said for fact in facts),
        left_out=left_out,
        checks=checks,
        attempts=_attempts(view),
        receipt=Table("what is recorded", ["", "value"], [[key, str(value)] for key, value in receipt.items()]),
    )


def verdict_line(view: View | None) -> str:
    """What became of a document's view, in one sentence."""
    if view is None:
        return "No view was made yet: llmc compress makes them."
    if view.kind == "none":
        reason = view.attempts[-1].reason if view.attempts else ""
        return f"No view stands in for this document: {reason}." if reason else "No view stands in for this document."
    checks = view.verdict.checks if view.verdict else ()
    passed = sum(check.passed for check in checks)
    said = f"passed all {passed} checks" if passed == len(checks) else f"passed {passed} of {len(checks)} checks"
    refused = sum(attempt.outcome == "refused" for attempt in view.attempts)
    before = f" {refused} earlier text{'s were' if refused > 1 else ' was'} refused." if refused else ""
    return f"This {view.kind} {said}, so it may stand in for the document.{before}"


def _tiles(view: View | None, receipt: dict[str, Any]) -> list[Tile]:
    tiles = [Tile("original", units.size(receipt["bytes"]), "restores byte for byte", "measured")]
    if view is not None and view.kind != "none":
        by = str(receipt.get("tokens_by") or "")
        basis = "estimated" if "estimated" in by else "measured"
        ratio = units.ratio(view.source_tokens, view.tokens)
        tiles += [
            Tile("tokens", f"{view.source_tokens:,} → {view.tokens:,}", f"{ratio}, counted by {by}" if by else ratio, basis),
            Tile("facts in the view", str(sum(f.view is not None for f in view.facts)), "each linked to its place"),
            Tile("must keep, left out", str(len(view.left_out)), "listed below" if view.left_out else ""),
        ]
    return tiles


def _clamped(span: Span | None, text: str) -> Span | None:
    """The span as far as the text goes; None for what is no place in it."""
    if span is None or not 0 <= span.start < span.end or span.start >= len(text):
        return None
    return Span(span.start, min(span.end, len(text)))


def _facts(
    view: View | None, source: str, text: str, starts: list[int]
) -> tuple[list[Mark], list[Mark], list[Found], list[Found]]:
    source_marks: list[Mark] = []
    view_marks: list[Mark] = []
    facts: list[Found] = []
    places: dict[Span, str] = {}  # of facts that stand in the view; two of them may come from one place
    for number, fact in enumerate(view.facts if view else (), 1):
        there, here = _clamped(fact.source, source), _clamped(fact.view, text)
        source_id, view_id = "", f"v{number}" if here else ""
        if there and not here:
            source_id = f"k{number}"
            source_marks.append(Mark(there, "key", source_id, source_id))
        elif there:
            source_id = places.get(there, "")
            if not source_id:
                source_id = places[there] = f"s{number}"
                source_marks.append(Mark(there, "fact", source_id, source_id, f"#{view_id}"))
        if here:
            view_marks.append(Mark(here, "fact", source_id or view_id, view_id, f"#{source_id}" if source_id else ""))
        said = source[there.start : there.end] if there else ""
        line = line_of(starts, there.start) if there else None
        facts.append(Found(fact.kind, fact.text, line, source_id, view_id, "" if said == fact.text else said))
    left_out: list[Found] = []
    for number, missing in enumerate(view.left_out if view else (), 1):
        there = _clamped(Span(missing.start, missing.end), source)
        if there:
            source_marks.append(Mark(there, "out", f"o{number}", f"o{number}"))
        line = line_of(starts, there.start) if there else None
        left_out.append(Found(missing.kind, missing.text, line, f"o{number}" if there else ""))
    return source_marks, view_marks, facts, left_out


def _evidence(
    view: View | None, source: str, text: str, starts: list[int], source_marks: list[Mark], view_marks: list[Mark]
) -> list[dict[str, Any]]:
    """The checks with links to what they point at; the places are added to the marks."""
    checks: list[dict[str, Any]] = []
    number = 0
    for check in view.verdict.checks if view and view.verdict else ():
        items = []
        for each in check.evidence:
            number += 1
            kind = "note" if check.passed else "bad"
            there, here = _clamped(each.source, source), _clamped(each.view, text)
            if there:
                source_marks.append(Mark(there, kind, f"e{number}", f"e{number}s"))
            if here:
                view_marks.append(Mark(here, kind, f"e{number}", f"e{number}v"))
            items.append(
                {
                    "message": each.message,
                    "group": f"e{number}",
                    "source": there and {"id": f"e{number}s", "line": line_of(starts, there.start)},
                    "view": here and {"id": f"e{number}v"},
                    "unseen": each.view is not None and here is None,
                }
            )
        checks.append({"name": check.name, "passed": check.passed, "meaning": CHECKS.get(check.name, ""), "evidence": items})
    return checks


def _sentences(source: str, text: str, starts: list[int]) -> list[dict[str, Any]]:
    """Each sentence of the view with the lines of the source that say it."""
    if not (source and text):
        return []
    return [
        {
            "text": " ".join(text[row.view.start : row.view.end].split()),
            "source": [
                {"line": line_of(starts, span.start), "text": " ".join(source[span.start : span.end].split())[:600]}
                for span in row.source
            ],
        }
        for row in beside(source, text)
        if any(c.isalnum() for c in text[row.view.start : row.view.end])
    ]


def _attempts(view: View | None) -> Table:
    rows = [
        [f"{n}. {a.tier}", a.outcome, a.reason, f"{a.prompt_tokens:,} + {a.output_tokens:,}", units.seconds(a.seconds)]
        for n, a in enumerate(view.attempts if view else (), 1)
    ]
    columns = ["attempt", "outcome", "reason", "tokens read + written", "time"]
    return Table("every step, in order", columns, rows, numbers=["tokens read + written", "time"])


def line_starts(text: str) -> list[int]:
    """Where each line begins."""
    starts = [0]
    while (at := text.find("\n", starts[-1])) >= 0:
        starts.append(at + 1)
    return starts


def line_of(starts: list[int], position: int) -> int:
    """Number of the line that holds a position, from 1."""
    return bisect.bisect_right(starts, position)


def _lines(text: str, marks: list[Mark], *, whole: bool) -> Iterator[Line]:
    """The text line by line, cut where a mark begins or ends; of a long one the lines around the marks."""
    lines = list(_cut(text, marks)) if text else []
    if len(lines) > 1 and not lines[-1].pieces:
        lines.pop()  # after the last line's end
    if whole:
        yield from lines
        return
    near: set[int] = set()
    for line in lines:
        if any(piece.link or piece.layers for piece in line.pieces):
            near.update(range(line.number - NEAR_LINES, line.number + NEAR_LINES + 1))
    skipped = 0
    for line in lines:
        if line.number not in near:
            skipped += 1
            continue
        line.skipped, skipped = skipped, 0
        line.pieces = [_shortened(piece) for piece in line.pieces]
        yield line
    if skipped:
        yield Line(0, skipped=skipped)


def _shortened(piece: Piece) -> Piece:
    if piece.link or len(piece.text) <= LONG_CHARS:
        return piece
    half = LONG_CHARS // 2
    middle = f" [… {len(piece.text) - 2 * half:,} characters …] "
    return piece._replace(text=piece.text[:half] + middle + piece.text[-half:])


def _cut(text: str, marks: list[Mark]) -> Iterator[Line]:
    links, layers = _apart(marks)
    layers = [_widened(mark, links) for mark in layers]
    borders = {0, len(text)} | {at for mark in (*links, *layers) for at in mark.span}
    borders |= {at for start in line_starts(text)[1:] for at in (start - 1, start)}
    edges = sorted(borders)
    begins = {mark.span.start: mark for mark in links}
    line = Line(1)
    link: Mark | None = None
    begun: set[str] = set()
    for start, end in itertools.pairwise(edges):
        if link is None or start >= link.span.end:
            link = begins.get(start)
        if text[start:end] == "\n":
            yield line
            line = Line(line.number + 1)
            continue
        over = tuple(mark for mark in layers if mark.span.start <= start < mark.span.end)
        anchors = tuple(mark.id for mark in over if mark.id not in begun)
        first = link is not None and link.id not in begun
        begun.update(anchors, [link.id] if link else [])
        line.pieces.append(Piece(text[start:end].removesuffix("\r"), link, first, over, anchors))
    yield line


def _apart(marks: Iterable[Mark]) -> tuple[list[Mark], list[Mark]]:
    """Facts that do not overlap, which become links, what begins first before the others; and all other marks."""
    links: list[Mark] = []
    layers: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: mark.span):
        fits = mark.kind in ("fact", "out") and (not links or mark.span.start >= links[-1].span.end)
        (links if fits else layers).append(mark)
    return links, layers


def _widened(mark: Mark, links: list[Mark]) -> Mark:
    """Evidence that cuts a fact in two takes all of it: a link is one piece."""
    start, end = mark.span
    for link in links:
        if link.span.start < start < link.span.end:
            start = link.span.start
        if link.span.start < end < link.span.end:
            end = link.span.end
    return mark._replace(span=Span(start, end))
