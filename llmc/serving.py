"""How a served model answers under load, in the field's terms.

TTFT    time to first token: from sending a request to the first piece of text that is not empty
TPOT    time per output token after the first: (end to end - TTFT) / (output tokens - 1)
ITL     inter-token latency: each gap between two pieces of text; a server that sends several tokens at once shows it here
e2e     from sending to the last piece
goodput requests a second that keep every promise (SLO); a failed request kept none

A closed loop is a number of users who each wait for their answer; an open loop is a stream of requests at a rate, whose times
count from when each *should* have been sent, so that a stalled server cannot hide by slowing its clients. Every prompt begins
with a number of its own: a server's prefix cache would answer otherwise.
"""

import asyncio
import itertools
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llmc.errors import EngineError

LEAST_SAMPLES = {50: 1, 90: 50, 95: 200, 99: 1000}
"""Percentile to the requests it needs: fewer than that, and it is the luck of a few of them."""
LATE_SHARE = 0.05  # of the median answer: a load generator that is later than that at the 99th percentile measured itself


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a streamed answer. The last one has no text and the server's own counts."""

    text: str
    prompt_tokens: int | None = None
    cached_tokens: int = 0
    output_tokens: int | None = None


class Streaming(Protocol):
    """What is put under load."""

    def stream(self, prompt: str, max_tokens: int) -> AsyncIterator[Piece]:
        """The answer as it comes. Raises :class:`llmc.errors.EngineError`."""
        ...


@dataclass(slots=True)
class Sent:
    """One request; times in seconds of one clock."""

    intended: float
    sent: float
    pieces: list[float] = field(default_factory=list)
    """When each piece of text that is not empty came."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error and bool(self.pieces)

    @property
    def ttft(self) -> float:
        return self.pieces[0] - self.intended

    @property
    def e2e(self) -> float:
        return self.pieces[-1] - self.intended

    @property
    def tpot(self) -> float | None:
        """None for an answer of one token."""
        return (self.pieces[-1] - self.pieces[0]) / (self.output_tokens - 1) if self.output_tokens > 1 else None

    @property
    def gaps(self) -> list[float]:
        return [b - a for a, b in itertools.pairwise(self.pieces)]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Seconds; None where there are too few requests to say."""

    samples: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    too_few_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Serving:
    """What a load showed. Tokens are the server's own counts; failed requests stay in every denominator."""

    requests: int
    failed: int
    errors: dict[str, int]
    seconds: float
    """From the first intended request to the last piece."""
    requests_per_second: float
    prompt_tokens_per_second: float
    output_tokens_per_second: float
    output_tokens_per_request: float
    ttft_seconds: Percentiles
    tpot_seconds: Percentiles
    itl_seconds: Percentiles
    e2e_seconds: Percentiles
    goodput_per_second: float | None
    """None when nothing was promised."""
    send_lag_p99_seconds: float
    late: bool
    """The load generator itself was late: the figures are its own, not the server's."""
    prefix_cache_share: float
    """Of the prompts' tokens, those the server had from before; above 0.01 the prompts were too much alike."""


def percentiles(values: Sequence[float], samples: int | None = None) -> Percentiles:
    """Of values that came from ``samples`` requests (as many as there are values, if not said)."""
    import numpy as np

    count = len(values) if samples is None else samples
    found = {p: float(np.percentile(values, p)) if values and count >= least else None for p, least in LEAST_SAMPLES.items()}
    return Percentiles(count, found[50], found[90], found[95], found[99], tuple(f"p{p}" for p, v in found.items() if v is None))


