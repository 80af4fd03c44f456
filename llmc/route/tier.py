"""One rung of the ladder: an engine that is started when it is first needed, asked no more at once than it can serve, asked
again where that is of use, and left alone when it is not.

What went wrong decides what is done about it:

    busy (429)              wait as long as the server asks, else back off; then again
    timeout, 5xx, refused   back off; then again; several in a row and the rung rests, then one request tries it
    died (an engine of ours)  started again, five times in a run at most
    too long for it         the caller asks for less at once
    key or credit refused   not asked again in this run, and a hint
    anything else           the next rung
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from llmc.engine import Engine, Generation, Health, Message
from llmc.errors import EngineBusy, EngineDenied, EngineError, EngineTimeout, EngineUnavailable, LlmcError
from llmc.meter import Call, Meter, Outcome, Unmetered
from llmc.route import Closed, Resting, Stopped, cause, deserves_another_try
from llmc.route.breaker import Breaker
from llmc.route.limit import Limit
from llmc.schema import PatienceConfig

MAX_ENGINE_STARTS = 5  # in one run: an engine that dies more often than that is not coming back
POLL_SECONDS = 0.2  # how often those who wait for a resting rung look whether its trial went well
Turn = tuple[int, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model this is and what serves it: what is remembered of it is remembered under this."""

    model: str
    engine: str
    backend: str = ""
    quant: str = ""

    def __str__(self) -> str:
        return " ".join(word for word in (self.model, self.quant, self.backend, f"({self.engine})") if word)


@dataclass(slots=True)
class Tally:
    """What a rung has done in this run; updated in place, read by the display."""

    model: str = ""
    in_flight: int = 0
    tokens: int = 0
    """Read and written."""
    kept: int = 0
    refused: int = 0
    failed: int = 0
    cached: int = 0
    """Views that our own cache had: nothing was asked."""
    spent_usd: Decimal | None = None
    """As the meter knows it; None while it knows of nothing."""


