"""The cache on a trace as users make it: few texts come often, most come seldom (Zipf's law).

20,000 requests over 5,000 texts, exponent s = 0.8, 1.0, 1.2, through the real cache on disk; beside it what any cache could
have: with room for everything, and with the entries it has and the future known (Belady 1966). ``python -m bench.test_cache``
prints the table; under pytest the time of one hit, of one miss and of keeping one is measured.
"""

import random
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import quantiles

import pytest

from llmc import cache
from llmc.bench.job import Job

REQUESTS, TEXTS = 20_000, 5_000
FILLED = 1000
VIEW_CHARS = 1_200  # 300 tokens, the longest view there is by default
MADE = {"tier": "gist", "outcome": "kept", "reason": "", "by": "local", "model": "m", "model_digest": "d", "cause": ""}


def trace(s: float, seed: int = 1, *, texts: int = TEXTS, count: int = REQUESTS) -> list[int]:
    """Which text each request is for."""
    weights = list(accumulate(1 / rank**s for rank in range(1, texts + 1)))
    return random.Random(seed).choices(range(texts), cum_weights=weights, k=count)


def belady(requests: Sequence[int], entries: int) -> int:
    """Hits of the best there can be with so many entries: what is needed latest makes room, and is not taken in at all if that
    is the new one."""
    upcoming: dict[int, list[int]] = {}
    for at in range(len(requests) - 1, -1, -1):
        upcoming.setdefault(requests[at], []).append(at)
    held: set[int] = set()
    hits = 0
    for text in requests:
        upcoming[text].pop()
        if text in held:
            hits += 1
            continue
        held.add(text)
        if len(held) > entries:
            held.remove(max(held, key=lambda t: upcoming[t][-1] if upcoming[t] else len(requests)))
    return hits


def stored_longest_ago(requests: Sequence[int], entries: int) -> int:
    """Hits of the rule that llmc's cache follows, as a model of it without any disk."""
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for text in requests:
        if text in held:
            hits += 1
            continue
        held[text] = None
        if len(held) > entries:
            held.popitem(last=False)
    return hits


def view(text: int) -> cache.CachedView:
    words = random.Random(text).choices(
        ["rent", "lease", "4,850 EUR", "not covered", "12 March 2026", "board"], k=VIEW_CHARS // 9
    )
    return cache.CachedView("gist", " ".join(words)[:VIEW_CHARS], (), 1500, 300, (MADE,), 1700, 300)


def play(requests: Sequence[int], entries: int, folder: Path) -> tuple[cache.CacheUse, list[float]]:
    """What the real cache makes of the trace, and the seconds of each hit."""
    seconds = []
    with cache.ViewCache(folder, entries=entries, on_warning=lambda warning: pytest.fail(warning)) as views:
        for text in requests:
            key = cache.key(f"text {text}", "settings")
            started = time.perf_counter()
            found = views.get(key)
            if found is not None:
                seconds.append(time.perf_counter() - started)
                views.hit(found)
            else:
                views.put(key, view(text))
    return views.use, seconds


def test_trace(benchmark, job: Job, tmp_path: Path):
    """Hits beside those of the best cache there could be, and beside what the rule of this one promises."""
    settings = job.settings
    own = job.config.cache.entries
    main = min(settings.zipf, key=lambda s: abs(s - 1.0))

    def all_of_them() -> None:
        for s in settings.zipf:
            requests = trace(s, texts=settings.cache_texts, count=settings.cache_requests)
            for entries in (own, *settings.cache_entries):
                use, _ = play(requests, entries, tmp_path / f"{s}-{entries}")
                assert use.hits == stored_longest_ago(requests, entries)
                best = belady(requests, entries)
                where = "" if (s, entries) == (main, own) else f"[s={s:g}, {entries:,} entries]"
                said = f"s={s:g}, {entries:,} entries, {len(requests):,} lookups of {len(set(requests)):,} texts"
                job.measured.exact(f"cache_hit_rate{where}", use.hits / len(requests), said)
                job.measured.exact(f"cache_best_hit_rate{where}", best / len(requests), said)
                if best:
                    job.measured.exact(f"cache_of_best{where}", use.hits / best, said)
                job.measured.exact(f"calls_saved{where}", use.hits, said)

    if settings.zipf:
        benchmark.pedantic(all_of_them, rounds=1)


@pytest.fixture
def filled(tmp_path: Path):
    with cache.ViewCache(tmp_path) as views:
        for text in range(FILLED):
            views.put(cache.key(f"text {text}", "settings"), view(text))
        yield views


def timed(benchmark, job: Job, name: str, once: Callable[[], object]) -> None:
    benchmark.pedantic(once, rounds=200, iterations=5)
    if benchmark.stats:
        job.measured.median(name, benchmark.stats.stats.data)


def test_hit(benchmark, job: Job, filled: cache.ViewCache):
    numbers = iter(range(10**9))
    timed(benchmark, job, "cache_hit_seconds", lambda: filled.get(cache.key(f"text {next(numbers) % FILLED}", "settings")))
    assert filled.get(cache.key("text 0", "settings")) is not None


def test_miss(benchmark, job: Job, filled: cache.ViewCache):
    numbers = iter(range(10**9))
    timed(benchmark, job, "cache_miss_seconds", lambda: filled.get(cache.key(f"no text {next(numbers)}", "settings")))
    assert filled.get(cache.key("no text 0", "settings")) is None


def test_put(benchmark, job: Job, filled: cache.ViewCache):
    numbers = iter(range(10**9))
    timed(benchmark, job, "cache_put_seconds", lambda: filled.put(cache.key(f"new {next(numbers)}", "settings"), view(1)))


def main() -> None:
    print(f"{REQUESTS:,} requests over {TEXTS:,} texts; hits of the cache on disk, of the best there can be, and without one")
    for s in (0.8, 1.0, 1.2):
        requests = trace(s)
        for entries in (50_000, 2_500, 1_000, 500):
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                use, seconds = play(requests, entries, Path(folder))
                took = time.perf_counter() - started
            best = belady(requests, entries)
            p50, p99 = (quantiles(seconds, n=100)[i] * 1e6 for i in (49, 98))
            print(
                f"s={s} entries={entries:>6,}  hits {use.hits:>6,} ({use.hits / REQUESTS:.1%})  best {best:>6,} "
                f"({use.hits / best:.1%} of it)  model asked {REQUESTS - use.hits:,} times, off: {REQUESTS:,}  "
                f"hit p50 {p50:.0f} us, p99 {p99:.0f} us  {took:.1f} s"
            )


if __name__ == "__main__":
    main()
