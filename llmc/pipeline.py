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
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmc import fidelity, text, viewstore
from llmc.archive import Archive, Entry, Part, lock
from llmc.codec import Codec
from llmc.documents import Selection, check_output
from llmc.engine import Engine
from llmc.errors import ArchiveError, EngineError, EngineUnavailable, InputError, LlmcError
from llmc.fidelity import Policy, Span, Verdict
from llmc.schema import ViewConfig
from llmc.view import Attempt, BoundFact, View, bind
from llmc.view import extract as extracting
from llmc.view import gist as gisting
from llmc.view.prompt import prompt_hash
from llmc.writer import Writer

MAX_LEFT_OUT = 50  # listed in a receipt; the view itself says how many there are
MAX_ENGINE_STARTS = 5  # in one run: an engine that dies more often than that is not coming back
DISK_HINT = "what the archive holds is intact; make room for it and run the same command again"
ESTIMATED_BYTES_PER_TOKEN = 4  # only where no model is at hand to count; whatever shows it says "estimated"


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
    maker = _Maker(view, policy, engine, why_no_engine, seed, on_warning, progress)
    config = config_hash(view, policy, seed, json_field)
    slots = asyncio.Semaphore(engine.slots if engine else 1)
    made = 0
    try:
        for part in archive.manifest.parts:
            if _missing(archive, part, config, engine):
                made += await _make_part(archive, part, maker, config, slots, json_field, on_view)
    finally:
        if engine is not None:
            await engine.aclose()
    return made


async def _make_part(
    archive: Archive,
    part: Part,
    maker: "_Maker",
    config: str,
    slots: asyncio.Semaphore,
    json_field: str,
    on_view: Callable[[View], None],
) -> int:
    """The views of one part, as many at once as there are slots; each is in the journal before it is counted."""
    made = 0
    running: set[asyncio.Task[tuple[Entry, str, View]]] = set()
    journal = viewstore.Journal(archive.folder, part)

    async def one(entry: Entry) -> tuple[Entry, str, View]:
        try:
            return await _one(maker, archive, entry, json_field)
        finally:
            slots.release()

    def keep(task: asyncio.Task[tuple[Entry, str, View]]) -> None:
        entry, sha256, view = task.result()
        journal.append({"seq": entry.seq, "id": entry.id, **viewstore.to_row(view), **maker.receipt(view, sha256, config)})
        on_view(view)

    try:
        missing = _missing(archive, part, config, maker.engine)
        for entry in sorted(missing, key=lambda e: e.start):  # in stream order each block is decoded once
            await slots.acquire()
            running.add(asyncio.create_task(one(entry)))
            maker.progress.in_flight = len(running)
            for task in [t for t in running if t.done()]:
                running.remove(task)
                keep(task)
                made += 1
    except asyncio.CancelledError:
        maker.progress.interrupted = True
        raise
    finally:
        while running:  # what is in flight is finished, also after Ctrl-C
            finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                keep(task)
                made += 1
            maker.progress.in_flight = len(running)
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


async def _one(maker: "_Maker", archive: Archive, entry: Entry, field_name: str) -> tuple[Entry, str, View]:
    """The entry with its sha256 and its view; whatever is wrong with one document is a reason in its receipt."""
    started = time.perf_counter()
    limit = maker.view.max_source_bytes
    sha256 = ""
    try:
        if entry.size_bytes > limit:
            raise InputError(f"{entry.size_bytes} bytes are more than view.max_source_bytes={limit}")
        data = archive.read(entry)
        sha256 = hashlib.sha256(data).hexdigest()
        source = text.decode(data) if entry.source is None else text.json_field(data, field_name)
    except (InputError, ArchiveError) as error:
        made = _none(0, Attempt("none", "kept", error.message))
    else:
        try:
            made = await maker.make(source)
        except LlmcError as error:
            made = _none(0, Attempt("none", "failed", error.message))
    return entry, sha256, dataclasses.replace(made, seconds=time.perf_counter() - started)


def _none(source_tokens: int, *attempts: Attempt) -> View:
    return View("none", None, source_tokens, source_tokens, attempts=attempts)


