"""The targets that only read an archive: restore, show, why, verify, stats. None needs an engine or a network."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmc import stats as counting
from llmc import text, units, viewstore
from llmc.archive import Archive, Entry
from llmc.errors import InputError, UsageError
from llmc.files import Restored, restore_files
from llmc.report import html
from llmc.report import why as why_page
from llmc.schema import RunConfig
from llmc.view import View

if TYPE_CHECKING:
    from llmc.target.route import RouteReport

LISTED = 1000  # documents that `show` lists without id=


def open_archive(config: RunConfig) -> Archive:
    if not config.archive:
        name = config.target._target_.rpartition(".")[2]
        raise UsageError("no archive named", hint=f"llmc {name} archive=notes.llmc")
    return Archive.open(config.archive)


def restore(config: RunConfig) -> Restored | str:
    """Write documents back; ``output=-`` writes their bytes to standard output."""
    archive = open_archive(config)
    if not config.output:
        raise UsageError(
            "restore needs an output",
            hint=f"llmc restore archive={archive.folder} output=back/   (or output=- for standard output)",
        )
    if config.dry_run:
        entries = list(archive.select(config.id))
        size = units.size(sum(e.size_bytes for e in entries))
        return f"write {units.many(len(entries), 'document')}, {size}, to {config.output}"
    if config.output == "-":
        for entry in archive.select(config.id):
            for piece in archive.read_pieces(entry):
                sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return Restored(output="-")
    return restore_files(archive, Path(config.output).expanduser(), pattern=config.id, force=config.force)


@dataclass(slots=True)
class Listing:
    """What an archive holds, a line per document."""

    archive: str
    documents: list[dict[str, Any]]
    more: int = 0


@dataclass(slots=True)
class Shown:
    """One document: its view, or its original when there is none or it was asked for."""

    id: str
    bytes: int
    view: View | None
    receipt: dict[str, Any]
    original: str | None = None


def show(config: RunConfig) -> Listing | Shown:
    archive = open_archive(config)
    if config.id is None or (any(c in config.id for c in "*?[") and not any(e.id == config.id for e in archive.entries())):
        rows: list[dict[str, Any]] = []
        more = 0
        for entry, row in with_views(archive, config.id):
            if len(rows) == LISTED:
                more += 1
                continue
            rows.append(
                {
                    "id": entry.id,
                    "bytes": entry.size_bytes,
                    "view": row["kind"] if row else "pending",
                    "tokens": row["tokens"] if row and row["kind"] != "none" else None,
                    "text": (row["text"] or None) if row else None,
                }
            )
        return Listing(str(archive.folder), rows, more)
    entry = archive.find(config.id)
    row = row_of(archive, entry)
    view = viewstore.from_row(row) if row else None
    original = None
    if config.original or view is None or view.kind == "none":
        data = archive.read(entry)
        try:
            original = text.decode(data)
        except InputError:
            original = repr(data[:2000])[2:-1] + ("…" if len(data) > 2000 else "")
    return Shown(entry.id, entry.size_bytes, view, receipt(entry, row), original)


@dataclass(slots=True)
class Why:
    """Every attempt at a document's view, every check, its evidence; with the source, to show the places."""

    id: str
    view: View | None
    receipt: dict[str, Any]
    source: str | None
    html: str | None = None
    """The page that was written, where ``html=`` asked for one."""


@dataclass(slots=True)
class Refusals:
    """The documents whose gist was refused, and why."""

    archive: str
    documents: list[dict[str, Any]] = field(default_factory=list)


def why(config: RunConfig) -> "Why | Refusals | RouteReport":
    if config.do == "route":
        from llmc.target.route import route  # brings the engines: reading an archive needs none

        return route(config)
    archive = open_archive(config)
    if config.id is None:
        if not config.refused:
            raise UsageError(
                "why needs a document, or refused=true for all that was refused",
                hint=f"llmc why archive={archive.folder} refused=true   (or one of them: id=NAME)",
            )
        if config.html:
            raise UsageError(
                "html= writes the page of one document", hint=f"llmc show archive={archive.folder} lists them: id=NAME"
            )
        found = Refusals(str(archive.folder))
        for entry, row in with_views(archive, None):
            reasons = [f"{a['tier']}: {a['reason']}" for a in (row or {}).get("attempts", ()) if a["outcome"] == "refused"]
            if reasons:
                found.documents.append({"id": entry.id, "view": row["kind"] if row else "", "refused": reasons})
        return found
    entry = archive.find(config.id)
    row = row_of(archive, entry)
    source: str | None
    try:
        data = archive.read(entry)
        source = text.decode(data) if entry.source is None else text.json_field(data, config.field)
    except InputError:
        source = None
    made = Why(entry.id, viewstore.from_row(row) if row else None, receipt(entry, row), source)
    if config.html and not config.dry_run:
        page = why_page.render(made.id, made.view, made.receipt, source)
        made.html = str(html.save(config.html, page, force=config.force))
    return made


def with_views(archive: Archive, pattern: str | None) -> Iterator[tuple[Entry, dict[str, Any] | None]]:
    """Documents with the row of their view, part by part."""
    wanted = None if pattern is None else {e.seq for e in archive.select(pattern)}
    for part in archive.manifest.parts:
        rows = {row["seq"]: row for row in viewstore.rows(archive, part)}
        for entry in archive.entries(part):
            if wanted is None or entry.seq in wanted:
                yield entry, rows.get(entry.seq)


def row_of(archive: Archive, entry: Entry) -> dict[str, Any] | None:
    part = next(p for p in archive.manifest.parts if p.part == entry.part)
    return next((row for row in viewstore.rows(archive, part) if row["seq"] == entry.seq), None)


def receipt(entry: Entry, row: dict[str, Any] | None) -> dict[str, Any]:
    """What is recorded of how a document was stored and its view made."""
    made: dict[str, Any] = {"bytes": entry.size_bytes, "sha256": entry.sha256_prefix.hex() + "…", "part": entry.part}
    if entry.source is not None:
        made |= {"source": entry.source, "line": entry.line}
    for key in ("sha256", "model", "model_digest", "prompt_hash", "seed", "tokens_by", "seconds", "config"):
        if row and row[key] is not None:
            made[key] = row[key]
    return made


@dataclass(slots=True)
class Verified:
    """Every stored document's sha256 recomputed; ``damaged`` lists the ones that are not what was stored."""

    archive: str
    documents: int = 0
    bytes: int = 0
    seconds: float = 0.0
    damaged: list[tuple[str, str]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 1 if self.damaged else 0


def verify(config: RunConfig) -> Verified:
    archive = open_archive(config)
    result = Verified(str(archive.folder))
    started = time.perf_counter()
    for entry, problem in archive.verify():
        result.documents += 1
        result.bytes += entry.size_bytes
        if problem:
            result.damaged.append((entry.id, problem))
    result.seconds = time.perf_counter() - started
    return result


def stats(config: RunConfig) -> counting.Stats:
    return counting.collect(open_archive(config))
