"""Two archives' views compared, document by document: what changed when the model, the policy or the text did.

Documents are matched by id; what only one archive has is then matched by its content, for files that were renamed. The index of
the other archive holds an id, a place and 8 bytes of digest per document; texts are read a part at a time.

    >>> diff = compare(Archive.open("before.llmc"), Archive.open("after.llmc"))
    >>> diff.same, [change.id for change in diff.changes]
"""

import difflib
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from llmc import viewstore
from llmc.archive import Archive, Entry
from llmc.parts import Part
from llmc.view import View

LISTED = 1000  # documents that are named one by one; all are counted
KEPT_PARTS = 2  # of the other archive, with their views: two archives of one input come in nearly the same order
MOST_WORDS = 4000  # of a view that is compared word by word; a longer one is shown as replaced
LEAST_WORDS = 3  # that two views share in a row to count as the same: "the" between two changes only makes them unreadable


@dataclass(frozen=True, slots=True)
class Words:
    """A run of words. ``op``: ``=`` in both, ``-`` only in the first archive's view, ``+`` only in the other's."""

    op: str
    text: str


@dataclass(frozen=True, slots=True)
class Side:
    """A document's view in one of the archives; ``pending``: none was made yet."""

    kind: str
    tokens: int | None
    model: str | None
    passed: bool | None
    """Of the last text that was checked; None when none was."""


