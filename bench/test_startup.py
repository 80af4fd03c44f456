"""What a user waits for before anything happens, beside an empty Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMANDS = {
    "python": ["-c", "pass"],
    "help": ["-P", "-m", "llmc", "--help"],
    "targets": ["-P", "-m", "llmc", "targets"],
    "cfg": ["-P", "-m", "llmc", "compress", "--cfg", "job"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_start(benchmark, name: str):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *COMMANDS[name]]
    benchmark.pedantic(
        lambda: subprocess.run(command, env=environment, check=True, capture_output=True), rounds=20, warmup_rounds=2
    )
