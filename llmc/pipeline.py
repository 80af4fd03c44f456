"""compress, whole: documents in, receipts out, in two stages that may each be interrupted and resumed.

1. The exact layer. Everything is stored and safe before a model is asked for anything.
2. The views, read from the archive itself: each document goes down the ladder (models, extract, none) until a rung gives a view
   that passes the fidelity check. ``profile.batch`` documents of each rung are worked on at once, whatever part they are in:
   while some are with the model, others are read, counted or checked. A finished one makes room for the next, so a long one
   holds up nobody; of those that wait for a model, the longest of the oldest batch is next: none is left for the end.

What decides that a view is made anew: :func:`config_hash` over the settings, and :meth:`llmc.view.ladder.Ladder.up_to_date`.
"""

import asyncio
import dataclasses
import errno
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from llmc import money, text, viewstore
from llmc.archive import Archive, Entry
from llmc.codec import Codec
from llmc.documents import Selection, check_output
from llmc.errors import ArchiveError, BudgetExceeded, EngineError, InputError, LedgerError, LlmcError
from llmc.fidelity import Policy
from llmc.parts import Part, lock
from llmc.route import Stopped, cause
from llmc.route.tier import Tally
from llmc.schema import ViewConfig
from llmc.view import REUSED, Attempt, View
from llmc.view.ladder import Ladder, no_view
from llmc.view.prompt import prompt_hash
from llmc.view.reuse import Reused
from llmc.writer import Pool, Writer

DISK_HINT = "what the archive holds is intact; make room for it and run the same command again"


@dataclass(slots=True)
class Progress:
    """What a progress display needs; one object, updated in place."""

    stage: str = "exact"
    documents: int = 0
    """Done in this stage; in the first one, read."""
    read_bytes: int = 0
    total: int | None = None
    stored: int = 0
    bytes: int = 0
    """Stored in the first stage: documents, and their size."""
    in_flight: int = 0
    """Documents being worked on now."""
    tiers: dict[str, Tally] = field(default_factory=dict)
    """What each rung has done, by its name."""
    spent_usd: Decimal | None = None
    budget_usd: Decimal | None = None
    """What providers have charged for so far, and what they may in this run; None: not kept, no limit."""
    electricity_usd: Decimal = Decimal(0)
    """Of models of this machine, where it is metered; no budget counts it."""
    interrupted: bool = False
    """Ctrl-C was pressed; what is in flight is being finished."""
    kinds: Counter[str] = field(default_factory=Counter)

    def paid(self, tier: str, cost_pico: int | None, *, local: bool) -> None:
        """A request of this rung cost so much; what is not known adds nothing."""
        cost = money.usd(cost_pico or 0)
        self.spent_usd = (self.spent_usd or Decimal(0)) + (0 if local else cost)
        self.electricity_usd += cost if local else 0
        if cost and tier in self.tiers:
            self.tiers[tier].spent_usd = (self.tiers[tier].spent_usd or Decimal(0)) + cost


@dataclass(slots=True)
class Summary:
    """What one ``compress`` did."""

    archive: str
    view: str = "none"
    """What was asked for: ``gist``, ``extract`` or ``none``."""
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
    gists_by: dict[str, int] = field(default_factory=dict)
    """Gists kept in this run, by the rung and model that wrote them."""
    steps_down: dict[str, dict[str, int]] = field(default_factory=dict)
    """For each rung, how many documents left it for the next one, by cause."""
    reused: Reused = field(default_factory=Reused)
    interrupted: bool = False


async def make_views(
    archive: Archive,
    ladder: Ladder,
    *,
    json_field: str = "text",
    max_failures: int | None = None,
    on_view: Callable[[View], None] = lambda view: None,
    progress: Progress | None = None,
) -> int:
    """Give every live document that lacks one a view of this ladder's; how many were made.

    Raises BudgetExceeded when the meter says no, LedgerError when it cannot tell, and EngineError when more than
    ``max_failures`` documents got no model's answer; either way what is with a model is finished and kept first.
    """
    run = _Run(archive, ladder, json_field, max_failures, on_view, progress or Progress())
    try:
        return await run.all()
    finally:
        for tier in ladder.tiers:
            await tier.aclose()


