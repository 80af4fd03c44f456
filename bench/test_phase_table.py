"""``profile=baseline`` beside ``profile=local``, one model, in turn: A B, then B A, each round with texts that are new.

The baseline has no cache and shares no views, as the predecessor whose numbers it has never called its own.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench import texts
from bench.test_cache import trace
from bench.test_quick import Seen, one_run, write
from llmc.bench.gpu import Gpu
from llmc.bench.job import Job, nonce, start
from llmc.engine import Engine
from llmc.schema import RunConfig, option

Side = tuple[str, RunConfig, Engine]


@pytest.fixture(scope="module")
def sides(job: Job) -> list[Side]:
    """Both engines stand by: the one that is not asked takes memory, and no processor."""
    new = job.running()
    threads = (
        getattr(new, "threads", None) or job.config.engine.threads
    )  # chosen when an engine starts, by who else computes then
    old = replace(
        job.config,
        profile=option("profile", "baseline"),
        similarity=None,
        engine=replace(job.config.engine, threads=threads),
    )
    if threads:
        job.note(f"both engines compute with {threads} thread{'s' * (threads != 1)}")
    old = replace(old, cache=replace(old.cache, enabled=False))
    return [("baseline", old, job.opened.enter_context(start(old))), ("local", job.config, new)]


@pytest.fixture(scope="module")
def documents(job: Job) -> list[bytes]:
    wanted, chars = job.settings.documents or 4, job.settings.document_chars or 600
    return job.documents(lambda: [text.encode() for text in texts.passages(wanted, chars)])


def in_turn(sides: list[Side], rounds: int, budget_seconds: float, once: Callable[[int, Side], None]) -> int:
    """Rounds of both, the order turned each time; how many there were."""
    began, longest = time.perf_counter(), 0.0
    for number in range(rounds):
        if number and time.perf_counter() - began + longest > budget_seconds:
            return number
        before = time.perf_counter()
        for side in sides if number % 2 == 0 else sides[::-1]:
            once(number, side)
        longest = max(longest, time.perf_counter() - before)
    return rounds


def test_work(benchmark, job: Job, sides: list[Side], documents: list[bytes], tmp_path: Path):
    seen = {name: Seen() for name, _, _ in sides}
    gpu = {name: Gpu() for name, _, _ in sides}

    def once(number: int, side: Side) -> None:
        name, config, engine = side
        folder = write(tmp_path / f"{name}-{number}", documents, new=True)
        with job.own_home(), gpu[name]:
            one_run(job, folder, tmp_path / f"{name}-{number}.llmc", seen[name], config=config, engine=engine)

    for side in sides:  # warm up, not counted
        with job.own_home():
            one_run(job, write(tmp_path / f"warm-{side[0]}", documents[:1], new=True), tmp_path / f"warm-{side[0]}.llmc",
                    config=side[1], engine=side[2])  # fmt: skip
    rounds = benchmark.pedantic(in_turn, (sides, job.settings.rounds, job.settings.budget_seconds, once), rounds=1)
    if rounds < job.settings.rounds:
        job.note(f"{rounds} of {job.settings.rounds} rounds fitted into bench.budget_seconds={job.settings.budget_seconds:g}")
    for name, config, _ in sides:
        report(job, name, config, seen[name], gpu[name], len(documents), rounds)
    benchmark.extra_info |= {"rounds": rounds, "documents": len(documents)}


def report(job: Job, name: str, config: RunConfig, seen: Seen, gpu: Gpu, documents: int, rounds: int) -> None:
    put, where = job.measured, f"[{name}]"
    put.median(f"documents_per_minute{where}", seen.rates, f"rounds of {documents} documents")
    at_once = min(config.profile.batch, documents)
    put.median(f"seconds_per_document{where}", seen.documents, f"{at_once} in work at once: the wait for the others is in it")
    put.median(f"inference_seconds{where}", seen.answers, f"up to {config.profile.concurrency} at once")
    if seen.gists:
        put.share(f"pass_rate{where}", sum(seen.gists), len(seen.gists))
    known = [cost for cost in seen.costs if cost is not None]
    if len(known) == len(seen.costs) and known:
        put.single(f"cost_usd_per_1k_documents{where}", sum(known) / 1e12 / (documents * rounds) * 1000)
    else:
        job.note(f"cost is not known: {seen.why_no_cost}")
    if gpu.shares:
        put.median(f"gpu_utilisation{where}", gpu.shares, "samples of a second; they are not independent")
    else:
        job.note(f"GPU utilisation: {gpu.why_not(config.backend.name)}")


def test_cache(benchmark, job: Job, sides: list[Side], tmp_path: Path):
    """One trace for both, request after request: few texts come often."""
    settings = job.settings
    found = [text.encode() for text in texts.passages(settings.cache_texts, settings.document_chars or 600)]
    fresh = [nonce().encode() + text for text in found]
    asked = trace(settings.zipf[0], job.config.seed, texts=len(fresh), count=settings.cache_requests)
    requests = [fresh[number] for number in asked]
    random.Random(job.config.seed).shuffle(requests)
    said = f"Zipf s={settings.zipf[0]:g}, {len(requests)} requests for {len(set(asked))} texts"

    def both() -> None:
        for name, config, engine in sides:
            seconds, hits, seen = [], 0, Seen()
            with job.own_home():
                for number, text in enumerate(requests):
                    folder = write(tmp_path / f"{name}-{number}", [text], new=False)
                    archive = tmp_path / f"{name}-{number}.llmc"
                    seconds.append(one_run(job, folder, archive, seen, config=config, engine=engine))
                    hits += seen.reused.hits
            job.measured.exact(f"cache_hit_rate[{name}]", hits / len(requests), said)
            job.measured.exact(
                f"calls_saved[{name}]", hits, f"documents for which no model was asked, of {len(requests)}; {said}"
            )
            job.measured.ratio(f"average_seconds_with_cache[{name}]", seconds, [1.0] * len(seconds), said)

    benchmark.pedantic(both, rounds=1)
