"""The report of a sweep as files: one HTML page, Markdown, CSV and JSON, beside the records they are made from."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from llmc.errors import UsageError
from llmc.parts import write_atomically
from llmc.report import html, text_files
from llmc.report.bench_text import Report
from llmc.report.text_files import table_csv

NAMES = {".html": "report.html", ".md": "report.md", ".csv": "report.csv", ".json": "report.json"}


def write_all(report: Report, folder: Path) -> list[Path]:
    """All four, each whole or not at all; what was there of them is replaced."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(folder / name, text(report, kind)) for kind, name in NAMES.items()]
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error


def check(folder: Path, *, force: bool) -> None:
    """UsageError when files of these names are there and are no report of ours."""
    there = next((folder / name for name in NAMES.values() if (folder / name).exists()), None)
    if folder.is_file():
        raise UsageError(f"{folder} is a file: a report is a folder", hint="output=report/")
    if there is not None and not force and not html.is_ours(folder / NAMES[".html"]):
        raise UsageError(f"{there} is there already", hint="another folder, or force=true to overwrite it")


def text(report: Report, kind: str) -> str:
    """The report as ``.html``, ``.md``, ``.csv`` or ``.json``."""
    if kind == ".html":
        from llmc.report import bench_page

        return bench_page.page(report)
    if kind == ".md":
        return text_files.markdown(report.title, report.verdict, report.more, report.tiles, report.sections)
    if kind == ".csv":
        return table_csv(rows(report))
    return json.dumps(report.facts, ensure_ascii=False, indent=2) + "\n"


def rows(report: Report) -> Iterable[Sequence[object]]:
    """A row for each metric of each cell: plain numbers, an empty cell for what is not known."""
    yield [
        "machine", "bench", "cell", "model", "engine", "backend", "quant", "profile", "codec", "view", "status", "front",
        "metric", "unit", "better", "value", "low", "high", "runs", "samples", "exact", "reason", "config_hash", "version",
        "commit",
    ]  # fmt: skip
    names = ("model", "engine", "backend", "quant", "profile", "codec", "view")
    for group in report.groups.values():
        for cell in group.cells:
            options = [cell.options.get(name, "") for name in names]
            for metric, m in cell.measured.items():
                yield [
                    group.machine, group.bench, cell.name, *options, "done", cell.place, metric, m.unit, m.better, m.value,
                    m.low if m.bounded else None, m.high if m.bounded else None, m.runs, m.samples, int(m.exact), "",
                    cell.config_hash, cell.version, cell.commit,
                ]  # fmt: skip
        for each in [*(failure for cell in group.failed for failure in cell.failed), *group.refused]:
            options = [each.cell.get(name, "") for name in names]
            yield [
                group.machine, group.bench, " · ".join(options), *options, each.status, "", "", "", "", None, None, None, None,
                None, None, each.error, each.config_hash, each.version, each.commit,
            ]  # fmt: skip


def _write(file: Path, text: str) -> Path:
    write_atomically(file, text.encode("utf-8", "backslashreplace"))
    return file