def summary(
    requests: Sequence[Sent], *, ttft_slo_seconds: float | None = None, tpot_slo_seconds: float | None = None
) -> Serving:
    """The figures of a load; a promise that is None was not made."""
    good = [r for r in requests if r.ok]
    errors: dict[str, int] = {}
    for request in requests:
        if not request.ok:
            reason = request.error or "no text came"
            errors[reason] = errors.get(reason, 0) + 1
    began = min((r.intended for r in requests), default=0.0)
    seconds = max((r.pieces[-1] for r in good), default=began) - began
    tpots = [t for r in good if (t := r.tpot) is not None]
    lags = sorted(r.sent - r.intended for r in requests)
    lag = lags[min(len(lags) - 1, int(0.99 * len(lags)))] if lags else 0.0
    e2e = percentiles([r.e2e for r in good])
    prompt_tokens = sum(r.prompt_tokens for r in good)
    promised = ttft_slo_seconds is not None or tpot_slo_seconds is not None
    most_ttft, most_tpot = ttft_slo_seconds or math.inf, tpot_slo_seconds or math.inf
    kept = sum(r.ttft <= most_ttft and (r.tpot or 0.0) <= most_tpot for r in good)

    def rate(count: float) -> float:
        return count / seconds if seconds else 0.0

    return Serving(
        requests=len(requests),
        failed=len(requests) - len(good),
        errors=errors,
        seconds=seconds,
        requests_per_second=rate(len(good)),
        prompt_tokens_per_second=rate(prompt_tokens),
        output_tokens_per_second=rate(sum(r.output_tokens for r in good)),
        output_tokens_per_request=sum(r.output_tokens for r in good) / len(good) if good else 0.0,
        ttft_seconds=percentiles([r.ttft for r in good]),
        tpot_seconds=percentiles(tpots),
        itl_seconds=percentiles([gap for r in good for gap in r.gaps], len(good)),
        e2e_seconds=e2e,
        goodput_per_second=rate(kept) if promised else None,
        send_lag_p99_seconds=lag,
        late=bool(e2e.p50 and lag > LATE_SHARE * e2e.p50),
        prefix_cache_share=sum(r.cached_tokens for r in good) / prompt_tokens if prompt_tokens else 0.0,
    )


Prompt = Callable[[int], str]
"""The prompt of the request with this number."""


async def ask(server: Streaming, prompt: str, max_tokens: int, intended: float | None = None) -> Sent:
    """One request, its pieces timed as they come. An engine's error is a result, not an exception."""
    clock = time.perf_counter
    request = Sent(clock() if intended is None else intended, clock())
    try:
        async for piece in server.stream(prompt, max_tokens):
            if piece.text:
                request.pieces.append(clock())
            if piece.output_tokens is not None:
                request.prompt_tokens, request.cached_tokens = piece.prompt_tokens or 0, piece.cached_tokens
                request.output_tokens = piece.output_tokens
    except EngineError as error:
        request.error = error.message
    return request


async def closed_loop(
    server: Streaming, prompt: Prompt, *, users: int, requests: int, max_tokens: int, warm_up_each: int = 1
) -> list[Sent]:
    """``users`` at a time, each with its next request as soon as it has its answer. Each first sends ``warm_up_each`` that do
    not count, so that the server is measured at the load it is asked about, and hands over without a pause."""
    done: list[Sent] = []
    left = iter(range(requests))

    async def user(number: int) -> None:
        for i in range(warm_up_each):
            await ask(server, prompt(-1 - number - i * users), max_tokens)
        for i in left:
            done.append(await ask(server, prompt(i), max_tokens))

    await asyncio.gather(*(user(number) for number in range(users)))
    return done


async def open_loop(
    server: Streaming, prompt: Prompt, *, per_second: float, requests: int, max_tokens: int, seed: int = 1
) -> list[Sent]:
    """Requests at random times (Poisson) whose mean rate is ``per_second``, sent whether or not earlier ones were answered."""
    draw = random.Random(seed)
    clock = time.perf_counter
    tasks: list[asyncio.Task[Sent]] = []
    due = clock()
    for i in range(requests):
        due += draw.expovariate(per_second)
        await asyncio.sleep(max(0.0, due - clock()))
        tasks.append(asyncio.create_task(ask(server, prompt(i), max_tokens, due)))
    return list(await asyncio.gather(*tasks))


async def cached_pair(server: Streaming, prompt: str, max_tokens: int, count: int) -> tuple[list[Sent], list[Sent]]:
    """``count`` prompts that are new to the server, and the same once more straight after: what its prefix cache is worth."""
    fresh, again = [], []
    for i in range(count):
        text = f"{i:08x} {prompt}"
        fresh.append(await ask(server, text, max_tokens))
        again.append(await ask(server, text, max_tokens))
    return fresh, again
