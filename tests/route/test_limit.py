"""Places with an engine: bounded, handed on in turn, and as many as the server bears."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmc.route import Stopped
from llmc.route.limit import DECREASE, SLOW, Limit


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-9, 0)), min_size=1, max_size=30), st.integers(1, 5))
def test_never_more_than_the_places_and_every_one_gets_its_turn(turns, places):
    limit = Limit(places)
    seen = []

    async def one(turn):
        async with limit.place(turn):
            seen.append(limit.in_use)
            await asyncio.sleep(0)

    async def every():
        await asyncio.gather(*(one(turn) for turn in turns))

    asyncio.run(every())
    assert len(seen) == len(turns)
    assert max(seen) <= places
    assert limit.in_use == 0


def test_of_those_that_wait_the_oldest_batch_is_next_and_in_it_the_longest():
    limit = Limit(1)
    order = []

    async def one(turn):
        async with limit.place(turn):
            order.append(turn)
            await asyncio.sleep(0)

    async def every():
        await asyncio.gather(*(one(turn) for turn in [(0, -5), (1, -99), (0, -1), (0, -40), (1, -3)]))

    asyncio.run(every())
    assert order == [(0, -5), (0, -40), (0, -1), (1, -99), (1, -3)]


def test_a_stop_ends_those_who_wait_and_lets_those_finish_who_do_not():
    limit = Limit(1)

    async def every():
        async with limit.place((0, 0)):
            waiting = asyncio.create_task(limit.place((0, 1)).__aenter__())
            await asyncio.sleep(0)
            limit.stop()
            with pytest.raises(Stopped):
                await waiting
        with pytest.raises(Stopped):
            await limit.place((0, 2)).__aenter__()

    asyncio.run(every())
    assert limit.in_use == 0


def test_a_stop_ends_every_pause_at_once_and_allows_none_after():
    limit = Limit(1)

    async def every():
        await limit.pause(0.001)
        pausing = asyncio.create_task(limit.pause(3600))
        await asyncio.sleep(0)
        limit.stop()
        with pytest.raises(Stopped):
            await pausing
        with pytest.raises(Stopped):
            await limit.pause(3600)

    asyncio.run(every())


def test_a_waiting_one_that_is_cancelled_loses_no_place():
    limit = Limit(1)

    async def every():
        async with limit.place((0, 0)):
            waiting = asyncio.create_task(limit.place((0, 1)).__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
        async with limit.place((0, 2)):
            assert limit.in_use == 1

    asyncio.run(every())


class Server:
    """Answers in 0.2 s while no more than ``slots`` ask, in proportionally more beyond: time passes only in its answers."""

    def __init__(self, slots: int) -> None:
        self.slots, self.asking = slots, 0

    async def answer(self, limit: Limit, tokens: int) -> None:
        self.asking += 1
        seconds = 0.2 * max(1.0, self.asking / self.slots)
        await asyncio.sleep(0)
        self.asking -= 1
        limit.answered(seconds, tokens)


def driven(limit: Limit, server: Server, requests: int) -> None:
    async def one(i):
        async with limit.place((0, i)):
            await server.answer(limit, 100 << (i % 4))

    async def every():
        await asyncio.gather(*(one(i) for i in range(requests)))

    asyncio.run(every())


def test_an_adaptive_limit_grows_to_what_the_server_bears_and_not_past_its_bound():
    limit = Limit(4, most=16)
    driven(limit, Server(slots=64), 400)
    assert limit.places == 16


def test_an_adaptive_limit_stays_near_the_servers_slots():
    limit = Limit(4, most=200)
    driven(limit, Server(slots=10), 3000)
    assert 10 * 0.5 <= limit.places <= 10 * (SLOW + 1)


def test_a_fixed_limit_never_moves():
    limit = Limit(4)
    driven(limit, Server(slots=1), 200)
    limit.too_much()
    assert limit.places == 4


def test_too_much_makes_it_three_quarters_once_for_what_was_sent_together():
    limit = Limit(16, most=16)

    async def burst():
        together = [limit.place((0, 0)) for _ in range(16)]
        for place in together:
            await place.__aenter__()
        for place in together:
            limit.too_much()
            seen.append(limit.places)
            await place.__aexit__(None, None, None)
        async with limit.place((0, 1)):
            limit.too_much()

    seen: list[int] = []
    asyncio.run(burst())
    assert seen == [int(16 * DECREASE)] * 16
    assert limit.places == int(16 * DECREASE * DECREASE)
