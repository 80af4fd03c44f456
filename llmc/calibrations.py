"""Calibrations that were kept, and which of them holds for an archive.

A calibration belongs to the settings it was measured with. Each view's receipt names its settings (``config``), each
calibration lists those it is good for; one that another version of llmc measured says nothing of this one's check.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmc import __version__, state
from llmc.errors import UsageError
from llmc.parts import write_atomically

MOST_FILES = 1000  # looked through; each is some kilobytes


@dataclass(frozen=True, slots=True)
class Holds:
    """The newest calibration for an archive's settings."""

    date: str
    basis: str
    """What errors were planted in: ``kept views`` of an archive, or ``extracts`` of texts."""
    seed: int
    reported: int
    """Accepted views in the half that is reported."""
    kinds: list[dict[str, Any]] = field(default_factory=list)
    """Per kind of error: missed, tries, the 95% interval of the share, and whether that may be called certified."""
    certified_tries: int = 0
    settings: int = 0
    """Of the archive's settings, how many it holds for."""


def keep(record: dict[str, Any], name: str) -> Path:
    """Store a calibration under llmc's own folder; an earlier one of that name is replaced."""
    folder = state.state("calibration")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.json"
        write_atomically(file, json.dumps(record, indent=1).encode())
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}", hint="LLMC_HOME=/another/folder") from error
    return file


def holding(configs: Iterable[str]) -> Holds | None:
    """The newest kept calibration of this version for any of these settings; None: not calibrated."""
    wanted = set(configs)
    best: Holds | None = None
    folder = state.state("calibration")
    for file in sorted(folder.glob("*.json"))[:MOST_FILES] if folder.is_dir() else ():
        try:
            record = json.loads(file.read_bytes())
            found = _holds(record, wanted)
        except (OSError, ValueError, KeyError, TypeError):  # another version's, or nobody's: it vouches for nothing
            continue
        if found and (best is None or found.date > best.date):
            best = found
    return best


def _holds(record: dict[str, Any], wanted: set[str]) -> Holds | None:
    shared = wanted & set(record["configs"])
    if record["version"] != __version__ or not shared:
        return None
    refused = record["false_refusals"]
    kinds = [
        {
            "kind": str(each["kind"]),
            "missed": int(each["missed"]["count"]),
            "tries": int(each["missed"]["tries"]),
            "share_95": [float(limit) for limit in each["missed"]["share_95"]],
            "certified": bool(each["certified"]),
        }
        for each in record["kinds"]
    ]
    reported = int(refused["tries"]) - int(refused["count"])
    date, basis = str(record["date"]), str(record["basis"])
    return Holds(date, basis, int(record["seed"]), reported, kinds, int(record["certified_tries"]), len(shared))
