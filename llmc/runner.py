"""runner=ray: the expensive work of both stages on the nodes of a Ray cluster that runs already.

Blocks are encoded and views are made there; reading, looking up, journalling and writing stay in this process. So there is one
writer, a task that ran twice (its node died after it was done) leaves nothing twice, nodes need no shared disk, and the archive
is the one that a run without a cluster would have written. Requests to a model: at least once; views: exactly once.
"""

import asyncio
import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import psutil

import llmc
from llmc.engine._http import is_loopback
from llmc.errors import EngineUnavailable, LlmcError, UsageError
from llmc.fidelity import Policy
from llmc.meter import Call, Made, Meter, Outcome
from llmc.route import rungs
from llmc.route.tier import Tier, Turn
from llmc.schema import RunConfig, RunnerConfig
from llmc.view import View
from llmc.view.ladder import Ladder
from llmc.view.reuse import Reuse

GATHER_SECONDS = 0.02  # waited for more documents before a task that is not full is sent
P = ParamSpec("P")
R = TypeVar("R")


class Cluster:
    """A Ray cluster, joined for as long as it is entered. It runs what is submitted, as an executor does."""

    def __init__(self, config: RunnerConfig, *, offline: bool = False) -> None:
        """``offline``: only one whose nodes are all on this machine is joined."""
        self.config, self.offline = config, offline
        self.tasks = 1
        """How many can run at once."""

    def __enter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # llmc tells nobody anything
        if _token_file().exists():
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            import ray
        except ImportError:
            raise UsageError("runner=ray needs the package ray", hint="pip install 'llmc-cli[ray]', on every node") from None
        if not self.config.address:  # without one, Ray joins whatever was started last on this machine
            raise UsageError("runner=ray needs the address of the cluster", hint="runner.address=HOST:6379")
        try:
            ray.init(address=self.config.address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise LlmcError(
                f"the Ray cluster at {self.config.address} cannot be joined: {str(error).splitlines()[0]}",
                hint="ray status shows it; its token must be on this machine too",
            ) from error
        if self.offline and (others := elsewhere([node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]])):
            ray.shutdown()
            raise UsageError(
                f"the profile sends documents to no other machine: {others[0]} is a node of {self.config.address}",
                hint="profile.offline=false lets them travel to the nodes of the cluster",
            )
        cpus = ray.cluster_resources().get("CPU", 0.0)
        self.tasks = max(1, int(cpus / self.config.cpus_per_task))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        import ray

        ray.shutdown()

    def submit(self, function: Callable[P, R], /, *args: P.args, **named: P.kwargs) -> "Future[R]":
        """Run a function of llmc's on some node; one that dies with its node is run again on another."""
        import ray

        options = {"num_cpus": self.config.cpus_per_task, "max_retries": self.config.retries}
        answer: Future[R] = Future()
        reference = ray.remote(**options)(function).remote(*args, **named)
        reference.future().add_done_callback(lambda done: _hand_on(done, answer))
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As an executor's; what was submitted ends with the cluster's session."""


def _hand_on(done: "Future[R]", answer: "Future[R]") -> None:
    """What came back; what went wrong there or on the way as an error of ours."""
    error = done.exception()
    if error is None:
        answer.set_result(done.result())
        return
    cause = getattr(error, "cause", None)  # Ray's error around the one that was raised on the node
    said = str(cause or error).strip().splitlines() or [type(error).__name__]
    failed = EngineUnavailable(f"the cluster could not do it: {said[0]}", hint="llmc and its packages must be on every node")
    answer.set_exception(cause if isinstance(cause, LlmcError) else failed)


def elsewhere(addresses: Sequence[str]) -> list[str]:
    """Those that are not of this machine: a head that is asked on loopback may have nodes anywhere."""
    ours = {address.address for each in psutil.net_if_addrs().values() for address in each}
    return [address for address in addresses if address not in ours and not is_loopback(address)]


def _token_file() -> Path:
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


@dataclass(frozen=True, slots=True)
class _Job:
    source: str
    document: str
    count_only: bool = False


class RemoteLadder(Ladder):
    """A ladder whose rungs are on the nodes: documents are sent there some at a time, and come back with their views."""

    def __init__(
        self,
        cluster: Cluster,
        config: RunConfig,
        tiers: Sequence[Tier],
        *,
        reuse: Reuse | None,
        why: str,
        meter: Meter | None = None,
    ) -> None:
        policy = Policy.of(config.policy)
        super().__init__(config.view, policy, tiers, seed=config.seed, why_no_model=why, meter=meter, reuse=reuse)
        self._cluster = cluster
        self._config = pickle.dumps(replace(config, input=None, output=None))
        self._waiting: list[tuple[_Job, asyncio.Future[Any]]] = []
        self._sent: set[asyncio.Task[None]] = set()

    @property
    def in_work(self) -> int:
        return 2 * self._cluster.tasks * self._cluster.config.documents_per_task

    async def tokens(self, content: str) -> int:
        return int(await self._remote(_Job(content, "", count_only=True)))

    async def _make(self, source: str, document: str, turn: Turn) -> View:
        view: View = await self._remote(_Job(source, document))
        by_name = {tier.name: tier for tier in self.tiers}
        for attempt in view.attempts:
            if tier := by_name.get(attempt.by):
                tier.tally.tokens += attempt.prompt_tokens + attempt.output_tokens
                tier.tally.kept += attempt.outcome == "kept"
                tier.tally.refused += attempt.outcome == "refused"
                tier.tally.failed += attempt.outcome == "failed"
        return view

    async def _remote(self, job: _Job) -> Any:  # noqa: ANN401 - a view, or a number of tokens
        loop = asyncio.get_running_loop()
        self._waiting.append((job, loop.create_future()))
        answer = self._waiting[-1][1]
        if len(self._waiting) >= self._cluster.config.documents_per_task:
            self._send()
        elif len(self._waiting) == 1:
            loop.call_later(GATHER_SECONDS, self._send)
        return await answer

    def _send(self) -> None:
        sent, self._waiting = self._waiting, []
        if sent:
            task = asyncio.create_task(self._receive(sent))
            self._sent.add(task)
            task.add_done_callback(self._sent.discard)

    async def _receive(self, sent: list[tuple[_Job, asyncio.Future[Any]]]) -> None:
        answers: list[Any]
        try:
            future = self._cluster.submit(work, self._config, llmc.__version__, [job for job, _ in sent])
            answers, calls = await asyncio.wrap_future(future)
            for call, outcome in calls:  # of rungs that this machine may not have
                self._meter.settle(call, outcome)
        except LlmcError as error:
            answers = [error for _ in sent]
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for an answer must be told
            said = str(error).strip().splitlines() or [type(error).__name__]
            answers = [EngineUnavailable(f"the cluster could not do it: {said[0]}") for _ in sent]
        for (_, future_answer), answer in zip(sent, answers, strict=True):
            if future_answer.done():
                continue
            if isinstance(answer, Exception):
                future_answer.set_exception(answer)
            else:
                future_answer.set_result(answer)


@dataclass(slots=True)
class _Recorder:
    """What a node's rungs cost, to be told to the meter of the process that keeps the record."""

    calls: list[tuple[Call, Outcome]] = field(default_factory=list)

    def reserve(self, call: Call, *, prompt_tokens: int, max_output_tokens: int) -> None: ...

    def settle(self, call: Call, outcome: Outcome) -> None:
        self.calls.append((call, outcome))

    def made(self, made: Made) -> None: ...


