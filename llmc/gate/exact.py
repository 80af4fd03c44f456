"""The part of the gate without noise: counters that a benchmark puts into ``extra_info``, compared as they are.

``extra_info["counters"]`` holds whole numbers where less is better (requests, tokens, bytes written) and texts that must stay
the same (a hash of the output). ``extra_info["metrics"]`` holds numbers that ``gate.metrics`` gives a direction and a margin.
A change that is wanted is acknowledged with its exact values in a file that is part of the change.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmc.errors import UsageError
from llmc.schema import MetricGate

BETTER, WORSE, ACKNOWLEDGED = "better", "worse", "acknowledged"


@dataclass(frozen=True, slots=True)
class Difference:
    """A counter or metric that is not what it was."""

    benchmark: str
    name: str
    base: Any
    head: Any
    status: str
    """``better``, ``worse`` (the gate fails), ``acknowledged``."""
    why: str = ""


def differences(
    base: dict[str, dict[str, Any]],
    head: dict[str, dict[str, Any]],
    metrics: dict[str, MetricGate],
    acknowledged: list[dict[str, Any]],
) -> list[Difference]:
    """What differs between the ``extra_info`` of the two sides, for the benchmarks that both have."""
    found = []
    for benchmark in sorted(base.keys() & head.keys()):
        old, new = (_counters(side[benchmark], benchmark) for side in (base, head))
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) == new.get(name) or name not in old:
                continue
            wanted = _acknowledged(acknowledged, benchmark, name, old.get(name), new.get(name))
            less = isinstance(new.get(name), int | float) and isinstance(old[name], int | float) and new[name] < old[name]
            status = BETTER if less else ACKNOWLEDGED if wanted else WORSE
            found.append(Difference(benchmark, name, old[name], new.get(name), status, wanted or ""))
    for benchmark in sorted(head):
        for name, value in sorted((head[benchmark].get("metrics") or {}).items()):
            if name in metrics:
                before = ((base.get(benchmark) or {}).get("metrics") or {}).get(name)
                found += _metric(benchmark, name, before, float(value), metrics[name], acknowledged)
    return found


def _counters(extra: dict[str, Any], benchmark: str) -> dict[str, Any]:
    counters = extra.get("counters") or {}
    if not isinstance(counters, dict):
        raise UsageError(f"{benchmark}: extra_info['counters'] is not a mapping of names to numbers or texts")
    return counters


def _metric(
    benchmark: str, name: str, before: float | None, after: float, gate: MetricGate, acknowledged: list[dict[str, Any]]
) -> list[Difference]:
    sign = {"lower": 1, "higher": -1}.get(gate.direction)
    if sign is None:
        raise UsageError(f"gate.metrics.{name}.direction={gate.direction} is none of lower, higher")
    found = []
    if gate.value is not None and sign * (after - gate.value) > 0:
        found.append(Difference(benchmark, name, gate.value, after, WORSE, f"the limit is {gate.value:g} {gate.unit}".strip()))
    if before is not None and after != before:
        worse = sign * (after - before) > gate.margin * abs(before)
        wanted = worse and _acknowledged(acknowledged, benchmark, name, before, after)
        if worse or sign * (after - before) < 0:
            status = ACKNOWLEDGED if wanted else WORSE if worse else BETTER
            found.append(Difference(benchmark, name, before, after, status, wanted or ""))
    return found


def _acknowledged(entries: list[dict[str, Any]], benchmark: str, name: str, old: object, new: object) -> str:
    for entry in entries:
        if [entry.get("benchmark"), entry.get("counter"), entry.get("from"), entry.get("to")] == [benchmark, name, old, new]:
            return str(entry.get("why") or "acknowledged")
    return ""


def read_acknowledged(path: Path) -> list[dict[str, Any]]:
    """The entries of an acknowledgement file; an absent file is an empty one.

    [[change]]                         [[change]]
    benchmark = "bench/…::test_…"      removed = "bench/…::test_…"
    counter = "bytes"                  why = "…"
    from = 100
    to = 110
    why = "…"
    """
    if not path.exists():
        return []
    try:
        entries = tomllib.loads(path.read_text()).get("change", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise UsageError(f"{path} has no [[change]] entries")
    return entries
