"""llmc bench: measure one configuration and keep the record.

The benchmarks are pytest-benchmark files, run in this process, so that they are given the engine that ``deploy`` started. A run
that failed is kept too, with its reason.
"""

import importlib.util
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from llmc import report, units
from llmc.bench import phase, record
from llmc.bench.job import ROOT, Job
from llmc.bench.record import Record
from llmc.errors import LlmcError, UsageError
from llmc.machine.fingerprint import fingerprint
from llmc.schema import RunConfig
from llmc.target import compress, doctor, records
from llmc.target.deploy import Deployed
from llmc.target.records import BenchSummary, BenchTrend


@dataclass(slots=True)
class BenchReport:
    """What a run showed, and the file that holds it with every raw value."""

    record: Record
    path: str

    @property
    def exit_code(self) -> int:
        return 0 if self.record.status == "done" else 1


def resolve(config: RunConfig) -> RunConfig:
    """``auto`` is chosen where an engine is needed; what an engine is not asked for keeps its name."""
    engine = config.do is None and (config.bench.needs_engine or config.bench.engine_starts)
    return doctor.resolve(config) if engine else config


def check(config: RunConfig) -> None:
    if config.do is not None:
        if config.do not in records.ACTIONS:
            raise UsageError(f"do={config.do} is none of {', '.join(records.ACTIONS)}", hint="llmc bench without it measures")
        return
    settings = config.bench
    for package in ("pytest", "pytest_benchmark", "scipy"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"llmc bench needs {package.replace('_', '-')}", hint="pip install 'llmc-cli[bench]'")
    for file in settings.files:
        if not (ROOT / file).exists():
            raise UsageError(f"bench.files: {file} is not there", hint="llmc bench bench=quick")
    if not settings.files:
        raise UsageError("bench.files is empty", hint="llmc bench bench=quick")
    numbers = {
        "rounds": settings.rounds, "budget_seconds": settings.budget_seconds, "requests": settings.requests,
        "max_tokens": settings.max_tokens, "prompt_chars": settings.prompt_chars, "cache_requests": settings.cache_requests,
        "cache_texts": settings.cache_texts, "documents": settings.documents or 1,
        "document_chars": settings.document_chars or 1,
        **{f"users {n}": n for n in settings.users}, **{f"rates_per_second {n}": n for n in settings.rates_per_second},
        **{f"cache_entries {n}": n for n in settings.cache_entries},
    }  # fmt: skip
    for name, value in numbers.items():
        if value <= 0:
            raise UsageError(f"bench.{name.split()[0]}={value:g} is not above 0")
    if config.output and config.output.endswith(".md") and settings.name != "phase_table":
        raise UsageError(
            f"output={config.output}: only experiment=phase_table writes Markdown", hint="output=FOLDER, for records"
        )
    if config.input == "-":
        raise UsageError("llmc bench reads its documents more than once: input=- cannot be", hint="llmc bench input=notes/")
    if config.input:
        next(iter(compress.selection(replace(config, output=None))), None)


def bench(config: RunConfig, deploy: Deployed | LlmcError | str | None) -> BenchReport | BenchSummary | BenchTrend | str:
    """One run, one record; with a second word (``llmc bench report``) what the records say."""
    if config.do is not None:
        return records.ACTIONS[config.do](config)
    if config.dry_run:
        return _plan(config)
    from llmc.bench import plugin  # brings pytest

    def say(text: str) -> None:
        if not config.quiet:
            sys.__stderr__.write(f"bench {config.bench.name}: {text}\n") if sys.__stderr__ else None

    started, clock, machine = datetime.now(UTC), time.perf_counter(), fingerprint()
    with tempfile.TemporaryDirectory(prefix="llmc-bench-") as scratch, ExitStack() as opened:
        why = deploy if isinstance(deploy, LlmcError) else None
        job = Job(config, Path(scratch), why_no_engine=why, opened=opened)
        if isinstance(deploy, Deployed):
            job.engine, job.proof = deploy.engine, deploy.report
        error, hint = "", ""
        benchmarks = []
        if why:
            error, hint = why.message, why.hint
        else:
            ended = plugin.run(job, config.bench.files, say)
            benchmarks = ended.benchmarks
            error = "; ".join(ended.failed)
        seconds = time.perf_counter() - clock
    made = record.new(
        config,
        started=started,
        seconds=seconds,
        bench=config.bench.name,
        status="failed" if error else "done",
        error=error,
        hint=hint,
        metrics=job.measured,
        benchmarks=benchmarks,
        notes=job.notes,
        machine=machine,
    )
    output = Path(config.output).expanduser() if config.output else record.folder()
    table = output.suffix == ".md"
    path = record.write(made, record.folder() if table else output)
    if table and not error:
        output.write_text(phase.markdown(made))
    if error:
        report.error(LlmcError(error, hint=hint or f"what was measured before: {path}"))
    return BenchReport(made, str(path))


def _plan(config: RunConfig) -> str:
    """What would run, and how long that took before."""
    settings = config.bench
    asked, here = record.config_hash(config), fingerprint().machine
    earlier = [
        r.seconds for r in record.read_all(record.folder()).records
        if r.config_hash == asked and r.status == "done" and r.machine_name == here
    ]  # fmt: skip
    if earlier:
        took = f"{units.seconds(statistics.median(earlier))}, as {units.many(len(earlier), 'earlier run')} on this machine took"
    else:
        took = "how long is not known: no earlier run of this configuration on this machine"
    what = config.input or "built-in texts"
    most = f"at most {settings.documents} documents" if settings.documents else "all documents"
    return f"{settings.name}: {' '.join(settings.files)}, with {most} of {what}; {took}"
