"""compress, whole: documents in, receipts out, in two stages that may each be interrupted and resumed.

1. The exact layer. Everything is stored and safe before a model is asked for anything.
2. The views, read from the archive itself: each document goes down the ladder (gist by the model, extract, none) until a rung
   gives a view that passes the fidelity check. As many documents are with the engine at once as it has slots; a finished one
   makes room for the next.
"""

import asyncio
import dataclasses
import errno
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmc import text, viewstore
from llmc.archive import Archive, Entry
from llmc.codec import Codec
from llmc.documents import Selection, check_output
from llmc.engine import Engine
from llmc.errors import ArchiveError, InputError, LlmcError
from llmc.fidelity import Policy
from llmc.parts import Part, lock
from llmc.schema import ViewConfig
from llmc.view import Attempt, View
from llmc.view.ladder import Ladder, no_view
from llmc.view.prompt import prompt_hash
from llmc.writer import Writer

DISK_HINT = "what the archive holds is intact; make room for it and run the same command again"


@dataclass(slots=True)
class Progress:
    """What a progress display needs; one object, updated in place."""

    stage: str = "exact"
    documents: int = 0
    """Done in this stage."""
    total: int | None = None
    stored: int = 0
    bytes: int = 0
    """Stored in the first stage: documents, and their size."""
    tokens: int = 0
    """Prompt and output tokens the engine has processed."""
    in_flight: int = 0
    """Documents being worked on now."""
    interrupted: bool = False
    """Ctrl-C was pressed; what is in flight is being finished."""
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Summary:
    """What one ``compress`` did."""

    archive: str
    stored: int = 0
    replaced: int = 0
    """Of the stored ones, those that are a new version of a document of the same name."""
    unchanged: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Documents that could not be read."""
    documents_viewed: int = 0
    """Documents that the second stage dealt with."""
    views_made: int = 0
    """Of these, those that now have a gist or an extract."""
    warnings: list[str] = field(default_factory=list)
    exact_seconds: float = 0.0
    view_seconds: float = 0.0
    prompt_tokens: int = 0
    output_tokens: int = 0
    interrupted: bool = False


async def make_views(
    archive: Archive,
    view: ViewConfig,
    *,
    policy: Policy,
    engine: Engine | None,
    why_no_engine: str = "",
    json_field: str = "text",
    seed: int = 1,
    on_view: Callable[[View], None] = lambda view: None,
    on_warning: Callable[[str], None] = lambda message: None,
    progress: Progress | None = None,
) -> int:
    """Give every live document that lacks one a view made this way; how many were made."""
    progress = progress or Progress()

    def on_tokens(tokens: int) -> None:
        progress.tokens += tokens

    ladder = Ladder(view, policy, engine, why_no_engine, seed, on_warning, on_tokens)
    config = config_hash(view, policy, seed, json_field)
    slots = asyncio.Semaphore(engine.slots if engine else 1)
    made = 0
    try:
        for part in archive.manifest.parts:
            if _missing(archive, part, config, engine):
                made += await _make_part(archive, part, ladder, config, slots, json_field, on_view, progress)
    finally:
        if engine is not None:
            await engine.aclose()
    return made


async def _make_part(
    archive: Archive,
    part: Part,
    ladder: Ladder,
    config: str,
    slots: asyncio.Semaphore,
    json_field: str,
    on_view: Callable[[View], None],
    progress: Progress,
) -> int:
    """The views of one part, as many at once as there are slots; each is in the journal before it is counted."""
    made = 0
    running: set[asyncio.Task[tuple[Entry, str, View]]] = set()
    journal = viewstore.Journal(archive.folder, part)

    async def one(entry: Entry) -> tuple[Entry, str, View]:
        try:
            return await _one(ladder, archive, entry, json_field)
        finally:
            slots.release()

    def keep(task: asyncio.Task[tuple[Entry, str, View]]) -> None:
        entry, sha256, view = task.result()
        journal.append({"seq": entry.seq, "id": entry.id, **viewstore.to_row(view), **ladder.receipt(view, sha256, config)})
        on_view(view)

    try:
        missing = _missing(archive, part, config, ladder.engine)
        for entry in sorted(missing, key=lambda e: e.start):  # in stream order each block is decoded once
            await slots.acquire()
            running.add(asyncio.create_task(one(entry)))
            progress.in_flight = len(running)
            for task in [t for t in running if t.done()]:
                running.remove(task)
                keep(task)
                made += 1
    except asyncio.CancelledError:
        progress.interrupted = True
        raise
    finally:
        while running:  # what is in flight is finished, also after Ctrl-C
            finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                keep(task)
                made += 1
            progress.in_flight = len(running)
        journal.seal()
    return made


def pending_views(archive: Archive, config: str, engine: Engine | None) -> int:
    """How many documents :func:`make_views` would work on."""
    return sum(len(_missing(archive, part, config, engine)) for part in archive.manifest.parts)


def config_hash(view: ViewConfig, policy: Policy, seed: int, json_field: str) -> str:
    """16 hex digits over all that decides what a view would be beside the model; the same digits, nothing to redo."""
    settings: dict[str, Any] = {"view": dataclasses.asdict(view), "policy": dataclasses.asdict(policy), "field": json_field}
    if view.name == "gist":
        settings |= {"prompt": prompt_hash(), "seed": seed}
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _missing(archive: Archive, part: Part, config: str, engine: Engine | None) -> list[Entry]:
    """Documents without a view made this way. One made by another model counts as missing when there is an engine to make it
    anew, and so does one whose engine failed; without an engine what is there stays."""

    def done(row: dict[str, Any]) -> bool:
        if row["config"] != config:
            return False
        return engine is None or not (row["retry"] or row["model_digest"] not in (None, engine.model_digest))

    there = {row["seq"] for row in viewstore.rows(archive, part, ["config", "retry", "model_digest"]) if done(row)}
    return [entry for entry in archive.entries(part) if entry.seq not in there]


async def _one(ladder: Ladder, archive: Archive, entry: Entry, field_name: str) -> tuple[Entry, str, View]:
    """The entry with its sha256 and its view; whatever is wrong with one document is a reason in its receipt."""
    started = time.perf_counter()
    limit = ladder.view.max_source_bytes
    sha256 = ""
    try:
        if entry.size_bytes > limit:
            raise InputError(f"{entry.size_bytes} bytes are more than view.max_source_bytes={limit}")
        data = archive.read(entry)
        sha256 = hashlib.sha256(data).hexdigest()
        source = text.decode(data) if entry.source is None else text.json_field(data, field_name)
    except (InputError, ArchiveError) as error:
        made = no_view(0, Attempt("none", "kept", error.message))
    else:
        try:
            made = await ladder.make(source)
        except LlmcError as error:
            made = no_view(0, Attempt("none", "failed", error.message))
    return entry, sha256, dataclasses.replace(made, seconds=time.perf_counter() - started)


def compress_exact(
    selection: Selection,
    output: Path,
    codec: Codec,
    *,
    force: bool = False,
    workers: int | None = None,
    progress: Progress,
    summary: Summary,
) -> None:
    """Stage 1: store every document that is not stored yet. One that cannot be read is noted and passed over."""
    check_output(output)
    selection.output = output
    started = time.perf_counter()
    documents = iter(selection)
    first = next(documents, None)  # a wrong input is known before a folder is made

    def stored(count: int, size: int) -> None:
        progress.documents += count
        progress.stored += count
        progress.bytes += size

    writer = Writer(output, codec, force=force, workers=workers, on_stored=stored, on_warning=summary.warnings.append)
    try:
        with writer:
            document = first
            while document is not None:
                try:
                    writer.add(document)
                except InputError as error:
                    selection.failed.append((document.id, error.message))
                document = next(documents, None)
            writer.manifest.lines.update(selection.lines)
    except KeyboardInterrupt:
        summary.interrupted = True
    except OSError as error:
        raise ArchiveError(
            f"{output} cannot be written: {os.strerror(error.errno or errno.EIO)}", hint=_write_hint(error)
        ) from error
    finally:
        summary.stored, summary.replaced, summary.unchanged = writer.stored, writer.replaced, writer.unchanged
        summary.skipped, summary.failed = dict(selection.skipped), selection.failed
        summary.exact_seconds = time.perf_counter() - started


def _write_hint(error: OSError) -> str:
    return DISK_HINT if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "what the archive holds is intact"


def compress(
    selection: Selection,
    output: Path,
    codec: Codec,
    view: ViewConfig,
    policy: Policy,
    *,
    engine: Engine | None = None,
    why_no_engine: str = "",
    json_field: str = "text",
    seed: int = 1,
    force: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Both stages. Ctrl-C ends it early with ``interrupted`` set: what is done is kept, the same call goes on from there."""
    progress = progress or Progress()
    summary = Summary(str(output))
    compress_exact(selection, output, codec, force=force, workers=workers, progress=progress, summary=summary)
    if view.name == "none" or summary.interrupted:
        return summary
    archive = Archive.open(output, [codec])
    config = config_hash(view, policy, seed, json_field)
    progress.stage, progress.documents = "views", 0
    progress.total = pending_views(archive, config, engine)
    started = time.perf_counter()

    def on_view(made: View) -> None:
        summary.views_made += made.kind != "none"
        summary.documents_viewed += 1
        summary.prompt_tokens += sum(a.prompt_tokens for a in made.attempts)
        summary.output_tokens += sum(a.output_tokens for a in made.attempts)
        progress.documents += 1
        progress.kinds[made.kind] += 1

    try:
        with lock(output):
            asyncio.run(
                make_views(
                    archive,
                    view,
                    policy=policy,
                    engine=engine,
                    why_no_engine=why_no_engine,
                    json_field=json_field,
                    seed=seed,
                    on_view=on_view,
                    on_warning=summary.warnings.append,
                    progress=progress,
                )
            )
    except KeyboardInterrupt:
        summary.interrupted = True
    except OSError as error:
        raise ArchiveError(
            f"{output} cannot be written: {os.strerror(error.errno or errno.EIO)}", hint=_write_hint(error)
        ) from error
    finally:
        summary.view_seconds = time.perf_counter() - started
    return summary