@dataclass(slots=True)
class _Here:
    """What a worker process keeps from one task to the next: its ladder, whose engine stays up, and the loop they belong to."""

    ladder: Ladder
    recorder: _Recorder
    loop: asyncio.AbstractEventLoop


_HERE: dict[bytes, _Here] = {}


def work(pickled: bytes, version: str, jobs: Sequence[_Job]) -> tuple[list[Any], list[tuple[Call, Outcome]]]:
    """On a node: the view of each document, or the error that is left of it, and what they cost."""
    if version != llmc.__version__:
        return [LlmcError(f"a node has llmc {llmc.__version__}, this run is of {version}")] * len(jobs), []
    if pickled not in _HERE:
        config: RunConfig = pickle.loads(pickled)  # from the process that started this one's work, over Ray's own connection
        recorder = _Recorder()
        tiers = rungs.tiers(config, meter=recorder) if config.view.needs_engine else []
        ladder = Ladder(
            config.view,
            Policy.of(config.policy),
            tiers,
            seed=config.seed,
            why_no_model="no rung of profile.ladder is on this node",
        )
        _HERE.clear()
        _HERE[pickled] = _Here(ladder, recorder, asyncio.new_event_loop())
    here = _HERE[pickled]
    answers = here.loop.run_until_complete(_all(here.ladder, jobs))
    calls, here.recorder.calls = here.recorder.calls, []
    return answers, calls


async def _all(ladder: Ladder, jobs: Sequence[_Job]) -> list[Any]:
    async def one(job: _Job) -> Any:  # noqa: ANN401
        try:
            if job.count_only:
                return await ladder.tokens(job.source)
            return await ladder.make(job.source, job.document, (0, -len(job.source)))
        except LlmcError as error:
            return error

    return list(await asyncio.gather(*map(one, jobs)))