class _Run:
    """The second stage of one ``compress``."""

    def __init__(
        self,
        archive: Archive,
        ladder: Ladder,
        json_field: str,
        max_failures: int | None,
        on_view: Callable[[View], None],
        progress: Progress,
    ) -> None:
        self.archive, self.ladder, self.json_field, self.progress = archive, ladder, json_field, progress
        self.max_failures, self.on_view = max_failures, on_view
        self.config = config_hash(ladder.view, ladder.policy, ladder.seed, json_field)
        self.batch = ladder.in_work
        self.journals: dict[int, _OpenJournal] = {}
        self.made = self.failures = 0
        self.stop: LlmcError | None = None
        self._writing = asyncio.Lock()
        progress.tiers = {tier.name: tier.tally for tier in ladder.tiers}

    async def all(self) -> int:
        running: set[asyncio.Task[None]] = set()
        try:
            for number, entry in enumerate(self._missing()):
                while len(running) >= self.batch:
                    running = await self._some_done(running)
                if self.stop:
                    break
                turn = (number // self.batch, -entry.size_bytes)
                running.add(asyncio.create_task(self._one(entry, turn)))
                self.progress.in_flight = len(running)
            while running:
                running = await self._some_done(running)
        except asyncio.CancelledError:
            self.progress.interrupted = True
            raise
        finally:  # what is with a model is finished, also after Ctrl-C; what waits for one is not begun
            for tier in self.ladder.tiers:
                tier.limit.stop()
            errors: list[BaseException] = []
            while running:
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                self.progress.in_flight = len(running)
                errors += [error for task in finished if (error := task.exception())]
            for journal in self.journals.values():
                journal.seal()
            if errors:
                raise errors[0]  # the others are of the same full disk, or of the same defect
        if self.stop:
            raise self.stop
        return self.made

    async def _some_done(self, running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        self.progress.in_flight = len(running)
        for task in finished:
            task.result()
        return running

    def _missing(self) -> Iterator[Entry]:
        """What lacks a view, part after part; in stream order each block is decoded once."""
        for part in self.archive.manifest.parts:
            if missing := sorted(_missing(self.archive, part, self.config, self.ladder), key=lambda e: e.start):
                self.journals[part.part] = _OpenJournal(self.archive.folder, part, len(missing))
                yield from missing

    async def _one(self, entry: Entry, turn: tuple[int, int]) -> None:
        """One document, to its line in the journal."""
        try:
            sha256, view = await _view(self.ladder, self.archive, entry, self.json_field, turn)
        except Stopped:
            return
        except (BudgetExceeded, LedgerError) as error:
            self._end(error)
            return
        row = {"seq": entry.seq, "id": entry.id, **viewstore.to_row(view), **self.ladder.receipt(view, sha256, self.config)}
        async with self._writing:  # off the loop: a disk takes milliseconds to say that a line is safe
            await asyncio.to_thread(self.journals[entry.part].append, row)
        self.made += 1
        self.on_view(view)
        if view.kind != "gist" and (failed := [a for a in view.attempts if a.outcome == "failed" and a.cause != "no model"]):
            self.failures += failed[-1].cause != "given up"
            if self.max_failures is not None and self.failures > self.max_failures:
                self._end(
                    EngineError(
                        f"{self.failures} documents got no answer from a model, profile.max_failures={self.max_failures}; "
                        f"the last: {failed[-1].reason}",
                        hint="what is done is kept; llmc stats lists the errors, the same command goes on from here",
                    )
                )

    def _end(self, error: LlmcError) -> None:
        """No document is begun any more; the run ends with this error."""
        self.stop = self.stop or error
        for tier in self.ladder.tiers:
            tier.limit.stop()


class _OpenJournal(viewstore.Journal):
    """Seals itself when the last of the documents it waits for is in it."""

    def __init__(self, folder: Path, part: Part, expected: int) -> None:
        super().__init__(folder, part)
        self._expected = expected

    def append(self, row: dict[str, Any]) -> None:
        super().append(row)
        self._expected -= 1
        if not self._expected:
            self.seal()


def pending_views(archive: Archive, ladder: Ladder, json_field: str = "text") -> int:
    """How many documents :func:`make_views` would work on."""
    config = config_hash(ladder.view, ladder.policy, ladder.seed, json_field)
    return sum(len(_missing(archive, part, config, ladder)) for part in archive.manifest.parts)


def config_hash(view: ViewConfig, policy: Policy, seed: int, json_field: str) -> str:
    """16 hex digits over all that decides what a view would be beside the model; the same digits, nothing to redo."""
    settings: dict[str, Any] = {"view": dataclasses.asdict(view), "policy": dataclasses.asdict(policy), "field": json_field}
    if view.name == "gist":
        settings |= {"prompt": prompt_hash(), "seed": seed}
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _missing(archive: Archive, part: Part, config: str, ladder: Ladder) -> list[Entry]:
    """Documents without a view made this way."""
    columns = ["kind", "config", "retry", "model_digest", "attempts"]
    there = {row["seq"] for row in viewstore.rows(archive, part, columns) if ladder.up_to_date(row, config)}
    return [entry for entry in archive.entries(part) if entry.seq not in there]


async def _view(ladder: Ladder, archive: Archive, entry: Entry, field_name: str, turn: tuple[int, int]) -> tuple[str, View]:
    """A document's sha256 and its view; whatever is wrong with one document is a reason in its receipt."""
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
            made = await ladder.make(source, entry.id, turn)
        except (BudgetExceeded, LedgerError):  # of the run, not of this document
            raise
        except EngineError as error:  # of a cluster that is gone, say: no rung was there to note it
            made = no_view(0, Attempt("none", "failed", error.message, cause=cause(error)))
    return sha256, dataclasses.replace(made, seconds=time.perf_counter() - started)


def compress_exact(
    selection: Selection,
    output: Path,
    codec: Codec,
    *,
    force: bool = False,
    grouping: bool = True,
    workers: int | None = None,
    pool: Pool | None = None,
    progress: Progress,
    summary: Summary,
) -> None:
    """Stage 1: store every document that is not stored yet. One that cannot be read is noted and passed over."""
    check_output(output)
    selection.output = output
    started = time.perf_counter()
    documents = iter(selection)
    first = next(documents, None)  # a wrong input is known before a folder is made

    def read(size: int) -> None:
        progress.documents += 1
        progress.read_bytes += size

    def stored(count: int, size: int) -> None:
        progress.stored += count
        progress.bytes += size

    writer = Writer(
        output,
        codec,
        force=force,
        grouping=grouping,
        workers=workers,
        pool=pool,
        on_read=read,
        on_stored=stored,
        on_warning=summary.warnings.append,
    )
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


def _count_steps(summary: Summary, made: View) -> None:
    """Who wrote the gist, and for each rung that was left in this run for the next one, why."""
    last: dict[str, Attempt] = {}
    for attempt in made.attempts[-1:] if made.attempts[-1].outcome in REUSED else made.attempts:
        if attempt.by:
            last[attempt.by] = attempt  # of a rung asked twice, the second try's reason is the one that sent it on
    for by, attempt in last.items():
        if attempt.outcome in ("kept", *REUSED):
            name = f"{attempt.model} ({by})"
            summary.gists_by[name] = summary.gists_by.get(name, 0) + 1
        else:
            causes = summary.steps_down.setdefault(by, {})
            causes[attempt.cause] = causes.get(attempt.cause, 0) + 1


def compress(
    selection: Selection,
    output: Path,
    codec: Codec,
    ladder: Ladder,
    *,
    json_field: str = "text",
    max_failures: int | None = None,
    force: bool = False,
    grouping: bool = True,
    workers: int | None = None,
    pool: Pool | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Both stages. Ctrl-C ends it early with ``interrupted`` set: what is done is kept, the same call goes on from there."""
    progress = progress or Progress()
    summary = Summary(str(output), ladder.view.name)
    compress_exact(
        selection, output, codec, force=force, grouping=grouping, workers=workers, pool=pool, progress=progress, summary=summary
    )
    if ladder.view.name == "none" or summary.interrupted:
        return summary
    archive = Archive.open(output, [codec])
    progress.stage, progress.documents = "views", 0
    progress.total = pending_views(archive, ladder, json_field)
    for tier in ladder.tiers:
        tier.on_warning = summary.warnings.append
    started = time.perf_counter()

    def on_view(made: View) -> None:
        summary.views_made += made.kind != "none"
        summary.documents_viewed += 1
        summary.prompt_tokens += sum(a.prompt_tokens for a in made.attempts)
        summary.output_tokens += sum(a.output_tokens for a in made.attempts)
        progress.documents += 1
        progress.kinds[made.kind] += 1
        _count_steps(summary, made)

    try:
        with lock(output):
            asyncio.run(
                make_views(
                    archive, ladder, json_field=json_field, max_failures=max_failures, on_view=on_view, progress=progress
                )
            )
    except KeyboardInterrupt:
        summary.interrupted = progress.documents < progress.total  # it may come when all is done
    except OSError as error:
        raise ArchiveError(
            f"{output} cannot be written: {os.strerror(error.errno or errno.EIO)}", hint=_write_hint(error)
        ) from error
    finally:
        summary.view_seconds = time.perf_counter() - started
        if ladder.reuse:
            summary.reused = ladder.reuse.reused()
    return summary
