"""llmc -m bench: every combination that can work here, each in a process of its own, in an order that is fair; then the report.

Hydra only composes the cells (:mod:`llmc.cli` collects them); what runs, what is refused and why, and what was run before is
decided here. Nothing depends on Hydra's callbacks, which it leaves out when a job failed.
"""

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmc import __version__, make, state
from llmc.bench import record, summary, sweep
from llmc.bench.record import Record
from llmc.bench.sweep import Slot
from llmc.errors import LlmcError, UsageError
from llmc.machine.fingerprint import fingerprint
from llmc.make import Step
from llmc.model import sources, weights
from llmc.report import bench_files, progress
from llmc.report.bench_text import Report, report
from llmc.schema import RunConfig
from llmc.target import doctor

ABOUT_THE_SWEEP = ("target", "output", "format", "quiet", "dry_run", "force", "html", "debug", "sweep")
"""Keys that a cell is not told: they are for the sweep as a whole."""


@dataclass(frozen=True, slots=True)
class Composed:
    """One combination as Hydra made it."""

    overrides: list[str]
    config: RunConfig
    step: Step


@dataclass(slots=True)
class Cell:
    """One combination for this machine."""

    overrides: list[str]
    config: RunConfig
    config_hash: str
    refused: LlmcError | None = None
    name: str = ""
    """What it is asked for and others are not."""


@dataclass(slots=True)
class SweepPlan:
    """What ``dry_run=true`` gives: the cells, and what they would take."""

    folder: str
    cells: list[dict[str, Any]]
    refused: list[dict[str, str]]
    runs: int
    runs_left: int
    predicted_seconds: float | None
    """Of the runs that are left and were made before; None when none was."""
    unknown_runs: int
    """Runs left of which nothing is known."""
    download_bytes: int
    seed: int
    order: list[str]


@dataclass(slots=True)
class SweepReport:
    """How a sweep ended, and what it says."""

    folder: str
    runs: int
    done: int
    before: int
    """Of these, those that an earlier call of the same sweep had made."""
    failed: list[dict[str, str]]
    refused: list[dict[str, str]]
    seconds: float
    interrupted: bool = False
    said: Report | None = None
    written: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 130 if self.interrupted else 1 if self.failed or not self.done else 0

    @property
    def report(self) -> dict[str, Any]:
        names = ("folder", "runs", "done", "before", "failed", "refused", "seconds", "interrupted", "written")
        return {**{name: getattr(self, name) for name in names}, **(self.said.facts if self.said else {})}


def run(jobs: Sequence[Composed], flags: Sequence[str]) -> SweepReport | SweepPlan:
    """The sweep; ``flags`` are Hydra's own that every cell is given too (``--config-dir``)."""
    config = jobs[0].config
    if config.do is not None:
        raise UsageError(f"llmc bench {config.do} reads what was measured: there is nothing to sweep", hint="without -m")
    for key in ("sweep", "output", "dry_run", "force"):
        if any(getattr(job.config, key) != getattr(config, key) for job in jobs):
            raise UsageError(f"{key} is for the sweep as a whole: it takes one value", hint=f"sweep over anything but {key}")
    settings = config.sweep
    if settings.blocks < 1 or settings.cell_timeout_seconds <= 0:
        raise UsageError(
            f"sweep.blocks={settings.blocks} sweep.cell_timeout_seconds={settings.cell_timeout_seconds:g}: above 0 is needed"
        )
    with doctor.one_look():
        every = [_cell(job) for job in jobs]
    every = [every[at] for at in sweep.distinct([cell.config_hash for cell in every])]
    for cell, name in zip(every, sweep.differing([cell.overrides for cell in every]), strict=True):
        cell.name = name
    cells = [cell for cell in every if cell.refused is None]
    if not 0 <= settings.reference < max(1, len(cells)):
        raise UsageError(f"sweep.reference={settings.reference}: the cells that can run are 0 to {len(cells) - 1}")
    machine = fingerprint().machine
    code = f"{record.commit()} {__version__}"
    slots = sweep.order(len(cells), settings.blocks, settings.seed, settings.reference)
    identity = sweep.short(
        " ".join([machine, code, str(settings.seed), str(settings.blocks), *sorted(c.config_hash for c in every)])
    )
    folder = Path(config.output).expanduser() if config.output else state.state("bench") / "sweeps" / identity
    bench_files.check(folder, force=config.force)
    if config.dry_run:
        return _plan(folder, machine, code, every, cells, slots, config)
    return Sweep(folder, machine, code, every, cells, slots, config, list(flags)).run()


