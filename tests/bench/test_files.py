"""Every file in ``bench/`` still runs: once, not timed, on little. A benchmark that nothing runs is broken before long."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT

NEED_WEIGHTS = {"test_gist.py", "test_phase_table.py", "test_quick.py", "test_serve.py"}
"""They ask a model; tests/bench/test_bench.py runs the last two against fake servers, and the table as a slow test."""
LITTLE = (
    "bench=full bench.documents=100 bench.rounds=1 bench.planted_each=1 bench.cache_requests=500 bench.cache_texts=100 "
    "bench.cache_entries=[50] bench.engine_starts=0"
)


@pytest.mark.slow
def test_every_benchmark_runs():
    files = {path for path in (ROOT / "bench").rglob("test_*.py") if path.name not in NEED_WEIGHTS}
    words = ["-m", "pytest", "-v", "-p", "no:cacheprovider", "-o", "addopts=", "--benchmark-disable", *map(str, sorted(files))]
    environment = {**os.environ, "BENCH": LITTLE}
    done = subprocess.run(
        [sys.executable, *words, "--durations=8"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    ran = {Path(name).name for name in re.findall(r"^(bench/\S+)::\S+ PASSED", done.stdout, re.M)}
    assert ran == {path.name for path in files}
