"""What a user waits for before anything happens: the command line beside an empty Python, and the engine's own start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import llmc
from llmc.bench.job import Job, start, started_now
from llmc.errors import EngineUnavailable
from llmc.target.deploy import Deployed

COMMANDS = {
    "python_seconds": ["-c", "pass"],
    "help_seconds": ["-P", "-m", "llmc", "--help"],
    "targets_seconds": ["-P", "-m", "llmc", "targets"],
    "compose_seconds": ["-P", "-m", "llmc", "compress", "--cfg", "job"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_start(benchmark, job: Job, name: str):
    environment = {**os.environ, "PYTHONPATH": str(Path(llmc.__file__).parent.parent)}
    command = [sys.executable, *COMMANDS[name]]
    benchmark.pedantic(
        lambda: subprocess.run(command, env=environment, check=True, capture_output=True),
        rounds=job.settings.rounds,
        warmup_rounds=2,
    )
    if benchmark.stats:
        job.measured.median(name, benchmark.stats.stats.data)


def test_engine_start(benchmark, job: Job):
    """From nothing to the first token. Weights that were read before are in the system's page cache."""
    if not job.settings.engine_starts or job.config.engine.cloud:
        pytest.skip("no engine is to be started")
    load: list[float] = []
    whole: list[float] = []

    def once() -> None:
        with Deployed(start(job.config), job.config) as deployed:
            if started_now(deployed.engine):
                load.append(deployed.report["load_seconds"])
                whole.append(deployed.report["load_seconds"] + deployed.report["first_token_seconds"])

    try:
        benchmark.pedantic(once, rounds=job.settings.engine_starts)
    except EngineUnavailable as error:
        job.note(f"the start of the engine was not measured: {error.message}")
        return
    if not whole:
        job.note("the engine ran already: its start was not measured")
        return
    job.measured.median("engine_load_seconds", load)
    job.measured.median("engine_cold_start_seconds", whole, "weights in the page cache after the first")
