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
        self._trial = 0  # the number of the one that is under way
        self._trials = 0
        self.last = ""
        """What the last failure was."""

    @property
    def closed(self) -> bool:
        return self._until is None

    def wait_seconds(self) -> float:
        """Until a request may be tried; 0 when one may now."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def admit(self) -> int | None:
        """0 while it is closed, the number of the trial that this request is, None when it may not go now.

        Who is admitted reports :meth:`succeeded` or :meth:`failed`, and then, in any case, :meth:`withdrew`.
        """
        if self._until is None:
            return 0
        if self._trial or self.wait_seconds():
            return None
        self._trials += 1
        self._trial = self._trials
        return self._trial

    def succeeded(self) -> None:
        """Whoever was answered, it was answered: closed."""
        self._in_a_row, self._until, self._trial, self._rest = 0, None, 0, self._rest_seconds

    def failed(self, reason: str, trial: int = 0) -> bool:
        """Whether this failure opened it; of requests that were sent before it opened only the trial says anything new."""
        self.last = reason
        self._in_a_row += 1
        was_closed = self._until is None
        if was_closed and self._in_a_row < self._allowed:
            return False
        if trial and trial == self._trial:
            self._rest = min(self._rest * 2, self._rest_seconds * LONGEST_REST)
            self._until = self._clock() + self._rest
            self._trial = 0
        elif was_closed:
            self._until = self._clock() + self._rest
        return was_closed

    def withdrew(self, trial: int) -> None:
        """The request with this number is over; if it was the trial and said nothing of the engine's health, another may be."""
        if trial == self._trial:
            self._trial = 0
