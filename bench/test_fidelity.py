"""The fidelity check on the texts that are given: how fast it is on one core, and how many planted errors it lets pass."""

import pytest

from bench import texts
from bench.planted import passages, plant
from llmc.bench.job import Job
from llmc.fidelity import check, facts, sentences
from llmc.fidelity.corrupt import CORRUPTIONS

SOURCE_CHARS = 100_000
WARM_UP = 1


@pytest.fixture(scope="module")
def found(job: Job) -> list[str]:
    return [data.decode() for data in job.documents(texts.alice)]


@pytest.fixture(scope="module")
def source(found: list[str]) -> str:
    return "\n\n".join(found)[:SOURCE_CHARS]


def test_check(benchmark, job: Job, source: str):
    """A view of every sixth sentence, as it stands."""
    view = " ".join(source[s.start : s.end] for s in sentences(source)[::6])
    benchmark.pedantic(check, (source, view), rounds=job.settings.rounds, warmup_rounds=WARM_UP)
    speed(benchmark, job, source, "check_kilobytes_per_second")


def test_facts(benchmark, job: Job, source: str):
    benchmark.pedantic(facts, (source,), rounds=job.settings.rounds, warmup_rounds=WARM_UP)
    speed(benchmark, job, source, "facts_kilobytes_per_second")


def speed(benchmark, job: Job, source: str, name: str) -> None:
    kilobytes = len(source.encode()) / 1000
    if benchmark.stats:
        job.measured.median(name, [kilobytes / s for s in benchmark.stats.stats.data], f"{kilobytes:.0f} kB of text")


def test_planted_errors(benchmark, job: Job, found: list[str]):
    pairs = passages(["\n\n".join(found)])  # documents may be shorter than a passage
    planted = benchmark.pedantic(plant, (pairs, CORRUPTIONS, job.settings.planted_each, job.settings.budget_seconds), rounds=1)
    tries, missed = sum(planted.tries.values()), sum(planted.missed.values())
    benchmark.extra_info |= {"tries": planted.tries, "missed": planted.missed, "passages": len(pairs)}
    if not tries:
        job.note("too little text to plant an error in: a passage is 8 sentences")
        return
    job.measured.exact("planted_errors", tries, f"{sum(1 for n in planted.tries.values() if n)} kinds")
    job.measured.exact("planted_errors_missed", missed)
    job.measured.share("missed_rate", missed, tries)
    for kind, n in planted.tries.items():
        if n:
            job.measured.share(f"missed_rate[{kind}]", planted.missed[kind], n)
    job.measured.share("extracts_refused_rate", planted.extracts_refused, planted.extracts)
    if not planted.in_time:
        job.note(f"planting ended after bench.budget_seconds={job.settings.budget_seconds:g}")
