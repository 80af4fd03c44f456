"""The main job as users run it: ``llmc compress`` on some documents, whole, with an empty cache, ledger and history.

Every round's documents begin with a number that no cache has seen. The sizes are those of the documents as they are.
"""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import llmc
from bench import texts
from llmc import codec, viewstore
from llmc.archive import Archive
from llmc.bench.job import Job, nonce, started_now
from llmc.bench.record import LEAST_SAMPLES
from llmc.engine import Engine
from llmc.errors import EngineUnavailable
from llmc.schema import RunConfig
from llmc.target.compress import CompressReport, compress
from llmc.target.deploy import Deployed
from llmc.view.reuse import Reused


@dataclass
class Seen:
    """What the rounds showed, each value of one document or of one request."""

    rates: list[float] = field(default_factory=list)
    documents: list[float] = field(default_factory=list)
    without_model: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    source_tokens: list[float] = field(default_factory=list)
    view_tokens: list[float] = field(default_factory=list)
    gists: list[bool] = field(default_factory=list)
    views: list[bool] = field(default_factory=list)
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    costs: list[int | None] = field(default_factory=list)
    why_no_cost: str = ""
    joules: list[float] = field(default_factory=list)
    energy_scope: str = ""
    reused: Reused = field(default_factory=Reused)
    """Of the last run."""

    def add(self, report: CompressReport, seconds: float, ledger: Path) -> None:
        self.reused = report.run.reused
        archive = Archive.open(report.run.archive)
        columns = ["kind", "seconds", "source_tokens", "tokens", "attempts"]
        rows = [row for part in archive.manifest.parts for row in viewstore.rows(archive, part, columns)]
        self.rates.append(60 * len(rows) / seconds)
        again = len(self.rates) > 1
        for row in rows:
            self.documents.append(row["seconds"])
            if again:  # of the same documents again there is a new time, but no new case for a share
                continue
            asked = [a for a in row["attempts"] if a["tier"] == "gist" and a["outcome"] in ("kept", "refused")]
            if asked:
                self.gists.append(row["kind"] == "gist")
            self.views.append(row["kind"] != "none")
            if row["kind"] != "none":
                self.source_tokens.append(row["source_tokens"])
                self.view_tokens.append(row["tokens"])
        if ledger.exists():
            self.bill(ledger)

    def bill(self, ledger: Path) -> None:
        question = """SELECT seconds, prompt_tokens, cache_read_tokens, output_tokens, cost_pico, energy_joules, energy_scope,
            price_source FROM events JOIN prices USING (price) WHERE status = 'ok'"""
        with closing(sqlite3.connect(ledger)) as connection:
            for seconds, prompt, cached, output, cost, joules, scope, source in connection.execute(question):
                self.requests += 1
                self.answers.append(seconds)
                self.prompt_tokens += prompt or 0
                self.cached_tokens += cached
                self.output_tokens += output or 0
                self.costs.append(cost)
                self.why_no_cost = source if cost is None else self.why_no_cost
                if joules is not None:
                    self.joules.append(joules)
                    self.energy_scope = scope


def write(folder: Path, documents: list[bytes], *, new: bool) -> Path:
    folder.mkdir()
    for i, data in enumerate(documents):
        (folder / f"{i:06}.txt").write_bytes(nonce().encode() + data if new else data)
    return folder


def one_run(
    job: Job,
    folder: Path,
    archive: Path,
    seen: Seen | None = None,
    *,
    config: RunConfig | None = None,
    engine: Engine | None = None,
) -> float:
    """Seconds of one ``llmc compress``; an engine that fails everywhere is no figure but an error."""
    config = replace(config or job.config, input=str(folder), output=str(archive), quiet=True, input_format="text")
    if engine is None and config.bench.needs_engine and config.profile.deploy:
        engine = job.running()
    started = time.perf_counter()
    report = compress(config, Deployed(engine, config) if engine else None)
    seconds = time.perf_counter() - started
    assert isinstance(report, CompressReport)
    if report.run.interrupted:
        raise KeyboardInterrupt
    if config.view.needs_engine and report.stats.engine_failures and not report.run.gists_by and not report.run.output_tokens:
        raise EngineUnavailable(f"no model answered: {next(iter(report.stats.engine_failures))}")
    if seen is not None:
        from llmc.ledger import default_path

        seen.add(report, seconds, default_path())
    return seconds


@pytest.fixture(scope="module")
def documents(job: Job) -> list[bytes]:
    wanted, chars = job.settings.documents or 8, job.settings.document_chars or 900
    return job.documents(lambda: [text.encode() for text in texts.passages(wanted, chars)])


