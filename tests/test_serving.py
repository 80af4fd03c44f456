"""Serving figures: the definitions on times that are written down, and the load generators against a server that streams."""

import asyncio
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmc import serving
from llmc.engine._http import OpenAIServer
from llmc.serving import Sent


def sent(intended: float, first: float, gap: float, tokens: int, *, late: float = 0.0, error: str = "") -> Sent:
    pieces = [] if error else [intended + first + i * gap for i in range(tokens)]
    return Sent(intended, intended + late, pieces, 10, 0, 0 if error else tokens, error)


def test_the_definitions():
    (one,) = [sent(100.0, 0.5, 0.1, 5)]
    assert one.ttft == pytest.approx(0.5)
    assert one.e2e == pytest.approx(0.9)
    assert one.tpot == pytest.approx(0.1)
    assert one.gaps == pytest.approx([0.1] * 4)


def test_several_tokens_in_one_piece_show_in_the_gaps_and_not_in_the_time_per_token():
    lumpy = Sent(0.0, 0.0, [0.5, 0.9], 10, 0, 5)
    assert lumpy.tpot == pytest.approx(0.1)
    assert lumpy.gaps == pytest.approx([0.4])


def test_an_answer_of_one_token_has_no_time_per_token():
    assert sent(0.0, 0.5, 0.1, 1).tpot is None
    assert serving.summary([sent(0.0, 0.5, 0.1, 1)]).tpot_seconds.p50 is None


def test_times_count_from_when_a_request_should_have_been_sent():
    stalled = Sent(intended=0.0, sent=2.0, pieces=[2.5], prompt_tokens=1, output_tokens=1)
    assert stalled.ttft == 2.5
    figures = serving.summary([stalled])
    assert figures.send_lag_p99_seconds == 2.0
    assert figures.late


@pytest.mark.parametrize(("count", "missing"), [(1, ("p90", "p95", "p99")), (50, ("p95", "p99")), (200, ("p99",)), (1000, ())])
def test_a_percentile_needs_its_requests(count: int, missing: tuple[str, ...]):
    assert serving.percentiles([1.0] * count).too_few_for == missing


def test_gaps_are_many_but_their_requests_are_few():
    figures = serving.summary([sent(0.0, 0.1, 0.01, 500)])
    assert figures.itl_seconds.p99 is None
    assert figures.itl_seconds.samples == 1


def test_failures_stay_in_the_denominator_and_keep_no_promise():
    requests = [sent(0.0, 0.1, 0.1, 3), sent(0.0, 0.1, 0.1, 3, error="500"), sent(0.0, 0.9, 0.1, 3)]
    figures = serving.summary(requests, ttft_slo_seconds=0.5)
    assert (figures.requests, figures.failed, figures.errors) == (3, 1, {"500": 1})
    assert figures.seconds == pytest.approx(1.1)
    assert figures.goodput_per_second == pytest.approx(1 / 1.1)
    assert serving.summary(requests).goodput_per_second is None


TIMES = st.tuples(st.floats(0, 10), st.floats(0.001, 5), st.floats(0.001, 1), st.integers(1, 20))


@given(st.lists(TIMES, min_size=1, max_size=30))
def test_goodput_is_never_above_throughput(times: list[tuple[float, float, float, int]]):
    figures = serving.summary([sent(*t) for t in times], ttft_slo_seconds=1.0, tpot_slo_seconds=0.2)
    assert figures.goodput_per_second is not None
    assert figures.goodput_per_second <= figures.requests_per_second + 1e-9


def run(fake: Callable, measure: Callable, *flags: object):
    started = fake("stream_server", *flags)
    server = OpenAIServer(started.url, timeout_seconds=20, offline=True)

    async def whole():
        try:
            return await measure(server)
        finally:
            await server.aclose()

    return asyncio.run(whole()), started


def words(number: int) -> str:
    return f"{number} tell me something"


def test_a_closed_loop_warms_up_each_user_and_counts_only_the_rest(fake):
    requests, started = run(
        fake, lambda s: serving.closed_loop(s, words, users=3, requests=9, max_tokens=4), "--tokens", 8, "--gap-seconds", 0.002
    )
    assert len(requests) == 9
    assert all(r.ok and r.output_tokens == 4 and len(r.pieces) == 4 for r in requests)
    prompts = [line["prompt"] for line in started.log]
    assert len(prompts) == len(set(prompts)) == 12
    assert all(prompt.startswith("-") for prompt in prompts[:3])


def test_an_open_loop_sends_at_its_own_times_whatever_the_server_does(fake):
    requests, _ = run(
        fake,
        lambda s: serving.open_loop(s, words, per_second=200, requests=30, max_tokens=2, seed=3),
        "--first-seconds", 0.2, "--slots", 30,
    )  # fmt: skip
    assert len(requests) == 30
    assert sum(later.sent < earlier.pieces[0] for earlier, later in itertools.pairwise(requests)) > 20
    again, _ = run(fake, lambda s: serving.open_loop(s, words, per_second=200, requests=30, max_tokens=2, seed=3))
    gaps = [[b.intended - a.intended for a, b in itertools.pairwise(r)] for r in (requests, again)]
    assert gaps[0] == pytest.approx(gaps[1])  # seeded


def test_a_cached_pair_asks_the_same_twice_and_sees_it_in_the_servers_count(fake):
    (fresh, again), started = run(fake, lambda s: serving.cached_pair(s, "tell me something", 2, 3))
    assert serving.summary(fresh).prefix_cache_share == 0.0
    assert serving.summary(again).prefix_cache_share == 1.0
    assert len({line["prompt"] for line in started.log}) == 3


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--fail-every", 1], "answered 500"),
        (["--break-after", 2], "broke off in the middle"),
        (["--error-midway"], "out of memory"),
    ],
)
def test_what_goes_wrong_is_a_failed_request(fake, flags: list[object], reason: str):
    requests, _ = run(fake, lambda s: serving.closed_loop(s, words, users=1, requests=2, max_tokens=4), *flags)
    figures = serving.summary(requests)
    assert figures.failed == 2
    assert all(reason in error for error in figures.errors)