@dataclass(slots=True)
class Change:
    """One document whose view is not the same in both."""

    id: str
    other_id: str
    """The same, unless the file was renamed."""
    source_changed: bool
    before: Side
    after: Side
    words: list[Words] = field(default_factory=list)
    gained: list[dict[str, str]] = field(default_factory=list)
    """Facts that only the other's view has, by kind and text."""
    lost: list[dict[str, str]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    """Checks that passed in one and not in the other, with their first evidence."""


@dataclass(slots=True)
class Diff:
    """Counts of everything; lists of at most ``LISTED`` documents each."""

    archive: str
    other: str
    same: int = 0
    """Documents with the same kind of view, in the same words."""
    changed: int = 0
    changes: list[Change] = field(default_factory=list)
    only_in_archive: list[str] = field(default_factory=list)
    only_in_archive_count: int = 0
    only_in_other: list[str] = field(default_factory=list)
    only_in_other_count: int = 0
    tokens: tuple[int, int] = (0, 0)
    """Of the views of documents that are in both; a document without one counts with its own tokens."""
    kinds: dict[str, int] = field(default_factory=dict)
    """``gist -> extract``: so many documents."""
    facts_gained: int = 0
    facts_lost: int = 0
    checks: dict[str, int] = field(default_factory=dict)
    """``polarity: failed -> passed``: so many documents."""


def compare(archive: Archive, other: Archive, pattern: str | None = None) -> Diff:
    """All documents of both, or those whose id matches the pattern in the first."""
    diff = Diff(str(archive.folder), str(other.folder))
    seen = _Seen(other)
    wanted = None if pattern is None else {entry.seq for entry in archive.select(pattern)}
    kinds: Counter[str] = Counter()
    checks: Counter[str] = Counter()
    unmatched: list[tuple[Entry, Part]] = []
    for part in archive.manifest.parts:
        rows = {row["seq"]: row for row in viewstore.rows(archive, part)}
        for entry in archive.entries(part):
            if wanted is not None and entry.seq not in wanted:
                continue
            match = seen.by_id(entry.id)
            if match is None:
                unmatched.append((entry, part))
            else:
                _add(diff, entry.id, entry, rows.get(entry.seq), match, kinds, checks)
    last: tuple[int, dict[int, dict[str, Any]]] = (-1, {})
    for entry, part in unmatched:
        match = seen.by_content(entry.sha256_prefix)
        if match is None:
            diff.only_in_archive_count += 1
            if len(diff.only_in_archive) < LISTED:
                diff.only_in_archive.append(entry.id)
            continue
        if last[0] != part.part:
            last = part.part, {row["seq"]: row for row in viewstore.rows(archive, part)}
        _add(diff, entry.id, entry, last[1].get(entry.seq), match, kinds, checks)
    if pattern is None:
        for id in seen.left():
            diff.only_in_other_count += 1
            if len(diff.only_in_other) < LISTED:
                diff.only_in_other.append(id)
    diff.kinds, diff.checks = dict(kinds.most_common()), dict(checks.most_common())
    return diff


class _Seen:
    """The other archive: which of its documents were met, and their views."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._parts = {part.part: part for part in archive.manifest.parts}
        self._places: dict[str, tuple[int, int, bytes]] = {}
        for part in archive.manifest.parts:
            self._places.update({e.id: (part.part, e.seq, e.sha256_prefix) for e in archive.entries(part)})
        self._by_content: dict[bytes, list[str]] | None = None
        self._rows: OrderedDict[int, dict[int, dict[str, Any]]] = OrderedDict()

    def by_id(self, id: str) -> tuple[str, bytes, dict[str, Any] | None] | None:
        """Id, digest and view row of the document of that id, once."""
        place = self._places.pop(id, None)
        return None if place is None else (id, place[2], self._row(place[0], place[1]))

    def by_content(self, digest: bytes) -> tuple[str, bytes, dict[str, Any] | None] | None:
        """A document of those bytes that has not been met; asked for when all ids have been."""
        if self._by_content is None:
            self._by_content = {}
            for id, place in reversed(self._places.items()):
                self._by_content.setdefault(place[2], []).append(id)
        ids = self._by_content.get(digest)
        return self.by_id(ids.pop()) if ids else None

    def left(self) -> Iterator[str]:
        yield from self._places

    def _row(self, part: int, seq: int) -> dict[str, Any] | None:
        if part not in self._rows:
            self._rows[part] = {row["seq"]: row for row in viewstore.rows(self._archive, self._parts[part])}
            while len(self._rows) > KEPT_PARTS:
                self._rows.popitem(last=False)
        self._rows.move_to_end(part)
        return self._rows[part].get(seq)


def _add(
    diff: Diff,
    id: str,
    entry: Entry,
    row: dict[str, Any] | None,
    match: tuple[str, bytes, dict[str, Any] | None],
    kinds: Counter[str],
    checks: Counter[str],
) -> None:
    other_id, digest, other_row = match
    before, after = _view(row), _view(other_row)
    diff.tokens = (
        diff.tokens[0] + (before.tokens if before else 0),
        diff.tokens[1] + (after.tokens if after else 0),
    )
    if (before and (before.kind, before.text)) == (after and (after.kind, after.text)):
        diff.same += 1
        return
    change = Change(
        id, other_id, entry.sha256_prefix != digest, _side(before, row), _side(after, other_row), words=words(before, after)
    )
    change.gained, change.lost = _facts(after, before), _facts(before, after)
    change.checks = list(_checks(before, after))
    diff.changed += 1
    diff.facts_gained += len(change.gained)
    diff.facts_lost += len(change.lost)
    if change.before.kind != change.after.kind:
        kinds[f"{change.before.kind} -> {change.after.kind}"] += 1
    for check in change.checks:
        checks[f"{check['check']}: {_word(check['before'])} -> {_word(check['after'])}"] += 1
    if len(diff.changes) < LISTED:
        diff.changes.append(change)


def _view(row: dict[str, Any] | None) -> View | None:
    return viewstore.from_row(row) if row else None


def _side(view: View | None, row: dict[str, Any] | None) -> Side:
    if view is None:
        return Side("pending", None, None, None)
    return Side(view.kind, view.tokens, row["model"] if row else None, view.verdict.passed if view.verdict else None)


def words(before: View | None, after: View | None) -> list[Words]:
    """The first text turned into the other, word by word; the spaces between words are not compared."""
    a, b = (((view.text or "") if view else "").split() for view in (before, after))
    if len(a) > MOST_WORDS or len(b) > MOST_WORDS:
        return [Words(op, " ".join(run)) for op, run in (("-", a), ("+", b)) if run]
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    blocks = [m for m in matcher.get_matching_blocks() if m.size >= LEAST_WORDS or not m.size or m.size in (len(a), len(b))]
    found: list[Words] = []
    at, other_at = 0, 0
    for start, other_start, size in blocks:
        runs = ("-", a[at:start]), ("+", b[other_at:other_start]), ("=", b[other_start : other_start + size])
        found += [Words(op, " ".join(run)) for op, run in runs if run]
        at, other_at = start + size, other_start + size
    return found


def _facts(here: View | None, there: View | None) -> list[dict[str, str]]:
    """Facts in the text of one view that the other's does not have, each once."""
    known = {(f.kind, f.text.casefold()) for f in (there.facts if there else ()) if f.view is not None}
    found: dict[tuple[str, str], dict[str, str]] = {}
    for fact in here.facts if here else ():
        if fact.view is not None and (fact.kind, fact.text.casefold()) not in known:
            found.setdefault((fact.kind, fact.text.casefold()), {"kind": fact.kind, "text": fact.text})
    return list(found.values())


def _checks(before: View | None, after: View | None) -> Iterator[dict[str, Any]]:
    old = {check.name: check for check in (before.verdict.checks if before and before.verdict else ())}
    new = {check.name: check for check in (after.verdict.checks if after and after.verdict else ())}
    for name in dict.fromkeys([*old, *new]):
        was, now = old.get(name), new.get(name)
        if was and now and was.passed == now.passed:
            continue
        failed = next((check for check in (now, was) if check and not check.passed), None)
        yield {
            "check": name,
            "before": was.passed if was else None,
            "after": now.passed if now else None,
            "evidence": failed.evidence[0].message if failed and failed.evidence else "",
        }


def _word(passed: bool | None) -> str:
    return "not asked" if passed is None else "passed" if passed else "failed"
