"""Two trees measured side by side: fresh processes in pairs, rounds in turn.

Two processes of the same code differ by several percent for as long as they live (memory layout, hash seed), so more rounds in
one pair do not help; the replicate is the pair. Inside a pair both share a hash seed and take turns, A B then B A.
"""

import math
import os
import random
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from llmc.errors import LlmcError, UsageError
from llmc.schema import GateConfig

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Side:
    """A tree to be measured, and the interpreter that has what it needs. ``slowdown`` is a share of each benchmark's own time
    that is added as real work: 0.1 makes everything 10% slower."""

    folder: Path
    python: str = sys.executable
    slowdown: float = 0.0


@dataclass(slots=True)
class Ended:
    """How a benchmark ended on one side."""

    outcome: str
    reason: str
    extra: dict[str, Any]


@dataclass(slots=True)
class Pair:
    """One pair of processes: per benchmark the log ratios head / base of its rounds, and how both sides ended."""

    log_ratios: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Median round of base and head."""
    base: dict[str, Ended] = field(default_factory=dict)
    head: dict[str, Ended] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    """Benchmarks that the base cannot run."""

    def value(self, benchmark: str) -> float:
        """The pair's one number: the median of its rounds' log ratios."""
        return statistics.median(self.log_ratios[benchmark])


def git(*words: str, cwd: Path, check: bool = True) -> str:
    """What git prints; UsageError where it refuses."""
    try:
        done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UsageError("the gate compares two revisions and needs git", hint="apt install git") from error
    if done.returncode and check:
        raise UsageError(f"git {' '.join(words)}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
    return done.stdout.strip() if not done.returncode else ""


@contextmanager
def checkout(root: Path, revision: str) -> Iterator[Path]:
    """The files of a revision in a folder that is gone afterwards; the repository itself is not touched."""
    with tempfile.TemporaryDirectory(prefix="llmc-gate-") as folder:
        archive = subprocess.run(["git", "archive", revision], cwd=root, capture_output=True, check=False)
        if archive.returncode:
            raise UsageError(f"git archive {revision}: {archive.stderr.decode(errors='replace').strip()}")
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
            safe: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from Python 3.11.4 on
            tar.extractall(folder, **safe)
        yield Path(folder)


@contextmanager
def farm(tree: Path, benchmarks_of: Path, top: str) -> Iterator[Path]:
    """A folder that looks like ``tree`` with the benchmarks of another: head's files are run against both sides."""
    with tempfile.TemporaryDirectory(prefix="llmc-gate-") as folder:
        for entry in tree.iterdir():
            if entry.name not in (top, ".git", ".pytest_cache"):
                (Path(folder) / entry.name).symlink_to(entry)
        (Path(folder) / top).symlink_to(benchmarks_of / top)
        (Path(folder) / "_llmc_gate.py").symlink_to(Path(__file__).with_name("plugin.py"))
        yield Path(folder)


class Worker:
    """One process that holds a tree's benchmarks ready."""

    def __init__(self, side: Side, files: Sequence[str], hash_seed: int) -> None:
        from llmc.gate import plugin  # brings pytest, which those who only compress do not have

        ours, theirs = socket.socketpair()
        with theirs:
            self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
            # Plugins that happen to be installed take seconds to load, twice a pair; benchmarks name theirs in a conftest.
            plugins = ["-p", "_llmc_gate", "-p", "no:cacheprovider"]
            self.process = subprocess.Popen(
                [side.python, "-m", "pytest", *plugins, "-o", "addopts=", "--continue-on-collection-errors", *files],
                cwd=side.folder,
                env={
                    **os.environ,
                    **ONE_THREAD,
                    "PYTHONPATH": str(side.folder),
                    "PYTHONHASHSEED": str(hash_seed),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                    "LLMC_GATE_FD": str(theirs.fileno()),
                    "LLMC_GATE_SLOWDOWN": str(side.slowdown),
                },
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=self.log,
            )
        self.wire = plugin.Wire(ours)

    def hear(self) -> dict[str, Any]:
        try:
            return self.wire.hear()
        except (EOFError, ConnectionError) as error:
            self.process.wait(timeout=30)
            self.log.seek(0)
            said = [line for line in self.log.read().decode(errors="replace").splitlines() if line.strip()]
            raise LlmcError(
                f"a benchmark process ended with {self.process.returncode}: {said[-1] if said else 'it said nothing'}",
                hint="run the benchmarks by hand: python -m pytest --benchmark-only",
            ) from error

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self.wire.say(message)
        return self.hear()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


def measure(base: Side, head: Side, files: Sequence[str], settings: GateConfig, *, hash_seed: int, swap: bool) -> Pair:
    """One pair of fresh processes, every benchmark in a random order, its rounds in turn; ``swap``: head starts first."""
    pair = Pair()
    started = [Worker(side, files, hash_seed) for side in ((head, base) if swap else (base, head))]
    workers = dict(zip(("head", "base") if swap else ("base", "head"), started, strict=True))
    try:
        collected = {name: worker.hear() for name, worker in workers.items()}
        if failed := collected["head"]["errors"]:
            file, reason = next(iter(failed.items()))
            raise LlmcError(f"{file} cannot be read: {reason}")
        here, there = (set(collected[name]["collected"]) for name in ("head", "base"))
        pair.new = sorted(here - there)
        order = sorted(here & there)
        random.Random(hash_seed).shuffle(order)
        for worker in workers.values():
            worker.wire.say({"order": order})
        for benchmark in order:
            _one(benchmark, workers, pair, settings.rounds, settings.round_seconds)
    finally:
        for worker in started:
            worker.close()
    return pair


def names(side: Side, files: Sequence[str]) -> set[str]:
    """The benchmarks that a tree's own files define; of files that are there."""
    there = [file for file in files if (side.folder / file.partition("::")[0]).exists()]
    if not there:
        return set()
    worker = Worker(side, there, 0)
    try:
        return set(worker.hear()["collected"])
    finally:
        worker.close()


def _one(benchmark: str, workers: dict[str, Worker], pair: Pair, rounds: int, least_round_seconds: float) -> None:
    heard = {name: worker.hear() for name, worker in workers.items()}
    ready = [name for name in workers if "at" in heard[name]]
    if len(ready) == 2:
        iterations = max(int(workers[n].ask({"calibrate": least_round_seconds})["iterations"]) for n in ready)
        times: dict[str, list[float]] = {"base": [], "head": []}
        for i in range(rounds):
            for name in ("base", "head") if i % 2 else ("head", "base"):
                times[name].append(float(workers[name].ask({"round": iterations})["seconds"]))
        pair.log_ratios[benchmark] = [math.log(h / b) for b, h in zip(times["base"], times["head"], strict=True)]
        pair.seconds[benchmark] = statistics.median(times["base"]), statistics.median(times["head"])
    for name in ready:
        heard[name] = workers[name].ask({"next": 1})
    ends = {name: Ended(str(h["outcome"]), str(h["reason"]), h["extra"]) for name, h in heard.items()}
    pair.base[benchmark], pair.head[benchmark] = ends["base"], ends["head"]
    if ends["head"].outcome == "passed" and ends["base"].outcome != "passed":
        pair.new.append(benchmark)
        pair.log_ratios.pop(benchmark, None)
