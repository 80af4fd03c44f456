"""The pytest plugin of ``llmc bench``: hands the job to the benchmarks and keeps how they ended.

pytest-benchmark records; what it would measure wrongly, a coroutine function, is refused. Needs the extra ``bench``.
"""

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark import plugin as recorder
from pytest_benchmark.fixture import BenchmarkFixture

from llmc.bench.job import ROOT, Job
from llmc.gate.plugin import refuse_coroutine, refuse_coroutine_function

EMPTY = os.devnull  # as pytest's configuration: that of the user's folder is not ours to follow


class Strict(BenchmarkFixture):
    """pytest-benchmark's fixture, but for coroutines."""

    def __call__(self, function_to_benchmark: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        refuse_coroutine_function(function_to_benchmark)
        result = super().__call__(function_to_benchmark, *args, **kwargs)  # type: ignore[no-untyped-call]
        refuse_coroutine(function_to_benchmark, result)
        return result

    def pedantic(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        refuse_coroutine_function(target)
        result = super().pedantic(target, *args, **kwargs)  # type: ignore[no-untyped-call]
        refuse_coroutine(target, result)
        return result


JOB = pytest.StashKey[Job]()


@pytest.fixture(scope="session")
def job(pytestconfig: pytest.Config) -> Job:
    return pytestconfig.stash[JOB]


@pytest.fixture
def benchmark(benchmark: BenchmarkFixture) -> BenchmarkFixture:
    benchmark.__class__ = Strict
    return benchmark


class Plugin:
    """The other half: the job of this run, and how its benchmarks ended."""

    def __init__(self, job: Job, say: Callable[[str], None] = lambda text: None) -> None:
        self.job, self.say = job, say
        self.failed: list[str] = []
        self.passed: list[str] = []
        self.skipped: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[JOB] = self.job

    def pytest_benchmark_generate_machine_info(self, config: pytest.Config) -> dict[str, Any]:
        """The record has its own, and py-cpuinfo takes seconds."""
        return {"config": config.rootpath.name}

    def pytest_benchmark_generate_commit_info(self, config: pytest.Config) -> dict[str, Any]:
        return {"config": config.rootpath.name}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.say(nodeid.partition("::")[2])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            said = str(report.longrepr)
            file = re.search(r"'(\S+\.py)'", said)  # one outside of the root has no name of its own
            self.failed.append(f"{report.nodeid or (file[1] if file else 'a file')}: {_last(said)}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("::")[2]
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = str(crash.message).splitlines()[0] if crash else _last(str(report.longrepr))
            self.failed.append(f"{name}: {said}")
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped.append(f"{name}: {reason.removeprefix('Skipped: ')}")
        elif report.when == "call":
            self.passed.append(name)


def _last(text: str) -> str:
    lines = [line.removeprefix("E").strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it cannot be read"


@dataclass(frozen=True, slots=True)
class Ended:
    """How the benchmarks ended, and all that pytest-benchmark recorded."""

    passed: list[str]
    failed: list[str]
    """Name and reason."""
    skipped: list[str]
    benchmarks: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""
    """What pytest printed."""


def run(job: Job, files: Sequence[str], say: Callable[[str], None] = lambda text: None, root: Path = ROOT) -> Ended:
    """The benchmark files, in this process. Raises KeyboardInterrupt when Ctrl-C was pressed."""
    plugin = Plugin(job, say)
    raw = job.scratch / "pytest-benchmark.json"
    words = [
        *("-c", EMPTY, "--rootdir", str(root), "--noconftest", "--disable-plugin-autoload", "-p", "no:cacheprovider"),
        *("-p", "no:faulthandler", "--basetemp", str(job.scratch / "tmp"), "-q", "--tb=short"),
        *(
            "--benchmark-enable",
            f"--benchmark-json={raw}",
            f"--benchmark-storage=file://{job.scratch}",
            "--benchmark-warmup=off",
            "--benchmark-max-time=0.5",
        ),
        *(str(root / file) for file in files),
    ]
    heard = io.StringIO()
    hidden = {name: os.environ.pop(name) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS") if name in os.environ}
    path = list(sys.path)
    try:
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            code = pytest.main(words, plugins=[recorder, sys.modules[__name__], plugin])
    finally:
        os.environ.update(hidden)
        sys.path[:] = path
    if code == pytest.ExitCode.INTERRUPTED and not plugin.failed:
        raise KeyboardInterrupt
    log = heard.getvalue()
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not plugin.failed:
        plugin.failed.append(f"pytest: {_last(log)}")
    text = raw.read_text() if raw.exists() else ""
    kept = json.loads(text)["benchmarks"] if text else []
    return Ended(plugin.passed, plugin.failed, plugin.skipped, kept, log)