@dataclass(slots=True, eq=False)
class Tier:
    """A rung. ``engine`` runs already; or ``open`` makes one when it is first needed, which :meth:`aclose` then ends."""

    name: str
    identity: Identity
    model_digest: str
    local: bool
    engine: Engine | None = None
    open: Callable[[], Engine] | None = None
    provider: str = ""
    address: str = ""
    """Of a provider: two that serve a model of the same name need not serve the same model."""
    concurrency: int = 4
    batch: int = 32
    """Documents that are prepared, waiting, asked for or checked at once; an adaptive rung may ask for as many."""
    adaptive: bool = False
    attempts: int = 2
    """The most that this model is asked for one gist."""
    counts_tokens: bool = True
    """With the model's own tokenizer. False: it estimates."""
    reasoning_tokens: int = 0
    """What each answer may take beyond its limit, for thinking."""
    request_timeout_seconds: float = 600
    patience: PatienceConfig = field(default_factory=PatienceConfig)
    meter: Meter = field(default_factory=Unmetered)
    on_warning: Callable[[str], None] = lambda message: None
    why_closed: str = ""
    """Why it is not asked (any more) in this run."""
    tally: Tally = field(default_factory=Tally)
    limit: Limit = field(init=False)
    breaker: Breaker = field(init=False)
    _mending: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _starts: int = field(init=False, default=0)
    _ours: bool = field(init=False, default=False)
    _probed: tuple[float, Health] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.limit = Limit(self.concurrency, most=self.batch if self.adaptive else None)
        self.breaker = Breaker(self.patience.rest_after_failures, self.patience.rest_seconds)
        self.tally.model = self.identity.model

    @classmethod
    def of(cls, engine: Engine, name: str = "local", **options: Any) -> "Tier":  # noqa: ANN401 - its own fields
        """A rung from an engine that runs."""
        identity = Identity(engine.model, engine.name)
        options = {"concurrency": engine.slots, "address": "" if engine.local else getattr(engine, "url", ""), **options}
        return cls(name, identity, engine.model_digest, engine.local, engine, **options)

    # -- the engine ----------------------------------------------------------------------------------------------------------

    async def running(self) -> Engine:
        """The engine, started if it was not; :class:`Closed` when it cannot be, :class:`Stopped` when the run ends."""
        if self.why_closed:
            raise Closed(self.why_closed)
        if self.engine is None:
            if self.limit.stopped:
                raise Stopped
            async with self._mending:
                if self.engine is None and not self.why_closed:
                    await self._start()
        if self.engine is None:
            raise Closed(self.why_closed)
        return self.engine

    async def _start(self) -> None:
        assert self.open is not None
        try:
            engine = self.open()
            self.engine = await asyncio.to_thread(engine.__enter__)
            self._ours = True
        except LlmcError as error:
            self._close(error)

    def _close(self, error: LlmcError) -> None:
        self.why_closed = error.message
        self.on_warning(f"{self.name} ({self.identity.model}) is not asked any more: {error.message}" + _hint(error))

    async def _mend(self, error: EngineUnavailable) -> bool:
        """Start an engine of this machine again that died; False when it stays down, which every later document is told."""
        async with self._mending:
            if self.why_closed or self.engine is None:
                return False
            if (await self.engine.health()).ok:
                return True  # another document has done it
            if self._starts == MAX_ENGINE_STARTS:
                self._close(EngineUnavailable(f"{error.message}, for the {self._starts + 1}th time: given up for this run"))
                return False
            self.on_warning(f"{error.message}: starting it again")
            try:
                await asyncio.to_thread(self.engine.__exit__, None, None, None)
                await asyncio.to_thread(self.engine.__enter__)
            except EngineUnavailable as again:
                self.on_warning(f"it does not start again: {again.message}")
                return False
            except LlmcError as never:  # weights that are gone, a port that was taken: not a matter of time
                self._close(never)
                return False
            self._starts += 1
            return True

    async def health(self) -> Health:
        """What a probe finds; believed for a few seconds. An engine that was not started yet is started."""
        now = asyncio.get_running_loop().time()
        if self._probed is None or now - self._probed[0] > self.patience.health_seconds:
            try:
                self._probed = now, await (await self.running()).health()
            except EngineError as error:
                self._probed = now, Health(False, 0.0, error.message)
        return self._probed[1]

    async def aclose(self) -> None:
        """Leave the connections of this event loop, and end an engine that was started here."""
        if self.engine is not None:
            await self.engine.aclose()
            if self._ours:
                await asyncio.to_thread(self.engine.__exit__, None, None, None)
                self.engine, self._ours = None, False

    # -- asking --------------------------------------------------------------------------------------------------------------

    async def count(self, ask: Callable[[Engine], Awaitable[int]]) -> int:
        """What the engine counts. It may be started again for it, once."""
        engine = await self.running()
        try:
            return await ask(engine)
        except EngineUnavailable as error:
            if not self.local or not await self._mend(error):
                raise
            return await ask(engine)

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        prompt_tokens: int,
        document: str,
        turn: Turn,
        wait: bool,
        **options: Any,  # noqa: ANN401
    ) -> Generation:
        """The model's answer, whatever patience it takes; the EngineError that is left when patience ends.

        ``wait``: there is no other rung to go to, so a rest is waited out as far as the deadline allows.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience.deadline_seconds
        tries = 0

        async def once() -> Generation:
            nonlocal tries
            trial = await self._admitted(deadline if wait else None)
            tries += 1
            call = Call(
                uuid.uuid4().hex,
                document,
                self.name,
                self.local,
                self.identity.engine,
                self.provider,
                self.identity.model,
                tries,
            )
            try:
                async with self.limit.place(turn):
                    return await self._ask(call, trial, messages, prompt_tokens, **options)
            finally:
                self.breaker.withdrew(trial)

        def over(state: RetryCallState) -> bool:
            return loop.time() + state.upcoming_sleep >= deadline

        async for attempt in AsyncRetrying(
            retry=retry_if_exception(deserves_another_try),
            wait=self._wait_seconds,
            stop=lambda state: stop_after_attempt(self.patience.tries)(state) or over(state),
            sleep=self.limit.pause,
            reraise=True,
        ):
            with attempt:
                return await once()
        raise AssertionError("unreachable")

    def _wait_seconds(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, EngineBusy) and error.retry_after_seconds is not None:
            return error.retry_after_seconds
        patience = self.patience
        return wait_random_exponential(multiplier=patience.first_wait_seconds, max=patience.longest_wait_seconds)(state)

    async def _admitted(self, deadline: float | None) -> int:
        """Returns when a request may be sent, with the breaker's number for it; with a deadline a rest is waited out."""
        while True:
            if self.why_closed:
                raise Closed(self.why_closed)
            trial = self.breaker.admit()
            if trial == 0:
                return trial
            if trial:  # first the probe, which costs nothing
                try:
                    found = await self.health()
                except BaseException:
                    self.breaker.withdrew(trial)
                    raise
                if found.ok:
                    return trial
                self.breaker.failed(found.reason, trial)
            wait = max(self.breaker.wait_seconds(), POLL_SECONDS)
            if deadline is None or asyncio.get_running_loop().time() + wait > deadline:
                last = self.breaker.last
                raise Resting(f"{self.name} rests after failing several times in a row, the last time: {last}")
            await self.limit.pause(min(wait, 5 * POLL_SECONDS))

    async def _ask(
        self,
        call: Call,
        trial: int,
        messages: Sequence[Message],
        prompt_tokens: int,
        **options: Any,  # noqa: ANN401
    ) -> Generation:
        """One request: paid for, timed, and its end told to all who need to know."""
        loop = asyncio.get_running_loop()
        engine = await self.running()
        read = prompt_tokens if self.counts_tokens else max(prompt_tokens, _most_tokens(messages))
        most = options["max_tokens"] + self.reasoning_tokens
        self.meter.reserve(call, prompt_tokens=read, max_output_tokens=most)
        started = loop.time()
        outcome = Outcome("failed", "interrupted")
        self.tally.in_flight += 1
        try:
            # A server that sends a byte now and then never runs into httpx's timeout, which is one for silence.
            async with asyncio.timeout(self.request_timeout_seconds):
                answer = await engine.generate(messages, **options)
        except TimeoutError as error:
            late = EngineTimeout(f"no whole answer from {call.model} within {self.request_timeout_seconds:g} s")
            outcome = Outcome("failed", cause(late))
            await self._failed(late, trial)
            raise late from error
        except EngineError as error:
            outcome = Outcome("failed", cause(error))
            await self._failed(error, trial)
            raise
        else:
            outcome = _paid(answer)
            self._answered(answer)
            return answer
        finally:
            self.tally.in_flight -= 1
            self.meter.settle(call, replace(outcome, seconds=outcome.seconds or loop.time() - started))

    def _answered(self, answer: Generation) -> None:
        tokens = answer.prompt_tokens + answer.output_tokens
        self.breaker.succeeded()
        self.limit.answered(answer.seconds, tokens)
        self.tally.tokens += tokens

    async def _failed(self, error: EngineError, trial: int) -> None:
        if isinstance(error, EngineBusy | EngineTimeout):
            self.limit.too_much()
        if isinstance(error, EngineDenied):
            self._close(error)
        elif isinstance(error, EngineBusy) or not deserves_another_try(error):
            self.breaker.succeeded()  # it is there and said so; only not to this request
        elif isinstance(error, EngineUnavailable) and self.local and await self._mend(error):
            pass  # it runs again
        elif self.breaker.failed(error.message, trial):
            rest = self.patience.rest_seconds
            self.on_warning(f"{self.name} rests for {rest:g} s: it failed {self.patience.rest_after_failures} times in a row, "
                            f"the last time: {error.message}")  # fmt: skip