def _cell(job: Composed) -> Cell:
    """With everything that says ``auto`` chosen; refused with what ``llmc deploy`` would refuse it with."""
    overrides = [word for word in job.overrides if _key(word) not in ABOUT_THE_SWEEP]
    config, refused = job.config, None
    try:
        config = make.prepare(job.step, config)
        if any(step.name == "pull" for step in make.walk(job.step)):
            if config.engine.needs_file and config.engine.name != "ollama":
                weights(config)
            doctor.doctor(config).require()
    except LlmcError as error:
        refused = error
    return Cell(overrides, config, record.config_hash(config), refused)


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition(".")[0]


def _slot_folder(folder: Path, machine: str, slot: Slot, cell: Cell) -> Path:
    return folder / "runs" / sweep.run_name(machine, slot, cell.config_hash)


def _finished(folder: Path, code: str) -> Record | None:
    """The record of a run that need not be made again."""
    for each in reversed(record.read_all(folder).records) if folder.is_dir() else ():
        if each.status == "done" and f"{each.commit} {each.version}" == code:
            return each
    return None


def _known_seconds(folder: Path, machine: str) -> Mapping[str, float]:
    """What each configuration took here before, by the records that llmc keeps and those of this sweep."""
    return summary.expected_seconds([*summary.find(record.folder()).runs, *summary.find(folder).runs], machine)


def _plan(
    folder: Path, machine: str, code: str, every: list[Cell], cells: list[Cell], slots: list[Slot], config: RunConfig
) -> SweepPlan:
    known = _known_seconds(folder, machine)
    left = [s for s in slots if config.force or _finished(_slot_folder(folder, machine, s, cells[s.cell]), code) is None]
    seconds = [known[cells[s.cell].config_hash] for s in left if cells[s.cell].config_hash in known]
    downloads = {str(path): size for cell in cells for path, size in _download(cell.config)}
    return SweepPlan(
        str(folder),
        [
            {
                "cell": cell.name,
                "config_hash": cell.config_hash,
                "seconds": known.get(cell.config_hash),
                "download_bytes": sum(size for _, size in _download(cell.config)),
                "cost": _cost(cell.config),
            }
            for cell in cells
        ],
        [_refusal(cell) for cell in every if cell.refused],
        len(slots),
        len(left),
        sum(seconds) if seconds else None,
        len(left) - len(seconds),
        sum(downloads.values()),
        config.sweep.seed,
        [f"block {s.block} {s.role}: {cells[s.cell].name}" for s in slots],
    )


def _download(config: RunConfig) -> Iterator[tuple[Path, int]]:
    """The file that is not here yet."""
    if config.view.needs_engine and config.engine.needs_file and not config.engine.url and config.engine.name != "ollama":
        wanted = weights(config)
        if not sources.here(wanted):
            yield wanted.path, wanted.file.bytes


def _cost(config: RunConfig) -> str:
    """What a cell may cost, in words."""
    if config.profile.offline and not config.engine.cloud:
        return "nothing is paid to others: no request leaves this machine"
    limit = config.budget.run.usd
    return f"at most ${limit} (budget.run.usd)" if limit else "not bounded: budget.run.usd=1 would bound it"


def _refusal(cell: Cell) -> dict[str, str]:
    assert cell.refused is not None
    return {"cell": cell.name, "reason": cell.refused.message, "hint": cell.refused.hint}


