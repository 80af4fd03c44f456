"""How many requests are with an engine at once, and whose turn is next.

The bound is fixed, or it adapts as TCP's window does (additive increase, multiplicative decrease): one more for each round of
answers while requests are waiting, three quarters when the server says that it has too much (429) or takes three times as long
as its fastest answer of about that length did.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llmc.route import Stopped

DECREASE = 0.75
SLOW = 3.0  # times the fastest: then most of the time is spent waiting inside the server
SMOOTHING = 0.2  # share of the newest answer in the smoothed slowness


class Limit:
    """Places for requests; the lowest ``turn`` among those waiting is next."""

    def __init__(self, places: int, *, most: int | None = None) -> None:
        """``most``: the bound adapts between 1 and this; None: it is ``places``, always."""
        self._bound = float(places)
        self._most = most
        self._waiting: list[tuple[tuple[int, int], int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._fastest: dict[int, float] = {}  # seconds, by the number of binary digits of the tokens
        self._slowness = 1.0
        self._sent_before = 0  # requests still out that were sent before the last decrease
        self._pausing: set[asyncio.Future[None]] = set()
        self.stopped = False
        """The run ends: what has not been sent is not sent any more."""
        self.in_use = 0

    @property
    def places(self) -> int:
        return max(1, int(self._bound))

    @property
    def waiting(self) -> int:
        return sum(not future.done() for _, _, future in self._waiting)

    @asynccontextmanager
    async def place(self, turn: tuple[int, int]) -> AsyncIterator[None]:
        """Held while a request is with the engine. :class:`llmc.route.Stopped` when the run ends before it was its turn."""
        if self.stopped:
            raise Stopped
        if self.in_use < self.places:
            self.in_use += 1
        else:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (turn, next(self._numbers), mine))
            try:
                await mine  # who gives up a place hands it on
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled() and mine.exception() is None:
                    self._give_back()
                raise
        try:
            yield
        finally:
            self._give_back()

    def _give_back(self) -> None:
        self.in_use -= 1
        self._sent_before = max(0, self._sent_before - 1)
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.in_use < self.places:
            _, _, next_one = heapq.heappop(self._waiting)
            if not next_one.done():
                self.in_use += 1
                next_one.set_result(None)

    async def pause(self, seconds: float) -> None:
        """Time that passes before a request is sent (again). :class:`llmc.route.Stopped` as soon as the run ends."""
        if self.stopped:
            raise Stopped
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pausing.add(mine)
        try:
            async with asyncio.timeout(seconds):
                await mine
        except TimeoutError:
            pass
        finally:
            self._pausing.discard(mine)

    def stop(self) -> None:
        """Nobody who waits gets a place any more, and nobody waits any longer."""
        self.stopped = True
        for future in (*(future for _, _, future in self._waiting), *self._pausing):
            if not future.done():
                future.set_exception(Stopped())
        self._waiting.clear()

    def answered(self, seconds: float, tokens: int) -> None:
        """A request was answered: this long, for so many tokens read and written."""
        if self._most is None:
            return
        length = tokens.bit_length()
        self._fastest[length] = min(seconds, self._fastest.get(length, seconds))
        now = seconds / max(self._fastest[length], 1e-9)
        self._slowness += SMOOTHING * (now - self._slowness)
        if self._slowness > SLOW:
            self.too_much()
        elif self.waiting:
            self._bound = min(float(self._most), self._bound + 1 / self.places)
            self._admit()

    def too_much(self) -> None:
        """The server has more than it can do. What was sent before the last decrease says nothing about the bound of now."""
        if self._most is not None and not self._sent_before:
            self._bound = max(1.0, self._bound * DECREASE)
            self._sent_before = self.in_use
