"""llmc bench report and llmc bench trend: what the records of earlier runs say, side by side and over time."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmc.bench import record, summary, trend
from llmc.bench.record import METRICS
from llmc.bench.summary import Found
from llmc.errors import InputError, UsageError
from llmc.report import bench_files, bench_text, html, trend_text
from llmc.schema import RunConfig


@dataclass(slots=True)
class BenchSummary:
    """What the records of a folder say, and the files that say so."""

    said: bench_text.Report
    folder: str
    written: list[str] = field(default_factory=list)

    @property
    def report(self) -> dict[str, Any]:
        return {**self.said.facts, "folder": self.folder, "written": self.written}


@dataclass(slots=True)
class BenchTrend:
    """How the figures of a folder changed, and the page that shows it."""

    found: trend.Trend
    folder: str
    written: list[str] = field(default_factory=list)

    @property
    def report(self) -> dict[str, Any]:
        return {**trend_text.facts(self.found), "folder": self.folder, "written": self.written}


def report(config: RunConfig) -> BenchSummary | str:
    """The cells of a folder side by side; ``output=`` writes the files, ``html=`` the page alone."""
    folder, found = _records(config)
    if config.dry_run:
        return f"read {len(found.runs)} records in {folder}" + (f" and write {config.output}" if config.output else "")
    if config.output:
        bench_files.check(Path(config.output).expanduser(), force=config.force)
    said = bench_text.report(found, min_pass_rate=config.sweep.min_pass_rate)
    result = BenchSummary(said, str(folder))
    if config.output:
        result.written += map(str, bench_files.write_all(said, Path(config.output).expanduser()))
    if config.html:
        result.written.append(str(html.save(config.html, bench_files.text(said, ".html"), force=config.force)))
    return result


def trends(config: RunConfig) -> BenchTrend | str:
    """Every configuration that was run more than once, over time; ``html=`` writes the page."""
    metrics = [name.strip() for name in config.what.split(",")] if config.what else _usual()
    for name in metrics:
        if name.partition("[")[0] not in METRICS:
            raise UsageError(f"what={name} is no metric", hint=f"there are {', '.join(_usual())}, ...: llmc bench shows them")
    folder, found = _records(config)
    if config.dry_run:
        return f"read {len(found.runs)} records in {folder}" + (f" and write {config.html}" if config.html else "")
    drawn = trend.trend([run for run, _ in found.runs], metrics)
    drawn.damaged = found.damaged
    result = BenchTrend(drawn, str(folder))
    if config.html:
        page = trend_text.page(trend_text.report(drawn))
        result.written.append(str(html.save(config.html, page, force=config.force)))
    return result


def _usual() -> list[str]:
    return list(dict.fromkeys((*summary.CRITERIA, *summary.SPEED)))


def _records(config: RunConfig) -> tuple[Path, Found]:
    folder = Path(config.input).expanduser() if config.input else record.folder()
    if config.input and not folder.is_dir():
        raise InputError(f"{folder} is no folder of records", hint="without input= the records that llmc keeps are read")
    found = summary.find(folder)
    if not found.runs:
        raise InputError(f"there is no benchmark record in {folder}", hint="llmc bench makes one")
    return folder, found


ACTIONS = {"report": report, "trend": trends}
"""The second words of ``llmc bench``."""