def _most_tokens(messages: Sequence[Message]) -> int:
    """What a prompt may at most come to where nobody can count it: no token is shorter than a byte."""
    return sum(len(message.content.encode("utf-8", "surrogatepass")) for message in messages)


def _paid(answer: Generation) -> Outcome:
    return Outcome(
        "ok",
        prompt_tokens=answer.prompt_tokens,
        cache_read_tokens=answer.cached_tokens,
        cache_write_tokens=answer.cache_write_tokens,
        output_tokens=answer.output_tokens,
        reasoning_tokens=answer.reasoning_tokens,
        seconds=answer.seconds,
        cost_usd=answer.cost_usd,
        served_model=answer.served_model,
        request_id=answer.request_id,
    )


def _hint(error: LlmcError) -> str:
    return f" ({error.hint})" if error.hint else ""


@dataclass(frozen=True, slots=True)
class Asking:
    """A rung as one document sees it: who asks, when it is its turn, and whether there is anywhere else to go."""

    tier: Tier
    document: str = ""
    turn: Turn = (0, 0)
    wait: bool = True

    async def context_tokens(self) -> int:
        return (await self.tier.running()).slot_context_tokens

    async def count_tokens(self, text: str) -> int:
        return await self.tier.count(lambda engine: engine.count_tokens(text))

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return await self.tier.count(lambda engine: engine.count_prompt_tokens(messages))

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        prompt_tokens: int,
        max_tokens: int,
        schema: dict[str, Any],
        temperature: float,
        seed: int,
    ) -> Generation:
        return await self.tier.generate(
            messages,
            prompt_tokens=prompt_tokens,
            document=self.document,
            turn=self.turn,
            wait=self.wait,
            max_tokens=max_tokens,
            schema=schema,
            temperature=temperature,
            seed=seed,
        )