class Sweep:
    """The runs of one sweep, and what is kept of them."""

    def __init__(
        self,
        folder: Path,
        machine: str,
        code: str,
        every: list[Cell],
        cells: list[Cell],
        slots: list[Slot],
        config: RunConfig,
        flags: list[str],
    ) -> None:
        self.folder, self.machine, self.code, self.flags = folder, machine, code, flags
        self.every, self.cells, self.slots, self.config = every, cells, slots, config
        self.failed: list[dict[str, str]] = []
        self.done = self.before = 0

    def run(self) -> SweepReport:
        started = datetime.now(UTC)
        refused = [_refusal(cell) for cell in self.every if cell.refused]
        self._keep_plan()
        interrupted = False
        try:
            with sweep.alone(record.folder() / "sweep.lock", self._wait) as keep, _terminated_as_interrupted():
                self._run_all(keep)
        except KeyboardInterrupt:
            interrupted = True
            self._say("stopped: the same command again goes on from here")
        result = SweepReport(
            str(self.folder), len(self.slots), self.done, self.before, self.failed, refused,
            round((datetime.now(UTC) - started).total_seconds(), 1), interrupted,
        )  # fmt: skip
        result.said = report(summary.find(self.folder), min_pass_rate=self.config.sweep.min_pass_rate)
        result.written = [str(file) for file in bench_files.write_all(result.said, self.folder)]
        return result

    def _keep_plan(self) -> None:
        settings = self.config.sweep
        (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        about = {cell.config_hash: {"overrides": cell.overrides} for cell in self.every}
        asked = [[s.block, s.role, self.cells[s.cell].config_hash] for s in self.slots]
        sweep.save(
            self.folder, self.machine, {"seed": settings.seed, "blocks": settings.blocks, "cells": about, "order": asked}
        )
        for cell in self.every:
            place = self.folder / "runs" / sweep.refused_name(self.machine, cell.config_hash)
            if cell.refused is None:  # what was missing then is here now
                for old in place.glob("bench-*.json"):
                    old.unlink()
            elif not record.read_all(place).records:
                self._write(cell, place, "refused", cell.refused.message, cell.refused.hint, 0.0)

    def _run_all(self, keep: int) -> None:
        known = _known_seconds(self.folder, self.machine)
        left: list[tuple[Slot, Path]] = []
        for slot in self.slots:
            place = _slot_folder(self.folder, self.machine, slot, self.cells[slot.cell])
            if self.config.force or _finished(place, self.code) is None:
                left.append((slot, place))
            else:
                self.before += 1
        self.done = self.before
        if self.before:
            self._say(f"{self.before} of {len(self.slots)} runs are there from before (force=true makes them again)")
        took: dict[str, list[float]] = {key: [seconds] for key, seconds in known.items()}
        for at, (slot, place) in enumerate(left):
            cell = self.cells[slot.cell]
            rest = [self.cells[s.cell].config_hash for s, _ in left[at:]]
            again = " (reference)" if slot.role == sweep.REFERENCE else ""
            number = len(self.slots) - len(left) + at + 1
            self._say(f"{number}/{len(self.slots)}  {cell.name}{again}{sweep.remaining(rest, took)}")
            if seconds := self._run_one(slot, cell, place, keep):
                took.setdefault(cell.config_hash, []).append(seconds)

    def _run_one(self, slot: Slot, cell: Cell, place: Path, keep: int) -> float:
        """Its seconds; 0 when it failed."""
        place.mkdir(parents=True, exist_ok=True)
        for old in place.glob("bench-*.json"):
            old.unlink()
        words = [*self.flags, "bench", *cell.overrides, f"output={place.resolve()}", "format=json", "quiet=true"]
        ended = sweep.run(
            [sys.executable, "-P", "-m", "llmc", *words],
            timeout_seconds=self.config.sweep.cell_timeout_seconds,
            keep=keep,
            log=place / "stderr.txt",
        )
        if _finished(place, self.code):
            self.done += 1
            return ended.seconds
        written = record.read_all(place).records
        if not written:
            self._write(cell, place, "failed", ended.reason, ended.hint, ended.seconds)
        error, hint = (written[-1].error, written[-1].hint) if written else (ended.reason, ended.hint)
        if written and written[-1].status == "done":
            error = "llmc itself was changed while the sweep ran: this run is of other code than those before"
            hint = "the same command again measures all of it with the code as it is now"
        why = {"cell": cell.name, "error": error, "hint": hint}
        if why not in self.failed:
            self.failed.append(why)
        self._say(f"failed: {error}")
        return 0

    def _write(self, cell: Cell, place: Path, status: record.Status, error: str, hint: str, seconds: float) -> None:
        made = record.new(
            cell.config, started=datetime.now(UTC), seconds=seconds, bench=cell.config.bench.name, status=status,
            error=error, hint=hint,
        )  # fmt: skip
        record.write(made, place)

    def _wait(self) -> None:
        self._say("another sweep is measuring on this machine: waiting for it")

    def _say(self, text: str) -> None:
        progress.say(text, quiet=self.config.quiet)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM as Ctrl-C: the running cell is ended, what is done is kept."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
