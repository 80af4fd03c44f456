"""Records as a run writes them, with numbers that a test chooses; no conftest, so that tests can import it."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from llmc.bench import record, sweep
from llmc.bench.record import Metric, Record
from llmc.machine.fingerprint import Fingerprint

HERE = Fingerprint("Test CPU", 2, 8 * 2**30, "Linux x86_64", "3.13.0", "", 0.5, 0.0)
ELSEWHERE = Fingerprint("Other CPU", 64, 256 * 2**30, "Linux x86_64", "3.13.0", "performance", 0.1, 0.0)
CELL = {
    "model": "smollm2-135m-instruct", "engine": "embedded", "backend": "cpu", "quant": "q4_1", "profile": "local",
    "codec": "zstd", "view": "gist",
}  # fmt: skip


def metric(name: str, value: float, spread: float | None = None, n: int = 8, *, exact: bool = False, note: str = "") -> Metric:
    """With an interval of ``value`` times 1 - spread to 1 + spread; None: no interval is known."""
    unit, better, _ = record.meaning(name)
    low, high = (None, None) if spread is None else (value * (1 - spread), value * (1 + spread))
    return Metric(value, unit, better, [] if exact else [value] * n, low, high, exact, note)


def made(
    at: int, config_hash: str = "a" * 64, *, machine: Fingerprint = HERE, status: str = "done", bench: str = "quick",
    commit: str = "c0ffee", error: str = "", hint: str = "", seconds: float = 20.0, metrics: dict[str, Metric] | None = None,
    **cell: str,
) -> Record:  # fmt: skip
    """The run that was started ``at`` minutes after noon."""
    started = datetime(2026, 11, 23, 12, tzinfo=UTC) + timedelta(minutes=at)
    return Record(
        f"{started:%Y%m%dT%H%M%S.%fZ}-{config_hash[:8]}", started.isoformat(), seconds, bench, {**CELL, **cell}, config_hash,
        commit, "0.9.0", asdict(machine), status, error, hint, metrics or {},
    )  # fmt: skip


def usual(tokens: float, passing: float, seconds: float, *, spread: float = 0.05) -> dict[str, Metric]:
    return {
        "byte_ratio": metric("byte_ratio", 2.9, exact=True),
        "token_ratio": metric("token_ratio", tokens, spread),
        "pass_rate": metric("pass_rate", passing, spread),
        "seconds_per_document": metric("seconds_per_document", seconds, spread),
        "cost_usd_per_1k_documents": metric("cost_usd_per_1k_documents", 0.0, exact=True),
    }


def keep(folder: Path, role: str, block: int, each: Record) -> Path:
    """Where a sweep keeps a run."""
    machine = each.machine_name
    slot = sweep.Slot(block, role, 0)
    name = (
        sweep.refused_name(machine, each.config_hash)
        if each.status == "refused"
        else sweep.run_name(machine, slot, each.config_hash)
    )
    return record.write(each, folder / "runs" / name)


def a_sweep(folder: Path) -> Path:
    """Three cells in two blocks with their reference, one of them failing once, and a refused one."""
    a, b, c, d = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
    at = 0
    for block in (1, 2):
        keep(folder, sweep.REFERENCE, block, made(at, a, metrics=usual(8.0, 0.6, 1.0 + 0.02 * block)))
        keep(folder, sweep.CELL, block, made(at + 1, a, metrics=usual(8.0, 0.6, 1.02)))
        keep(folder, sweep.CELL, block, made(at + 2, b, engine="llama_server", metrics=usual(8.0, 0.6, 1.05)))
        keep(folder, sweep.CELL, block, made(at + 3, c, profile="baseline", metrics=usual(6.0, 0.2, 2.0)))
        at += 4
    keep(folder, sweep.REFERENCE, 3, made(at, a, metrics=usual(8.0, 0.6, 1.01)))
    keep(
        folder, sweep.CELL, 1, made(at + 1, d, backend="vulkan", status="refused", error="no GPU was found", hint="backend=cpu")
    )
    keep(
        folder,
        sweep.CELL,
        1,
        made(at + 2, "e" * 64, view="extract", status="failed", error="the engine died", hint="llmc logs"),
    )
    plan = {
        "seed": 1,
        "blocks": 2,
        "order": [],
        "cells": {h: {"overrides": ["model=smollm", f"engine=e{h[0]}"]} for h in (a, b, c, d)},
    }
    sweep.save(folder, HERE.machine, plan)
    return folder
