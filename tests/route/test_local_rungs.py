"""Two models of this machine: the embedded engine is killed, then llama.cpp's own server; every document still has a view."""

import json
import re
import subprocess
import time

import psutil
import pytest

from tests.route.falling import minutes, steps, views

pytestmark = pytest.mark.slow
LADDER = [
    "model=smollm", "engine=embedded", "profile.ladder=[local,gemma]", "model@profile.rungs.gemma.model=gemma_270m",
    "+engine@profile.rungs.gemma.engine=llama_server", "+backend@profile.rungs.gemma.backend=cpu",
]  # fmt: skip
SMALL = ["view.max_tokens=120", "view.target_ratio=3", "profile.concurrency=1", "profile.slot_context_tokens=1024"]
AFTER = ["profile.patience.tries=1", "profile.patience.rest_after_failures=2", "profile.patience.rest_seconds=600"]
"""So that a rung that dies is not waited for."""


def servers(process: subprocess.Popen[bytes], word: str) -> list[psutil.Process]:
    """Processes below llmc with this in their command line."""
    try:
        return [p for p in psutil.Process(process.pid).children(recursive=True) if word in " ".join(p.cmdline())]
    except psutil.Error:
        return []


def keep_killing(process: subprocess.Popen[bytes], word: str, until) -> int:
    """Kill -9 what serves a rung as often as it is started again, until its rung is left; how often."""
    killed, deadline = 0, time.monotonic() + 240
    while not until() and process.poll() is None:
        assert time.monotonic() < deadline
        killed += kill(process, word)
        time.sleep(0.1)
    return killed


def kill(process: subprocess.Popen[bytes], word: str) -> int:
    found = servers(process, word)
    for each in found:
        each.kill()
    return len(found)


def journalled(archive) -> int:
    return sum(len(file.read_bytes().splitlines()) for file in archive.glob("*.journal"))


@pytest.mark.usefixtures("weights", "real_llama_server")
def test_when_one_model_here_dies_the_next_one_is_asked_and_then_nobody(llmc):
    """The embedded engine is killed for good with the first document, llama-server when it has answered for one."""
    llmc("pull", "model=gemma_270m", timeout=600).ok()
    folder = llmc.cwd / "in"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.txt").write_text(minutes(i))
    process = llmc.start("compress", "input=in", "output=a.llmc", "cache.enabled=false", *LADDER, *SMALL, *AFTER)
    archive = llmc.cwd / "a.llmc"
    try:
        while not (archive / "manifest.json").exists() and process.poll() is None:
            time.sleep(0.05)
        first = keep_killing(process, "embedded_server", lambda: servers(process, "llama-server"))
        assert first, process.communicate()
        while not journalled(archive) and process.poll() is None:
            time.sleep(0.05)
        second = keep_killing(process, "llama-server", lambda: kill(process, "embedded_server") < 0)  # or it may be well again
    finally:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    made = views(archive)
    seen = {name: " | ".join(steps(view)) for name, view in made.items()}
    said = json.loads(out)["run"]["warnings"]
    assert any("the embedded engine was killed by SIGKILL: starting it again" in each for each in said)
    assert any("(llama_server) was killed by SIGKILL: starting it again" in each for each in said)
    assert len(made) == 3
    assert all(view.verdict and view.verdict.passed for view in made.values())
    assert second
    died = "(unreachable|no connection)"
    ways = sorted(seen.values(), key=lambda way: "gemma failed" in way)
    assert re.match(rf"local failed: {died} \| gemma (kept|refused)", ways[0]), seen
    for way in ways[1:]:
        assert re.match(rf"local (failed|refused): .* \| gemma failed: ({died}|resting) \| extract kept", way), seen
    assert any("gemma failed" in way for way in ways), seen
