"""The pytest plugin inside a gate's worker: a benchmark runs a round when the driver says so, and tells how long it took.

It takes the place of pytest-benchmark's ``benchmark`` fixture, so the same files serve both. It stands alone (pytest and the
standard library), because it also runs beside an older tree. The other end is :mod:`llmc.gate.pairs`; they speak JSON lines
over the socket whose descriptor is in ``LLMC_GATE_FD``:

    worker: {"collected": [...], "errors": {file: reason}}    driver: {"order": [...]}
    worker: {"at": test}                                      driver: {"calibrate": seconds}, {"round": iterations}, {"next": 1}
    worker: {"iterations": n} | {"seconds": t}
    worker: {"done": test, "outcome": "passed", "reason": "", "extra": {...}}
"""

import gc
import inspect
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

SPIN = 20_000


class Wire:
    """JSON lines, both ways; an end of file is the other side's death."""

    def __init__(self, connection: socket.socket) -> None:
        self._lines = connection.makefile("rwb")

    def say(self, message: dict[str, Any]) -> None:
        self._lines.write(json.dumps(message).encode() + b"\n")
        self._lines.flush()

    def hear(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise EOFError("the other side of the gate has gone")
        heard: dict[str, Any] = json.loads(line)
        return heard


def spin(loops: int) -> None:
    """Real work, of a length that can be chosen: what ``gate.self_test`` injects."""
    x = 0
    for i in range(loops):
        x += i & 3


def refuse_coroutine_function(function: Callable[..., Any]) -> None:
    """Fails the test: pytest-benchmark would time how long it takes to make a coroutine, and let it pass."""
    if inspect.iscoroutinefunction(function):
        pytest.fail(f"{function.__name__} is a coroutine function: what would be timed is making it, not running it")


def refuse_coroutine(function: Callable[..., Any], result: object) -> None:
    """The same of what a function gave, which need not be a coroutine function for that."""
    if inspect.iscoroutine(result):
        result.close()
        pytest.fail(f"{function.__name__} gives a coroutine: what would be timed is making it, not running it")


class Benchmark:
    """What a test calls ``benchmark``. ``stats`` is None: a single process has nothing to say here."""

    stats = None
    disabled = False
    enabled = True

    def __init__(self, wire: Wire, test: str, slowdown: float) -> None:
        self.extra_info: dict[str, Any] = {}
        self._wire, self._test, self._slowdown = wire, test, slowdown
        self._loops = 0

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the function's own
        return self._serve(function, lambda: (args, kwargs), None, fixed=False)

    def pedantic(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        setup: Callable[[], Any] | None = None,
        teardown: Callable[..., Any] | None = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> Any:  # noqa: ANN401
        """As pytest-benchmark's; how many rounds, and in pairs with whom, is the driver's business."""

        def prepare() -> tuple[tuple[Any, ...], dict[str, Any]]:
            made = setup() if setup else None
            return made if made else (args, kwargs or {})

        return self._serve(target, prepare, teardown, fixed=True)

    def _serve(
        self,
        function: Callable[..., Any],
        prepare: Callable[[], tuple[tuple[Any, ...], dict[str, Any]]],
        teardown: Callable[..., Any] | None,
        *,
        fixed: bool,
    ) -> Any:  # noqa: ANN401
        refuse_coroutine_function(function)
        result: Any = None

        def once(iterations: int) -> float:
            nonlocal result
            args, kwargs = prepare()
            gc.collect()
            gc.disable()
            try:
                started = time.perf_counter()
                for _ in range(iterations):
                    result = function(*args, **kwargs)
                    if self._loops:
                        spin(self._loops)
                seconds = time.perf_counter() - started
            finally:
                gc.enable()
            refuse_coroutine(function, result)
            if teardown:
                teardown(*args, **kwargs)
            return seconds

        once(1)  # what the first call alone does is not what is compared
        took = min(once(1), once(1))
        if self._slowdown:
            self._loops = round(SPIN * self._slowdown * took / min(_timed(spin, SPIN) for _ in range(5)))
        self._wire.say({"at": self._test})
        while "next" not in (order := self._wire.hear()):
            if "calibrate" in order:
                least = float(order["calibrate"])
                self._wire.say({"iterations": 1 if fixed else max(1, round(least / max(took, 1e-9)))})
            else:
                self._wire.say({"seconds": once(int(order["round"])) / int(order["round"])})
        return result


def _timed(function: Callable[[int], None], argument: int) -> float:
    started = time.perf_counter()
    function(argument)
    return time.perf_counter() - started


class Plugin:
    def __init__(self, wire: Wire, slowdown: float) -> None:
        self.wire, self.slowdown = wire, slowdown
        self.errors: dict[str, str] = {}
        self.benchmarks: dict[str, Benchmark] = {}
        self.reason = ""

    @pytest.fixture
    def benchmark(self, request: pytest.FixtureRequest) -> Benchmark:
        made = Benchmark(self.wire, request.node.nodeid, self.slowdown)
        self.benchmarks[request.node.nodeid] = made
        return made

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            lines = str(report.longrepr).strip().splitlines()
            self.errors[report.nodeid] = lines[-1].removeprefix("E").strip() if lines else "it cannot be read"

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        asking = {item.nodeid: item for item in items if "benchmark" in getattr(item, "fixturenames", ())}
        self.wire.say({"collected": sorted(asking), "errors": self.errors})
        items[:] = [asking[name] for name in self.wire.hear()["order"]]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        outcomes: list[pytest.TestReport] = []
        self._reports = outcomes
        result = yield
        worst = next((r for r in outcomes if not r.passed), None)
        made = self.benchmarks.pop(item.nodeid, None)
        crash = getattr(getattr(worst, "longrepr", None), "reprcrash", None)
        lines = str(crash.message if crash else worst.longrepr).strip().splitlines() if worst else []
        self.wire.say(
            {
                "done": item.nodeid,
                "outcome": worst.outcome if worst else "passed",
                "reason": lines[0] if lines else "",
                "extra": json.loads(json.dumps(made.extra_info if made else {}, default=str)),
            }
        )
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)


def pytest_configure(config: pytest.Config) -> None:
    connection = socket.socket(fileno=int(os.environ["LLMC_GATE_FD"]))
    config.pluginmanager.register(Plugin(Wire(connection), float(os.environ.get("LLMC_GATE_SLOWDOWN", "0"))), "llmc-gate")
