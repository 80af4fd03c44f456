"""A circuit breaker: an engine that failed several times in a row is left alone for a while, then tried with one request.

Without it every document would wait out every retry of an engine that is down. After a failed trial the rest is twice as long.
"""

import time
from collections.abc import Callable

LONGEST_REST = 8  # times the first: a server that was down for long is still found again within minutes


class Breaker:
    """Closed (requests pass), open (none do) or half open (one does, the trial)."""

    def __init__(self, failures: int, rest_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed, self._rest_seconds, self._clock = failures, rest_seconds, clock
        self._in_a_row = 0
        self._rest = rest_seconds
        self._until: float | None = None  # None: closed
        self._trial = False
        self.last = ""
        """What the last failure was."""

    @property
    def closed(self) -> bool:
        return self._until is None

    def wait_seconds(self) -> float:
        """Until a request may be tried; 0 when one may now."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def admit(self) -> bool:
        """Whether a request may go now. Who is admitted must report :meth:`succeeded`, :meth:`failed` or :meth:`withdrew`."""
        if self._until is None:
            return True
        if self._trial or self.wait_seconds():
            return False
        self._trial = True
        return True

    def succeeded(self) -> None:
        self._in_a_row, self._until, self._trial, self._rest = 0, None, False, self._rest_seconds

    def failed(self, reason: str) -> bool:
        """Whether this failure opened it."""
        self.last = reason
        self._in_a_row += 1
        was_closed = self._until is None
        if was_closed and self._in_a_row < self._allowed:
            return False
        if self._trial:
            self._rest = min(self._rest * 2, self._rest_seconds * LONGEST_REST)
        if was_closed or self._trial:  # a request that was sent before it opened says nothing new
            self._until = self._clock() + self._rest
        self._trial = False
        return was_closed

    def withdrew(self) -> None:
        """The request ended without saying anything about the engine's health."""
        self._trial = False
