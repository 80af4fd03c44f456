"""Many cells, one after the other, so that their figures can be compared: the plan, and running it.

Each cell runs in a process of its own, the command that a user would type, and never beside another: two that run at once
measure each other, and two that run in one process share its luck with memory. What changes with time (heat, a neighbour's
load) must not be taken for a difference between cells, so every block runs all of them in an order of its own, drawn from the
seed, and one reference cell is measured again at the start of each block and at the end: if that one drifts, the machine did.

A run is kept as its record, named after the machine, the block and the hash of its configuration. The same command again runs
what has no record yet.
"""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmc import parts, units
from llmc.engine.causes import ended

SCHEMA = "llmc.sweep/1"
CELL, REFERENCE = "cell", "reference"
ROOT = Path(__file__).parent.parent.parent
"""Where the cells import llmc from: the same as we do, whatever folder they run in."""
GUARD = Path(__file__).parent.parent / "engine" / "_guard.py"
END_SECONDS = 12
"""What a cell that is to end has: it stops its engine, which has 8 s of its own."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One run of one cell. Blocks count from 1; the reference at the end has the number of a block that is not there."""

    block: int
    role: str
    cell: int
    """Its place among the cells that can run, as the command line makes them."""


def order(cells: int, blocks: int, seed: int, reference: int = 0) -> list[Slot]:
    """The runs in their order: in each block the reference, then every cell once in a random order; at the end the reference.

    The same numbers give the same order. A single cell is its own reference.
    """
    slots: list[Slot] = []
    for block in range(1, blocks + 1):
        if cells > 1:
            slots.append(Slot(block, REFERENCE, reference))
        shuffled = list(range(cells))
        random.Random(f"{seed}:{block}").shuffle(shuffled)
        slots += [Slot(block, CELL, cell) for cell in shuffled]
    if cells > 1:
        slots.append(Slot(blocks + 1, REFERENCE, reference))
    return slots


def distinct(hashes: Sequence[str]) -> list[int]:
    """The first place of each different hash: ``engine=auto,embedded`` may be the same cell twice."""
    return [at for at, each in enumerate(hashes) if each not in hashes[:at]]


def differing(cells: Sequence[Sequence[str]]) -> list[str]:
    """Each cell's overrides without those that all have; all of them where nothing is left."""
    common = set(cells[0]).intersection(*cells) if len(cells) > 1 else set()
    return [" ".join(word for word in cell if word not in common) or " ".join(cell) for cell in cells]


def short(text: str) -> str:
    """For file names: the same for the same text."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def run_name(machine: str, slot: Slot, config_hash: str) -> str:
    """The folder of a run in the sweep's folder."""
    return f"{short(machine)}-{slot.role}-{slot.block}-{config_hash[:16]}"


def refused_name(machine: str, config_hash: str) -> str:
    """The same for a cell that cannot run."""
    return f"{short(machine)}-refused-{config_hash[:16]}"


def remaining(left: Sequence[str], took: Mapping[str, Sequence[float]]) -> str:
    """About how long cells with these hashes take, by what each took before, or where nothing is known the others."""
    every = [seconds for each in took.values() for seconds in each]
    mean = sum(every) / len(every) if every else None
    each = [sum(known) / len(known) if (known := took.get(name)) else mean for name in left]
    known = [seconds for seconds in each if seconds is not None]
    return f"  about {units.seconds(sum(known))} left" if known else ""


@contextlib.contextmanager
def alone(lock: Path, on_wait: Callable[[], None]) -> Iterator[int]:
    """Only one sweep at a time measures on this machine; the descriptor is for the cells to inherit, so that one whose sweep
    was killed is waited for as well."""
    import fcntl

    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


@dataclass(frozen=True, slots=True)
class Ended:
    """How the process of a cell ended."""

    code: int
    seconds: float
    said: str
    """The last of what it said on stderr."""

    @property
    def reason(self) -> str:
        """Its own ``error:`` line, else how it ended."""
        lines = [line for line in self.said.splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if errors:
            return errors[-1]
        return f"the process {ended(self.code if self.code <= 128 else 128 - self.code)}" + (f": {lines[-1]}" if lines else "")

    @property
    def hint(self) -> str:
        hints = [line.removeprefix("hint:").strip() for line in self.said.splitlines() if line.startswith("hint:")]
        return hints[-1] if hints else ""


def run(argv: Sequence[str], *, timeout_seconds: float, keep: int, log: Path) -> Ended:
    """One cell to its end. It ends with us however we end; KeyboardInterrupt comes out when it is gone."""
    started = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(GUARD), *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=out,
            start_new_session=True,
            pass_fds=(keep,),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))},
        )
    try:
        code = process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        said = f"error: it was not done after {units.seconds(timeout_seconds)}\nhint:  sweep.cell_timeout_seconds=…"
        return Ended(1, time.perf_counter() - started, said)
    except BaseException:
        _end(process)
        raise
    finally:
        if process.stdin:
            process.stdin.close()
    return Ended(code, time.perf_counter() - started, log.read_text(errors="replace")[-4000:])


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The cell with all it started, politely, then not."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def save(folder: Path, machine: str, plan: Mapping[str, Any]) -> None:
    """What is to be run, beside the records of what was: seed, order, cells."""
    text = json.dumps({"schema": SCHEMA, "machine": machine, **plan}, ensure_ascii=False, indent=1)
    parts.write_atomically(folder / f"sweep-{short(machine)}.json", text.encode())


def plans(folder: Path) -> dict[str, dict[str, Any]]:
    """The plans below a folder, by machine; of several on one machine only what their cells were asked for."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.rglob("sweep-*.json")):
        with contextlib.suppress(OSError, ValueError):
            plan = json.loads(file.read_text())
            if isinstance(plan, dict) and plan.get("schema") == SCHEMA and isinstance(plan.get("cells"), dict):
                before = found.get(str(plan["machine"]))
                found[str(plan["machine"])] = {"cells": before["cells"] | plan["cells"]} if before else plan
    return found