class _Maker:
    """Makes the view of one text after another; holds what they share: the engine, and whether it still answers."""

    def __init__(
        self,
        view: ViewConfig,
        policy: Policy,
        engine: Engine | None,
        why_no_engine: str,
        seed: int,
        on_warning: Callable[[str], None],
        progress: Progress,
    ) -> None:
        self.progress = progress
        self.view, self.policy, self.engine, self.seed = view, policy, engine, seed
        self.tokens_by = engine.model if engine else f"estimated, {ESTIMATED_BYTES_PER_TOKEN} bytes a token"
        self._down = why_no_engine if engine is None else ""
        self._starts = 0
        self._reviving = asyncio.Lock()
        self._on_warning = on_warning

    async def tokens(self, content: str) -> int:
        if self.engine is not None:
            try:
                return await self.engine.count_tokens(content)
            except EngineUnavailable as error:
                if await self._revive(error):
                    return await self.engine.count_tokens(content)
        return -(-len(content.encode()) // ESTIMATED_BYTES_PER_TOKEN)

    def receipt(self, view: View, sha256: str, config: str) -> dict[str, Any]:
        """What is recorded beside a view: with what it was made, so that it could be made again."""
        used = self.engine if any(a.prompt_tokens for a in view.attempts) else None
        return {
            "sha256": sha256 or None,
            "model": used and used.model,
            "model_digest": used and used.model_digest,
            "prompt_hash": used and prompt_hash(),
            "seed": used and self.seed,
            "tokens_by": self.tokens_by,
            "config": config,
            "retry": any(a.outcome == "failed" for a in view.attempts),
        }

    async def make(self, source: str) -> View:
        view = self.view
        source_tokens = await self.tokens(source)
        if source_tokens < view.min_source_tokens:
            reason = f"short: {source_tokens} tokens are fewer than view.min_source_tokens={view.min_source_tokens}"
            return _none(source_tokens, Attempt("none", "kept", reason))
        budget = self._budget(source_tokens)
        attempts: list[Attempt] = []
        if view.name == "gist":
            async for attempt, candidate, verdict, keys in self._gists(source, source_tokens, budget):
                attempts.append(attempt)
                if attempt.outcome == "kept" and verdict:
                    return await self._view("gist", source, source_tokens, candidate, verdict, attempts, keys)
        attempt, candidate, verdict = await self._extract(source, source_tokens, budget)
        attempts.append(attempt)
        if attempt.outcome == "kept":
            return await self._view("extract", source, source_tokens, candidate, verdict, attempts)
        attempts.append(Attempt("none", "kept", "nothing passed the check"))
        return dataclasses.replace(_none(source_tokens, *attempts), verdict=verdict)

    async def extract(self, source: str) -> tuple[str, Verdict] | None:
        source_tokens = await self.tokens(source)
        if source_tokens < self.view.min_source_tokens:
            return None
        _, content, verdict = await self._extract(source, source_tokens, self._budget(source_tokens))
        return content, verdict

    def _budget(self, source_tokens: int) -> int:
        floor = min(self.view.min_tokens, source_tokens // 2)
        return int(min(self.view.max_tokens, max(source_tokens / self.view.target_ratio, floor)))

    async def _view(
        self,
        kind: str,
        source: str,
        source_tokens: int,
        content: str,
        verdict: Verdict,
        attempts: list[Attempt],
        keys: tuple[BoundFact, ...] = (),
    ) -> View:
        left_out = tuple(fidelity.left_out(source, content, self.policy)[:MAX_LEFT_OUT])
        tokens = await self.tokens(content)
        return View(kind, content, source_tokens, tokens, (*bind(source, content), *keys), left_out, verdict, tuple(attempts))

    async def _gists(
        self, source: str, source_tokens: int, budget: int
    ) -> AsyncIterator[tuple[Attempt, str, Verdict | None, tuple[BoundFact, ...]]]:
        """Each try of the model with its verdict, until one is kept or there is nothing more to try."""
        view, engine = self.view, self.engine
        if engine is None or self._down:
            yield Attempt("gist", "failed", self._down), "", None, ()
            return
        if source_tokens > view.max_source_tokens:
            reason = f"{source_tokens} tokens are more than view.max_source_tokens={view.max_source_tokens}"
            yield Attempt("gist", "skipped", reason), "", None, ()
            return
        wrong = ""
        for _ in range(view.attempts):
            started = time.perf_counter()
            try:
                draft = await self._draft(engine, source, budget, wrong)
            except EngineError as error:
                yield Attempt("gist", "failed", error.message, seconds=time.perf_counter() - started), "", None, ()
                return
            content, verdict = await self._checked(source, source_tokens, draft.text, budget, draft.run)
            self.progress.tokens += draft.prompt_tokens + draft.output_tokens
            took = (draft.prompt_tokens, draft.output_tokens, time.perf_counter() - started)
            if verdict.passed:
                keys = tuple(BoundFact("key", q, None, Span(source.index(q), source.index(q) + len(q))) for q in draft.quotes)
                yield Attempt("gist", "kept", "", *took), content, verdict, keys
                return
            wrong = refusal(verdict)
            yield Attempt("gist", "refused", wrong, *took), content, verdict, ()

    async def _draft(self, engine: Engine, source: str, budget: int, wrong: str) -> gisting.Draft:
        for revived in (False, True):
            try:
                return await gisting.draft(
                    source, budget, engine, temperature=self.view.temperature, seed=self.seed, wrong=wrong
                )
            except EngineUnavailable as error:
                if revived or not await self._revive(error):
                    raise
        raise AssertionError("unreachable")

    async def _extract(self, source: str, source_tokens: int, budget: int) -> tuple[Attempt, str, Verdict]:
        started = time.perf_counter()
        # Sentences are chosen by their share of the characters; dense ones hold more tokens than that.
        content = await asyncio.to_thread(extracting.extract, source, int(budget * 0.85), source_tokens)
        content, verdict = await self._checked(source, source_tokens, content, budget, None)
        outcome, reason = ("kept", "") if verdict.passed else ("refused", refusal(verdict))
        return Attempt("extract", outcome, reason, seconds=time.perf_counter() - started), content, verdict

    async def _checked(
        self, source: str, source_tokens: int, content: str, budget: int, run: fidelity.Run | None
    ) -> tuple[str, Verdict]:
        """The text as it would be kept, with its verdict: cut to the budget at sentences, must-keep facts appended by copy;
        if that is refused, once more without the sentences that were found wrong."""
        best: tuple[str, Verdict] | None = None
        for _ in range(2):
            candidate, tokens = await self._declared(source, source_tokens, content, budget)
            verdict = await asyncio.to_thread(
                fidelity.check,
                source,
                candidate,
                dataclasses.replace(self.policy, max_view_tokens=budget),
                run=run,
                view_tokens=tokens,
                source_tokens=source_tokens,
            )
            if verdict.passed or best is None:
                best = candidate, verdict
            if verdict.passed:
                break
            repaired = without_wrong_sentences(content, verdict)
            if not repaired or repaired == content:
                break
            content = repaired
        assert best is not None
        return best

    async def _declared(self, source: str, source_tokens: int, content: str, budget: int) -> tuple[str, int]:
        """The text with its must-keep facts, within the budget: sentences from the end make room for them."""
        chars_per_token = len(source) / max(1, source_tokens)
        reserve = 0  # for the count of what is left out, known only once the rest is
        for _ in range(6):
            fitting = await self._fit(content, budget - reserve)
            spare = max(0, int((budget - reserve - await self.tokens(fitting)) * chars_per_token))
            candidate = await asyncio.to_thread(fidelity.declare, source, fitting, self.policy, spare)
            tokens = await self.tokens(candidate)
            if tokens <= budget:
                break
            reserve += tokens - budget + 2
        return candidate, tokens

    async def _fit(self, content: str, budget: int) -> str:
        """Whole sentences from the end are dropped until the rest is within the budget."""
        spans = fidelity.analyse(content).sentences
        while len(spans) > 1 and await self.tokens(content[: spans[-1].end]) > budget:
            spans = spans[:-1]
        return content[: spans[-1].end].removesuffix(extracting.GAP.rstrip()).rstrip() if spans else ""

    async def _revive(self, error: EngineUnavailable) -> bool:
        """Start a dead engine again; False when it stays down, which every later document is then told at once."""
        assert self.engine is not None
        async with self._reviving:
            if self._down:
                return False
            if (await self.engine.health()).ok:
                return True  # another document has done it
            self._starts += 1
            if self._starts > MAX_ENGINE_STARTS:
                self._down = f"{error.message}, for the {self._starts}th time: given up for this run"
                self._on_warning(self._down)
                return False
            self._on_warning(f"{error.message}: starting it again")
            try:
                await asyncio.to_thread(self.engine.__exit__, None, None, None)
                await asyncio.to_thread(self.engine.__enter__)
            except EngineUnavailable as again:
                self._down = again.message
                self._on_warning(f"it does not start again: {again.message}")
                return False
            return True


def extract_of(source: str, view: ViewConfig, policy: Policy) -> tuple[str, Verdict] | None:
    """The extract that ``view=extract`` would keep or refuse for a text, and its verdict; None when the text is too short."""
    maker = _Maker(view, policy, None, "", 0, lambda warning: None, Progress())
    return asyncio.run(maker.extract(source))


def refusal(verdict: Verdict) -> str:
    """One line: each failed check with its first piece of evidence."""
    return "; ".join(f"{c.name}: {c.evidence[0].message if c.evidence else 'failed'}" for c in verdict.checks if not c.passed)


def without_wrong_sentences(content: str, verdict: Verdict) -> str:
    """The view less every sentence that a failed check points at; ``""`` when a failure has no place in the view."""
    spans = []
    for check in verdict.checks:
        if not check.passed:
            places = [e.view for e in check.evidence if e.view is not None]
            if not places:
                return ""
            spans.extend(places)
    sentences = fidelity.analyse(content).sentences
    kept = [s for s in sentences if not any(p.start < s.end and s.start < p.end for p in spans)]
    return " ".join(content[s.start : s.end] for s in kept)


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