def test_sizes(job: Job, documents: list[bytes], tmp_path: Path):
    """The exact layer of the documents as they are."""
    folder = write(tmp_path / "in", documents, new=False)
    made = codec.load(job.config.codec.name, **job.config.codec.options)
    llmc.compress(folder, tmp_path / "a.llmc", codec=made, view="none")
    stored = Archive.open(tmp_path / "a.llmc").stored_bytes()["exact"]
    job.measured.exact("byte_ratio", sum(map(len, documents)) / stored, f"{len(documents)} documents")
    job.measured.exact("archive_bytes", stored)


def test_main_job(benchmark, job: Job, documents: list[bytes], tmp_path: Path):
    seen, seconds = Seen(), []
    warm = write(tmp_path / "warm", documents[:2], new=True)
    with job.own_home():
        one_run(job, warm, tmp_path / "warm.llmc")
    began = time.perf_counter()

    def until_the_budget_is_spent() -> None:
        while len(seconds) < job.settings.rounds:
            if seconds and time.perf_counter() - began + max(seconds) > job.settings.budget_seconds:
                break
            n = len(seconds)
            folder = write(tmp_path / f"in{n}", documents, new=True)
            with job.own_home():
                seconds.append(one_run(job, folder, tmp_path / f"{n}.llmc", seen))

    benchmark.pedantic(until_the_budget_is_spent, rounds=1)
    report(job, seen, len(documents), len(seconds))
    benchmark.extra_info |= {
        "round_seconds": seconds,
        "documents": len(documents),
        "source_tokens": sum(seen.source_tokens),
        "view_tokens": sum(seen.view_tokens),
        "verdicts": {"gist kept": sum(seen.gists), "gist refused": len(seen.gists) - sum(seen.gists)},
    }


def report(job: Job, seen: Seen, documents: int, rounds: int) -> None:
    put = job.measured
    if seen.source_tokens:
        put.ratio("token_ratio", seen.source_tokens, seen.view_tokens)
    if seen.gists:
        put.share("pass_rate", sum(seen.gists), len(seen.gists))
    put.share("view_rate", sum(seen.views), len(seen.views))
    put.median("documents_per_minute", seen.rates, f"rounds of {documents} documents")
    if rounds < min(LEAST_SAMPLES, job.settings.rounds):
        job.note(f"{rounds} of {job.settings.rounds} rounds fitted into bench.budget_seconds={job.settings.budget_seconds:g}")
    at_once = job.config.profile.concurrency
    put.median("seconds_per_document", seen.documents, f"{min(job.config.profile.batch, documents)} in work at once")
    if not seen.requests:
        return
    put.median("inference_seconds", seen.answers, f"up to {at_once} at once")
    each = 1 / rounds
    put.single("requests", seen.requests * each, "a round")
    put.single("prompt_tokens", seen.prompt_tokens * each, "a round")
    put.single("output_tokens", seen.output_tokens * each, "a round")
    put.single("prefix_cache_share", seen.cached_tokens / max(1, seen.prompt_tokens), "the instructions are the same each time")
    known = [cost for cost in seen.costs if cost is not None]
    if len(known) == len(seen.costs):
        put.single("cost_usd_per_1k_documents", sum(known) / 1e12 / (documents * rounds) * 1000)
    else:
        job.note(f"cost is not known: {seen.why_no_cost}")
    if len(seen.joules) == seen.requests:
        put.single("joules_per_document", sum(seen.joules) / (documents * rounds), seen.energy_scope)
    else:
        job.note("energy is not known: no sensor that can be read, and no power.busy_watts")


def test_cached(benchmark, job: Job, documents: list[bytes], tmp_path: Path):
    """The same documents a second time: what the cache of views is worth, beside the figures without it."""
    if not (job.config.cache.enabled and job.config.view.needs_engine):
        pytest.skip("this configuration keeps no views")
    folder = write(tmp_path / "in", documents[:4], new=True)
    with job.own_home():
        one_run(job, folder, tmp_path / "first.llmc")
        runs = iter(range(100))
        benchmark.pedantic(lambda: one_run(job, folder, tmp_path / f"{next(runs)}.llmc"), rounds=LEAST_SAMPLES)
    if benchmark.stats:
        rates = [60 * len(documents[:4]) / s for s in benchmark.stats.stats.data]
        job.measured.median("cached_documents_per_minute", rates, "every view was made before")


def test_engine_start(job: Job):
    """The engine's own start, apart from the work; only of one that this run started."""
    told = job.proof
    if "load_seconds" not in told:
        pytest.skip("no engine was started")
    if not started_now(job.running()):
        job.note("the engine ran already: its start was not measured")
        return
    job.measured.single("engine_load_seconds", told["load_seconds"])
    job.measured.single("engine_cold_start_seconds", told["load_seconds"] + told["first_token_seconds"])
