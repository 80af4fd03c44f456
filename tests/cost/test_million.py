"""A ledger of a million events: the report takes seconds, and memory that does not grow with their number."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from spent_rows import NOW_US, cloud, measured, run

from llmc.ledger import Ledger

ROOT = Path(__file__).parents[2]
DAY_US = 86_400_000_000
ASK = """
import json, resource, sys, time
from llmc import cli
began = time.perf_counter()
code = cli.main(["cost", "period=all", "by=project,tier", *sys.argv[1:]])
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sys.stderr.write(json.dumps({"code": code, "seconds": time.perf_counter() - began, "mib": used}))
"""


def filled(path: Path, count: int) -> None:
    """``count`` events of 40 runs over 30 days, half of them local."""
    with Ledger.open(path) as ledger:
        start_us = NOW_US - 30 * DAY_US
        runs = [run(f"run-{i}", project=f"project-{i % 5}", started_us=start_us) for i in range(40)]
        rows = (cloud, measured)
        ledger.connection.execute("PRAGMA synchronous = OFF")  # only while it is made
        for first in range(0, count, 50_000):
            with ledger.transaction() as connection:
                for i in range(first, min(first + 50_000, count)):
                    at_us = start_us + i * (30 * DAY_US // count)
                    row = rows[i % 2](run_id=f"run-{i % 40}", event_id=f"{i:032x}", at_us=at_us, document=f"{i % 1000}.md")
                    ledger.insert(connection, runs[i % 40], row)


@pytest.mark.soak
def test_a_million_events_are_reported_in_flat_memory(tmp_path, capsys):
    found = []
    for count in (10_000, 1_000_000):
        path = tmp_path / f"{count}.sqlite3"
        filled(path, count)
        done = subprocess.run(
            [sys.executable, "-c", ASK, f"ledger={path}", f"output={tmp_path / str(count)}/"],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout)["requests"]["attempts"] == count
        found.append(json.loads(done.stderr))
    few, many = found
    with capsys.disabled():
        sys.stdout.write(f"\n{few['seconds']:.1f} s -> {many['seconds']:.1f} s, {few['mib']:.0f} -> {many['mib']:.0f} MiB\n")
    assert many["code"] == 0
    assert many["mib"] < few["mib"] + 30
