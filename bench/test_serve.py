"""The configured engine under load, in the terms of :mod:`llmc.serving`: closed and open loops, and its prefix cache.

The figures without brackets are those of the largest closed loop.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from bench import texts
from llmc import serving
from llmc.bench.job import Job, nonce
from llmc.bench.record import quantile, single
from llmc.engine import Engine
from llmc.serving import LEAST_SAMPLES, Sent, Streaming


@pytest.fixture(scope="module")
def server(job: Job) -> Streaming:
    found = streaming(job.running())
    if found is None:
        job.note(
            f"engine={job.config.engine.name} does not stream over OpenAI's interface: its serving figures are not measured"
        )
        pytest.skip("it does not stream")
    return found


def streaming(engine: Engine) -> Streaming | None:
    """What of an engine answers in pieces."""
    for each in (engine, getattr(engine, "server", None)):
        if hasattr(each, "stream"):
            return each
    return None


@pytest.fixture(scope="module")
def prompt(job: Job) -> Callable[[int], str]:
    wanted, chars = job.settings.documents or 50, job.settings.document_chars or 2000
    found = [data.decode() for data in job.documents(lambda: [t.encode() for t in texts.passages(wanted, chars)])]
    draw = random.Random(job.config.seed)
    draw.shuffle(found)
    return lambda i: f"{nonce()}Summarize:\n{found[i % len(found)][: job.settings.prompt_chars]}"


def loaded(server: Streaming, load: Callable[[], Awaitable[list[Sent]]]) -> list[Sent]:
    """What a load came to, in an event loop of its own."""

    async def run() -> list[Sent]:
        try:
            return await load()
        finally:
            await server.aclose()

    return asyncio.run(run())


def test_loads(benchmark, job: Job, server: Streaming, prompt: Callable[[int], str]):
    settings, raw = job.settings, {}
    began = time.monotonic()

    def closed(users: int) -> Callable[[], Awaitable[list[Sent]]]:
        return lambda: serving.closed_loop(
            server, prompt, users=users, requests=settings.requests, max_tokens=settings.max_tokens
        )

    def opened(rate: float) -> Callable[[], Awaitable[list[Sent]]]:
        return lambda: serving.open_loop(
            server, prompt, per_second=rate, requests=settings.requests, max_tokens=settings.max_tokens, seed=job.config.seed
        )

    # The largest closed loop first: its figures are the ones to compare by, and a budget may end the rest.
    most = max(settings.users, default=0)
    if most:
        job.note(f"figures without brackets: {most} users in a closed loop")
    loads = [(f"[{users} user{'s' * (users != 1)}]", closed(users)) for users in sorted(settings.users, reverse=True)]
    loads += [(f"[{rate:g}/s]", opened(rate)) for rate in settings.rates_per_second]

    def all_of_them() -> None:
        for where, load in loads:
            if raw and time.monotonic() - began > settings.budget_seconds:
                job.note(f"{where[1:-1]}: not measured, bench.budget_seconds={settings.budget_seconds:g} were spent")
                continue
            sent = loaded(server, load)
            report(job, sent, "" if where.startswith(f"[{most} user") else where, where[1:-1])
            raw[where[1:-1]] = [request_row(each) for each in sent]

    benchmark.pedantic(all_of_them, rounds=1)
    benchmark.extra_info |= {"requests": raw, "prompt_chars": settings.prompt_chars, "max_tokens": settings.max_tokens}


def request_row(sent: Sent) -> dict[str, object]:
    """One request as it is kept: everything else can be computed from it."""
    times = [round(t - sent.intended, 6) for t in sent.pieces]
    tokens = {"prompt": sent.prompt_tokens, "cached": sent.cached_tokens, "output": sent.output_tokens}
    return {"lag_seconds": round(sent.sent - sent.intended, 6), "piece_seconds": times, "tokens": tokens, "error": sent.error}


def report(job: Job, sent: Sequence[Sent], where: str, load: str) -> None:
    settings, put = job.settings, job.measured
    good = [each for each in sent if each.ok]
    if not good:
        raise AssertionError(f"no request was answered: {sent[0].error if sent else 'none was sent'}")
    figures = serving.summary(sent, ttft_slo_seconds=settings.ttft_slo_seconds, tpot_slo_seconds=settings.tpot_slo_seconds)
    values = {
        "ttft": [each.ttft for each in good],
        "tpot": [t for each in good if (t := each.tpot) is not None],
        "itl": [gap for each in good for gap in each.gaps],
        "e2e": [each.e2e for each in good],
    }
    for name, found in values.items():
        for p, least in LEAST_SAMPLES.items():
            if found and len(good) >= least:
                put[f"{name}_p{p}_seconds{where}"] = quantile(f"{name}_p{p}_seconds", found, p / 100, requests=len(good))
    if missing := figures.e2e_seconds.too_few_for:
        job.note(f"{load}: {', '.join(missing)}: n too small ({len(good)} requests; {needed(missing)} are needed)")
    for name, value in (
        ("prompt_tokens_per_second", figures.prompt_tokens_per_second),
        ("output_tokens_per_second", figures.output_tokens_per_second),
        ("requests_per_second", figures.requests_per_second),
        ("send_lag_p99_seconds", figures.send_lag_p99_seconds),
    ):
        put[f"{name}{where}"] = single(name, value, note=f"{figures.requests} requests in {figures.seconds:.1f} s")
    if figures.goodput_per_second is not None:
        promised = [("first token", settings.ttft_slo_seconds), ("each further one", settings.tpot_slo_seconds)]
        said = ", ".join(f"{what} within {seconds:g} s" for what, seconds in promised if seconds is not None)
        put[f"goodput_per_second{where}"] = single("goodput_per_second", figures.goodput_per_second, note=said)
    put.exact(f"failed_requests{where}", figures.failed, "; ".join(figures.errors))
    put[f"prefix_cache_share{where}"] = single("prefix_cache_share", figures.prefix_cache_share)
    if figures.late:
        job.note(f"{load}: the load generator was late, so these times are its own")


def needed(percentiles: Sequence[str]) -> str:
    return ", ".join(f"{LEAST_SAMPLES[int(p[1:])]:,}" for p in percentiles)


def test_cached_pairs(benchmark, job: Job, server: Streaming, prompt: Callable[[int], str]):
    """One user; a prompt that is new to the server, and the same again straight after."""
    count = job.settings.cached_pairs
    if not count:
        pytest.skip("none is asked for")
    pairs: list[tuple[Sent, Sent]] = []

    async def ask() -> list[Sent]:
        for i in range(count):
            fresh, again = await serving.cached_pair(server, prompt(i), job.settings.max_tokens, 1)
            pairs.append((fresh[0], again[0]))
        return []

    benchmark.pedantic(lambda: loaded(server, ask), rounds=1)
    good = [(fresh, again) for fresh, again in pairs if fresh.ok and again.ok]
    if good:
        cached = sum(again.cached_tokens for _, again in good) / max(1, sum(again.prompt_tokens for _, again in good))
        job.measured.median("ttft_fresh_p50_seconds", [fresh.ttft for fresh, _ in good])
        job.measured.median(
            "ttft_cached_p50_seconds", [again.ttft for _, again in good], f"{cached:.0%} of the prompt was cached"
        )
