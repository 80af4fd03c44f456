"""What is looked for before a start: nothing, for a model that the processor serves anyway."""

import sys
from dataclasses import replace

import pytest
from described import configured

from llmc.schema import TargetConfig
from llmc.target import doctor

TOOL = "#!/bin/sh\necho asked >> {}\nexit 1\n"


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A machine whose only tool notes each time it is asked."""
    noted, tool = tmp_path / "noted", tmp_path / "bin" / "vulkaninfo"
    tool.parent.mkdir()
    tool.write_text(TOOL.format(noted))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/bin:{sys.prefix}/bin")
    monkeypatch.setattr(doctor, "_probes", {})
    return lambda: len(noted.read_text().splitlines()) if noted.exists() else 0


def before_compress(words):
    return replace(configured(words), target=TargetConfig("llmc.target.compress.compress"))


def test_the_default_model_starts_without_asking_any_tool(asked):
    config = doctor.resolve(before_compress("model=smollm"))
    doctor.doctor(config)
    assert (config.engine.name, config.backend.name, asked()) == ("embedded", "cpu", 0)


def test_one_look_at_the_machine_serves_the_choice_and_the_diagnosis(asked):
    config = doctor.resolve(before_compress("model=qwen engine=llama_server"))
    doctor.doctor(config)
    assert asked() == 1
