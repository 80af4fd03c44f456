"""For ``scripts/bench``, which runs these files without ``llmc bench``: the same fixtures, and all texts of ``bench/data``.

``BENCH="bench=codec bench.rounds=2"`` says what ``llmc bench`` would be told.
"""

import os
import tempfile
from pathlib import Path

import pytest

SAID = ("bench=full", "engine=embedded", "backend=cpu", "quant=q4_1", "bench.documents=null")


def pytest_configure(config: pytest.Config) -> None:
    if "LLMC_GATE_FD" in os.environ:  # llmc gate has a plugin of its own, and runs these files beside an older llmc too
        return
    from hydra import compose, initialize_config_dir

    from bench import texts
    from llmc import schema, state
    from llmc.bench import plugin
    from llmc.bench.job import Job

    schema.register()
    with initialize_config_dir(str(state.CONF), version_base="1.3"):
        composed = schema.typed(
            compose("config", ["target=bench", "bench=full", "engine=embedded", "backend=cpu", "quant=q4_1"])
        )
    scratch = tempfile.TemporaryDirectory(prefix="llmc-bench-")
    job = Job(composed, Path(scratch.name), own_documents=texts.paragraphs())
    config.add_cleanup(scratch.cleanup)
    config.add_cleanup(job.opened.close)
    config.pluginmanager.register(plugin, "llmc-bench")
    config.pluginmanager.register(plugin.Plugin(job), "llmc-bench-job")
